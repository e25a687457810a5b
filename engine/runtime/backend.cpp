#include "engine/runtime/backend.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/runtime/plugin.h"

namespace tessera {
namespace {

constexpr const char* kLibrary = "libtessera_cuda.so";

/// The value of TESSERA_CUDA_LIBRARY; null where it is not set.
const char* named_plugin() {
  const char* named = std::getenv("TESSERA_CUDA_LIBRARY");
  return named != nullptr && *named != '\0' ? named : nullptr;
}

/// The plugin beside the engine's own library, or the one that TESSERA_CUDA_LIBRARY names.
std::filesystem::path plugin_path() {
  if (const char* named = named_plugin()) return named;
  Dl_info engine;
  if (dladdr(reinterpret_cast<const void*>(&open_backend), &engine) == 0) return kLibrary;
  return std::filesystem::path(engine.dli_fname).parent_path() / kLibrary;
}

/// Opened once and never closed: its code stays behind tensors that live until the end.
const BackendPlugin& plugin(Device asked) {
  static const BackendPlugin* const found = [asked] {
    const std::string device = to_string(asked);
    const auto path = plugin_path();
    if (path.has_parent_path() && !std::filesystem::exists(path)) {
      throw DeviceError(fmt::format("{}: this build of Tessera has no CUDA backend ({} does not exist); use device cpu",
                                    device, path.string()));
    }
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw DeviceError(fmt::format("{}: the backend cannot be loaded: {}", device, dlerror()));
    const auto entry = reinterpret_cast<BackendEntry>(dlsym(library, kBackendEntry));
    const BackendPlugin* const offered = entry == nullptr ? nullptr : entry();
    if (offered == nullptr || std::strcmp(offered->build, kBackendBuild) != 0) {
      throw DeviceError(fmt::format("{}: {} is of another build ({}), expected {}", device, path.string(),
                                    offered == nullptr ? "unknown" : offered->build, kBackendBuild));
    }
    return offered;
  }();
  return *found;
}

}  // namespace

bool has_gpu_backend() { return named_plugin() != nullptr || std::filesystem::exists(plugin_path()); }

std::unique_ptr<Backend> open_backend(Device device) {
  if (device == Device::cpu()) return open_cpu_backend();
  std::string why;
  const int count = plugin(device).devices(why);
  if (count == 0) throw DeviceError(fmt::format("{}: {}", to_string(device), why));
  if (device.index >= count) {
    throw DeviceError(fmt::format("{}: expected an index below {}, the number of devices", to_string(device), count));
  }
  return plugin(device).open(device.index);
}

}  // namespace tessera
