#pragma once

#include <limits>

#include "rils/config/schema.h"

namespace tessera::rils {

// What the rows of the schema are made of: bounds of values, and short names.

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

}  // namespace tessera::rils
