#pragma once

// Qualifiers, built-in variables, barriers, operations of a warp, atomics and loads.
#include <vector_types.h>

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/emulation/emulator.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

#define threadIdx (::tessera::emulation::this_thread->index)
#define blockIdx (static_cast<const uint3&>(::tessera::emulation::this_block.index))
#define blockDim (static_cast<const dim3&>(::tessera::emulation::this_block.block))
#define gridDim (static_cast<const dim3&>(::tessera::emulation::this_block.grid))
#define warpSize 32

namespace tessera::emulation {

template <class T>
T shuffled(unsigned mask, T value, int source, const char* name, Site site) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  if ((mask >> source & 1u) == 0) fail(std::string(name) + " reads a lane that is not in the mask", site);
  Shuffle operands{0, static_cast<unsigned>(source), 0};
  std::memcpy(&operands.value, &value, sizeof(T));
  meet(mask, shuffle, &operands, site);
  std::memcpy(&value, &operands.result, sizeof(T));
  return value;
}
inline unsigned ballot(unsigned mask, bool predicate, Site site) {
  Vote operands{predicate, 0};
  meet(mask, vote, &operands, site);
  return operands.ballot;
}
inline int lane() { return static_cast<int>(this_thread->lane); }

/// The types on which CUDA has integer atomics. There is none for floating point here, on purpose: the order of sums
/// would depend on the schedule.
template <class T>
concept Atomic32 = std::same_as<T, int> || std::same_as<T, unsigned>;
template <class T>
concept AtomicSum = Atomic32<T> || std::same_as<T, unsigned long long>;
template <class T>
concept AtomicOrder = AtomicSum<T> || std::same_as<T, long long>;

/// Replaces *p by f(*p) and returns what was there. Memory is ordered only around a fence.
template <class T, class F>
T atomically(T* p, F f) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  if (is_fenced()) {
    while (!__atomic_compare_exchange_n(p, &old, f(old), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
  } else {
    while (!__atomic_compare_exchange_n(p, &old, f(old), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) continue;
  }
  return old;
}

}  // namespace tessera::emulation

#define TESSERA_SITE ::tessera::emulation::Site site = ::tessera::emulation::Site::current()

// Barriers of a block.
inline void __syncthreads(TESSERA_SITE) { ::tessera::emulation::barrier(false, site); }
inline int __syncthreads_or(int predicate, TESSERA_SITE) {
  return ::tessera::emulation::barrier(predicate != 0, site) != 0;
}
inline int __syncthreads_count(int predicate, TESSERA_SITE) {
  return static_cast<int>(::tessera::emulation::barrier(predicate != 0, site));
}
inline int __syncthreads_and(int predicate, TESSERA_SITE) {
  return ::tessera::emulation::barrier_all(predicate != 0, site);
}

// Operations of a warp.
inline void __syncwarp(unsigned mask = 0xffffffffu, TESSERA_SITE) { ::tessera::emulation::meet_in_order(mask, site); }
/// Only the calling lane: no program may count on finding others beside it.
inline unsigned __activemask() { return 1u << ::tessera::emulation::lane(); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, TESSERA_SITE) {
  const int base = ::tessera::emulation::lane() & ~(width - 1);
  return ::tessera::emulation::shuffled(mask, value, base + (source & (width - 1)), "__shfl_sync", site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, TESSERA_SITE) {
  const int me = ::tessera::emulation::lane();
  const int other = (me ^ bits) & (warpSize - 1);
  const bool beyond = (other & ~(width - 1)) > (me & ~(width - 1));
  return ::tessera::emulation::shuffled(mask, value, beyond ? me : other, "__shfl_xor_sync", site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, TESSERA_SITE) {
  const int me = ::tessera::emulation::lane();
  const bool beyond = static_cast<unsigned>(me & (width - 1)) + delta >= static_cast<unsigned>(width);
  return ::tessera::emulation::shuffled(mask, value, beyond ? me : me + static_cast<int>(delta), "__shfl_down_sync",
                                        site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, TESSERA_SITE) {
  const int me = ::tessera::emulation::lane();
  const bool beyond = static_cast<unsigned>(me & (width - 1)) < delta;
  return ::tessera::emulation::shuffled(mask, value, beyond ? me : me - static_cast<int>(delta), "__shfl_up_sync",
                                        site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, TESSERA_SITE) {
  return ::tessera::emulation::ballot(mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, TESSERA_SITE) {
  return ::tessera::emulation::ballot(mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, TESSERA_SITE) {
  return ::tessera::emulation::ballot(mask, predicate != 0, site) == mask;
}

// Fences and atomics on integers.
inline void __threadfence() { ::tessera::emulation::fence(); }
inline void __threadfence_block() { ::tessera::emulation::fence(); }

template <::tessera::emulation::AtomicSum T>
T atomicAdd(T* p, std::type_identity_t<T> value) {
  return ::tessera::emulation::atomically(p, [value](T old) { return static_cast<T>(old + value); });
}
template <::tessera::emulation::Atomic32 T>
T atomicSub(T* p, std::type_identity_t<T> value) {
  return ::tessera::emulation::atomically(p, [value](T old) { return static_cast<T>(old - value); });
}
template <::tessera::emulation::AtomicOrder T>
T atomicMin(T* p, std::type_identity_t<T> value) {
  return ::tessera::emulation::atomically(p, [value](T old) { return value < old ? value : old; });
}
template <::tessera::emulation::AtomicOrder T>
T atomicMax(T* p, std::type_identity_t<T> value) {
  return ::tessera::emulation::atomically(p, [value](T old) { return old < value ? value : old; });
}
template <::tessera::emulation::AtomicSum T>
T atomicExch(T* p, std::type_identity_t<T> value) {
  return ::tessera::emulation::atomically(p, [value](T) { return value; });
}
template <::tessera::emulation::AtomicSum T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return ::tessera::emulation::atomically(p, [=](T old) { return old == expected ? value : old; });
}
template <::tessera::emulation::AtomicSum T>
T atomicOr(T* p, std::type_identity_t<T> value) {
  return ::tessera::emulation::atomically(p, [value](T old) { return static_cast<T>(old | value); });
}
template <::tessera::emulation::AtomicSum T>
T atomicAnd(T* p, std::type_identity_t<T> value) {
  return ::tessera::emulation::atomically(p, [value](T old) { return static_cast<T>(old & value); });
}
// Sums in floating point would depend on the schedule, which this project forbids.
template <std::floating_point T>
T atomicAdd(T* p, std::type_identity_t<T> value) = delete;
template <std::floating_point T>
T atomicExch(T* p, std::type_identity_t<T> value) = delete;

// Loads and stores with a hint for the caches.
#define TESSERA_LOAD(name)    \
  template <class T>          \
  inline T name(const T* p) { \
    return *p;                \
  }
#define TESSERA_STORE(name)                               \
  template <class T>                                      \
  inline void name(T* p, std::type_identity_t<T> value) { \
    *p = value;                                           \
  }
TESSERA_LOAD(__ldg)
TESSERA_LOAD(__ldca)
TESSERA_LOAD(__ldcg)
TESSERA_LOAD(__ldcs)
TESSERA_LOAD(__ldlu)
TESSERA_STORE(__stwb)
TESSERA_STORE(__stcg)
TESSERA_STORE(__stcs)
TESSERA_STORE(__stwt)
#undef TESSERA_LOAD
#undef TESSERA_STORE

[[noreturn]] inline void __trap(TESSERA_SITE) { ::tessera::emulation::fail("__trap", site); }
#undef TESSERA_SITE
