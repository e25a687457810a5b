#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace tessera {

/// Philox4x32-10 (Salmon et al., SC 2011): four 32-bit random words from a key and a counter, without state.
[[nodiscard]] constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                                           std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

/// FNV-1a, 64 bit. It turns names into keys, and decides which samples of a data set are held out.
[[nodiscard]] constexpr uint64_t fnv1a64(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  return hash;
}

/// Random numbers addressed by (seed, purpose) and (step, sample, element). They are the same on every device, for any
/// number of threads, processes and micro-batches, and when recomputed, so a checkpoint needs no generator state.
///
/// Limits: step < 2^32, sample < 2^48, element < 2^48 (counted in 32-bit words; four words share a counter).
class Philox {
 public:
  Philox(uint64_t seed, std::string_view purpose) : key_(mix(seed, fnv1a64(purpose))) {}

  /// The 32 random bits of one element.
  [[nodiscard]] uint32_t bits(uint64_t step, uint64_t sample, uint64_t element) const {
    return block(step, sample, element / 4)[element % 4];
  }

  /// Uniform in [0, 1), 24 bits.
  [[nodiscard]] float uniform(uint64_t step, uint64_t sample, uint64_t element) const {
    return static_cast<float>(bits(step, sample, element) >> 8) * 0x1p-24f;
  }

  /// Standard normal by Box and Muller, computed in double; element e uses the word pair e.
  [[nodiscard]] double normal(uint64_t step, uint64_t sample, uint64_t element) const {
    const auto words = block(step, sample, element / 2);
    const size_t pair = 2 * (element % 2);
    const double u = (static_cast<double>(words[pair]) + 1.0) * 0x1p-32;  // (0, 1]: the logarithm stays finite
    const double v = static_cast<double>(words[pair + 1]) * 0x1p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * 3.14159265358979323846 * v);
  }

  /// Uniform integer in [0, n), n > 0, by a 32-bit multiply and shift; n < 2^32, bias below n / 2^32.
  [[nodiscard]] uint64_t below(uint64_t n, uint64_t step, uint64_t sample, uint64_t element) const {
    return static_cast<uint64_t>((uint64_t{bits(step, sample, element)} * n) >> 32);
  }

 private:
  [[nodiscard]] std::array<uint32_t, 4> block(uint64_t step, uint64_t sample, uint64_t index) const {
    const auto high = static_cast<uint32_t>(((sample >> 32) << 16) | ((index >> 32) & 0xffff));
    return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(sample), static_cast<uint32_t>(step), high},
                      key_);
  }

  static constexpr std::array<uint32_t, 2> mix(uint64_t seed, uint64_t purpose) {
    uint64_t z = seed + 0x9E3779B97F4A7C15ull * (purpose | 1);  // splitmix64's finaliser
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= purpose ^ (z >> 31);
    return {static_cast<uint32_t>(z), static_cast<uint32_t>(z >> 32)};
  }

  std::array<uint32_t, 2> key_;
};

}  // namespace tessera
