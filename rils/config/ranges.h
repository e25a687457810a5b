#pragma once

#include <limits>

#include "rils/config/schema.h"

namespace tessera::rils {

// What the rows of the schema are made of: bounds of values, short names, and the way to a field.

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr Range kAny{};
inline constexpr Range kPositive{0, kInfinity, true, false};
inline constexpr Range kNotNegative{0, kInfinity, false, false};
inline constexpr Range kFraction{0, 1, false, false};       // both ends permitted
inline constexpr Range kBelowOne{0, 1, false, true};        // [0, 1)
inline constexpr Range kOpenFraction{0, 1, true, false};    // (0, 1]
inline constexpr Range kCount{1, kInfinity, false, false};  // at least one
inline constexpr auto kFixed = OnResume::must_agree;
inline constexpr auto kFree = OnResume::may_change;
inline constexpr auto kCommon = Level::common;
inline constexpr auto kRare = Level::rare;
inline constexpr auto kSetOnly = Level::set_only;

template <class T>
Field as_field(T& value) {
  return &value;
}
template <size_t N>
Field as_field(std::array<double, N>& values) {
  return std::span<double>(values);
}

/// The field behind a chain of members: at(&Config::model, &ModelConfig::embed_dim).
template <class... Members>
std::function<Field(Config&)> at(Members... members) {
  return [=](Config& config) { return as_field((config.*....*members)); };
}

}  // namespace tessera::rils
