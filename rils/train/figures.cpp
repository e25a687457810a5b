#include "rils/train/figures.h"

#include <fmt/format.h>

#include <cmath>

namespace tessera::rils {

Record term_figures(const StepResult& r, const Objective& objective) {
  Record record;
  if (objective.contrastive) {
    record.add("clip_loss", r.clip_loss).add("recon_loss", r.recon_loss).add("clip_acc", 100.0 * r.clip_accuracy);
  }
  if (objective.reconstruction == Reconstruction::pixels) record.add("mae_loss", r.mae_loss);
  if (objective.simclr) record.add("ssl_loss", r.ssl_loss).add("ssl_acc", 100.0 * r.ssl_accuracy);
  return record;
}

std::string terms_text(const StepResult& r, const Objective& objective) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "  ") + part; };
  if (objective.contrastive) {
    add(fmt::format("clip {:.4f}  recon {:.4f}  acc {:.1f} %", r.clip_loss, r.recon_loss, 100.0 * r.clip_accuracy));
  }
  if (objective.reconstruction == Reconstruction::pixels) add(fmt::format("mae {:.4f}", r.mae_loss));
  if (objective.simclr) add(fmt::format("ssl {:.4f}  acc {:.1f} %", r.ssl_loss, 100.0 * r.ssl_accuracy));
  return text;
}

LeadingTerm leading_term(const StepResult& r, const Objective& objective, int64_t global_batch) {
  const auto n = static_cast<double>(global_batch);
  if (objective.contrastive) return {"clip_loss", r.clip_loss, std::log(n)};
  if (objective.simclr) return {"ssl_loss", r.ssl_loss, std::log(2 * n - 1)};
  return {"mae_loss", r.mae_loss, 1.0};
}

}  // namespace tessera::rils
