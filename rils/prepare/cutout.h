#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rils/data/image.h"

namespace tessera::rils {

/// A picture of one thing on a transparent ground.
struct Cutout {
  int concept_index = 0;
  std::string source;       // "openclipart" or "noto-emoji"
  std::string source_name;  // path in the collection, or the emoji's name
  Image image;              // four channels, colours multiplied by alpha, cropped to the visible part
  std::string colour;       // "red" when most of it is red; empty when no colour dominates
};

/// Crops a premultiplied picture to its visible part. Returns nullopt and sets `reason` for an unsuitable picture:
/// empty, small, long and thin, a full rectangle (it has a background of its own), or lines without area.
[[nodiscard]] std::optional<Image> cut_out(const Image& premultiplied, std::string& reason);

/// Resizes with antialiasing. Both sides must be at least 1.
[[nodiscard]] Image resize_rgba(const Image& premultiplied, int height, int width);

/// The basic colour of an RGB value: white, gray, black, red, orange, brown, yellow, green, blue, purple or pink.
[[nodiscard]] std::string_view basic_colour(int red, int green, int blue);
/// The basic colour of at least 60 % of the opaque pixels, or "" when there is none.
[[nodiscard]] std::string main_colour(const Image& premultiplied);

/// For each cut-out, whether an earlier one looks nearly the same: similar proportions, and a mean difference of the
/// thumbnails below 5 of 255.
[[nodiscard]] std::vector<bool> near_duplicates(const std::vector<Cutout>& cutouts);

/// The pictures for the scenes, and those that appear only in the classification set.
struct CutoutSplit {
  std::vector<int> train, held_out;  // indices, ascending
};
/// Of a concept with several pictures about a quarter is held out, at least one. Of the concepts with a single picture
/// one in eight is held out. The split depends only on names and seed.
[[nodiscard]] CutoutSplit split_cutouts(const std::vector<Cutout>& cutouts, uint64_t seed);

}  // namespace tessera::rils
