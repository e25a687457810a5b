#include "engine/cuda/tables.h"

namespace tessera::cuda {

const KernelTable& kernel_table() {
  // Assembled on first use, because the order in which files are initialised is not defined.
  static const KernelTable table{.name = "cuda",
                                 .copy = kCopyKernels,
                                 .pointwise = kPointwiseKernels,
                                 .reduce = kReduceKernels,
                                 .linear = kLinearKernels,
                                 .matmul = kMatmulKernels,
                                 .norm = kNormKernels,
                                 .attention = kAttentionKernels,
                                 .rows = kRowKernels,
                                 .patches = kPatchKernels,
                                 .loss = kLossKernels,
                                 .patch_sentence = kPatchSentenceKernels,
                                 .optimizer = kOptimizerKernels};
  return table;
}

}  // namespace tessera::cuda
