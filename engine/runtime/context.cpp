#include "engine/runtime/context.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "engine/core/error.h"

namespace tessera {

Context::Context(Device device)
    : backend_(open_backend(device)), pool_(backend_->pool()), kernels_(&backend_->kernels()) {}

Context& context(Device device) {
  // Contexts are never destroyed: tensors with static lifetime may outlive any order of destruction.
  if (device == Device::cpu()) {
    static Context* const cpu = new Context(Device::cpu());
    return *cpu;
  }
  static std::mutex& mutex = *new std::mutex;
  static auto& contexts = *new std::map<int, std::unique_ptr<Context>>;
  if (device.type == DeviceType::cpu) throw DeviceError(fmt::format("cpu:{}: expected cpu", device.index));
  const std::lock_guard lock(mutex);
  auto& found = contexts[device.index];
  if (!found) found = std::make_unique<Context>(device);
  return *found;
}

Device choose_device(const std::string& word, std::string& note) {
  if (word != "auto") {
    const auto named = find_device(word);
    if (!named) throw ConfigError(fmt::format("device: expected auto, cpu, cuda or cuda:N, found \"{}\"", word));
    return context(*named).device();
  }
  if (!has_gpu_backend()) return Device::cpu();
  try {
    return context(Device::cuda()).device();
  } catch (const DeviceError& e) {
    note = fmt::format("computing on the CPU: {}", e.what());
    return Device::cpu();
  }
}

Scratch::Scratch(Context& context, size_t bytes) : allocator_(context.allocator()), block_(nullptr), bytes_(bytes) {
  const MemoryTag tag("kernel scratch");
  block_ = allocator_.allocate(bytes);
}

Scratch::~Scratch() { allocator_.deallocate(block_, bytes_); }

}  // namespace tessera
