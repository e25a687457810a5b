#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/tensor/tensor.h"

namespace tessera::test {

/// How an operand lies in memory. Dense by default.
struct Layout {
  std::vector<int> order;  // dimensions, outermost in memory first; empty: as they are
  int64_t pad = 0;         // entries of others along one dimension in memory, half before and half after
  int pad_dim = -1;
  int64_t start = -1;  // elements after an address as the pool gives it; −1: 0 for a dense operand, else 1

  [[nodiscard]] bool dense() const { return order.empty() && pad == 0; }
};
/// A part of a wider tensor: columns of a matrix, or heads of a fused projection.
[[nodiscard]] inline Layout padded(int64_t pad, int pad_dim = -1) { return {{}, pad, pad_dim, -1}; }
[[nodiscard]] inline Layout permuted(std::vector<int> order, int64_t pad = 0) {
  return {std::move(order), pad, -1, -1};
}

/// A layout that starts `start` elements after an address as the pool gives it.
[[nodiscard]] inline Layout starting(int64_t start, Layout layout = {}) {
  layout.start = start;
  return layout;
}

/// Calls body(offset in elements) for each element of a layout in row-major order.
void for_each_offset(const View& view, const std::function<void(int64_t)>& body);
/// An element by its offset, as f64; integers exactly up to 2^53.
[[nodiscard]] double load(const View& view, int64_t offset);
/// Stores a value, rounded once to the view's type.
void store(const View& view, int64_t offset, double value);
/// To the nearest value of a type, ties to even.
[[nodiscard]] double rounded(double value, DType dtype);
/// Half the distance from 1 to the next number: the relative error of one rounding. 0 for integers.
[[nodiscard]] double unit_roundoff(DType dtype);

/// An operand in new memory on a device, in a block that begins before it and ends after it. Nothing is written.
[[nodiscard]] Tensor uninitialised(const Shape& shape, DType dtype, const Layout& layout, Device device);

/// An operand inside a larger block on a device. Every byte outside the operand holds 0xff, a NaN in each floating
/// type. So a read outside spoils a result, and a write outside is detected.
class Guarded {
 public:
  Guarded(const Shape& shape, DType dtype, const Layout& layout, Device device = Device::cpu());

  [[nodiscard]] const Tensor& tensor() const { return tensor_; }
  /// Fills the elements with 0xff too.
  void poison();
  /// Takes the values of a tensor of the same shape and any layout, rounded to the operand's type.
  void assign(const Tensor& values);
  [[nodiscard]] bool guards_intact() const;
  /// The elements' bytes, row-major: equal bytes are equal bits.
  [[nodiscard]] std::vector<std::byte> content() const;
  /// The elements in f64, row-major.
  [[nodiscard]] std::vector<double> values() const;

 private:
  [[nodiscard]] std::span<std::byte> block() const;
  void push() const;
  void pull() const;
  std::shared_ptr<Storage> host_, block_;  // the same block on the host, where values are set and read; often itself
  Tensor mirror_, tensor_;
};

}  // namespace tessera::test
