#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/dtype.h"
#include "engine/core/shape.h"
#include "engine/memory/storage.h"
#include "engine/tensor/view.h"

namespace tessera {

/// A value that consists of shared storage, a strided layout and an element type. Copies of a Tensor share its memory.
/// A Tensor has no gradient and no name. A default-constructed Tensor is absent (`!tensor`).
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised contiguous memory.
  [[nodiscard]] static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
  [[nodiscard]] static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
  /// Every element is `value`, rounded to dtype. On the host.
  [[nodiscard]] static Tensor full(const Shape& shape, double value, DType dtype = DType::f32);
  /// Copies host values. Throws ShapeError unless their number is the shape's.
  template <class T>
  [[nodiscard]] static Tensor from(std::span<const T> values, const Shape& shape);
  template <class T>
  [[nodiscard]] static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }
  /// A contiguous tensor in existing storage, from element `offset` on.
  Tensor(std::shared_ptr<Storage> storage, const Shape& shape, DType dtype, int64_t offset = 0);

  explicit operator bool() const { return storage_ != nullptr; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] int rank() const { return shape_.rank(); }
  [[nodiscard]] int64_t size(int dim) const { return shape_[dim]; }
  [[nodiscard]] int64_t stride(int dim) const { return strides_[dim]; }
  [[nodiscard]] int64_t numel() const { return shape_.numel(); }
  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(numel()) * size_of(dtype_); }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] Device device() const { return storage_ ? storage_->device() : Device::cpu(); }
  [[nodiscard]] bool is_contiguous() const;
  /// True when no other tensor shares the storage, so that nobody else sees an in-place change.
  [[nodiscard]] bool unique() const { return storage_.use_count() == 1; }
  [[nodiscard]] const std::shared_ptr<Storage>& storage() const { return storage_; }

  /// The elements of a contiguous host tensor of type T. Throws DTypeError or ShapeError for any other tensor.
  template <class T>
  [[nodiscard]] std::span<T> data() const;
  /// The one element of a host tensor, whatever its floating or integer type.
  [[nodiscard]] double item() const;
  [[nodiscard]] void* pointer() const;
  [[nodiscard]] View view() const;
  /// Lets argument structs be filled with tensors. An absent tensor gives an absent view.
  operator View() const { return view(); }

  // Views of the same memory. They throw ShapeError when the layout does not allow it.
  [[nodiscard]] Tensor reshape(const Shape& shape) const;  // contiguous only; one extent may be −1
  [[nodiscard]] Tensor slice(int dim, int64_t begin, int64_t count) const;
  [[nodiscard]] Tensor transpose(int a, int b) const;

 private:
  std::shared_ptr<Storage> storage_;
  Shape shape_;
  Shape strides_;
  int64_t offset_ = 0;
  DType dtype_ = DType::f32;
};

/// The destination of a gradient: a tensor, and whether to store or to add. An absent tensor means that nobody needs
/// the gradient.
struct GradOut {
  Tensor tensor{};
  GradMode mode = GradMode::overwrite;
  explicit operator bool() const { return static_cast<bool>(tensor); }
};

/// Ragged rows: sample b owns rows begin(b) … end(b) − 1. Owns the offsets and converts to the kernels' Segments.
class SegmentTable {
 public:
  SegmentTable() = default;
  /// One segment per length.
  explicit SegmentTable(std::span<const int64_t> lengths);
  /// `count` segments of `length` rows.
  [[nodiscard]] static SegmentTable uniform(int64_t count, int64_t length);

  [[nodiscard]] int64_t count() const { return offsets_ ? static_cast<int64_t>(offsets_->size()) - 1 : 0; }
  [[nodiscard]] int64_t rows() const { return offsets_ ? offsets_->back() : 0; }
  [[nodiscard]] int64_t max_len() const { return max_len_; }
  [[nodiscard]] int64_t begin(int64_t b) const { return (*offsets_)[static_cast<size_t>(b)]; }
  [[nodiscard]] int64_t end(int64_t b) const { return (*offsets_)[static_cast<size_t>(b) + 1]; }
  operator Segments() const {
    const int64_t* offsets = offsets_ ? offsets_->data() : nullptr;
    return {offsets, count(), max_len_, offsets};
  }

 private:
  std::shared_ptr<const std::vector<int64_t>> offsets_;
  int64_t max_len_ = 0;
};

/// "f32 [8,197,768]", for messages.
[[nodiscard]] std::string describe(const Tensor& tensor);
/// The type, shape and first `per_dim` elements of each dimension, for debugging.
[[nodiscard]] std::string print(const Tensor& tensor, int per_dim = 6);

}  // namespace tessera
