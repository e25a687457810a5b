#pragma once

#include "engine/ops/linear.h"
#include "rils/config/choices.h"

namespace tessera::rils {

/// The engine's activation; both towers take theirs from here.
[[nodiscard]] constexpr Act act_of(Activation activation) {
  return activation == Activation::quick_gelu ? Act::quick_gelu : Act::gelu_erf;
}

}  // namespace tessera::rils
