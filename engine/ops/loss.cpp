#include "engine/ops/loss.h"

#include <fmt/format.h>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {
namespace {

Context& check_targets(const char* op, const Tensor& logits, const Tensor& targets,
                       std::initializer_list<check::Operand> others = {}) {
  Context& c = check::device(op, {{"logits", logits}, {"targets", targets}}, others);
  check::rank(op, {"logits", logits}, 2);
  check::dtype(op, {"logits", logits}, {DType::f32, DType::f64});
  check::dtype(op, {"targets", targets}, {DType::i32, logits.dtype()});
  if (targets.dtype() == DType::i32) {
    check::shape(op, {"targets", targets}, {logits.size(0)}, "a label for each row of logits");
  } else {
    check::shape(op, {"targets", targets}, logits.shape(), "the shape of logits");
  }
  check::contiguous(op, {{"logits", logits}, {"targets", targets}});
  return c;
}

}  // namespace

CrossEntropyResult cross_entropy(const Tensor& logits, const Tensor& targets) {
  constexpr const char* kOp = "cross_entropy";
  Context& c = check_targets(kOp, logits, targets);
  const int64_t rows = logits.size(0), classes = logits.size(1);
  if (classes < 1) throw ShapeError(fmt::format("{}: logits have no columns, expected at least 1", kOp));
  // On a device the kernel gives NaN for a label out of range: reading the labels back would stop the queue.
  if (targets.dtype() == DType::i32 && targets.device() == Device::cpu()) {
    for (const int32_t label : targets.data<int32_t>()) {
      if (label < 0 || label >= classes) {
        throw ShapeError(fmt::format("{}: label {}, expected 0 to {}", kOp, label, classes - 1));
      }
    }
  }
  CrossEntropyResult r;
  r.loss = Tensor::empty({rows}, logits.dtype(), logits.device());
  r.lse = Tensor::empty({rows}, logits.dtype(), logits.device());
  r.argmax = Tensor::empty({rows}, DType::i32, logits.device());
  c.kernels().loss.cross_entropy(
      c, {.logits = logits, .targets = targets, .loss = r.loss, .lse = r.lse, .argmax = r.argmax});
  return r;
}

void cross_entropy_grad(const Tensor& logits, const Tensor& targets, const Tensor& lse, const Tensor& dloss,
                        double factor, const GradOut& dlogits) {
  if (!dlogits) return;
  constexpr const char* kOp = "cross_entropy_grad";
  Context& c = check_targets(kOp, logits, targets, {{"lse", lse}, {"dloss", dloss}, {"dlogits", dlogits.tensor}});
  check::shape(kOp, {"lse", lse}, {logits.size(0)}, "rows of logits");
  check::shape(kOp, {"dlogits", dlogits.tensor}, logits.shape(), "the shape of logits");
  for (const check::Operand o :
       {check::Operand{"lse", lse}, check::Operand{"dloss", dloss}, check::Operand{"dlogits", dlogits.tensor}}) {
    check::dtype(kOp, o, {logits.dtype()});
  }
  check::contiguous(kOp, {{"dlogits", dlogits.tensor}});
  c.kernels().loss.cross_entropy_grad(c, {.logits = logits,
                                          .targets = targets,
                                          .lse = lse,
                                          .dloss = dloss,
                                          .factor = factor,
                                          .dlogits = dlogits.tensor,
                                          .mode = dlogits.mode});
}

}  // namespace tessera
