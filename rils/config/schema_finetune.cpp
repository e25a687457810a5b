// The keys of [finetune], and which of the others the program finetune reads.
#include <algorithm>
#include <array>

#include "rils/config/ranges.h"

namespace tessera::rils {
namespace {

/// Keys of other sections that fine-tuning reads.
constexpr std::array<std::string_view, 34> kShared = {"augment.crop_scale",
                                                      "augment.crop_ratio",
                                                      "augment.flip",
                                                      "augment.image_interpolation",
                                                      "augment.image_mean",
                                                      "augment.image_std",
                                                      "data.dataset_type",
                                                      "data.image_key",
                                                      "data.max_image_pixels",
                                                      "data.workers",
                                                      "data.cache_mib",
                                                      "optim.batch_size",
                                                      "optim.accum_freq",
                                                      "optim.epochs",
                                                      "optim.lr",
                                                      "optim.lr_end",
                                                      "optim.beta1",
                                                      "optim.beta2",
                                                      "optim.eps",
                                                      "optim.wd",
                                                      "optim.grad_clip_norm",
                                                      "optim.ema",
                                                      "run.name",
                                                      "run.logs",
                                                      "run.seed",
                                                      "run.precision",
                                                      "run.save_every_steps",
                                                      "run.save_frequency",
                                                      "run.keep",
                                                      "run.log_every_n_steps",
                                                      "run.val_frequency",
                                                      "run.grad_checkpointing",
                                                      "run.report_to",
                                                      "run.device"};

}  // namespace

std::vector<Key> finetune_keys() {
  using F = FinetuneConfig;
  std::vector<Key> keys;
  const auto add = [&](std::string_view path, auto member, std::string_view metavar, std::string_view help, Range range,
                       std::vector<Choice> choices = {}, OnResume on_resume = kFixed) {
    keys.push_back(
        {path, at(&Config::finetune, member), metavar, help, range, std::move(choices), Level::common, on_resume});
  };
  add("finetune.data_path", &F::data_path, "DIR", "holds train/ and val/ or test/, or IDX files", kAny);
  add("finetune.finetune", &F::finetune, "FILE", "pre-trained weights; empty: from scratch", kAny, {}, kFree);
  add("finetune.nb_classes", &F::nb_classes, "N", "classes; 0: those of the data", kNotNegative);
  add("finetune.input_size", &F::input_size, "N", "pixels a side; 0: the checkpoint's", kNotNegative);
  add("finetune.pool", &F::pool, "HOW", "what the head sees", kAny, {{"mean"}, {"cls"}});
  add("finetune.blr", &F::blr, "X", "learning rate for 256 images, where lr is 0", kNotNegative);
  add("finetune.warmup_epochs", &F::warmup_epochs, "X", "epochs of linear warm-up from 0", kNotNegative);
  add("finetune.layer_decay", &F::layer_decay, "X", "of the rate from a block to the one below", kOpenFraction);
  add("finetune.drop_path", &F::drop_path, "P", "rate of the last block, 0 in the first", kBelowOne);
  add("finetune.mixup", &F::mixup, "X", "alpha; 0: off", kNotNegative);
  add("finetune.cutmix", &F::cutmix, "X", "alpha; 0: off", kNotNegative);
  add("finetune.mixup_prob", &F::mixup_prob, "P", "that a batch is mixed", kFraction);
  add("finetune.mixup_switch_prob", &F::mixup_switch_prob, "P", "cutmix, where both are on", kFraction);
  add("finetune.smoothing", &F::smoothing, "X", "of the labels", kBelowOne);
  add("finetune.aa", &F::aa, "SPEC", "RandAugment: rand-mM[-nN][-pP][-mstdS]-inc1, or none", kAny);
  add("finetune.reprob", &F::reprob, "P", "random erasing", kFraction);
  add("finetune.linear", &F::linear, "BOOL", "probe: logistic regression on frozen features", kAny);
  add("finetune.probe", &F::probe, "HOW", "how a probe learns", kAny, {{"logistic"}, {"lars"}});
  add("finetune.shots", &F::shots, "N[,N...]", "probes with so many images a class; 0: one with all", kCount);
  add("finetune.draws", &F::draws, "N", "random draws of the shots", kCount);
  add("finetune.train_fraction", &F::train_fraction, "X", "share of each class's images", kOpenFraction);
  return keys;
}

bool serves(const Key& key, Program program) {
  const bool own = key.section() == "finetune";
  if (program == Program::pretrain) return !own;
  return own || key.section() == "model.vision" || std::ranges::find(kShared, key.path) != kShared.end();
}

Config finetuning_defaults() {
  Config config;
  config.augment.crop_scale = {0.08, 1.0};
  config.augment.flip = 0.5;
  config.augment.image_interpolation = "bicubic";
  config.optim.epochs = 100;
  config.optim.lr = 0;  // from finetune.blr
  config.optim.lr_end = 1e-6;
  config.optim.beta2 = 0.999;
  config.optim.wd = 0.05;
  return config;
}

Config probing_defaults() {
  Config config = finetuning_defaults();
  config.optim.epochs = 90;
  config.optim.lr_end = 0;
  config.optim.wd = 0;
  FinetuneConfig& f = config.finetune;
  f.probe = "lars";
  f.blr = 0.1;
  f.warmup_epochs = 10;
  f.drop_path = f.mixup = f.cutmix = f.smoothing = f.reprob = 0;
  f.aa = "none";
  return config;
}

}  // namespace tessera::rils
