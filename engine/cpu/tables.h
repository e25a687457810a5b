#pragma once

#include "engine/ops/kernels.h"

// One table per instruction set. Every family file is compiled once for each (see engine/CMakeLists.txt): the macro
// TESSERA_ISA names the namespace, and each file ends in one constant table that tables.cpp gathers.
#define TESSERA_DECLARE_ISA(isa)                           \
  namespace tessera::cpu::isa {                            \
  extern const CopyKernels kCopyKernels;                   \
  extern const PointwiseKernels kPointwiseKernels;         \
  extern const ReduceKernels kReduceKernels;               \
  extern const LinearKernels kLinearKernels;               \
  extern const MatmulKernels kMatmulKernels;               \
  extern const NormKernels kNormKernels;                   \
  extern const AttentionKernels kAttentionKernels;         \
  extern const RowKernels kRowKernels;                     \
  extern const PatchKernels kPatchKernels;                 \
  extern const LossKernels kLossKernels;                   \
  extern const PatchSentenceKernels kPatchSentenceKernels; \
  extern const OptimizerKernels kOptimizerKernels;         \
  }

/// Tables that have their own products of bf16 pairs and share everything else with avx512.
#define TESSERA_DECLARE_BF16_ISA(isa)              \
  namespace tessera::cpu::isa {                    \
  extern const LinearKernels kLinearKernels;       \
  extern const MatmulKernels kMatmulKernels;       \
  extern const AttentionKernels kAttentionKernels; \
  }

TESSERA_DECLARE_ISA(portable)
#if defined(__x86_64__) && !defined(TESSERA_PORTABLE_ONLY)
TESSERA_DECLARE_ISA(avx2)
TESSERA_DECLARE_ISA(avx512)
TESSERA_DECLARE_BF16_ISA(avx512_bf16)
TESSERA_DECLARE_BF16_ISA(amx)
#endif
