#include "nn/layers/linear.h"

namespace tessera::nn {

Linear::Linear(ParameterStore& store, const std::string& prefix, int64_t in, int64_t out, Init weight_init,
               Init bias_init)
    : weight(&store.add(prefix + ".weight", {out, in}, weight_init)),
      bias(&store.add(prefix + ".bias", {out}, bias_init)) {}

Var Linear::operator()(const Var& x, autograd::LinearInputs inputs) const {
  inputs.bias = use(*bias);
  return autograd::linear(x, use(*weight), inputs);
}

LayerNorm::LayerNorm(ParameterStore& store, const std::string& prefix, int64_t width, double epsilon)
    : weight(&store.add(prefix + ".weight", {width}, ones())),
      bias(&store.add(prefix + ".bias", {width}, zeros())),
      eps(epsilon) {}

Var LayerNorm::operator()(const Var& x, DType out_dtype) const {
  return autograd::layer_norm(x, use(*weight), use(*bias), eps, out_dtype);
}

}  // namespace tessera::nn
