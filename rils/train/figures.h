#pragma once

#include <string>

#include "rils/method/step.h"
#include "rils/run/metrics.h"

namespace tessera::rils {

/// The figures of an objective's terms under their names in metrics.jsonl, accuracies in %: clip_loss, recon_loss,
/// clip_acc; mae_loss; ssl_loss, ssl_acc.
[[nodiscard]] Record term_figures(const StepResult& result, const Objective& objective);
/// The same as text for the console: "clip 4.1589  recon 0.0312  acc 1.6 %".
[[nodiscard]] std::string terms_text(const StepResult& result, const Objective& objective);

/// The loss that shows whether a batch is learned, and its value at chance: the contrastive loss (ln N) where the
/// objective has one, else SimCLR's (ln (2N − 1)), else MAE's (1, the variance of the targets).
struct LeadingTerm {
  std::string name;
  double value = 0;
  double chance = 0;
};
[[nodiscard]] LeadingTerm leading_term(const StepResult& result, const Objective& objective, int64_t global_batch);

}  // namespace tessera::rils
