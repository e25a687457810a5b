#pragma once

#include <string_view>
#include <vector>

#include "engine/ops/attention.h"
#include "engine/ops/copy.h"
#include "engine/ops/linear.h"
#include "engine/ops/loss.h"
#include "engine/ops/matmul.h"
#include "engine/ops/norm.h"
#include "engine/ops/optimizer.h"
#include "engine/ops/patches.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/reduce.h"
#include "engine/ops/rows.h"

namespace tessera {

/// Every kernel of a backend: the aggregate of the families' slots.
struct KernelTable {
  std::string_view name;
  CopyKernels copy;
  PointwiseKernels pointwise;
  ReduceKernels reduce;
  LinearKernels linear;
  MatmulKernels matmul;
  NormKernels norm;
  AttentionKernels attention;
  RowKernels rows;
  PatchKernels patches;
  LossKernels loss;
  OptimizerKernels optimizer;
};

/// The CPU tables that this processor can run, slowest first: "portable", "avx2", "avx512".
[[nodiscard]] std::vector<const KernelTable*> cpu_kernel_tables();
/// The table of a name; throws ConfigError naming those that this processor can run.
[[nodiscard]] const KernelTable& cpu_kernel_table(std::string_view name);
/// The fastest, or the one that TESSERA_ISA names.
[[nodiscard]] const KernelTable& default_cpu_kernel_table();

}  // namespace tessera
