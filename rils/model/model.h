#pragma once

#include <memory>
#include <optional>

#include "nn/parameter_store.h"
#include "rils/config/config.h"
#include "rils/model/image_mlp.h"
#include "rils/model/text.h"
#include "rils/model/vision.h"

namespace tessera::rils {

/// The image tower and the other parts that the objective uses, with RILS's parameter names: text tower and
/// projections into language space, decoder, SimCLR projection head. A model owns no parameter that its objective does
/// not use.
class Model {
 public:
  /// Registers, allocates (f32, or f64 for checks) and draws the initial values (see nn::Seed). `device` is where the
  /// model computes: images lie there, tokens and masks on the host.
  Model(const ModelConfig& config, nn::Seed seed, DType dtype = DType::f32, Device device = Device::cpu());

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const Objective& objective() const { return objective_; }
  [[nodiscard]] ParameterStore& store() { return *store_; }
  [[nodiscard]] const ParameterStore& store() const { return *store_; }
  [[nodiscard]] Device device() const { return store_->device(); }
  [[nodiscard]] const VisionTower& vision() const { return *vision_; }
  [[nodiscard]] bool has_decoder() const { return decoder_.has_value(); }
  [[nodiscard]] const ImageMlp* image_mlp() const { return image_mlp_ ? &*image_mlp_ : nullptr; }

  /// The masked pass: the encoder on the visible patches of the chosen samples, then the decoder. Predictions
  /// [G·hidden, outputs] for their hidden patches, sample after sample in raster order. Throws ConfigError without a
  /// decoder.
  [[nodiscard]] Var predict_hidden(const TokenFeatures& patches, const Masks& masks, std::span<const int64_t> samples,
                                   const PassOptions& options) const;

  // The functions below need language space. They throw ConfigError if the objective has none.
  /// Features [R, D] in language space: x · image_projection, [R, E].
  [[nodiscard]] Var project(const Var& features) const;
  /// Image embeddings [B, E] before normalisation: the projected features.
  [[nodiscard]] Var encode_image(const Tensor& images, const PassOptions& options) const;
  /// Text embeddings [B, E] before normalisation.
  [[nodiscard]] Var encode_text(const Tensor& tokens, const PassOptions& options) const;
  /// exp(logit_scale), one element.
  [[nodiscard]] Var logit_scale() const;
  /// Clamps logit_scale, if there is one, to [0, ln maximum], as SLIP's code does after each step.
  void clamp_logit_scale(double maximum);

 private:
  void need_language() const;

  ModelConfig config_;
  Objective objective_;
  std::unique_ptr<ParameterStore> store_;
  std::optional<VisionTower> vision_;
  std::optional<Decoder> decoder_;
  std::optional<TextTower> text_;
  std::optional<ImageMlp> image_mlp_;
  Parameter* image_projection_ = nullptr;
  Parameter* text_projection_ = nullptr;
  Parameter* logit_scale_ = nullptr;
};

}  // namespace tessera::rils
