#pragma once

#include <string>

#include "autograd/ops/linear.h"
#include "autograd/ops/norm.h"
#include "autograd/tape.h"
#include "nn/parameter_store.h"

namespace tessera::nn {

using autograd::use;
using autograd::Var;

/// y = x Wᵀ + b with `PREFIX.weight` [out, in] and `PREFIX.bias` [out].
struct Linear {
  Parameter* weight = nullptr;
  Parameter* bias = nullptr;

  Linear() = default;
  Linear(ParameterStore& store, const std::string& prefix, int64_t in, int64_t out, Init weight_init, Init bias_init);
  /// Sets `inputs.bias`.
  [[nodiscard]] Var operator()(const Var& x, autograd::LinearInputs inputs = {}) const;
};

/// Layer norm with `PREFIX.weight` and `PREFIX.bias` [width], initially one and zero.
struct LayerNorm {
  Parameter* weight = nullptr;
  Parameter* bias = nullptr;
  double eps = 1e-5;

  LayerNorm() = default;
  LayerNorm(ParameterStore& store, const std::string& prefix, int64_t width, double epsilon);
  [[nodiscard]] Var operator()(const Var& x, DType out_dtype) const;
};

}  // namespace tessera::nn
