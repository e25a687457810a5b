#pragma once

// A stack of its own for each CUDA thread that has begun and not ended.
#include <cstddef>

#include "tests/emulation/sanitizers.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace tessera::emulation {

struct Thread;

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

  /// Forgets what the fiber was about. It begins again with its entry.
  void restart();
  /// Takes the calling host thread's identity.
  void become_host();
  /// Called first thing on a stack that begins.
  static void arrive();
  /// Goes on with `to`. Returns when another fiber goes on with `from`.
  static void switch_stacks(Fiber& from, Fiber& to);

  Thread* thread = nullptr;  ///< that runs on it

 private:
  void learn(const void* stack, size_t bytes);

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

}  // namespace tessera::emulation
