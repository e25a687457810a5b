#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/core/atomic_file.h"
#include "rils/data/image.h"

namespace tessera::test {

/// Reads a safetensors file of the golden folder without the tensor library, on which the data code does not depend.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& name)
      : bytes_(read_file(std::string(TESSERA_SOURCE_DIR) + "/tests/golden/data/" + name + ".safetensors")) {
    uint64_t size = 0;
    std::memcpy(&size, bytes_.data(), 8);
    header_ = nlohmann::json::parse(bytes_.substr(8, size));
    data_ = 8 + size;
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, info] : header_.items())
      if (name != "__metadata__") names.push_back(name);
    return names;
  }
  [[nodiscard]] bool contains(const std::string& name) const { return header_.contains(name); }
  [[nodiscard]] nlohmann::json metadata(const std::string& key) const {
    return nlohmann::json::parse(header_.at("__metadata__").at(key).get<std::string>());
  }
  [[nodiscard]] std::vector<int> shape(const std::string& name) const { return header_.at(name).at("shape"); }

  template <class T>
  [[nodiscard]] std::vector<T> values(const std::string& name) const {
    const size_t begin = header_.at(name).at("data_offsets")[0], end = header_.at(name).at("data_offsets")[1];
    std::vector<T> values((end - begin) / sizeof(T));
    std::memcpy(values.data(), bytes_.data() + data_ + begin, end - begin);
    return values;
  }

  [[nodiscard]] std::vector<std::byte> bytes(const std::string& name) const { return values<std::byte>(name); }
  /// [height, width, channels] of u8.
  [[nodiscard]] rils::Image image(const std::string& name) const {
    const auto s = shape(name);
    rils::Image image(s.at(1), s.at(0), s.at(2));
    image.pixels = values<uint8_t>(name);
    return image;
  }

 private:
  std::string bytes_;
  nlohmann::json header_;
  size_t data_ = 0;
};

}  // namespace tessera::test
