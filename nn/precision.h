#pragma once

#include <string>

#include "engine/core/dtype.h"

namespace tessera::nn {

/// Types of a computation: `param` of parameters and the residual stream, `compute` of the products in the branches.
struct Precision {
  DType param = DType::f32;
  DType compute = DType::f32;
};

inline constexpr Precision kFp32{DType::f32, DType::f32};
/// f32 master weights and residual stream, bf16 products.
inline constexpr Precision kAmpBf16{DType::f32, DType::bf16};
/// For gradient checks.
inline constexpr Precision kFp64{DType::f64, DType::f64};

/// "fp32", "amp_bf16" (or "bf16"), "fp64". Throws ConfigError otherwise.
[[nodiscard]] Precision parse_precision(const std::string& name);

}  // namespace tessera::nn
