#include "engine/runtime/context.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "engine/memory/pool.h"

namespace tessera {

Context::Context(Device device)
    : device_(device),
      pool_(std::make_unique<HostPool>()),
      threads_(std::make_unique<ThreadPool>()),
      kernels_(&default_cpu_kernel_table()) {}

Context::~Context() = default;

Allocator& Context::allocator() { return *pool_; }
HostPool& Context::host_pool() { return *pool_; }

void Context::set_threads(int threads) { threads_ = std::make_unique<ThreadPool>(threads); }

Context& context(Device device) {
  if (device.type == DeviceType::cuda) {
    throw DeviceError(fmt::format(
        "{}: this build of Tessera has no CUDA backend, so it computes on the CPU; use device cpu", to_string(device)));
  }
  if (device.index != 0) throw DeviceError(fmt::format("cpu:{}: expected cpu", device.index));
  // Never destroyed: tensors with static lifetime may outlive any order of destruction.
  static Context* const cpu = new Context(Device::cpu());
  return *cpu;
}

Scratch::Scratch(Context& context, size_t bytes) : allocator_(context.allocator()), block_(nullptr), bytes_(bytes) {
  const MemoryTag tag("kernel scratch");
  block_ = allocator_.allocate(bytes);
}

Scratch::~Scratch() { allocator_.deallocate(block_, bytes_); }

}  // namespace tessera
