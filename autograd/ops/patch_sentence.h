#pragma once

#include "autograd/variable.h"
#include "engine/ops/patch_sentence.h"

namespace tessera::autograd {

/// Σ over rows of weight · KL(teacher ‖ student) over the sentences, a scalar; see engine/ops/patch_sentence.h. The
/// teacher is a constant; sentences get a gradient where they carry one.
[[nodiscard]] Var patch_sentence(const Var& student, const Tensor& teacher, const Var& sentences, const Tensor& weight,
                                 Temperatures temperatures);

}  // namespace tessera::autograd
