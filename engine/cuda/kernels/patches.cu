#include "engine/ops/patches.h"

#include "engine/cuda/divisor.h"
#include "engine/cuda/gpu_vector.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 256;

/// Where an element of a patch comes from. Units are V adjacent elements of a row of a patch.
struct Geometry {
  Divisor row_units;     // of a row of a patch
  Divisor patch;         // rows of a patch
  Divisor channels;      // of an image
  Divisor grid_columns;  // patches beside each other
  int64_t height, width, image_elements;
  uint32_t units;  // of an image
};

/// A thread moves V adjacent elements of one row of a patch, in the order of the result; blockIdx.y and its steps count
/// images. Reads and writes each element once: rows of a patch of 16 are 64 bytes of an image.
template <int V, class T, class Y>
__global__ void __launch_bounds__(kThreads) patchify_kernel(const T* __restrict__ images, Y* __restrict__ patches,
                                                            int64_t count, const __grid_constant__ Geometry g) {
  const uint32_t unit = blockIdx.x * kThreads + threadIdx.x;
  if (unit >= g.units) return;
  const uint32_t line = g.row_units.quotient(unit);  // (patch, channel, row of the patch)
  const uint32_t at = (unit - line * g.row_units.divisor()) * V;
  const uint32_t plane = g.patch.quotient(line);  // (patch, channel)
  const uint32_t row = line - plane * g.patch.divisor();
  const uint32_t number = g.channels.quotient(plane);
  const uint32_t channel = plane - number * g.channels.divisor();
  const uint32_t grid_row = g.grid_columns.quotient(number);
  const uint32_t grid_column = number - grid_row * g.grid_columns.divisor();
  const int64_t from =
      (channel * g.height + grid_row * g.patch.divisor() + row) * g.width + grid_column * g.patch.divisor() + at;
  for (int64_t image = blockIdx.y; image < count; image += gridDim.y) {
    Compute<T> v[V];
    load_pack<V>(images + image * g.image_elements + from, v);
    Compute<Y> y[V];
#pragma unroll
    for (int i = 0; i < V; ++i) y[i] = static_cast<Compute<Y>>(v[i]);
    store_pack<V>(patches + image * g.image_elements + static_cast<int64_t>(unit) * V, y);
  }
}

template <int V, class T, class Y>
void launch(Context& context, const PatchifyArgs& a) {
  const auto divisor = [](int64_t n) { return Divisor(static_cast<uint32_t>(n)); };
  const int64_t elements = a.images.size(1) * a.images.size(2) * a.images.size(3);
  const Geometry g{.row_units = divisor(a.patch / V),
                   .patch = divisor(a.patch),
                   .channels = divisor(a.images.size(1)),
                   .grid_columns = divisor(a.images.size(3) / a.patch),
                   .height = a.images.size(2),
                   .width = a.images.size(3),
                   .image_elements = elements,
                   .units = static_cast<uint32_t>(elements / V)};
  constexpr int64_t kMostImages = 65535;  // of a grid's second extent
  const int64_t images = a.images.size(0) < kMostImages ? a.images.size(0) : kMostImages;
  GPU_LAUNCH((patchify_kernel<V, T, Y>), dim3(extent(blocks_of(g.units, kThreads)), extent(images)), dim3(kThreads), 0,
             stream_of(context), a.images.data<const T>(), a.patches.data<Y>(), a.images.size(0), g);
}

/// Chooses the widest access that divides a row of a patch and that both pointers allow.
template <class T, class Y>
void patchify_as(Context& context, const PatchifyArgs& a) {
  if (a.patches.numel() == 0) return;
  const auto fits = [&](int v) { return a.patch % v == 0 && a.images.size(3) % v == 0; };
  const T* images = a.images.data<const T>();
  const Y* patches = a.patches.data<const Y>();
  if (fits(8) && packs<8>(images) && packs<8>(patches)) return launch<8, T, Y>(context, a);
  if (fits(2) && packs<2>(images) && packs<2>(patches)) return launch<2, T, Y>(context, a);
  launch<1, T, Y>(context, a);
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

const PatchKernels kPatchKernels{.patchify = patchify};

}  // namespace tessera::cuda
