#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rils/data/image.h"

namespace tessera::rils {

/// A picture of one thing, with transparency around it.
struct Cutout {
  int concept_index = 0;
  std::string source;       // "openclipart" or "noto-emoji"
  std::string source_name;  // path in the collection, or the emoji's name
  Image image;              // four channels, colours multiplied by alpha, cut to what is visible
  std::string colour;       // "red" when most of it is; empty otherwise
};

/// Multiplies the colours of a straight RGBA picture by its alpha.
void premultiply(Image& rgba);

/// Cuts a premultiplied picture to what is visible. Nothing, with a reason, when it cannot serve: empty, small, long
/// and thin, a full rectangle (a scene of its own), or lines without area.
[[nodiscard]] std::optional<Image> cut_out(const Image& premultiplied, std::string& reason);

/// Antialiased; both sides at least 1.
[[nodiscard]] Image resize_rgba(const Image& premultiplied, int height, int width);

/// The basic colour of an RGB value: white, gray, black, red, orange, brown, yellow, green, blue, purple or pink.
[[nodiscard]] std::string_view basic_colour(int red, int green, int blue);
/// The basic colour of at least 60 % of the opaque part, empty when there is none.
[[nodiscard]] std::string main_colour(const Image& premultiplied);

/// For each cut-out whether an earlier one looks nearly the same: similar proportions, and thumbnails that differ by
/// less than 5 of 255 on average.
[[nodiscard]] std::vector<bool> near_duplicates(const std::vector<Cutout>& cutouts);

/// Which pictures the training scenes are made of, and which appear only in the classification set.
struct CutoutSplit {
  std::vector<int> train, held_out;  // indices, ascending
};
/// Of a thing with several pictures about a quarter is held out, at least one; of the things with a single picture one
/// in eight is held out as a whole. Depends on names and seed only.
[[nodiscard]] CutoutSplit split_cutouts(const std::vector<Cutout>& cutouts, uint64_t seed);

}  // namespace tessera::rils
