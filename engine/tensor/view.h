#pragma once

#include <array>
#include <cstdint>

#include "engine/core/dtype.h"
#include "engine/core/shape.h"

namespace tessera {

/// A tensor as a kernel sees it, without ownership. A null pointer means that an optional operand is absent.
struct View {
  void* pointer = nullptr;
  DType dtype = DType::f32;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::array<int64_t, kMaxRank> strides{};  // in elements

  explicit operator bool() const { return pointer != nullptr; }
  template <class T>
  [[nodiscard]] T* data() const {
    return static_cast<T*>(pointer);
  }
  /// Extent of a dimension; negative counts from the last.
  [[nodiscard]] int64_t size(int dim) const { return shape[static_cast<size_t>(dim < 0 ? dim + rank : dim)]; }
  [[nodiscard]] int64_t stride(int dim) const { return strides[static_cast<size_t>(dim < 0 ? dim + rank : dim)]; }
  [[nodiscard]] int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= shape[static_cast<size_t>(d)];
    return n;
  }
};

/// Whether a gradient kernel stores or adds.
enum class GradMode : uint8_t { overwrite, accumulate };

/// Ragged rows: sample b owns rows offsets[b] … offsets[b + 1] − 1. `offsets` has count + 1 entries, on the host.
struct Segments {
  const int64_t* offsets = nullptr;
  int64_t count = 0;
  int64_t max_len = 0;
  const int64_t* on_device = nullptr;  // the same offsets where kernels read them

  [[nodiscard]] int64_t begin(int64_t b) const { return offsets[b]; }
  [[nodiscard]] int64_t end(int64_t b) const { return offsets[b + 1]; }
  [[nodiscard]] int64_t rows() const { return count == 0 ? 0 : offsets[count]; }
};

}  // namespace tessera
