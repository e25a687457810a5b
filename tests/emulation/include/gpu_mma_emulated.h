#pragma once

// The functions of engine/cuda/gpu_mma.h, for the emulator. Loads and stores of kernels happen in this header, so that
// a sanitizer sees them as the kernel's own.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "tests/emulation/fragments.h"

namespace tessera::emulation {

inline constexpr unsigned kWholeWarp = 0xffffffffu;

/// Each lane reads its row when it arrives: what others write later, without __syncwarp between, is missed.
inline void read_row(Row& row, const void* address, const char* name, Site site) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) {
    fail(std::string(name) + ": a row that is not aligned to 16 bytes", site);
  }
  if (!is_shared(address, 16)) fail(std::string(name) + ": a row outside shared memory", site);
  std::memcpy(row.words, address, 16);
}

}  // namespace tessera::emulation

namespace tessera::cuda {

inline void mma_16816(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                      emulation::Site site = emulation::Site::current()) {
  emulation::Product operands{c, a, b};
  emulation::meet(emulation::kWholeWarp, emulation::multiply, &operands, site);
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, emulation::Site site = emulation::Site::current()) {
  emulation::Row operands{{}, r};
  emulation::read_row(operands, row, "ldmatrix", site);
  emulation::meet(emulation::kWholeWarp, emulation::load_four, &operands, site);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, emulation::Site site = emulation::Site::current()) {
  emulation::Row operands{{}, r};
  emulation::read_row(operands, row, "ldmatrix", site);
  emulation::meet(emulation::kWholeWarp, emulation::load_four_transposed, &operands, site);
}
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, emulation::Site site = emulation::Site::current()) {
  emulation::Row operands{{}, r};
  if (threadIdx.x % 32 < 16) emulation::read_row(operands, row, "ldmatrix", site);
  emulation::meet(emulation::kWholeWarp, emulation::load_two_transposed, &operands, site);
}

/// The bytes are there when the program waits for them. Until then there is NaN, which hits both a reader that does
/// not wait and a reader of what was there before that is still at work.
inline void cp_async16_or_zero(void* to, const void* from, bool valid,
                               emulation::Site site = emulation::Site::current()) {
  emulation::copy_later(to, from, valid, site);
  std::memset(to, 0xff, 16);
}
inline void cp_async16(void* to, const void* from, emulation::Site site = emulation::Site::current()) {
  cp_async16_or_zero(to, from, true, site);
}
inline void cp_async_commit() { emulation::close_copy_group(); }
template <int N>
inline void cp_async_wait() {
  for (const emulation::AsyncCopy& copy : emulation::take_copies(N)) {
    if (copy.from != nullptr) {
      std::memcpy(copy.to, copy.from, 16);
    } else {
      std::memset(copy.to, 0, 16);
    }
  }
}

inline uint32_t bf16_pair(float low, float high) {
  return __float2bfloat16_rn(low).bits | static_cast<uint32_t>(__float2bfloat16_rn(high).bits) << 16;
}

}  // namespace tessera::cuda
