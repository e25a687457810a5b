#include "engine/ops/patches.h"

#include "engine/cuda/gpu_math.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 256;

template <class E, class Y>
__global__ void __launch_bounds__(kThreads)
    patchify_kernel(const E* __restrict__ images, Y* __restrict__ patches, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) patches[i] = narrow<Y>(widen(images[i]));
}
void patchify(Context& context, const PatchifyArgs& a) {
  const int64_t n = a.images.numel();
  GPU_LAUNCH((patchify_kernel<float, bfloat16>), dim3(extent(blocks_of(n, kThreads))), dim3(kThreads), 0,
             stream_of(context), a.images.data<const float>(), a.patches.data<bfloat16>(), n);
}

}  // namespace

const PatchKernels kPatchKernels{.patchify = patchify};

}  // namespace tessera::cuda
