#include "nn/layers/batch_norm.h"

#include "engine/ops/copy.h"

namespace tessera::nn {
namespace {

constexpr double kEps = 1e-5;
constexpr double kMomentum = 0.1;

}  // namespace

BatchNorm::BatchNorm(ParameterStore& store, const std::string& prefix, int64_t width, DType dtype)
    : weight_(&store.add(prefix + ".weight", {width}, ones())),
      bias_(&store.add(prefix + ".bias", {width}, zeros())),
      kept_{Tensor::zeros({width}, dtype, store.device()), filled({width}, 1.0, dtype, store.device())},
      batches_(Tensor::zeros({}, DType::i64)) {
  store.add_buffer(prefix + ".running_mean", kept_.mean, Buffer::Kind::running);
  store.add_buffer(prefix + ".running_var", kept_.variance, Buffer::Kind::running);
  store.add_buffer(prefix + ".num_batches_tracked", batches_, Buffer::Kind::running);
}

autograd::BatchNorm BatchNorm::operator()(const Var& x, DType out_dtype) const {
  return autograd::batch_norm(x, use(*weight_), use(*bias_), kEps, out_dtype);
}

void BatchNorm::keep(const ColumnMoments& batch, int64_t rows) const {
  update_moments(batch, rows, kMomentum, kept_);
  ++batches_.data<int64_t>()[0];
}

Var BatchNorm::by_kept_moments(const Var& x, DType out_dtype) const {
  return autograd::batch_norm_by(x, kept_, use(*weight_), use(*bias_), kEps, out_dtype);
}

}  // namespace tessera::nn
