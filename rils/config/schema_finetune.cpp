// The keys of [finetune], and the defaults of its runs.
#include "rils/config/rows.h"

namespace tessera::rils {
void add_finetune_keys(std::vector<Key>& keys) {
  using F = FinetuneConfig;
  const Section<F> finetune(
      keys, "finetune", [](Config& c) -> F& { return c.finetune; }, Level::common, OnResume::must_agree);
  finetune("data_path", &F::data_path, "folder with train/ and val/ or test/, or with IDX files", "DIR");
  finetune("finetune", &F::finetune, "pre-trained weights: a file, or a run's folder; empty: from scratch", "FILE")
      .may_change();
  finetune("nb_classes", &F::nb_classes, "number of classes; 0: as the data have", {0, 1 << 20});
  finetune("input_size", &F::input_size, "pixels per side; 0: as the checkpoint has", {0, 65536});
  finetune("pool", &F::pool, "feature that the head reads");
  finetune("blr", &F::blr, "learning rate per 256 images, used where lr is 0", kNotNegative);
  finetune("warmup_epochs", &F::warmup_epochs, "epochs of linear warm-up from 0", kNotNegative);
  finetune("layer_decay", &F::layer_decay, "factor of the learning rate from a block to the one below", kOpenFraction);
  finetune("drop_path", &F::drop_path, "drop-path rate of the last block; the first has 0", kBelowOne).placeholder("P");
  finetune("mixup", &F::mixup, "alpha of mixup; 0: off", kNotNegative);
  finetune("cutmix", &F::cutmix, "alpha of cutmix; 0: off", kNotNegative);
  finetune("mixup_prob", &F::mixup_prob, "probability of mixing a batch", kFraction).placeholder("P");
  finetune("mixup_switch_prob", &F::mixup_switch_prob, "probability of cutmix where both are on", kFraction)
      .placeholder("P");
  finetune("smoothing", &F::smoothing, "label smoothing", kBelowOne);
  finetune("aa", &F::aa, "RandAugment: rand-mM[-nN][-pP][-mstdS]-inc1, or none", "SPEC");
  finetune("reprob", &F::reprob, "probability of random erasing", kFraction).placeholder("P");
  finetune("linear", &F::linear, "probe frozen features by logistic regression");
  finetune("probe", &F::probe, "training of the probe");
  finetune("shots", &F::shots, "labelled images per class, one probe for each number; 0: all", kCount);
  finetune("draws", &F::draws, "random draws of the shots", {1, 1e6});
  finetune("train_fraction", &F::train_fraction, "fraction of each class's training images", kOpenFraction);
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
  f.probe = ProbeKind::lars;
  f.blr = 0.1;
  f.warmup_epochs = 10;
  f.drop_path = f.mixup = f.cutmix = f.smoothing = f.reprob = 0;
  f.aa = "none";
  return config;
}

}  // namespace tessera::rils
