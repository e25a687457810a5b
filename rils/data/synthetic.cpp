#include "rils/data/synthetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tessera::rils {
namespace {

struct Colour {
  const char* name;
  std::array<int, 3> rgb;
};
constexpr std::array<Colour, 8> kColours = {{{"red", {210, 40, 40}},
                                             {"green", {40, 170, 60}},
                                             {"blue", {50, 70, 210}},
                                             {"yellow", {230, 210, 60}},
                                             {"white", {240, 240, 240}},
                                             {"black", {20, 20, 20}},
                                             {"purple", {140, 60, 170}},
                                             {"orange", {240, 140, 40}}}};
constexpr std::array<const char*, 3> kRows = {"top", "middle", "bottom"};
constexpr std::array<const char*, 3> kColumns = {"left", "centre", "right"};
constexpr int kNoise = 12;

}  // namespace

SyntheticDataset::SyntheticDataset(int64_t samples, int image_size, uint64_t seed)
    : samples_(samples), image_size_(image_size), philox_(seed, "synthetic") {
  if (samples < 1 || image_size < 3)
    throw ConfigError(fmt::format(
        "synthetic data: expected at least 1 sample of at least 3 pixels a side, found {} of {}", samples, image_size));
  for (const auto& colour : kColours) class_names_.emplace_back(colour.name);
}

std::string SyntheticDataset::name(int64_t index) const { return fmt::format("synthetic/{}", index); }

Sample SyntheticDataset::load(int64_t index, bool with_image) const {
  const auto sample_id = static_cast<uint64_t>(index);
  const auto draw = [&](uint64_t n, uint64_t element) {
    return static_cast<size_t>(philox_.below(n, 0, sample_id, element));
  };
  const size_t object = draw(kColours.size(), 0);
  // The ground never has the object's colour.
  const size_t ground = (object + 1 + draw(kColours.size() - 1, 1)) % kColours.size();
  const size_t row = draw(3, 2), column = draw(3, 3);
  Sample sample;
  sample.key = name(index);
  sample.label = static_cast<int32_t>(object);
  sample.captions = {fmt::format("a {} square on {} at the {} {}", kColours[object].name, kColours[ground].name,
                                 kRows[row], kColumns[column])};
  if (!with_image) return sample;
  Image image(image_size_, image_size_);
  const int cell = image_size_ / 3;
  for (int y = 0; y < image_size_; ++y) {
    for (int x = 0; x < image_size_; ++x) {
      const bool inside =
          std::min(y / cell, 2) == static_cast<int>(row) && std::min(x / cell, 2) == static_cast<int>(column);
      const auto& rgb = kColours[inside ? object : ground].rgb;
      const uint32_t bits = philox_.bits(
          1, sample_id, static_cast<uint64_t>(y) * static_cast<uint64_t>(image_size_) + static_cast<uint64_t>(x));
      for (int c = 0; c < 3; ++c) {
        const int noise = static_cast<int>(bits >> (8 * c) & 0xff) * kNoise / 128 - kNoise;
        image.pixel(x, y)[c] = static_cast<uint8_t>(std::clamp(rgb[static_cast<size_t>(c)] + noise, 0, 255));
      }
    }
  }
  sample.decoded = std::move(image);
  return sample;
}

}  // namespace tessera::rils
