#include "nn/optim/adamw.h"

#include <cmath>

#include "engine/memory/allocator.h"
#include "engine/ops/copy.h"
#include "engine/ops/pointwise.h"

namespace tessera::nn {

GroupRule slip_decay(double weight_decay) {
  return [weight_decay](const Entry& entry) {
    const auto contains = [&](const char* word) { return entry.name.find(word) != std::string::npos; };
    const bool exempt = entry.shape.rank() < 2 || contains("bias") || contains("ln") || contains("bn");
    return Group{1.0, exempt ? 0.0 : weight_decay, false};
  };
}

std::vector<ParameterRange> ranges_of(const ParameterStore& store, const GroupRule& rule) {
  std::vector<ParameterRange> ranges;
  for (const Entry& entry : store.entries()) {
    const Group group = rule(entry);
    const ParameterRange next{.offset = entry.offset,
                              .count = entry.count(),
                              .lr_scale = static_cast<float>(group.lr_scale),
                              .weight_decay = static_cast<float>(group.weight_decay),
                              .frozen = group.frozen || entry.parameter->frozen};
    if (!ranges.empty()) {
      ParameterRange& last = ranges.back();
      if (last.offset + last.count == next.offset && last.lr_scale == next.lr_scale &&
          last.weight_decay == next.weight_decay && last.frozen == next.frozen) {
        last.count += next.count;
        continue;
      }
    }
    ranges.push_back(next);
  }
  return ranges;
}

AdamW::AdamW(ParameterStore& store, const AdamWOptions& options, const GroupRule& rule)
    : store_(store), options_(options), ranges_(ranges_of(store, rule)) {
  const MemoryTag tag("optimiser moments");
  m_ = Tensor::zeros(store.values().shape(), store.dtype(), store.device());
  v_ = Tensor::zeros(store.values().shape(), store.dtype(), store.device());
}

double AdamW::grad_norm() const { return norm2(store_.grads(), ranges_); }

void AdamW::step(double lr, double gradient_scale) {
  ++steps_;
  StepState state;
  state.lr = lr;
  state.beta1 = options_.beta1;
  state.beta2 = options_.beta2;
  state.eps = options_.eps;
  state.bias_correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(steps_));
  state.bias_correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(steps_));
  state.gradient_scale = gradient_scale;
  adamw(store_.values(), store_.grads(), m_, v_, ranges_, state);
  store_.mark_written();
}

double clip_coefficient(double norm, double max_norm) {
  return max_norm > 0 ? std::fmin(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

Ema::Ema(const ParameterStore& store, double decay) : store_(store), decay_(decay), values_(clone(store.values())) {}

void Ema::update() { axpby(1.0 - decay_, store_.values(), decay_, values_); }

}  // namespace tessera::nn
