#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace tessera {

inline constexpr int kMaxRank = 6;

/// Up to six extents of a tensor, outermost first. Rank 0 is a scalar with one element.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> extents);
  explicit Shape(std::span<const int64_t> extents);

  [[nodiscard]] int rank() const { return rank_; }
  /// Extent of a dimension; negative counts from the last.
  [[nodiscard]] int64_t operator[](int dim) const { return extents_[index(dim)]; }
  [[nodiscard]] int64_t& operator[](int dim) { return extents_[index(dim)]; }
  [[nodiscard]] int64_t numel() const;
  [[nodiscard]] std::span<const int64_t> extents() const { return {extents_.data(), static_cast<size_t>(rank_)}; }
  /// Appends an extent; throws ShapeError beyond kMaxRank.
  void push_back(int64_t extent);

  friend bool operator==(const Shape& a, const Shape& b);

 private:
  [[nodiscard]] size_t index(int dim) const { return static_cast<size_t>(dim < 0 ? dim + rank_ : dim); }
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// "[8,197,768]".
[[nodiscard]] std::string to_string(const Shape& shape);

}  // namespace tessera
