#include "nn/optim/schedule.h"

#include <cmath>
#include <numbers>

namespace tessera::nn {

double CosineSchedule::operator()(int64_t step) const {
  if (step >= total) return end;
  if (step < warmup) {
    if (warmup == 1) return start;  // of one evenly spaced value, the first is left
    return start + (base - start) * static_cast<double>(step) / static_cast<double>(warmup - 1);
  }
  const double progress = static_cast<double>(step - warmup) / static_cast<double>(total - warmup);
  return end + 0.5 * (base - end) * (1.0 + std::cos(std::numbers::pi * progress));
}

double EpochSchedule::operator()(double epoch) const {
  if (epoch < warmup) return base * epoch / warmup;
  const double progress = (epoch - warmup) / (total - warmup);
  return end + 0.5 * (base - end) * (1.0 + std::cos(std::numbers::pi * progress));
}

}  // namespace tessera::nn
