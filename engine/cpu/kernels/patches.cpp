#include "engine/ops/patches.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

/// A task takes whole rows of patches, so that each row of an image is read once and in order.
template <class T, class Y>
void patchify_as(Context& context, const PatchifyArgs& a) {
  using V = typename VecOf<T>::Type;
  const int64_t p = a.patch;
  const int64_t channels = a.images.size(1);
  const int64_t height = a.images.size(2);
  const int64_t width = a.images.size(3);
  const int64_t grid_rows = height / p;
  const int64_t grid_columns = width / p;
  const int64_t length = channels * p * p;
  const auto* images = a.images.data<const T>();
  auto* patches = a.patches.data<Y>();
  const int64_t grain = max_of(1, kGrain / max_of(1, grid_columns * length));
  parallel_for(context, a.images.size(0) * grid_rows, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / grid_rows;
      const int64_t top = task % grid_rows * p;
      for (int64_t line = 0; line < channels * p; ++line) {  // (channel, row within the patch)
        const T* from = images + ((image * channels + line / p) * height + top + line % p) * width;
        Y* to = patches + task * grid_columns * length + line * p;
        for (int64_t column = 0; column < grid_columns; ++column) {
          sweep<V>(p, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
            store(load<V>(from + column * p + i, count), to + column * length + i, count);
          });
        }
      }
    }
  });
}

void patchify(Context& context, const PatchifyArgs& a) {
  switch (a.patches.dtype) {
    case DType::f32:
      return patchify_as<float, float>(context, a);
    case DType::bf16:
      return patchify_as<float, bfloat16>(context, a);
    default:
      return patchify_as<double, double>(context, a);
  }
}

}  // namespace

extern const PatchKernels kPatchKernels;
const PatchKernels kPatchKernels{.patchify = patchify};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
