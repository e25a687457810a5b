#pragma once

// What kernels, headers and tests see of the emulator. A kernel runs on the calling host thread, block after block;
// each CUDA thread is a fiber that runs until it must wait for others.
#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <string>

#include "engine/core/error.h"

namespace tessera::emulation {

/// Which of the threads that may run goes on, and in which order blocks run. In `forward` and `reverse`, threads run in
/// strict order between two barriers, so that each pair of threads is seen both ways round.
enum class Order { forward, reverse, random };

struct Config {
  Order order = Order::forward;
  uint64_t seed = 1;                ///< of Order::random
  size_t stack_bytes = 256 * 1024;  ///< of a CUDA thread; the pages that it touches are all that it takes
};
/// What the next launch uses. At first from TESSERA_EMULATOR_ORDER (forward, reverse, random) and
/// TESSERA_EMULATOR_SEED.
Config& config();

/// A kernel did what CUDA does not define or would refuse. The message, of one line, names the kernel, and the source
/// line, block and thread where there are some.
class KernelError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

/// What this host thread has emulated so far.
struct Statistics {
  uint64_t threads = 0;   ///< CUDA threads that ran to their end
  uint64_t switches = 0;  ///< changes of stack
  uint64_t barriers = 0;
  uint64_t meetings = 0;  ///< operations of a warp
};
const Statistics& statistics();

/// A line of a kernel. Comes from a default argument of the functions that kernels call.
#if defined(__cpp_lib_source_location)
using Site = std::source_location;
#else  // clang before 16 with libstdc++, as clang-tidy reads this
class Site {
 public:
  static constexpr Site current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    Site site;
    site.file_ = file;
    site.line_ = line;
    return site;
  }
  [[nodiscard]] constexpr const char* file_name() const { return file_; }
  [[nodiscard]] constexpr unsigned line() const { return line_; }
  [[nodiscard]] constexpr unsigned column() const { return 0; }

 private:
  const char* file_ = "";
  unsigned line_ = 0;
};
#endif

// Built-in variables.
struct ThreadPlace {
  uint3 index;
  unsigned lane, warp;
};
struct BlockPlace {
  dim3 grid, block;
  uint3 index;
};
#define TESSERA_EMULATION_TLS __attribute__((tls_model("initial-exec")))
extern constinit thread_local const ThreadPlace* this_thread TESSERA_EMULATION_TLS;
extern constinit thread_local BlockPlace this_block TESSERA_EMULATION_TLS;

/// A barrier of the block. Returns how many of the threads passed `true`.
unsigned barrier(bool predicate, Site site);
/// As barrier(), for __syncthreads_and.
bool barrier_all(bool predicate, Site site);

/// What the last lane to arrive does for all lanes of `mask`; operands[lane] is what the lane brought.
using Together = void (*)(unsigned mask, void* const* operands);
/// The lanes of `mask` meet, and `together` runs once. Memory is not ordered.
void meet(unsigned mask, Together together, void* operands, Site site);
/// __syncwarp: the lanes meet, and what they wrote before is visible to each other.
void meet_in_order(unsigned mask, Site site);

struct Shuffle {
  uint64_t value;
  unsigned source;  ///< the lane whose value is wanted
  uint64_t result;
};
void shuffle(unsigned mask, void* const* operands);
struct Vote {
  bool predicate;
  unsigned ballot;
};
void vote(unsigned mask, void* const* operands);

/// Shared memory that one line of a kernel declares.
class SharedSite {
 public:
  explicit constexpr SharedSite(const char* name) : name_(name) {}
  [[nodiscard]] const char* name() const { return name_; }
  [[nodiscard]] unsigned number();

 private:
  const char* name_;
  unsigned number_ = 0;
};
/// This block's memory of a site, the same for all of its threads. At first every byte is 0xff.
void* static_shared(SharedSite& site, size_t bytes, size_t alignment);
/// The dynamic shared memory of the launch; null if it has none. Aligned to 16 bytes and no more.
void* dynamic_shared();
[[nodiscard]] bool is_shared(const void* p, size_t bytes);

// Copies to shared memory that land when the program waits for them, and not earlier.
struct AsyncCopy {
  void* to;
  const void* from;  ///< null: zeros
  int64_t group;
};
/// Queues 16 bytes. Checks both addresses.
void copy_later(void* to, const void* from, bool valid, Site site);
void close_copy_group();
/// The copies of all but the last `pending` groups of this thread, which the caller now does.
std::span<const AsyncCopy> take_copies(int pending);

/// The fence of __threadfence, and whether this thread has passed one: its atomics then order memory.
void fence();
[[nodiscard]] bool is_fenced();

/// Ends the kernel with a KernelError.
[[noreturn]] void fail(const std::string& what, Site site);

struct Launch {
  const char* name;
  const void* kernel;  ///< what cudaFuncSetAttribute knows it by
  dim3 grid, block;
  size_t shared_bytes;
  void (*call)(const void* body);  ///< runs one thread
  const void* body;
};
/// Runs a kernel to its end. Throws KernelError.
void run(const Launch& launch);

template <class Body>
void launch(const char* name, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, const Body& body) {
  const auto call = [](const void* b) { (*static_cast<const Body*>(b))(); };
  run({name, kernel, grid, block, shared_bytes, call, &body});
}

}  // namespace tessera::emulation
