#pragma once

#include <string_view>

#include "engine/ops/attention.h"
#include "engine/ops/copy.h"
#include "engine/ops/linear.h"
#include "engine/ops/loss.h"
#include "engine/ops/matmul.h"
#include "engine/ops/norm.h"
#include "engine/ops/optimizer.h"
#include "engine/ops/patch_sentence.h"
#include "engine/ops/patches.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/reduce.h"
#include "engine/ops/rows.h"

namespace tessera {

/// Every kernel of a backend, by family.
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
  PatchSentenceKernels patch_sentence;
  OptimizerKernels optimizer;
};

}  // namespace tessera
