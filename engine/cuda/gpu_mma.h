#pragma once

// Matrix fragments of a warp: bf16 products with f32 sums, and copies to shared memory that run beside the arithmetic.
// The device has instructions for them; the emulator has a header of its own that does what they do, lane by lane.
#include "engine/core/bfloat16.h"
#include "engine/cuda/gpu.h"

#if defined(__CUDACC__)

namespace tessera::cuda {

__device__ inline uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

/// c [16, 8] += a [16, 16] · b [16, 8], in the fragment layouts of mma.sync.m16n8k16 (PTX ISA).
__device__ inline void mma_16816(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// Four 8×8 matrices. Lane 8 j + i holds the address of row i of matrix j, 16-byte aligned.
__device__ inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
/// The same, each matrix transposed.
__device__ inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
/// Two transposed 8×8 matrices, from the addresses of lanes 0 to 15.
__device__ inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1},[%2];\n"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
/// Copies 16 bytes from global to shared memory, both 16-byte aligned. They are there after cp_async_wait.
__device__ inline void cp_async16(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0],[%1],16;\n" ::"r"(shared_address(to)), "l"(from) : "memory");
}
/// 16 bytes, or zeros where `valid` is false; the address must be readable all the same.
__device__ inline void cp_async16_or_zero(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;\n" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}
/// Ends a group of copies of this thread.
__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/// Waits until at most N of this thread's groups are under way. Other threads see the bytes after a barrier.
template <int N>
__device__ inline void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}
/// Two numbers rounded to bf16, the first in the low half.
__device__ inline uint32_t bf16_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

}  // namespace tessera::cuda

#else
#include <gpu_mma_emulated.h>
#endif

namespace tessera::cuda {

__device__ inline float bf16_low(uint32_t pair) {
  return static_cast<float>(bfloat16::from_bits(static_cast<uint16_t>(pair)));
}
__device__ inline float bf16_high(uint32_t pair) {
  return static_cast<float>(bfloat16::from_bits(static_cast<uint16_t>(pair >> 16)));
}

}  // namespace tessera::cuda
