#pragma once

#include <functional>
#include <vector>

#include "autograd/tape.h"

namespace tessera::autograd {

/// A function of Vars that runs again in the backward, so that its intermediate results need not be kept.
using CheckpointedFunction = std::function<Var(const std::vector<Var>&)>;

/// Runs `function` on the inputs. While a tape records, only the inputs are kept; the backward runs the function once
/// more on an inner tape, so that parameters' gradients go where they always go. The function must give the same result
/// when it runs again, and use no Var but its arguments (Error otherwise).
[[nodiscard]] Var checkpoint(CheckpointedFunction function, const std::vector<Var>& inputs);

}  // namespace tessera::autograd
