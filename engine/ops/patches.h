#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// patches [B·gh·gw, C·p·p] from images [B, C, H, W]: grid row-major, elements in (channel, row, column) order, the
/// order of a convolution's weight [D, C, p, p], so that patch embedding is a linear layer. H and W are multiples of p.
/// images f32 (f64); patches f32, bf16 or f64. Not differentiable (images are data).
struct PatchifyArgs {
  View images;
  int64_t patch;
  View patches;
};
struct PatchKernels {
  Kernel<PatchifyArgs> patchify;
};

[[nodiscard]] Tensor patchify(const Tensor& images, int64_t patch, DType out_dtype);

}  // namespace tessera
