#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "rils/data/image.h"

namespace tessera::test {

/// Reads a safetensors file of the golden folder without the tensor library, on which the data code does not depend.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& name);

  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] bool contains(const std::string& name) const { return entries_.contains(name); }
  [[nodiscard]] nlohmann::json metadata(const std::string& key) const;
  [[nodiscard]] std::vector<std::byte> bytes(const std::string& name) const;
  template <class T>
  [[nodiscard]] std::vector<T> values(const std::string& name) const {
    const std::vector<std::byte> raw = bytes(name);
    std::vector<T> values(raw.size() / sizeof(T));
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }
  /// [height, width, channels] of u8.
  [[nodiscard]] rils::Image image(const std::string& name) const;

 private:
  struct Entry {
    std::vector<int> shape;
    size_t begin = 0, end = 0;  // in bytes_
  };
  std::string bytes_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace tessera::test
