#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "rils/data/image.h"

namespace tessera::rils {

/// Colour of a value in [0, 1]: from black over violet, red and orange to pale yellow, with growing lightness.
[[nodiscard]] std::array<uint8_t, 3> heat_colour(double value);

/// Draws the values of a grid × grid of patches over the grey picture, interpolated. `low` and `high` are the values of
/// the first and the last colour.
[[nodiscard]] Image heat_overlay(const Image& picture, std::span<const float> values, int64_t grid, double low,
                                 double high);

/// Paints some patches of a picture: paint[patch] is an RGB colour, a negative value leaves the patch as it is;
/// `opacity` in [0, 1].
[[nodiscard]] Image painted_patches(const Image& picture, std::span<const int32_t> paint, int64_t grid, double opacity);

}  // namespace tessera::rils
