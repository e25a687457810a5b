#pragma once

#include <string>

#include "engine/ops/linear.h"
#include "engine/tensor/tensor.h"

namespace tessera::autograd {

/// A trained tensor. Value and gradient are usually views into the arenas of a ParameterStore.
struct Parameter {
  std::string name;
  Tensor value;
  Tensor grad;            // same shape and dtype, or absent before any is wanted; valid only when has_grad
  bool has_grad = false;  // false: the next gradient overwrites
  bool frozen = false;    // no gradient is computed
  uint64_t version = 1;   // every writer of `value` increments it; older packs are remade
  Packed packed;

  Parameter() = default;
  /// A parameter with its own memory, for tests and small programs.
  Parameter(std::string parameter_name, Tensor initial)
      : name(std::move(parameter_name)),
        value(std::move(initial)),
        grad(Tensor::empty(value.shape(), value.dtype(), value.device())) {}

  void mark_written() { ++version; }
};

}  // namespace tessera::autograd
