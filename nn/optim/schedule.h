#pragma once

#include <cstdint>

namespace tessera::nn {

/// Linear warm-up and then half a cosine, per step, in SLIP's arithmetic: `warmup` evenly spaced values from `start` to
/// `base` inclusive, then end + ½ (base − end)(1 + cos(π i / L)) for i = 0 … L − 1, L = total − warmup. Base
/// therefore occurs twice in a row, and the last value is slightly above `end`.
struct CosineSchedule {
  double base = 1e-3;
  double start = 1e-6;
  double end = 1e-5;
  int64_t warmup = 0;
  int64_t total = 1;

  /// The learning rate of a step, 0-based. Beyond the last step: `end`.
  [[nodiscard]] double operator()(int64_t step) const;
};

/// Linear warm-up from 0 and then half a cosine to `end`, as a function of the fractional epoch e, in MAE's arithmetic:
/// base · e / warmup below `warmup`, else end + ½ (base − end)(1 + cos(π (e − warmup) / (total − warmup))).
struct EpochSchedule {
  double base = 1e-3;
  double end = 1e-6;
  double warmup = 5;  // epochs
  double total = 100;

  [[nodiscard]] double operator()(double epoch) const;
};

}  // namespace tessera::nn
