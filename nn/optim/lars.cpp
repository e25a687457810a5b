#include "nn/optim/lars.h"

#include "engine/memory/allocator.h"

namespace tessera::nn {

Lars::Lars(ParameterStore& store, const LarsOptions& options) : store_(store), options_(options) {
  for (const Entry& entry : store.entries()) {
    const bool adapted = entry.shape.rank() > 1;
    ranges_.push_back({.offset = entry.offset,
                       .count = entry.count(),
                       .weight_decay = adapted ? static_cast<float>(options.weight_decay) : 0.0f,
                       .frozen = entry.parameter->frozen});
    adapt_.push_back(adapted ? 1 : 0);
  }
  const MemoryTag tag("optimiser moments");
  momentum_ = Tensor::zeros(store.values().shape(), store.dtype(), store.device());
}

double Lars::grad_norm() const { return norm2(store_.grads(), ranges_); }

void Lars::step(double lr) {
  ++steps_;
  StepState state;
  state.lr = lr;
  lars(store_.values(), store_.grads(), momentum_, ranges_, adapt_, state, options_.momentum, options_.trust);
  store_.mark_written();
}

}  // namespace tessera::nn
