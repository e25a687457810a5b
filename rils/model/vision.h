#pragma once

#include <optional>
#include <span>
#include <vector>

#include "nn/layers/transformer.h"
#include "rils/config/config.h"
#include "rils/model/masking.h"

namespace tessera::rils {

using autograd::Var;
using nn::Parameter;
using nn::ParameterStore;
using nn::Precision;

/// How a pass is computed.
struct PassOptions {
  Precision precision;
  bool checkpointing = false;                        // keep only the inputs of blocks, run them again in the backward
  std::span<const nn::BranchScales> drop_path = {};  // of the image encoder: one a block, or none
};

/// The epsilon of an encoder's norms.
[[nodiscard]] inline double norm_eps(const VisionConfig& vision) { return vision.pre_norm ? 1e-5 : 1e-6; }

/// What a classifier has other than its configuration's encoder: it trains the positions, and may have a norm of its
/// own instead of the final one.
struct VisionTraits {
  bool trained_positions = false;  // even where the configuration freezes them
  bool final_norm = true;
};

/// The image encoder: patch embedding, positions, CLS token, a norm where the configuration asks for one (`norm_pre`),
/// blocks, the final norm before pooling (`norm`) or after it (`fc_norm`). Positions are an entry `visual.pos_embed`
/// where they are trained, else a buffer. One set of weights serves the full and the masked pass. Parameters
/// `visual.*`.
class VisionTower {
 public:
  VisionTower(ParameterStore& store, const VisionConfig& config, DType dtype, VisionTraits traits = {});

  [[nodiscard]] int64_t patches() const { return grid_ * grid_; }
  [[nodiscard]] int64_t width() const { return width_; }

  /// Patch tokens [B·P, D] of images [B, 3, H, W], bias included, before positions: shared by both passes.
  [[nodiscard]] Var patch_tokens(const Tensor& images, const PassOptions& options) const;
  /// Every token: [B·(P+1), D], after the final norm where that stands before pooling, CLS first in each sample.
  [[nodiscard]] Var encode(const Var& tokens, int64_t samples, const PassOptions& options) const;
  /// The same for CLS and the visible tokens of the chosen samples, [G·(K+1), D].
  [[nodiscard]] Var encode_visible(const Var& tokens, const Masks& masks, std::span<const int64_t> samples,
                                   const PassOptions& options) const;
  /// An image's feature from encode()'s result: the mean of its patch rows or its CLS row, as configured, and the final
  /// norm where that stands after pooling: [B, D].
  [[nodiscard]] Var pool(const Var& encoded, int64_t samples) const;
  /// What follows pooling, for any rows [R, D]: that norm, or nothing.
  [[nodiscard]] Var after_pooling(const Var& rows) const;

 private:
  [[nodiscard]] Var run(const Var& tokens, std::span<const int32_t> rows, std::span<const int32_t> positions,
                        const SegmentTable& segments, const PassOptions& options) const;

  int64_t grid_, width_, patch_;
  bool pool_cls_;
  Parameter* patch_weight_;
  Parameter* patch_bias_ = nullptr;
  Parameter* cls_token_;
  Tensor positions_;                        // [1 + P, D], frozen
  Parameter* trained_positions_ = nullptr;  // or these
  std::optional<nn::LayerNorm> norm_pre_;
  std::vector<nn::TransformerBlock> blocks_;
  std::optional<nn::LayerNorm> norm_;     // of the tokens
  std::optional<nn::LayerNorm> fc_norm_;  // or of the pooled feature
};

/// The masked decoder: visible features in, `outputs` numbers for each hidden patch out: features of the encoder's
/// width, or pixels. Parameters `visual.decoder_*` and `visual.mask_token`.
class Decoder {
 public:
  Decoder(ParameterStore& store, const VisionConfig& vision, const DecoderConfig& config, int64_t outputs, DType dtype);

  /// Predictions [G·hidden, outputs] for the hidden patches of the chosen samples, raster order within a sample. The
  /// last block and what follows are computed for those rows alone.
  [[nodiscard]] Var operator()(const Var& visible, const Masks& masks, std::span<const int64_t> samples,
                               const PassOptions& options) const;

 private:
  int64_t patches_;
  nn::Linear embed_, pred_;
  Parameter* mask_token_;
  Tensor positions_;
  std::vector<nn::TransformerBlock> blocks_;
  nn::LayerNorm norm_;
};

/// Rows of the hidden patches of the chosen samples in a tensor with 1 + P rows a sample, the samples being numbered
/// as in `samples` (or 0, 1, … when `dense`).
[[nodiscard]] std::vector<int32_t> hidden_rows(const Masks& masks, std::span<const int64_t> samples, bool dense);

}  // namespace tessera::rils
