#pragma once

#include <span>
#include <vector>

#include "rils/model/vision.h"

namespace tessera::rils {

/// CLIP's text encoder. Each caption is computed up to its own end-of-text token, the largest id of its row; causality
/// makes that exact. Parameters `token_embedding.weight`, `positional_embedding`, `transformer.resblocks.*`,
/// `ln_final.*`.
class TextTower {
 public:
  TextTower(ParameterStore& store, const TextConfig& config);

  /// Final-norm features [B, W] at the end-of-text tokens. tokens i32 [B, context_length], zero-padded, on the host;
  /// ids outside the vocabulary throw ShapeError.
  [[nodiscard]] Var operator()(const Tensor& tokens, const PassOptions& options) const;

 private:
  int64_t context_length_, width_;
  Parameter* token_embedding_;
  Parameter* positions_;
  std::vector<nn::TransformerBlock> blocks_;
  nn::LayerNorm norm_;
};

}  // namespace tessera::rils
