#include "rils/config/schema.h"

#include <algorithm>
#include <iterator>

#include "rils/config/ranges.h"

namespace tessera::rils {
namespace {

// Each row: path, field, placeholder, help with its unit, range, choices, level, whether a resumed run must agree.
std::vector<Key> loss_keys() {
  using L = LossConfig;
  const auto loss = [](auto member) { return at(&Config::loss, member); };
  return {
      {"loss.mask_ratio", loss(&L::mask_ratio), "X", "share of patches hidden", kBelowOne, {}, kCommon, kFixed},
      {"loss.student_temperature",
       loss(&L::student_temperature),
       "X",
       "of the prediction",
       kPositive,
       {},
       kRare,
       kFixed},
      {"loss.teacher_temperature", loss(&L::teacher_temperature), "X", "of the target", kPositive, {}, kRare, kFixed},
      {"loss.reconstruction_weight",
       loss(&L::reconstruction_weight),
       "X",
       "of the reconstruction loss",
       kNotNegative,
       {},
       kCommon,
       kFixed},
      {"loss.gather",
       loss(&L::gather),
       "HOW",
       "gradient of keys and prototypes",
       kAny,
       {{"constant"}, {"with-gradient"}},
       kCommon,
       kFixed},
      {"loss.shards",
       loss(&L::shards),
       "N",
       "parts of the batch with denominators of their own",
       kCount,
       {},
       kCommon,
       kFixed},
      {"loss.logit_scale_max",
       loss(&L::logit_scale_max),
       "X",
       "clamp of the logit scale",
       {1, kInfinity},
       {},
       kRare,
       kFixed},
      {"loss.mae_weight", loss(&L::mae_weight), "X", "of the pixel loss", kNotNegative, {}, kRare, kFixed},
      {"loss.ssl_temperature",
       loss(&L::ssl_temperature),
       "X",
       "of the loss between two views",
       kPositive,
       {},
       kRare,
       kFixed},
      {"loss.ssl_scale",
       loss(&L::ssl_scale),
       "X",
       "weight of the loss between two views",
       kPositive,
       {},
       kRare,
       kFixed},
      {"loss.reconstruction_warmup_steps",
       loss(&L::reconstruction_warmup_steps),
       "N",
       "ours: steps in which its weight grows",
       kNotNegative,
       {},
       kRare,
       kFixed},
      {"loss.reconstruction_normalizer",
       loss(&L::reconstruction_normalizer),
       "HOW",
       "hidden patches that count; all is ours",
       kAny,
       {{"selected"}, {"all"}},
       kRare,
       kFixed},
  };
}

std::vector<Key> data_keys() {
  using D = DataConfig;
  const auto data = [](auto member) { return at(&Config::data, member); };
  return {
      {"data.train_data",
       data(&D::train_data),
       "SRC",
       "shards, table or folder; {00..12}, *, A::B",
       kAny,
       {},
       kCommon,
       kFixed},
      {"data.val_data", data(&D::val_data), "SRC", "the same, for validation", kAny, {}, kCommon, kFree},
      {"data.dataset_type",
       data(&D::dataset_type),
       "TYPE",
       "kind of data",
       kAny,
       {{"auto"}, {"webdataset"}, {"files"}, {"csv"}, {"idx"}, {"folder"}, {"synthetic"}},
       kCommon,
       kFixed},
      {"data.csv_img_key", data(&D::csv_img_key), "COL", "image column, name or number", kAny, {}, kCommon, kFixed},
      {"data.csv_caption_key",
       data(&D::csv_caption_key),
       "COL",
       "caption column, name or number",
       kAny,
       {},
       kCommon,
       kFixed},
      {"data.csv_separator", data(&D::csv_separator), "C", "between columns; empty: detected", kAny, {}, kRare, kFixed},
      {"data.image_root",
       data(&D::image_root),
       "DIR",
       "of a table's paths; empty: the table's folder",
       kAny,
       {},
       kCommon,
       kFree},
      {"data.image_key", data(&D::image_key), "EXT", "extensions of images in shards", kAny, {}, kRare, kFixed},
      {"data.text_key", data(&D::text_key), "EXT", "extension of captions in shards", kAny, {}, kRare, kFixed},
      {"data.captions",
       data(&D::captions),
       "HOW",
       "of several, one an epoch or each",
       kAny,
       {{"random"}, {"all"}},
       kCommon,
       kFixed},
      {"data.vocabulary",
       data(&D::vocabulary),
       "FILE",
       "merges in CLIP's format; see prepare",
       kAny,
       {},
       kCommon,
       kFree},
      {"data.truncation",
       data(&D::truncation),
       "HOW",
       "of captions too long",
       kAny,
       {{"keep-eot"}, {"cut"}},
       kRare,
       kFixed},
      {"data.max_image_pixels",
       data(&D::max_image_pixels),
       "N",
       "pixels; larger images are skipped",
       kCount,
       {},
       kRare,
       kFixed},
      {"data.train_num_samples",
       data(&D::train_num_samples),
       "N",
       "samples of an epoch; 0: all",
       kNotNegative,
       {},
       kRare,
       kFixed},
      {"data.val_num_samples",
       data(&D::val_num_samples),
       "N",
       "samples of a validation; 0: all",
       kNotNegative,
       {},
       kRare,
       kFree},
      {"data.workers", data(&D::workers), "N", "threads that decode", kNotNegative, {}, kCommon, kFree},
      {"data.cache_mib",
       data(&D::cache_mib),
       "N",
       "MiB of decoded images kept in memory",
       kNotNegative,
       {},
       kRare,
       kFree},
      {"data.zeroshot_data", data(&D::zeroshot_data), "SRC", "labelled images for zero-shot", kAny, {}, kRare, kFree},
      {"data.classnames",
       data(&D::classnames),
       "FILE",
       "a class a line; empty: the data's own",
       kAny,
       {},
       kRare,
       kFree},
      {"data.templates", data(&D::templates), "FILE", "a prompt a line, {c} for the class", kAny, {}, kRare, kFree},
  };
}

std::vector<Key> augment_keys() {
  using A = AugmentConfig;
  const auto augment = [](auto member) { return at(&Config::augment, member); };
  return {
      {"augment.crop_scale",
       augment(&A::crop_scale),
       "A,B",
       "random crop, share of the area",
       kOpenFraction,
       {},
       kRare,
       kFixed},
      {"augment.crop_ratio",
       augment(&A::crop_ratio),
       "A,B",
       "random crop, width over height",
       kPositive,
       {},
       kRare,
       kFixed},
      {"augment.flip", augment(&A::flip), "P", "probability of mirroring", kFraction, {}, kRare, kFixed},
      {"augment.view_crop_scale",
       augment(&A::view_crop_scale),
       "A,B",
       "the same of the two views",
       kOpenFraction,
       {},
       kRare,
       kFixed},
      {"augment.image_interpolation",
       augment(&A::image_interpolation),
       "HOW",
       "of resizing",
       kAny,
       {{"bilinear"}, {"bicubic"}},
       kRare,
       kFixed},
      {"augment.crop_pct",
       augment(&A::crop_pct),
       "X",
       "share of the shorter side that evaluation keeps",
       {0.1, 1},
       {},
       kSetOnly,
       kFree},
      {"augment.image_mean", augment(&A::image_mean), "R,G,B", "of values in [0, 1]", kAny, {}, kRare, kFixed},
      {"augment.image_std", augment(&A::image_std), "R,G,B", "of values in [0, 1]", kPositive, {}, kRare, kFixed},
  };
}

std::vector<Key> optim_keys() {
  using O = OptimConfig;
  const auto optim = [](auto member) { return at(&Config::optim, member); };
  return {
      {"optim.batch_size", optim(&O::batch_size), "N", "samples a process and micro-batch", kCount, {}, kCommon, kFree},
      {"optim.accum_freq", optim(&O::accum_freq), "N", "micro-batches a step", kCount, {}, kCommon, kFree},
      {"optim.global_batch_size",
       optim(&O::global_batch_size),
       "N",
       "pairs a step; sets accum-freq; 0: off",
       kNotNegative,
       {},
       kCommon,
       kFree},
      {"optim.epochs", optim(&O::epochs), "N", "passes over the data", kCount, {}, kCommon, kFree},
      {"optim.lr", optim(&O::lr), "X", "peak learning rate", kNotNegative, {}, kCommon, kFixed},
      {"optim.lr_start", optim(&O::lr_start), "X", "learning rate at the first step", kNotNegative, {}, kRare, kFixed},
      {"optim.lr_end", optim(&O::lr_end), "X", "learning rate at the end", kNotNegative, {}, kRare, kFixed},
      {"optim.warmup", optim(&O::warmup), "N", "steps; -1: one epoch", {-1, kInfinity}, {}, kCommon, kFixed},
      {"optim.beta1", optim(&O::beta1), "X", "AdamW, first moment", kBelowOne, {}, kRare, kFixed},
      {"optim.beta2", optim(&O::beta2), "X", "AdamW, second moment", kBelowOne, {}, kRare, kFixed},
      {"optim.eps", optim(&O::eps), "X", "AdamW", kPositive, {}, kRare, kFixed},
      {"optim.wd", optim(&O::wd), "X", "weight decay", kNotNegative, {}, kCommon, kFixed},
      {"optim.grad_clip_norm",
       optim(&O::grad_clip_norm),
       "X",
       "largest gradient norm; 0: off",
       kNotNegative,
       {},
       kCommon,
       kFixed},
      {"optim.ema", optim(&O::ema), "X", "decay of averaged weights; 0: none", kBelowOne, {}, kRare, kFixed},
  };
}

std::vector<Key> run_keys() {
  using R = RunConfig;
  const auto run = [](auto member) { return at(&Config::run, member); };
  return {
      {"run.name", run(&R::name), "NAME", "of the run's folder; empty: date and model", kAny, {}, kCommon, kFree},
      {"run.logs", run(&R::logs), "DIR", "where runs are kept", kAny, {}, kCommon, kFree},
      {"run.seed", run(&R::seed), "N", "of everything random", kNotNegative, {}, kCommon, kFixed},
      {"run.precision",
       run(&R::precision),
       "TYPE",
       "of the products",
       kAny,
       {{"fp32"}, {"amp_bf16", {"bf16", "amp_bfloat16"}}},
       kCommon,
       kFixed},
      {"run.device", run(&R::device), "DEV", "auto, cpu or cuda[:N]", kAny, {}, kCommon, kFree},
      {"run.save_every_steps",
       run(&R::save_every_steps),
       "N",
       "steps; 0: at epochs only",
       kNotNegative,
       {},
       kCommon,
       kFree},
      {"run.save_frequency", run(&R::save_frequency), "N", "epochs", kCount, {}, kCommon, kFree},
      {"run.keep", run(&R::keep), "N", "newest checkpoints beside the best; 0: all", kNotNegative, {}, kCommon, kFree},
      {"run.log_every_n_steps", run(&R::log_every_n_steps), "N", "steps", kCount, {}, kRare, kFree},
      {"run.val_frequency", run(&R::val_frequency), "N", "epochs; 0: never", kNotNegative, {}, kCommon, kFree},
      {"run.zeroshot_frequency", run(&R::zeroshot_frequency), "N", "epochs; 0: never", kNotNegative, {}, kRare, kFree},
      {"run.picture_frequency",
       run(&R::picture_frequency),
       "N",
       "epochs between drawings of validation pairs; 0: none",
       kNotNegative,
       {},
       kRare,
       kFree},
      {"run.grad_checkpointing",
       run(&R::grad_checkpointing),
       "BOOL",
       "less memory for a third more work",
       kAny,
       {},
       kCommon,
       kFree},
      {"run.report_to",
       run(&R::report_to),
       "WHAT",
       "event files beside metrics.jsonl",
       kAny,
       {{""}, {"tensorboard"}},
       kCommon,
       kFree},
  };
}

std::vector<Key> all_keys() {
  std::vector<Key> keys;
  for (auto section :
       {model_keys(), loss_keys(), data_keys(), augment_keys(), optim_keys(), run_keys(), finetune_keys()}) {
    std::ranges::move(section, std::back_inserter(keys));
  }
  return keys;
}

}  // namespace

std::span<const Key> schema() {
  static const std::vector<Key> keys = all_keys();
  return keys;
}

const Key* find_key(std::string_view path) {
  const auto found = std::ranges::find(schema(), path, &Key::path);
  return found == schema().end() ? nullptr : &*found;
}

std::string_view nearest_key(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('.') + 1);
  std::vector<std::string_view> same_name, all;
  for (const Key& key : schema()) {
    all.push_back(key.path);
    if (key.name() == name) same_name.push_back(key.path);
  }
  return nearest(path, same_name.empty() ? all : same_name);
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  const auto distance = [&](std::string_view other) {
    // Three rows of the table of prefixes: two back (for swaps), one back, this one.
    std::vector<size_t> before(other.size() + 1), last(other.size() + 1), row(other.size() + 1);
    for (size_t j = 0; j <= other.size(); ++j) last[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      row[0] = i;
      for (size_t j = 1; j <= other.size(); ++j) {
        row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (word[i - 1] == other[j - 1] ? 0 : 1)});
        if (i > 1 && j > 1 && word[i - 1] == other[j - 2] && word[i - 2] == other[j - 1]) {
          row[j] = std::min(row[j], before[j - 2] + 1);
        }
      }
      before.swap(last);
      last.swap(row);
    }
    return last[other.size()];
  };
  std::string_view best;
  size_t fewest = std::numeric_limits<size_t>::max();
  for (const std::string_view candidate : candidates) {
    const size_t edits = distance(candidate);
    if (edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  return best;
}

}  // namespace tessera::rils
