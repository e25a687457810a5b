#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/optim/adamw.h"
#include "rils/model/vision.h"

namespace tessera::rils {

/// The image encoder with a linear head. pool "mean": the mean of the patch tokens, a norm of its own (`fc_norm`), the
/// head; the tower has no final norm. pool "cls": the CLS token after the final norm, the head; vision.pool is not
/// asked. Positions are trained.
/// The key bias stays the fixed zero between `q_bias` and `v_bias`: softmax does not see it. Parameters `visual.*`,
/// `fc_norm.*`, `head.*`.
class Classifier {
 public:
  /// Registers, allocates and draws initial values: MAE's head (deviation 2e-5, bias 0) and sine-cosine positions.
  Classifier(const VisionConfig& vision, Pool pool, int64_t classes, uint64_t seed, DType dtype = DType::f32);

  [[nodiscard]] ParameterStore& store() { return *store_; }
  [[nodiscard]] const ParameterStore& store() const { return *store_; }
  [[nodiscard]] int64_t classes() const { return classes_; }
  /// Logits [B, classes] of images [B, 3, S, S]. options.drop_path: see drop_path_scales.
  [[nodiscard]] Var logits(const Tensor& images, const PassOptions& options) const;

 private:
  int64_t classes_;
  std::unique_ptr<ParameterStore> store_;
  std::optional<VisionTower> tower_;
  std::optional<nn::LayerNorm> norm_;  // fc_norm
  nn::Linear head_;
};

/// `vision` with pooling as a head wants it.
[[nodiscard]] VisionConfig pooled_by(VisionConfig vision, Pool pool);

/// A frozen encoder: features of a pre-trained tower, or of one with its initial values.
class FrozenEncoder {
 public:
  FrozenEncoder(const VisionConfig& vision, Pool pool, uint64_t seed);

  [[nodiscard]] ParameterStore& store() { return *store_; }
  /// Features [B, D], see VisionTower::features.
  [[nodiscard]] Tensor features(const Tensor& images, const PassOptions& options) const {
    return tower_->features(images, options).value;
  }

 private:
  std::unique_ptr<ParameterStore> store_;
  std::optional<VisionTower> tower_;
};

/// Copies the encoder of a checkpoint (`visual.*`) into a store with a tower. Positions of another grid are computed
/// anew where the checkpoint's are the sine-cosine table, else resized (resize_positions). What else the checkpoint has
/// is left out, but a norm that stands after pooling, which is where a classifier's `fc_norm` starts. Throws IoError in
/// one line where a parameter is absent or of another shape.
void load_encoder(const nn::SafetensorsFile& file, ParameterStore& store);

/// A position table [1, 1 + G², D] for another grid: row 0 stays, the others are resized as a G × G picture by
/// PyTorch's bicubic interpolation (a = −0.75, no antialiasing, corners not aligned). In f32. Throws ShapeError when
/// the number of rows is not a square plus one.
[[nodiscard]] Tensor resize_positions(const Tensor& table, const Grid& grid);

/// MAE's groups: the rate of layer i is decay^(layers + 1 − i), with i = 0 for tokens, positions and patch embedding,
/// block + 1 for a block, layers + 1 for norm and head; no weight decay below two dimensions, for the CLS token and the
/// positions.
[[nodiscard]] nn::GroupRule layer_decay(int64_t layers, double decay, double weight_decay);

/// Drop path of a step's rows first … first + rows: block i of L drops each of its branches for a sample with
/// probability rate · i / (L − 1) and scales what stays by 1 / (1 − that). The numbers belong to (step, row, block,
/// branch), whatever the micro-batches. Empty where the rate is 0.
[[nodiscard]] std::vector<nn::BranchScales> drop_path_scales(double rate, int64_t layers, uint64_t seed, int64_t step,
                                                             int64_t first, int64_t rows);

}  // namespace tessera::rils
