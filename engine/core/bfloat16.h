#pragma once

#include <bit>
#include <cstdint>

namespace tessera {

/// The upper half of an f32. Conversion rounds to nearest, ties to even; NaN stays NaN.
struct bfloat16 {
  uint16_t bits = 0;

  constexpr bfloat16() = default;
  constexpr explicit bfloat16(float x) : bits(round(std::bit_cast<uint32_t>(x))) {}
  constexpr operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

  /// The bfloat16 nearest to a double, ties to even. The intermediate float is rounded to odd, so that the second
  /// rounding decides as if it saw every digit.
  [[nodiscard]] static constexpr bfloat16 nearest(double x) {
    const auto single = static_cast<float>(x);
    const auto back = static_cast<double>(single);
    if (back == x || x != x) return bfloat16(single);
    auto bits = std::bit_cast<uint32_t>(single);
    if ((back > x) == (x > 0)) --bits;  // towards zero
    return bfloat16(std::bit_cast<float>(bits | 1u));
  }
  [[nodiscard]] static constexpr bfloat16 from_bits(uint16_t b) {
    bfloat16 r;
    r.bits = b;
    return r;
  }

 private:
  static constexpr uint16_t round(uint32_t u) {
    if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((u >> 16) | 0x40u);
    return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
};
static_assert(sizeof(bfloat16) == 2);

}  // namespace tessera
