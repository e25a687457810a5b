#pragma once

#include "engine/ops/kernels.h"

namespace tessera::cuda {

// Each file of kernels/ ends in one constant table.
extern const CopyKernels kCopyKernels;
extern const PointwiseKernels kPointwiseKernels;
extern const ReduceKernels kReduceKernels;
extern const LinearKernels kLinearKernels;
extern const MatmulKernels kMatmulKernels;
extern const NormKernels kNormKernels;
extern const AttentionKernels kAttentionKernels;
extern const RowKernels kRowKernels;
extern const PatchKernels kPatchKernels;
extern const LossKernels kLossKernels;
extern const PatchSentenceKernels kPatchSentenceKernels;
extern const OptimizerKernels kOptimizerKernels;

/// All of them.
[[nodiscard]] const KernelTable& kernel_table();

}  // namespace tessera::cuda
