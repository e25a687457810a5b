#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/tensor/tensor.h"

namespace tessera::autograd {

struct Parameter;

/// The place of a gradient on one tape. Index −1 means a constant.
struct Slot {
  int32_t index = -1;
  uint32_t tape = 0;
  explicit operator bool() const { return index >= 0; }
};

/// Makes a value a second time, with equal bits, from what its node keeps in any case.
using Remake = std::function<Tensor()>;

/// A tensor and the slot of its gradient. A Tensor converts to a constant Var.
struct Var {
  Tensor value;
  Slot slot;
  Parameter* parameter = nullptr;        // set by use(), so that products find the kept packs
  std::shared_ptr<const Remake> remake;  // set where making the value again costs little (see Kept)

  Var() = default;
  Var(Tensor tensor) : value(std::move(tensor)) {}  // NOLINT(google-explicit-constructor)
  Var(Tensor tensor, Slot s) : value(std::move(tensor)), slot(s) {}
  explicit operator bool() const { return static_cast<bool>(value); }
  /// The same value without gradient.
  [[nodiscard]] Var detach() const { return {value}; }
  [[nodiscard]] const Shape& shape() const { return value.shape(); }
  [[nodiscard]] DType dtype() const { return value.dtype(); }
};

/// An operand that a backward reads. Its value is kept, or made again when it is asked for.
class Kept {
 public:
  explicit Kept(const Var& var) : slot_(var.slot), dtype_(var.dtype()), remake_(var.remake) {
    if (remake_ == nullptr) value_ = var.value;
  }
  [[nodiscard]] Slot slot() const { return slot_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] Tensor value() const { return remake_ == nullptr ? value_ : (*remake_)(); }
  [[nodiscard]] size_t bytes() const { return value_ ? value_.bytes() : 0; }

 private:
  Slot slot_;
  DType dtype_;
  Tensor value_;
  std::shared_ptr<const Remake> remake_;
};

}  // namespace tessera::autograd
