#include "engine/core/device.h"

#include <fmt/format.h>

#include <charconv>

#include "engine/core/error.h"

namespace tessera {

std::string to_string(Device device) {
  return device.type == DeviceType::cpu ? std::string("cpu") : fmt::format("cuda:{}", device.index);
}

std::optional<Device> find_device(const std::string& text) {
  if (text == "cpu") return Device::cpu();
  if (text == "cuda") return Device::cuda(0);
  if (text.starts_with("cuda:")) {
    int index = -1;
    const char* first = text.data() + 5;
    const char* last = text.data() + text.size();
    if (auto [end, error] = std::from_chars(first, last, index); error == std::errc() && end == last && index >= 0) {
      return Device::cuda(index);
    }
  }
  return std::nullopt;
}

Device parse_device(const std::string& text) {
  if (const auto device = find_device(text)) return *device;
  throw ConfigError(fmt::format("device: expected cpu, cuda or cuda:N, found \"{}\"", text));
}

}  // namespace tessera
