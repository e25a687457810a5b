#include "rils/model/model.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"

namespace tessera::rils {
namespace {

constexpr double kInitialTemperature = 0.07;

}  // namespace

Model::Model(const ModelConfig& config, uint64_t seed, DType dtype)
    : config_(config), store_(std::make_unique<ParameterStore>()) {
  vision_.emplace(*store_, config.vision, dtype);
  if (config.objective == "rils") decoder_.emplace(*store_, config.vision, config.decoder, dtype);
  text_.emplace(*store_, config.text);
  const auto deviation = [](int64_t width) { return 1.0 / std::sqrt(static_cast<double>(width)); };
  image_projection_ = &store_->add("image_projection", {config.vision.width, config.embed_dim},
                                   nn::normal(deviation(config.vision.width)));
  text_projection_ =
      &store_->add("text_projection", {config.text.width, config.embed_dim}, nn::normal(deviation(config.text.width)));
  logit_scale_ = &store_->add("logit_scale", {}, nn::constant(std::log(1.0 / kInitialTemperature)));
  store_->allocate(dtype);
  store_->initialise(seed);
}

Var Model::project(const Var& features) const { return autograd::matmul(features, autograd::use(*image_projection_)); }

Var Model::encode_features(const Tensor& images, const PassOptions& options) const {
  const int64_t samples = images.size(0);
  return vision_->pool(vision_->encode(vision_->patch_tokens(images, options), samples, options), samples);
}

Var Model::encode_image(const Tensor& images, const PassOptions& options) const {
  return project(encode_features(images, options));
}

Var Model::encode_text(const Tensor& tokens, const PassOptions& options) const {
  return autograd::matmul((*text_)(tokens, options), autograd::use(*text_projection_));
}

Var Model::logit_scale() const { return autograd::unary(Unary::exp, autograd::use(*logit_scale_)); }

void Model::clamp_logit_scale(double maximum) {
  const auto clamp = [&](auto& x) {
    using T = std::remove_reference_t<decltype(x)>;
    x = std::clamp(x, T{0}, static_cast<T>(std::log(maximum)));
  };
  if (logit_scale_->value.dtype() == DType::f64) {
    clamp(logit_scale_->value.data<double>()[0]);
  } else {
    clamp(logit_scale_->value.data<float>()[0]);
  }
  logit_scale_->mark_written();
}

}  // namespace tessera::rils
