#pragma once

#include <cstdint>
#include <vector>

#include "engine/ops/optimizer.h"
#include "nn/parameter_store.h"

namespace tessera::nn {

struct LarsOptions {
  double momentum = 0.9;
  double trust = 0.001;
  double weight_decay = 0;
};

/// LARS over the store's arenas as MAE's linear probe uses it. A tensor of two dimensions or more is decayed and its
/// gradient is scaled by trust · ‖w‖ / ‖g‖; others take plain momentum steps. Frozen parameters do not change.
class Lars {
 public:
  Lars(ParameterStore& store, const LarsOptions& options);

  /// The global gradient norm √Σ g² of the trained parameters.
  [[nodiscard]] double grad_norm() const;
  void step(double lr);

  [[nodiscard]] int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  [[nodiscard]] const Tensor& momentum() const { return momentum_; }

 private:
  ParameterStore& store_;
  LarsOptions options_;
  std::vector<ParameterRange> ranges_;  // one per entry, since norms are per tensor
  std::vector<uint8_t> adapt_;
  Tensor momentum_;
  int64_t steps_ = 0;
};

}  // namespace tessera::nn
