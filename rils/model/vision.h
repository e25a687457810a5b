#pragma once

#include <optional>
#include <span>
#include <vector>

#include "nn/layers/transformer.h"
#include "rils/config/config.h"
#include "rils/model/masking.h"
#include "rils/model/positions.h"

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

/// What a caller changes in the tower that a configuration describes. A classifier trains the positions and may have a
/// norm of its own instead of the final one; a detector needs no CLS token and images that are not square.
struct VisionTraits {
  bool trained_positions = false;  // even where the configuration freezes them
  bool final_norm = true;
  bool cls_token = true;
  std::optional<Grid> grid = {};  // of the patches; absent: the configuration's square
};

/// Where the token rows of a batch lie: sample after sample, in each the CLS token (`prefix` 1, or 0 without one) and
/// then the patches in raster order.
struct TokenLayout {
  int64_t samples = 0;
  int64_t prefix = 0;
  Grid grid;
  [[nodiscard]] int64_t rows_per_sample() const { return prefix + grid.patches(); }
  [[nodiscard]] int64_t row(int64_t sample, int64_t patch) const { return sample * rows_per_sample() + prefix + patch; }
};

/// Features of all tokens of a batch, [samples · rows_per_sample, D], and where each token lies.
struct TokenFeatures {
  Var values;
  TokenLayout layout;
};

/// The image encoder: patch embedding, positions, CLS token, a norm where the configuration asks for one (`norm_pre`),
/// blocks, the final norm before pooling (`norm`) or after it (`fc_norm`). Positions are a parameter
/// `visual.pos_embed` if they are trained, else a buffer of this name. One set of weights serves the full and the
/// masked pass. Parameters `visual.*`.
class VisionTower {
 public:
  VisionTower(ParameterStore& store, const VisionConfig& config, DType dtype, VisionTraits traits = {});

  [[nodiscard]] const Grid& grid() const { return grid_; }
  [[nodiscard]] int64_t width() const { return width_; }

  /// Patch tokens of images [B, 3, H, W] on the parameters' device, linear bias included, before positions are added:
  /// B·P rows without prefix, shared by the full and the masked pass. Throws ShapeError for images of another size than
  /// the tower's.
  [[nodiscard]] TokenFeatures patch_tokens(const Tensor& images, const PassOptions& options) const;
  /// Every token after the blocks, and after the final norm if it comes before pooling: B·(prefix + P) rows.
  [[nodiscard]] TokenFeatures encode(const TokenFeatures& patches, const PassOptions& options) const;
  /// The same for the visible patches of the chosen samples, the CLS token in front: [G·(prefix + K), D].
  [[nodiscard]] Var encode_visible(const TokenFeatures& patches, const Masks& masks, std::span<const int64_t> samples,
                                   const PassOptions& options) const;
  /// One feature per image [B, D] from encode()'s result: the mean of its patch rows or its CLS row, as configured,
  /// after the final norm if that comes after pooling.
  [[nodiscard]] Var pool(const TokenFeatures& encoded) const;
  /// Applies the norm that comes after pooling to rows [R, D]; without one it returns them unchanged.
  [[nodiscard]] Var after_pooling(const Var& rows) const;
  /// One feature per image [B, D], from patch tokens to pooling. Where that is the CLS row, the last block computes no
  /// other.
  [[nodiscard]] Var features(const TokenFeatures& patches, const PassOptions& options) const;
  /// The same from pixels.
  [[nodiscard]] Var features(const Tensor& images, const PassOptions& options) const;

 private:
  struct Chosen;
  [[nodiscard]] TokenLayout layout_of(const TokenFeatures& patches) const;
  [[nodiscard]] Chosen all_of(const TokenFeatures& patches) const;
  /// `last`: the rows that the last block computes; null: all.
  [[nodiscard]] Var run(const Var& patches, const Chosen& chosen, const PassOptions& options,
                        const nn::QueryRows* last = nullptr) const;

  Grid grid_;
  int64_t width_, patch_;
  bool pool_cls_;
  Parameter* patch_weight_;
  Parameter* patch_bias_ = nullptr;
  Parameter* cls_token_ = nullptr;
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
  Grid grid_;
  nn::Linear embed_, pred_;
  Parameter* mask_token_;
  Tensor positions_;
  std::vector<nn::TransformerBlock> blocks_;
  nn::LayerNorm norm_;
};

/// Rows of the hidden patches of the chosen samples in a batch of tokens, sample after sample in raster order.
[[nodiscard]] std::vector<int32_t> hidden_rows(const Masks& masks, std::span<const int64_t> samples,
                                               const TokenLayout& layout);

}  // namespace tessera::rils
