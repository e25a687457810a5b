#include "engine/cpu/peak.h"

#include <cstdint>
#include <ctime>

namespace tessera::cpu {
namespace {

/// Twelve chains are more than latency times units of any processor that this runs on.
constexpr int kChains = 12;
constexpr int64_t kSteps = 150000;

#if defined(__x86_64__)

using Vector16 = float __attribute__((vector_size(64)));
using Vector8 = float __attribute__((vector_size(32)));

// In assembly, so that the compiler can neither fold the chains nor move them out of the loop.
#define TESSERA_CHAIN(i) [s##i] "+v"(s[i])
// NOLINTBEGIN(bugprone-macro-parentheses): Vector is a type.
#define TESSERA_LOOP(Vector, STEP)                                                                                 \
  Vector s[kChains] = {};                                                                                          \
  const Vector x = Vector{} + 0.999f;                                                                              \
  const Vector y = Vector{} + 1e-3f;                                                                               \
  for (int64_t i = 0; i < kSteps; ++i) {                                                                           \
    asm volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11) \
                 : TESSERA_CHAIN(0), TESSERA_CHAIN(1), TESSERA_CHAIN(2), TESSERA_CHAIN(3), TESSERA_CHAIN(4),       \
                   TESSERA_CHAIN(5), TESSERA_CHAIN(6), TESSERA_CHAIN(7), TESSERA_CHAIN(8), TESSERA_CHAIN(9),       \
                   TESSERA_CHAIN(10), TESSERA_CHAIN(11)                                                            \
                 : [x] "v"(x), [y] "v"(y));                                                                        \
  }

// NOLINTEND(bugprone-macro-parentheses)

#define TESSERA_FMA(i) "vfmadd213ps %[y], %[x], %[s" #i "]\n"
#define TESSERA_PAIRS(i) "vdpbf16ps %[y], %[x], %[s" #i "]\n"
__attribute__((target("avx512f"))) void run_avx512() { TESSERA_LOOP(Vector16, TESSERA_FMA) }
__attribute__((target("avx512f,avx512bf16"))) void run_avx512_bf16() { TESSERA_LOOP(Vector16, TESSERA_PAIRS) }
__attribute__((target("avx2,fma"))) void run_avx2() { TESSERA_LOOP(Vector8, TESSERA_FMA) }

/// Four chains of tiles of 16 x 16 sums and 32 steps, in the shape that the matrix product sets.
void run_amx() {
  struct alignas(64) Shape {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } shape;
  asm volatile("ldtilecfg %0" : : "m"(shape));
  for (int64_t i = 0; i < kSteps / 10; ++i) {
    asm volatile(
        "tdpbf16ps %tmm6, %tmm4, %tmm0\n"
        "tdpbf16ps %tmm7, %tmm4, %tmm1\n"
        "tdpbf16ps %tmm6, %tmm5, %tmm2\n"
        "tdpbf16ps %tmm7, %tmm5, %tmm3\n");
  }
}

#endif

using Vector4 = float __attribute__((vector_size(16)));

/// Multiply, then add: what the portable table does.
void run_portable() {
  volatile float start = 0.999f;  // unknown to the compiler
  const Vector4 x = Vector4{} + start;
  const Vector4 y = Vector4{} + 1.0f - start;
  Vector4 s[kChains] = {};
  for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (Vector4& chain : s) chain = chain * x + y;
  }
  for (Vector4& chain : s) asm volatile("" : : "m"(chain));
}

/// Processor time of this thread, without the time that a shared machine gave to others.
double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

constexpr double kVectors = kChains * static_cast<double>(kSteps);

/// Operations a second of `run`, which does this many multiply-adds.
double rate_of(void (*run)(), double multiply_adds) {
  const double start = processor_seconds();
  run();
  return 2.0 * multiply_adds / (processor_seconds() - start);
}

}  // namespace

double fma_peak(std::string_view isa) {
#if defined(__x86_64__)
  if (isa == "avx2") return rate_of(run_avx2, 8 * kVectors);
  if (isa.starts_with("avx512") || isa == "amx") return rate_of(run_avx512, 16 * kVectors);
#else
  static_cast<void>(isa);
#endif
  return rate_of(run_portable, 4 * kVectors);
}

double bf16_peak(std::string_view isa) {
#if defined(__x86_64__)
  if (isa == "avx512_bf16") return rate_of(run_avx512_bf16, 32 * kVectors);
  if (isa == "amx") return rate_of(run_amx, 4.0 * 16 * 16 * 32 * static_cast<double>(kSteps / 10));
#endif
  return fma_peak(isa);
}

}  // namespace tessera::cpu
