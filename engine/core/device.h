#pragma once

#include <cstdint>
#include <optional>
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

/// The device that "cpu", "cuda" or "cuda:1" names; none for any other text.
[[nodiscard]] std::optional<Device> find_device(const std::string& text);
/// The same. Throws ConfigError where there is none.
[[nodiscard]] Device parse_device(const std::string& text);

}  // namespace tessera
