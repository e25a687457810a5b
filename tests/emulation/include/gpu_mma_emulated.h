#pragma once
#include <cuda_runtime.h>
#include <vector>
namespace cuemu {
struct Gathered { std::uint64_t v[32]; };
inline Gathered gather(std::uint64_t x, Loc l) { Gathered g; std::memcpy(g.v, warp_exchange(0xffffffffu, x, l), sizeof g.v); return g; }
inline float bf(std::uint64_t reg_pair, int i) { std::uint32_t u = (std::uint32_t)(reg_pair >> (16 * i) & 0xffff) << 16; float f; std::memcpy(&f, &u, 4); return f; }
}
namespace tessera::cuda {
inline void mma_16816(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], cuemu::Loc l = cuemu::Loc::current()) {
  auto A01 = cuemu::gather(a[0] | (std::uint64_t)a[1] << 32, l), A23 = cuemu::gather(a[2] | (std::uint64_t)a[3] << 32, l), B = cuemu::gather(b[0] | (std::uint64_t)b[1] << 32, l);
  int g = (int)cuemu::cur->lane >> 2, t = (int)cuemu::cur->lane & 3;
  for (int h = 0; h < 2; ++h) for (int e = 0; e < 2; ++e) { float s = 0; int n = 2 * t + e;
    for (int k = 0; k < 16; ++k) { int kl = (k & 7) >> 1, ki = k & 1; std::uint64_t ar = k < 8 ? A01.v[g * 4 + kl] : A23.v[g * 4 + kl]; std::uint64_t br = B.v[n * 4 + kl]; s += cuemu::bf(ar, h * 2 + ki) * cuemu::bf(br, (k >> 3) * 2 + ki); }
    c[h * 2 + e] += s; }
}
inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* p, cuemu::Loc l = cuemu::Loc::current()) {
  if (reinterpret_cast<std::uintptr_t>(p) % 16) cuemu::trap("ldmatrix row address is not 16-byte aligned", l);
  auto P = cuemu::gather(reinterpret_cast<std::uintptr_t>(p), l); int t = (int)cuemu::cur->lane;
  for (int j = 0; j < 4; ++j) std::memcpy(&r[j], reinterpret_cast<const char*>(P.v[j * 8 + t / 4]) + (t % 4) * 4, 4);
}
inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* p, cuemu::Loc l = cuemu::Loc::current()) {
  auto P = cuemu::gather(reinterpret_cast<std::uintptr_t>(p), l); int t = (int)cuemu::cur->lane;
  if (P.v[t & 15] % 16) cuemu::trap("ldmatrix row address is not 16-byte aligned", l);
  for (int j = 0; j < 2; ++j) { std::uint16_t lo, hi; std::memcpy(&lo, reinterpret_cast<const char*>(P.v[j * 8 + (t % 4) * 2]) + (t / 4) * 2, 2); std::memcpy(&hi, reinterpret_cast<const char*>(P.v[j * 8 + (t % 4) * 2 + 1]) + (t / 4) * 2, 2); r[j] = lo | (std::uint32_t)hi << 16; }
}
inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* p, cuemu::Loc l = cuemu::Loc::current()) {
  auto P = cuemu::gather(reinterpret_cast<std::uintptr_t>(p), l); int t = (int)cuemu::cur->lane;
  if (P.v[t] % 16) cuemu::trap("ldmatrix row address is not 16-byte aligned", l);
  for (int j = 0; j < 4; ++j) { std::uint16_t lo, hi; std::memcpy(&lo, reinterpret_cast<const char*>(P.v[j * 8 + (t % 4) * 2]) + (t / 4) * 2, 2); std::memcpy(&hi, reinterpret_cast<const char*>(P.v[j * 8 + (t % 4) * 2 + 1]) + (t / 4) * 2, 2); r[j] = lo | (std::uint32_t)hi << 16; }
}
alignas(16) inline const unsigned char cuemu_zeros[16] = {};
inline std::uint32_t bf16_pair(float a, float b) { return __float2bfloat16(a).bits | (std::uint32_t)__float2bfloat16(b).bits << 16; }
// cp.async lands as late as the program allows: at the matching wait. Reading earlier sees poison.
inline void cp_async16(void* d, const void* s, cuemu::Loc l = cuemu::Loc::current()) { if ((reinterpret_cast<std::uintptr_t>(d) | reinterpret_cast<std::uintptr_t>(s)) % 16) cuemu::trap("cp.async operand is not 16-byte aligned", l); cuemu::async_push(d, s); }
inline void cp_async16_or_zero(void* d, const void* s, bool valid, cuemu::Loc l = cuemu::Loc::current()) { cp_async16(d, valid ? s : cuemu_zeros, l); }
inline void cp_async_commit() { cuemu::async_commit(); }
template <int N> inline void cp_async_wait() { std::size_t n; const cuemu::AsyncOp* o = cuemu::async_take(N, &n); for (std::size_t i = 0; i < n; ++i) std::memcpy(o[i].d, o[i].s, 16); }
}
