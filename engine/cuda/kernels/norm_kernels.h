#pragma once

#include "engine/ops/norm.h"

// The parts of the norm family, which lie in several files.
namespace tessera::cuda {

void layer_norm(Context& context, const LayerNormArgs& a);
void layer_norm_grad(Context& context, const LayerNormGradArgs& a);
void l2_normalize(Context& context, const L2NormalizeArgs& a);
void l2_normalize_grad(Context& context, const L2NormalizeGradArgs& a);
void column_moments(Context& context, const ColumnMomentsArgs& a);
void batch_norm(Context& context, const BatchNormArgs& a);
void batch_norm_grad(Context& context, const BatchNormGradArgs& a);

}  // namespace tessera::cuda
