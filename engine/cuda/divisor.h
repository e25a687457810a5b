#pragma once

#include "engine/cuda/gpu_math.h"

namespace tessera::cuda {

/// Division of n < 2³¹ by a constant of the launch, without a division.
class Divisor {
 public:
  Divisor() = default;
  explicit Divisor(uint32_t d) : divisor_(d) {
    while ((uint64_t{1} << shift_) < d) ++shift_;
    factor_ = static_cast<uint32_t>((uint64_t{1} << 32) * ((uint64_t{1} << shift_) - d) / d + 1);
  }
  TESSERA_HD uint32_t quotient(uint32_t n) const {
    return (static_cast<uint32_t>(static_cast<uint64_t>(n) * factor_ >> 32) + n) >> shift_;
  }
  TESSERA_HD uint32_t divisor() const { return divisor_; }

 private:
  uint32_t divisor_ = 1;
  uint32_t factor_ = 1;
  uint32_t shift_ = 0;
};

}  // namespace tessera::cuda
