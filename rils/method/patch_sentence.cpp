#include "rils/method/patch_sentence.h"

#include "autograd/ops/patch_sentence.h"
#include "autograd/ops/pointwise.h"
#include "engine/ops/copy.h"

namespace tessera::rils {
namespace {

Tensor as(const Tensor& x, DType dtype) { return x.dtype() == dtype ? x : cast(x, dtype); }

}  // namespace

autograd::Var patch_sentence_loss(const autograd::Var& student, const Tensor& teacher, const autograd::Var& sentences,
                                  std::span<const double> weights, const LossConfig& loss, DType compute) {
  const Tensor made = Tensor::from(weights, {std::ssize(weights)});
  const Tensor weight = as(made, compute == DType::f64 ? DType::f64 : DType::f32).to(teacher.device());
  const autograd::Var prototypes = loss.gather == Gather::constant ? sentences.detach() : sentences;
  return autograd::patch_sentence(autograd::cast(student, compute), as(teacher, compute),
                                  autograd::cast(prototypes, compute), weight,
                                  {loss.student_temperature, loss.teacher_temperature});
}

}  // namespace tessera::rils
