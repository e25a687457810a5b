#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace tessera::autograd {

struct Parameter;

/// The place of a gradient on one tape. Index −1 means a constant.
struct Slot {
  int32_t index = -1;
  uint32_t tape = 0;
  explicit operator bool() const { return index >= 0; }
};

/// A tensor and the slot of its gradient. A Tensor converts to a constant Var.
struct Var {
  Tensor value;
  Slot slot;
  Parameter* parameter = nullptr;  // set by use(), so that products find the kept packs

  Var() = default;
  Var(Tensor tensor) : value(std::move(tensor)) {}  // NOLINT(google-explicit-constructor)
  Var(Tensor tensor, Slot s) : value(std::move(tensor)), slot(s) {}
  explicit operator bool() const { return static_cast<bool>(value); }
  /// The same value without gradient.
  [[nodiscard]] Var detach() const { return {value}; }
  [[nodiscard]] const Shape& shape() const { return value.shape(); }
  [[nodiscard]] DType dtype() const { return value.dtype(); }
};

}  // namespace tessera::autograd
