#include "engine/ops/patches.h"

#include <fmt/format.h>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {

Tensor patchify(const Tensor& images, int64_t patch, DType out_dtype) {
  constexpr const char* kOp = "patchify";
  Context& c = check::device(kOp, {{"images", images}});
  check::rank(kOp, {"images", images}, 4);
  check::dtype(kOp, {"images", images}, {DType::f32, DType::f64});
  check::contiguous(kOp, {{"images", images}});
  if (patch < 1 || images.size(2) % patch != 0 || images.size(3) % patch != 0) {
    throw ShapeError(fmt::format("patchify: images have shape {}, expected height and width divisible by the patch {}",
                                 to_string(images.shape()), patch));
  }
  const int64_t count = images.size(0) * (images.size(2) / patch) * (images.size(3) / patch);
  Tensor patches = Tensor::empty({count, images.size(1) * patch * patch}, out_dtype, images.device());
  if (images.dtype() == DType::f64) {
    check::dtype(kOp, {"patches", patches}, {DType::f64});
  } else {
    check::dtype(kOp, {"patches", patches}, {DType::f32, DType::bf16});
  }
  c.kernels().patches.patchify(c, {.images = images, .patch = patch, .patches = patches});
  return patches;
}

}  // namespace tessera
