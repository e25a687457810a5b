#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "rils/data/image.h"

namespace tessera::rils {

/// Colour of a value in [0, 1]: black, violet, red, orange, pale yellow, of steadily growing lightness.
[[nodiscard]] std::array<uint8_t, 3> heat_colour(double value);

/// Values of a grid × grid of patches, smoothly over the grey picture. `low` and `high` are the values of the first and
/// the last colour.
[[nodiscard]] Image heat_overlay(const Image& picture, std::span<const float> values, int64_t grid, double low,
                                 double high);

/// The picture with some patches painted over: paint[patch] is an RGB colour, or nothing where it is negative;
/// `opacity` in [0, 1].
[[nodiscard]] Image painted_patches(const Image& picture, std::span<const int32_t> paint, int64_t grid, double opacity);

}  // namespace tessera::rils
