#include "apps/common/other_names.h"

#include <algorithm>

namespace tessera::apps {
namespace {

using Rows = std::vector<OtherNames>;

void add_data(Rows& rows) {
  const Rows more = {
      {{"train-data"}, {"data-path"}, "a folder with train/ and val/"},
      {{"val-data"}, {"data-path", "data"}, ""},
      {{"data-path", "data-dir", "data"}, {"train-data", "data-path", "data"}, ""},
      {{"dataset", "d"}, {"dataset-type"}, ""},
      {{"imagenet-val", "imagenet-v2"}, {"zeroshot-data", "data-path", "data"}, "labelled images of any kind"},
      {{"custom-classname-file"}, {"classnames"}, ""},
      {{"custom-template-file"}, {"templates"}, ""},
      {{"dataset-resampled", "train-data-upsampling-factors"},
       {},
       "every sample comes once an epoch; A::B joins sources"},
      {{"json-text-key"}, {"text-key"}, "caption, captions, text and title of a .json are read as well"},
      {{"train-split", "val-split", "test-split", "split"}, {}, "the splits are folders: train/, val/ or test/"},
      {{"class-map", "annotation-file"}, {}, "classes are named by folders, or by classnames.txt beside the data"},
      {{"dataset-download", "cache-dir", "model-cache-dir", "wds-cache-dir"}, {}, "nothing is downloaded"},
      {{"epoch-repeats"}, {"epochs"}, ""},
      {{"audio-*", "pretrained-audio"}, {}, "there are images and texts, no sound"},
      {{"use-naflex", "naflex-*", "force-naflex-vision"}, {}, "all images of a run have one size"},
      {{"length-bucketing", "bucket-*", "text-pad-multiple"}, {}, "texts are computed without padding"},
      {{"validation-batch-size", "vb"}, {}, "the results do not depend on the batches of an evaluation"},
      {{"batch", "b"}, {"batch-size"}, ""},
      {{"j"}, {"workers"}, ""},
      {{"threads", "num-threads", "workers", "num-workers"}, {}, "TESSERA_THREADS limits the threads"},
      {{"pin-mem", "no-pin-mem", "no-prefetcher", "use-multi-epochs-loader"}, {}, "batches are always prepared ahead"},
      {{"worker-seeding"}, {"seed"}, "it decides every random number"},
  };
  rows.insert(rows.end(), more.begin(), more.end());
}

void add_augmentation(Rows& rows) {
  const Rows more = {
      {{"aug-cfg"}, {"crop-scale"}, "and --crop-ratio, --flip"},
      {{"scale"}, {"crop-scale"}, ""},
      {{"ratio"}, {"crop-ratio"}, ""},
      {{"hflip"}, {"flip"}, ""},
      {{"vflip"}, {"flip"}, "pictures are mirrored, and not turned upside down"},
      {{"mean"}, {"image-mean"}, "with commas between the three"},
      {{"std"}, {"image-std"}, "with commas between the three"},
      {{"train-interpolation"}, {"image-interpolation"}, ""},
      {{"crop-pct"}, {"set augment.crop_pct=X"}, ""},
      {{"color-jitter"}, {"aa"}, ""},
      {{"color-jitter"}, {}, "crops and flips are random, and the colours of SimCLR's views"},
      {{"remode", "recount", "resplit"}, {"reprob"}, "one rectangle of noise, as pixel and 1 in timm"},
      {{"remode", "recount", "resplit"}, {}, "finetune has --reprob"},
      {{"mixup-mode"}, {"mixup-prob"}, "a batch is mixed as one, as in timm's mode batch"},
      {{"mixup-mode", "mixup-off-epoch", "cutmix-minmax"}, {"cutmix", "mixup"}, "for whole batches and all epochs"},
      {{"mixup-mode", "mixup-off-epoch", "cutmix-minmax"}, {}, "finetune has --mixup and --cutmix"},
      {{"no-aug"}, {"crop-scale 1,1"}, "and --flip 0"},
      {{"aug-repeats", "aug-splits"}, {}, "a picture is augmented once an epoch"},
      {{"jsd-loss", "bce-loss", "bce-target-thresh"}, {}, "a classifier's loss is the cross-entropy with soft labels"},
      {{"image-resize-mode", "tta"}, {}, "an evaluation takes the centre of the resized image, once"},
  };
  rows.insert(rows.end(), more.begin(), more.end());
}

void add_models(Rows& rows) {
  const Rows more = {
      {{"model", "model-type", "arch"}, {"checkpoint"}, "weights bring their model"},
      {{"model", "model-type", "arch"}, {"config FILE"}, "sizes are keys of it, apps/configs has published ones"},
      {{"pretrained", "pretrained-image", "initial-checkpoint", "no-resume-opt"},
       {"pretrained", "finetune", "checkpoint"},
       "weights of a file"},
      {{"finetune"}, {"pretrained", "checkpoint"}, ""},
      {{"start-epoch"}, {"resume"}, "it knows its place"},
      {{"img-size", "force-image-size", "input-size"}, {"input-size", "set model.vision.image_size=N"}, ""},
      {{"force-context-length"}, {"set model.text.context_length=N"}, ""},
      {{"force-quick-gelu"}, {"set model.vision.act=quick_gelu"}, "the text encoder has it"},
      {{"force-patch-dropout"}, {}, "an encoder sees all patches, or those that --mask-ratio leaves"},
      {{"drop", "drop-connect", "drop-block", "attn-drop"}, {"drop-path"}, ""},
      {{"drop", "drop-connect", "drop-block", "attn-drop"}, {}, "there is no dropout"},
      {{"num-classes"}, {"nb-classes"}, ""},
      {{"num-classes", "nb-classes"}, {}, "there are as many as the data have; finetune has --nb-classes"},
      {{"eval"}, {}, "the program evaluate tests weights of pretrain, finetune --eval those of a classifier"},
      {{"gp"}, {"pool"}, ""},
      {{"gp", "global-pool", "cls-token"}, {"set model.vision.pool=HOW"}, "mean or cls"},
      {{"lock-*"}, {"linear"}, "a head on frozen features"},
      {{"lock-*"}, {}, "every tower is trained; finetune --linear trains a head on frozen features"},
      {{"siglip", "coca-*", "distill-*"}, {}, "the losses are those of pretrain --objective"},
      {{"norm-pix-loss"}, {"objective mae"}, "it always compares pixels that are normalised by patch"},
      {{"norm-pix-loss"}, {}, "it belongs to pretrain --objective mae"},
      {{"use-bn-sync", "sync-bn", "dist-bn", "split-bn", "bn-*"}, {}, "the encoders have no batch norm"},
      {{"force-custom-text", "use-bnb-linear"}, {}, "the text encoder is CLIP's"},
      {{"torchcompile*", "torchscript", "trace", "fuser", "channels-last"}, {}, "there is nothing to compile"},
  };
  rows.insert(rows.end(), more.begin(), more.end());
}

void add_optimisation(Rows& rows) {
  const Rows more = {
      {{"warmup-epochs"}, {"warmup"}, "in steps; -1 is one epoch"},
      {{"warmup", "warmup-steps"}, {"warmup-epochs", "warmup"}, ""},
      {{"warmup-lr"}, {"lr-start"}, ""},
      {{"warmup-lr"}, {}, "the warm-up begins at 0"},
      {{"blr"}, {"lr"}, "the rate itself: blr x global batch / 256"},
      {{"learning-rate", "lrate"}, {"lr"}, ""},
      {{"opt-eps"}, {"eps"}, ""},
      {{"opt-betas", "betas", "momentum"}, {"beta1"}, "and --beta2"},
      {{"opt", "optimizer", "opt-*"}, {}, "the optimiser is AdamW; that of finetune --probe lars is LARS"},
      {{"sched", "lr-scheduler", "lr-noise*", "lr-cycle-*", "lr-k-decay", "lr-cooldown-*", "epochs-cooldown", "decay-*",
        "cooldown-epochs", "patience-epochs", "skip-scheduler"},
       {},
       "the learning rate rises linearly to --lr and falls as a cosine to --min-lr"},
      {{"clip-mode"}, {"clip-grad"}, "by the norm"},
      {{"image-layer-decay", "visual-layer-decay", "text-layer-decay", "text-pooler-own-group"}, {"layer-decay"}, ""},
      {{"image-layer-decay", "visual-layer-decay", "text-layer-decay", "text-pooler-own-group"},
       {},
       "all layers have one rate; finetune has --layer-decay"},
      {{"wd-exclude"}, {"wd"}, "biases and norms are left out"},
      {{"amp", "native-amp", "apex-amp", "amp-dtype", "amp-impl", "no-amp"}, {"precision"}, "fp32 or amp_bf16"},
      {{"model-ema", "model-ema-*"}, {"ema"}, "the decay, such as 0.9998"},
      {{"fewshot-k"}, {}, "finetune --shots N probes with N images a class"},
      {{"fewshot-*"}, {}, "finetune --linear probes frozen features"},
  };
  rows.insert(rows.end(), more.begin(), more.end());
}

void add_runs(Rows& rows) {
  const Rows more = {
      {{"log-dir", "output"}, {"logs"}, ""},
      {{"output-dir"}, {"logs"}, "and --name"},
      {{"out", "output"}, {"out", "output"}, ""},
      {{"experiment"}, {"name"}, ""},
      {{"c"}, {"config"}, ""},
      {{"save-most-recent"}, {"save-frequency"}, "checkpoints/latest names the newest"},
      {{"delete-previous-checkpoint"}, {"keep 1"}, ""},
      {{"checkpoint-hist"}, {"keep"}, ""},
      {{"recovery-interval"}, {"save-every-steps"}, ""},
      {{"log-interval", "log-metric-every-n-steps"}, {"log-every-n-steps"}, ""},
      {{"train-loss-ema-samples"}, {"log-every-n-steps"}, "means over these steps are logged"},
      {{"eval-metric"}, {}, "the best checkpoint is that of the best recall or accuracy"},
      {{"wandb-*", "log-wandb"}, {"report-to tensorboard"}, ""},
      {{"remote-sync*", "copy-codebase", "log-local"}, {}, "a run writes its folder and nothing else"},
      {{"save-images"}, {"picture-frequency"}, ""},
      {{"save-images"}, {}, "inspect data --montage draws some"},
      {{"skip-load", "skip-existing", "feature-root", "save-clf", "load-clfs"}, {}, "features are computed anew"},
      {{"normalize"}, {}, "features are always normalised"},
      {{"debug", "verbose", "quiet"}, {}, "there is one level of output"},
      {{"fsdp*", "ddp-*", "no-ddp-bb", "dist-*", "distributed", "world-size", "local-rank", "horovod",
        "no-set-device-rank", "loss-dist-impl"},
       {},
       "a run is one process on one device; pretrain --simulated-ranks computes the loss of several"},
      {{"val-retrieval-*"}, {}, "similarities are computed in blocks of fp32"},
      {{"task"}, {}, "the task is a subcommand, such as zero-shot"},
      {{"recall-k"}, {}, "recalls at 1, 5 and 10 are printed"},
      {{"language"}, {}, "results are marked as English"},
  };
  rows.insert(rows.end(), more.begin(), more.end());
}

Rows all_options() {
  Rows rows;
  for (auto* add : {add_data, add_augmentation, add_models, add_optimisation, add_runs}) add(rows);
  return rows;
}

}  // namespace

bool OtherNames::has(std::string_view name) const {
  return std::ranges::any_of(names, [&](std::string_view known) {
    return known.ends_with('*') ? name.starts_with(known.substr(0, known.size() - 1)) : name == known;
  });
}

std::span<const OtherNames> other_options() {
  static const Rows rows = all_options();
  return rows;
}

std::span<const OtherNames> other_subcommands() {
  static const Rows rows = {
      {{"zeroshot-classification", "classification", "imagenet"}, {"zero-shot"}, ""},
      {{"zeroshot-retrieval", "captioning"}, {"retrieval"}, ""},
      {{"linear-probe", "linear", "probe"}, {}, "finetune --linear probes frozen features"},
      {{"convert", "export"}, {"checkpoint"}, "with --convert"},
      {{"table", "shards", "csv"}, {"captions"}, ""},
      {{"tokenizer", "bpe"}, {"vocabulary"}, ""},
  };
  return rows;
}

}  // namespace tessera::apps
