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
#define TESSERA_FMA(i) "vfmadd213ps %[y], %[x], %[s" #i "]\n"
#define TESSERA_CHAIN(i) [s##i] "+v"(s[i])
// NOLINTBEGIN(bugprone-macro-parentheses): Vector is a type.
#define TESSERA_FMA_LOOP(Vector)                                                                                 \
  Vector s[kChains] = {};                                                                                        \
  const Vector x = Vector{} + 0.999f;                                                                            \
  const Vector y = Vector{} + 1e-3f;                                                                             \
  for (int64_t i = 0; i < kSteps; ++i) {                                                                         \
    asm volatile(TESSERA_FMA(0) TESSERA_FMA(1) TESSERA_FMA(2) TESSERA_FMA(3) TESSERA_FMA(4) TESSERA_FMA(5)       \
                     TESSERA_FMA(6) TESSERA_FMA(7) TESSERA_FMA(8) TESSERA_FMA(9) TESSERA_FMA(10) TESSERA_FMA(11) \
                 : TESSERA_CHAIN(0), TESSERA_CHAIN(1), TESSERA_CHAIN(2), TESSERA_CHAIN(3), TESSERA_CHAIN(4),     \
                   TESSERA_CHAIN(5), TESSERA_CHAIN(6), TESSERA_CHAIN(7), TESSERA_CHAIN(8), TESSERA_CHAIN(9),     \
                   TESSERA_CHAIN(10), TESSERA_CHAIN(11)                                                          \
                 : [x] "v"(x), [y] "v"(y));                                                                      \
  }

// NOLINTEND(bugprone-macro-parentheses)

__attribute__((target("avx512f"))) void run_avx512() { TESSERA_FMA_LOOP(Vector16) }
__attribute__((target("avx2,fma"))) void run_avx2() { TESSERA_FMA_LOOP(Vector8) }

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

}  // namespace

double fma_peak(std::string_view isa) {
  int lanes = 4;
  void (*run)() = run_portable;
#if defined(__x86_64__)
  if (isa == "avx2") {
    lanes = 8;
    run = run_avx2;
  } else if (isa == "avx512") {
    lanes = 16;
    run = run_avx512;
  }
#else
  static_cast<void>(isa);
#endif
  const double start = processor_seconds();
  run();
  const double seconds = processor_seconds() - start;
  return 2.0 * lanes * kChains * static_cast<double>(kSteps) / seconds;
}

}  // namespace tessera::cpu
