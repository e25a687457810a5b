#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/optim/adamw.h"
#include "rils/model/vision.h"

namespace tessera::rils {

/// The image encoder with a linear head. With Pool::mean the head reads the mean of the patch tokens after a norm of
/// its own (`fc_norm`), and the tower has no final norm. With Pool::cls it reads the CLS token after the final norm.
/// vision.pool has no influence. Positions are trained. The key bias stays the fixed zero between `q_bias` and
/// `v_bias`, because softmax cancels it. Parameters: `visual.*`, `fc_norm.*`, `head.*`.
class Classifier {
 public:
  /// Registers and allocates the parameters and draws their initial values (see nn::Seed). The head is MAE's (std 2e-5,
  /// bias 0), and the positions are the sine-cosine table. Images must lie on `device`, too.
  Classifier(const VisionConfig& vision, Pool pool, int64_t classes, nn::Seed seed, DType dtype = DType::f32,
             Device device = Device::cpu());

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

/// `vision` with another pooling.
[[nodiscard]] VisionConfig pooled_by(VisionConfig vision, Pool pool);

/// A frozen encoder. Its weights are initial values until load_encoder replaces them.
class FrozenEncoder {
 public:
  FrozenEncoder(const VisionConfig& vision, Pool pool, nn::Seed seed, Device device = Device::cpu());

  [[nodiscard]] ParameterStore& store() { return *store_; }
  [[nodiscard]] const ParameterStore& store() const { return *store_; }
  /// Features [B, D], see VisionTower::features.
  [[nodiscard]] Tensor features(const Tensor& images, const PassOptions& options) const {
    return tower_->features(images, options).value;
  }

 private:
  std::unique_ptr<ParameterStore> store_;
  std::optional<VisionTower> tower_;
};

/// Copies the encoder of a checkpoint (`visual.*`) into a store that holds a tower. If the grids differ, a sine-cosine
/// position table is computed for the new grid, and any other table is resized (resize_positions). A norm after pooling
/// in the checkpoint becomes the initial `fc_norm`. Other entries of the checkpoint are ignored. Throws IoError when a
/// parameter is absent or has another shape, trained positions among them.
void load_encoder(const nn::SafetensorsFile& file, ParameterStore& store);

/// Resizes a position table f32 [1, 1 + G², D] to another grid. Row 0 stays; the others are resized as a G × G picture
/// by PyTorch's bicubic interpolation (a = −0.75, no antialiasing, corners not aligned). Throws ShapeError when the
/// number of rows is not a square plus one.
[[nodiscard]] Tensor resize_positions(const Tensor& table, const Grid& grid);

/// MAE's parameter groups. Layer i has the learning-rate factor decay^(layers + 1 − i), where i is 0 for CLS token,
/// positions and patch embedding, block + 1 for a block, and layers + 1 for norm and head. Vectors, the CLS token and
/// the positions have no weight decay.
[[nodiscard]] nn::GroupRule layer_decay(int64_t layers, double decay, double weight_decay);

/// Drop path for the rows [first, first + rows) of a step. Block i of L drops each of its branches for a sample with
/// probability p = rate · i / (L − 1), and scales the branches that stay by 1 / (1 − p). The random numbers depend on
/// (step, row, block, branch) and not on the micro-batches. The scales are on `device`. Returns an empty vector when
/// the rate is 0.
[[nodiscard]] std::vector<nn::BranchScales> drop_path_scales(double rate, int64_t layers, uint64_t seed, int64_t step,
                                                             int64_t first, int64_t rows,
                                                             Device device = Device::cpu());

}  // namespace tessera::rils
