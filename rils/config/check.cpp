// What holds between keys, and between two configurations.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "rils/config/schema.h"

namespace tessera::rils {
namespace {

/// `divisor` and `whole` are keys; the value of the first must divide that of the second.
void check_divides(std::string_view divisor, int64_t d, std::string_view whole, int64_t w) {
  if (w % d != 0) throw ConfigError(fmt::format("{}: expected a divisor of {} = {}, found {}", divisor, whole, w, d));
}

void check_positions(std::string_view key, int64_t width) {
  if (width % 4 != 0) {
    throw ConfigError(
        fmt::format("{}: expected a multiple of 4 (sine and cosine of row and column), found {}", key, width));
  }
}

void check_order(std::string_view key, const std::array<double, 2>& range) {
  if (range[0] > range[1]) {
    throw ConfigError(fmt::format("{}: expected two numbers in order, found [{}, {}]", key, range[0], range[1]));
  }
}

void check_text(const TextConfig& t) {
  check_divides("model.text.heads", t.heads, "model.text.width", t.width);
  if (t.vocab_size != 0 && t.vocab_size < 3) {
    throw ConfigError(
        fmt::format("model.text.vocab_size: expected 0 (the vocabulary's) or at least 3, found {}", t.vocab_size));
  }
}

/// What an objective needs of the image encoder: decoders read normed tokens, and RILS has one space for patches and
/// their mean.
void check_encoder(const ModelConfig& m, const Objective& objective) {
  const auto need = [&](std::string_view key, auto wanted, auto found) {
    if (found == wanted) return;
    throw ConfigError(fmt::format("model.vision.{}: expected {} with objective {}, found {}", key, word_of(wanted),
                                  word_of(m.objective), word_of(found)));
  };
  if (objective.reconstruction != Reconstruction::none) need("norm", FinalNorm::tokens, m.vision.norm);
  if (objective.reconstruction == Reconstruction::language) need("pool", Pool::mean, m.vision.pool);
}

void check_model(const ModelConfig& m) {
  check_divides("model.vision.patch_size", m.vision.patch_size, "model.vision.image_size", m.vision.image_size);
  check_divides("model.vision.heads", m.vision.heads, "model.vision.width", m.vision.width);
  check_positions("model.vision.width", m.vision.width);
  const Objective objective = terms_of(m.objective);
  check_encoder(m, objective);
  if (objective.contrastive) check_text(m.text);
  if (objective.reconstruction == Reconstruction::none) return;
  check_divides("model.decoder.heads", m.decoder.heads, "model.decoder.width", m.decoder.width);
  check_positions("model.decoder.width", m.decoder.width);
}

void check_mask(const Config& c) {
  const int64_t grid = c.model.vision.image_size / c.model.vision.patch_size;
  const auto patches = static_cast<double>(grid * grid);
  const Reconstruction what = terms_of(c.model.objective).reconstruction;
  if (what == Reconstruction::none) return;
  const double kept = std::floor(patches * (1.0 - c.loss.mask_ratio));
  if (kept < 1.0) {
    throw ConfigError(fmt::format("loss.mask_ratio: expected at least one of {} patches to stay visible, found {}",
                                  grid * grid, c.loss.mask_ratio));
  }
  if (what == Reconstruction::pixels && kept == patches) {
    throw ConfigError(fmt::format("loss.mask_ratio: expected at least one of {} patches to be hidden, found {}",
                                  grid * grid, c.loss.mask_ratio));
  }
}

void check_device(const std::string& device) {
  if (device != "auto" && !find_device(device)) {
    throw ConfigError(fmt::format("run.device: expected auto, cpu, cuda or cuda:N, found \"{}\"", device));
  }
}

/// Whether a run reads the number of simulated ranks; fine-tuning does not.
bool reads_ranks(const Config& config) {
  return terms_of(config.model.objective).reconstruction == Reconstruction::language &&
         config.finetune.data_path.empty();
}

}  // namespace

int64_t simulated_ranks(const LossConfig& loss, int64_t global_batch, int64_t processes) {
  if (loss.simulated_ranks != 0) {
    check_divides("loss.simulated_ranks", loss.simulated_ranks, "the global batch", global_batch);
    return loss.simulated_ranks;
  }
  int64_t ranks = std::max(kRecipeRanks, processes);
  while (ranks > processes && (global_batch % ranks != 0 || ranks % processes != 0)) --ranks;
  return ranks;
}

void check_config(const Config& config) {
  check_model(config.model);
  check_mask(config);
  check_order("augment.crop_scale", config.augment.crop_scale);
  check_order("augment.crop_ratio", config.augment.crop_ratio);
  check_order("augment.view_crop_scale", config.augment.view_crop_scale);
  check_device(config.run.device);
  if (config.run.name.find('/') != std::string::npos || config.run.name == ".." || config.run.name == ".") {
    throw ConfigError(
        fmt::format("run.name: expected the name of a folder below run.logs, found \"{}\"", config.run.name));
  }
  const int64_t batch = plan_batch(config, 1).global;
  const Objective objective = terms_of(config.model.objective);
  // Both losses tell samples of a batch from each other. A classifier only has its encoder from such a model.
  if ((objective.simclr || objective.contrastive) && batch < 2 && config.finetune.data_path.empty()) {
    throw ConfigError(fmt::format("optim.batch_size: expected a global batch of at least 2 for objective {}, found {}",
                                  word_of(config.model.objective), batch));
  }
}

void check_trainable(const ModelConfig& model) {
  if (terms_of(model.objective).any()) return;
  throw ConfigError(
      fmt::format("model.objective: expected one that can be trained, found {}: an encoder to be used by finetune, "
                  "evaluate and query",
                  word_of(model.objective)));
}

BatchPlan plan_batch(const Config& config, int64_t processes) {
  const OptimConfig& o = config.optim;
  BatchPlan plan{.global = o.batch_size * o.accum_freq * processes, .accum_freq = o.accum_freq};
  if (o.global_batch_size > 0) {
    const int64_t pass = o.batch_size * processes;
    if (o.global_batch_size % pass != 0) {
      throw ConfigError(
          fmt::format("optim.global_batch_size: expected a multiple of {} (optim.batch_size {} x {} "
                      "process{}), found {}",
                      pass, o.batch_size, processes, processes == 1 ? "" : "es", o.global_batch_size));
    }
    plan.global = o.global_batch_size;
    plan.accum_freq = o.global_batch_size / pass;
  }
  plan.simulated_ranks = simulated_ranks(config.loss, plan.global, processes);
  if (plan.simulated_ranks % processes != 0) {
    throw ConfigError(fmt::format("loss.simulated_ranks: expected a multiple of the {} processes, found {}", processes,
                                  plan.simulated_ranks));
  }
  return plan;
}

std::vector<Difference> differences(const Config& first, const Config& second) {
  std::vector<Difference> found;
  for (const Key& key : schema()) {
    std::string a = value_text(first, key), b = value_text(second, key);
    if (a != b) found.push_back({&key, std::move(a), std::move(b)});
  }
  return found;
}

void check_resumable(const Config& stored, const Config& now) {
  // How the batch is cut into micro-batches does not change the result; its size does.
  const int64_t before = plan_batch(stored, 1).global, after = plan_batch(now, 1).global;
  if (before != after) {
    throw ConfigError(
        fmt::format("--resume: optim.global_batch_size: expected the run's own {}, found {}", before, after));
  }
  // The numbers that are used count, not whether they were given.
  const bool ranks = reads_ranks(stored) && reads_ranks(now);
  const auto resolved = [&](Config config) {
    config.loss.simulated_ranks = ranks ? plan_batch(config, 1).simulated_ranks : 0;
    // 0 stands for the vocabulary's size, and another vocabulary is refused by its digest.
    if (now.model.text.vocab_size == 0) config.model.text.vocab_size = 0;
    return config;
  };
  for (const Difference& d : differences(resolved(stored), resolved(now))) {
    if (d.key->on_resume == OnResume::must_agree) {
      throw ConfigError(
          fmt::format("--resume: {}: expected the run's own {}, found {}", d.key->path, d.first, d.second));
    }
  }
}

}  // namespace tessera::rils
