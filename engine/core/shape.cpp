#include "engine/core/shape.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"

namespace tessera {

Shape::Shape(std::initializer_list<int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const int64_t> extents) {
  for (const int64_t e : extents) push_back(e);
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (const int64_t e : extents()) n *= e;
  return n;
}

void Shape::push_back(int64_t extent) {
  if (rank_ == kMaxRank) throw ShapeError(fmt::format("shape: rank above {}", kMaxRank));
  extents_[static_cast<size_t>(rank_++)] = extent;
}

bool operator==(const Shape& a, const Shape& b) { return std::ranges::equal(a.extents(), b.extents()); }

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const int64_t e : shape.extents()) {
    if (text.size() > 1) text += ',';
    text += std::to_string(e);
  }
  return text + "]";
}

}  // namespace tessera
