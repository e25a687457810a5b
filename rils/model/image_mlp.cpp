#include "rils/model/image_mlp.h"

#include "autograd/ops/pointwise.h"

namespace tessera::rils {
namespace {

nn::Linear linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out) {
  return {store, "image_mlp." + name, in, out, nn::fan_in_uniform(in), nn::fan_in_uniform(in)};
}

}  // namespace

ImageMlp::ImageMlp(ParameterStore& store, int64_t width, const ImageMlpConfig& config, DType dtype) {
  layer1_ = linear(store, "layer1", width, config.hidden);
  bn1_ = nn::BatchNorm(store, "image_mlp.bn1", config.hidden, dtype);
  layer2_ = linear(store, "layer2", config.hidden, config.hidden);
  bn2_ = nn::BatchNorm(store, "image_mlp.bn2", config.hidden, dtype);
  layer3_ = linear(store, "layer3", config.hidden, config.output);
}

Var ImageMlp::operator()(const Var& features, const Precision& precision, KeepMoments keep) const {
  autograd::LinearInputs inputs;
  inputs.out_dtype = precision.param;
  Var x = autograd::cast(features, precision.compute);
  for (const auto& [layer, norm] : {std::pair{&layer1_, &bn1_}, std::pair{&layer2_, &bn2_}}) {
    const autograd::BatchNorm normal = (*norm)((*layer)(x, inputs), precision.compute);
    if (keep == KeepMoments::yes) norm->keep(normal.moments, features.value.size(0));
    x = autograd::unary(Unary::relu, normal.y);
  }
  return layer3_(x, inputs);
}

}  // namespace tessera::rils
