#pragma once

#include <cstdint>
#include <string>

namespace tessera {

enum class DeviceType : uint8_t { cpu, cuda };

/// A device, by type and index. Creating one costs nothing; `context(device)` initialises the device.
struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;

  [[nodiscard]] static constexpr Device cpu() { return {DeviceType::cpu, 0}; }
  [[nodiscard]] static constexpr Device cuda(int index = 0) { return {DeviceType::cuda, index}; }
  friend constexpr bool operator==(Device, Device) = default;
};

/// "cpu" or "cuda:0".
[[nodiscard]] std::string to_string(Device device);

/// Reads "cpu", "cuda", "cuda:1". Throws ConfigError on anything else.
[[nodiscard]] Device parse_device(const std::string& text);

}  // namespace tessera
