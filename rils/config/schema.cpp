#include "rils/config/schema.h"

#include <algorithm>

#include "rils/config/rows.h"

namespace tessera::rils {
namespace {

void add_loss_keys(std::vector<Key>& keys) {
  using L = LossConfig;
  const Section<L> loss(
      keys, "loss", [](Config& c) -> L& { return c.loss; }, Level::rare, OnResume::must_agree);
  loss("mask_ratio", &L::mask_ratio, "fraction of patches to hide", kBelowOne).common();
  loss("student_temperature", &L::student_temperature, "softmax temperature of the student (the prediction)",
       kPositive);
  loss("teacher_temperature", &L::teacher_temperature, "softmax temperature of the teacher (the target)", kPositive);
  loss("reconstruction_weight", &L::reconstruction_weight, "weight of the reconstruction term", kNotNegative).common();
  loss("gather", &L::gather, "gradient through keys and prototypes").common();
  loss("simulated_ranks", &L::simulated_ranks, "ranks to simulate, one denominator each; 0: as many as 64",
       kNotNegative)
      .common()
      .formerly("shards");
  loss("logit_scale_max", &L::logit_scale_max, "upper bound of the logit scale", {1, kInfinity});
  loss("mae_weight", &L::mae_weight, "weight of the pixel loss", kNotNegative);
  loss("ssl_temperature", &L::ssl_temperature, "softmax temperature of the SimCLR loss between two views", kPositive);
  loss("ssl_scale", &L::ssl_scale, "weight of the SimCLR loss between two views", kPositive);
  loss("reconstruction_warmup_steps", &L::reconstruction_warmup_steps,
       "steps in which the reconstruction weight rises from 0 (ours)", kNotNegative);
  loss("reconstruction_normalizer", &L::reconstruction_normalizer, "patches counted in the denominator (all: ours)");
}

void add_data_keys(std::vector<Key>& keys) {
  using D = DataConfig;
  const Section<D> data(
      keys, "data", [](Config& c) -> D& { return c.data; }, Level::rare, OnResume::must_agree);
  data("train_data", &D::train_data, "training data: shards, table or folder; {00..12}, *, A::B", "SRC").common();
  data("val_data", &D::val_data, "validation data, in the same forms as --train-data", "SRC").common().may_change();
  data("dataset_type", &D::dataset_type, "type", "TYPE")
      .choices({{"auto"}, {"webdataset"}, {"files"}, {"csv"}, {"idx"}, {"folder"}, {"images"}, {"synthetic"}})
      .common();
  data("csv_img_key", &D::csv_img_key, "image column of a table, by name or number", "COL").common();
  data("csv_caption_key", &D::csv_caption_key, "caption column of a table, by name or number", "COL").common();
  data("csv_separator", &D::csv_separator, "character between a table's columns; empty: detected", "C");
  data("image_root", &D::image_root, "folder that a table's paths start at; empty: the table's own", "DIR")
      .common()
      .may_change();
  data("image_key", &D::image_key, "extensions of images in shards", "EXT");
  data("text_key", &D::text_key, "extension of captions in shards", "EXT");
  data("text_encoding", &D::text_encoding, "encoding of captions that are not UTF-8", "NAME")
      .choices({{"utf-8"}, {"windows-1252"}});
  data("captions", &D::captions, "captions used per image and epoch, one or all", "HOW")
      .choices({{"random"}, {"all"}})
      .common();
  data("vocabulary", &D::vocabulary, "BPE merges in CLIP's format; prepare vocabulary makes them", "FILE")
      .common()
      .may_change();
  data("truncation", &D::truncation, "truncation of long captions", "HOW").choices({{"keep-eot"}, {"cut"}});
  data("max_image_pixels", &D::max_image_pixels, "pixel limit; larger images are skipped", kCount);
  data("train_num_samples", &D::train_num_samples, "samples per epoch; 0: all", kNotNegative);
  data("val_num_samples", &D::val_num_samples, "samples per validation; 0: all", kNotNegative).may_change();
  data("workers", &D::workers, "threads that decode images", {0, 1024}).common().may_change();
  data("cache_mib", &D::cache_mib, "MiB of memory for decoded images", {0, 1e9}).may_change();
  data("zeroshot_data", &D::zeroshot_data, "labelled images for zero-shot classification", "SRC").may_change();
  data("classnames", &D::classnames, "class names, one per line; empty: the data's own", "FILE").may_change();
  data("templates", &D::templates, "prompt templates, one per line, with {c} for the class", "FILE").may_change();
}

void add_augment_keys(std::vector<Key>& keys) {
  using A = AugmentConfig;
  const Section<A> augment(
      keys, "augment", [](Config& c) -> A& { return c.augment; }, Level::rare, OnResume::must_agree);
  augment("crop_scale", &A::crop_scale, "area of a random crop, as a fraction of the image", kOpenFraction);
  augment("crop_ratio", &A::crop_ratio, "width / height of a random crop", kPositive);
  augment("flip", &A::flip, "probability of a horizontal flip", kFraction).placeholder("P");
  augment("view_crop_scale", &A::view_crop_scale, "area of the crops of SimCLR's two views", kOpenFraction);
  augment("image_interpolation", &A::image_interpolation, "interpolation of resized images", "HOW")
      .choices({{"bilinear"}, {"bicubic"}});
  augment("crop_pct", &A::crop_pct, "fraction of the shorter side that evaluation keeps", {0.1, 1})
      .set_only()
      .may_change();
  augment("resize_before_rgb", &A::resize_before_rgb, "resizing before palettes and alpha become RGB, as in open_clip")
      .set_only();
  augment("image_mean", &A::image_mean, "mean of each channel, for values in [0, 1]");
  augment("image_std", &A::image_std, "std of each channel, for values in [0, 1]", kPositive);
}

void add_optim_keys(std::vector<Key>& keys) {
  using O = OptimConfig;
  const Section<O> optim(
      keys, "optim", [](Config& c) -> O& { return c.optim; }, Level::common, OnResume::must_agree);
  optim("batch_size", &O::batch_size, "samples per process and micro-batch", kBatch).may_change();
  optim("accum_freq", &O::accum_freq, "micro-batches per step", kBatch).may_change();
  optim("global_batch_size", &O::global_batch_size, "samples per step; sets accum-freq; 0: off", {0, 1e9}).may_change();
  optim("epochs", &O::epochs, "passes over the training data; a resumed run may have more", {1, 1e9}).may_change();
  optim("lr", &O::lr, "peak learning rate", kNotNegative);
  optim("lr_start", &O::lr_start, "learning rate at the first step", kNotNegative).rare();
  optim("lr_end", &O::lr_end, "learning rate at the last step", kNotNegative).rare();
  optim("warmup", &O::warmup, "steps of linear warm-up, at most the run's; -1: one epoch", {-1, kInfinity});
  optim("beta1", &O::beta1, "AdamW's decay of the first moment", kBelowOne).rare();
  optim("beta2", &O::beta2, "AdamW's decay of the second moment", kBelowOne).rare();
  optim("eps", &O::eps, "AdamW's epsilon", kPositive).rare();
  optim("wd", &O::wd, "weight decay", kNotNegative);
  optim("grad_clip_norm", &O::grad_clip_norm, "largest norm of the gradient; 0: no clipping", kNotNegative);
  optim("ema", &O::ema, "decay of averaged weights; 0: no averages", kBelowOne).rare();
}

void add_run_keys(std::vector<Key>& keys) {
  using R = RunConfig;
  const Section<R> run(
      keys, "run", [](Config& c) -> R& { return c.run; }, Level::common, OnResume::may_change);
  run("name", &R::name, "name of the run's folder; empty: date and model", "NAME");
  run("logs", &R::logs, "folder that holds the runs", "DIR");
  run("seed", &R::seed, "seed of all random numbers", kNotNegative).must_agree();
  run("precision", &R::precision, "precision of matrix products", "TYPE")
      .choices({{"fp32"}, {"amp_bf16", {"bf16", "amp_bfloat16"}}})
      .must_agree();
  run("device", &R::device, "device: auto, cpu or cuda[:N]", "DEV");
  run("save_every_steps", &R::save_every_steps, "steps between checkpoints; 0: at epochs only", kNotNegative);
  run("save_frequency", &R::save_frequency, "epochs between checkpoints", kCount);
  run("keep", &R::keep, "newest checkpoints to keep beside the best; 0: all", kNotNegative);
  run("log_every_n_steps", &R::log_every_n_steps, "steps between lines of the log", kCount).rare();
  run("val_frequency", &R::val_frequency, "epochs between validations; 0: never", kNotNegative);
  run("zeroshot_frequency", &R::zeroshot_frequency, "epochs between zero-shot evaluations; 0: never", kNotNegative)
      .rare();
  run("picture_frequency", &R::picture_frequency, "epochs between drawings of validation pairs; 0: none", kNotNegative)
      .rare();
  run("grad_checkpointing", &R::grad_checkpointing, "recompute activations: less memory, a third more work");
  run("report_to", &R::report_to, "event files to write beside metrics.jsonl", "WHAT").choices({{""}, {"tensorboard"}});
}

std::vector<Key> all_keys() {
  std::vector<Key> keys;
  for (auto* add : {add_model_keys, add_loss_keys, add_data_keys, add_augment_keys, add_optim_keys, add_run_keys,
                    add_finetune_keys}) {
    add(keys);
  }
  return keys;
}

}  // namespace

std::span<const Key> schema() {
  static const std::vector<Key> keys = all_keys();
  return keys;
}

const Key* find_key(std::string_view path) {
  const auto found = std::ranges::find_if(
      schema(), [&](const Key& k) { return k.path == path || (!k.old_path.empty() && k.old_path == path); });
  return found == schema().end() ? nullptr : &*found;
}

}  // namespace tessera::rils
