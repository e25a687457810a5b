#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/device.h"
#include "engine/memory/allocator.h"
#include "engine/runtime/backend.h"

namespace tessera {

// Kernel tables of the CPU. engine/cpu defines these functions.

/// The tables that this processor can run, the slowest first: "portable", "avx2", "avx512",
/// "avx512_bf16", "amx".
[[nodiscard]] std::vector<const KernelTable*> cpu_kernel_tables();
/// The table with this name. Throws ConfigError with the names that this processor can run.
[[nodiscard]] const KernelTable& cpu_kernel_table(std::string_view name);
/// The fastest table, or the one that the environment variable TESSERA_ISA names.
[[nodiscard]] const KernelTable& default_cpu_kernel_table();

/// Everything that a device needs to compute: its backend and the kernels in use. There is one context per device, made
/// on first use, and no other object holds such state. Only one thread at a time may compute on a context.
class Context {
 public:
  explicit Context(Device device);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] Device device() const { return backend_->device(); }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] Allocator& allocator() { return pool_; }
  /// The pool behind allocator(), for its limit and the table of holders.
  [[nodiscard]] CachingPool& pool() { return pool_; }
  [[nodiscard]] const KernelTable& kernels() const { return *kernels_; }

  /// For tests and benchmarks: sets another kernel table (the reference, another instruction set).
  void set_kernels(const KernelTable& table) { kernels_ = &table; }

 private:
  std::unique_ptr<Backend> backend_;
  CachingPool& pool_;
  const KernelTable* kernels_;
};

/// The context of a device. It is one of two global objects; the other is the thread's current tape. Throws DeviceError
/// with the reason in one sentence when the device is not available.
[[nodiscard]] Context& context(Device device);
[[nodiscard]] inline Context& cpu_context() { return context(Device::cpu()); }

/// The device that a user's word names: auto, cpu, cuda or cuda:N. auto is the first GPU where it works, else the CPU;
/// `note` then says why the GPU does not work, where a backend for it is installed. Throws ConfigError for another
/// word, DeviceError where a named device does not work.
[[nodiscard]] Device choose_device(const std::string& word, std::string& note);

/// Scratch memory of a kernel, taken from the context's pool and returned at the end of the scope.
class Scratch {
 public:
  Scratch(Context& context, size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(block_);
  }

 private:
  Allocator& allocator_;
  void* block_;
  size_t bytes_;
};

}  // namespace tessera
