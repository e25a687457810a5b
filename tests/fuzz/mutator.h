#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace tessera::fuzz {

/// Damaged copies of a corpus: bits flipped, bytes and numbers replaced, parts removed, repeated, inserted or taken
/// from another input. The same seed gives the same inputs everywhere.
class Mutator {
 public:
  /// The corpus must not be empty and must outlive this object.
  Mutator(const std::vector<std::string>& corpus, uint64_t seed) : corpus_(corpus), random_(seed) {}
  [[nodiscard]] std::string next();

 private:
  [[nodiscard]] size_t below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(random_() % n); }
  void damage(std::string& text);
  void put_number(std::string& text);

  const std::vector<std::string>& corpus_;
  std::mt19937_64 random_;
};

}  // namespace tessera::fuzz
