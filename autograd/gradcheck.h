#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "autograd/tape.h"

namespace tessera::autograd {

struct GradcheckOptions {
  double step = 1e-5;        // step of the central difference, times max(1, |x|)
  double tolerance = 1e-6;   // bound of |analytic − numeric| / max(largest |gradient|, 1e-3)
  int64_t max_elements = 0;  // elements checked per input, evenly spread; 0: all
  uint64_t seed = 0;         // seed of the random direction that turns a tensor result into a number
};

struct GradcheckResult {
  bool passed = true;
  double worst = 0;     // the largest relative error
  std::string message;  // where it is: input, element, analytic and numeric value
};

/// Compares the gradients of a function with central differences in f64.
///
/// `function` gets one Var per input and returns a Var of any shape, whose inner product with a fixed random tensor is
/// differentiated. Inputs and result must be f64 (DTypeError). The function must be deterministic. `parameters` that
/// the function uses are checked as well. A mismatch throws nothing; the result reports it.
[[nodiscard]] GradcheckResult gradcheck(const std::function<Var(const std::vector<Var>&)>& function,
                                        const std::vector<Tensor>& inputs, std::span<Parameter* const> parameters = {},
                                        const GradcheckOptions& options = {});

}  // namespace tessera::autograd
