#pragma once

// A stack of its own for each CUDA thread that has begun and not ended.
#include <cstddef>

#include "tests/emulation/sanitizers.h"

#if defined(__x86_64__)
/// Saves what a callee must keep and the top of this stack, and goes on with the stack whose top is `load`.
extern "C" void tessera_emulation_switch(void** save, void* load);
#else
#include <ucontext.h>
#endif

namespace tessera::emulation {

class Fiber {
 public:
  /// The stack on which the host thread runs.
  Fiber() = default;
  /// A stack that begins with entry(). `number` shifts its top, so that the hot lines of a warp's stacks do not
  /// compete for the same sets of the cache.
  Fiber(size_t bytes, unsigned number, void (*entry)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Takes the calling host thread's identity.
  void become_host();
  /// Called first thing on a stack that begins.
  static void arrive();
  /// Goes on with `to`. Returns when another fiber goes on with `from`.
  static void switch_stacks(Fiber& from, Fiber& to);

 private:
  void learn(const void* stack, size_t bytes);

#if defined(__SANITIZE_ADDRESS__)
  static thread_local Fiber* came_from;
#endif

#if defined(__x86_64__)
  void* top_ = nullptr;  ///< of a stack that waits
#else
  ucontext_t context_;
#endif
  char* stack_ = nullptr;
  size_t bytes_ = 0;
  size_t shift_ = 0;
  void (*entry_)() = nullptr;
  void* fake_stack_ = nullptr;  ///< of AddressSanitizer
  void* identity_ = nullptr;    ///< of ThreadSanitizer
};

inline void Fiber::switch_stacks(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  came_from = &from;
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_, to.bytes_);
#endif
#if defined(TESSERA_EMULATOR_TSAN)
  constexpr unsigned kNoSync = 1;
  __tsan_switch_to_fiber(to.identity_, kNoSync);
#endif
#if defined(__x86_64__)
  tessera_emulation_switch(&from.top_, to.top_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  const void* stack = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(from.fake_stack_, &stack, &bytes);
  came_from->learn(stack, bytes);
#endif
}

}  // namespace tessera::emulation
