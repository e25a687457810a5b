#pragma once

// What the scheduler tells a sanitizer. Its files are never instrumented by ThreadSanitizer, whose subject is the
// kernel; the build says TESSERA_EMULATOR_TSAN where kernels are.
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(TESSERA_EMULATOR_TSAN)
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* key);
void __tsan_release(void* key);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace tessera::emulation {

#if defined(TESSERA_EMULATOR_TSAN)
inline constexpr bool kRaces = true;
/// All that this fiber did before release(key) happens before what others do after acquire(key).
inline void release(void* key) { __tsan_release(key); }
inline void acquire(void* key) { __tsan_acquire(key); }
/// The scheduler's own use of the heap is no access of a kernel. Must end before a switch.
class Unobserved {
 public:
  Unobserved() {
    AnnotateIgnoreReadsBegin("", 0);
    AnnotateIgnoreWritesBegin("", 0);
  }
  ~Unobserved() {
    AnnotateIgnoreWritesEnd("", 0);
    AnnotateIgnoreReadsEnd("", 0);
  }
  Unobserved(const Unobserved&) = delete;
  Unobserved& operator=(const Unobserved&) = delete;
};
#else
inline constexpr bool kRaces = false;
inline void release(void*) {}
inline void acquire(void*) {}
class Unobserved {
 public:
  Unobserved() {}  // so that an object that nobody reads is no unused variable
};
#endif

#if defined(__SANITIZE_ADDRESS__)
inline void forbid(const void* p, size_t bytes) { __asan_poison_memory_region(p, bytes); }
inline void allow(const void* p, size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
#else
inline void forbid(const void*, size_t) {}
inline void allow(const void*, size_t) {}
#endif

}  // namespace tessera::emulation
