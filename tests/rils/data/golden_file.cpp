#include "tests/rils/data/golden_file.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"

namespace tessera::test {

GoldenFile::GoldenFile(const std::string& name)
    : bytes_(read_file(std::string(TESSERA_SOURCE_DIR) + "/tests/golden/data/" + name + ".safetensors")) {
  uint64_t size = 0;
  std::memcpy(&size, bytes_.data(), 8);
  const auto header = nlohmann::json::parse(bytes_.substr(8, size));
  const size_t data = 8 + size;
  for (const auto& [key, info] : header.items()) {
    if (key == "__metadata__") {
      metadata_ = info;
      continue;
    }
    const auto& offsets = info.at("data_offsets");
    entries_[key] = {info.at("shape"), data + offsets[0].get<size_t>(), data + offsets[1].get<size_t>()};
  }
}

std::vector<std::string> GoldenFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

nlohmann::json GoldenFile::metadata(const std::string& key) const { return nlohmann::json::parse(metadata_.at(key)); }

std::vector<std::byte> GoldenFile::bytes(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  std::vector<std::byte> bytes(entry.end - entry.begin);
  std::memcpy(bytes.data(), bytes_.data() + entry.begin, bytes.size());
  return bytes;
}

rils::Image GoldenFile::image(const std::string& name) const {
  const std::vector<int>& shape = entries_.at(name).shape;
  rils::Image image(shape.at(1), shape.at(0), shape.at(2));
  image.pixels = values<uint8_t>(name);
  return image;
}

}  // namespace tessera::test
