#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "rils/config/objective.h"

namespace tessera::rils {

/// The image encoder. The defaults are RILS's ViT-B/16; the last five keys describe other encoders.
struct VisionConfig {
  int64_t image_size = 224;  // pixels, square
  int64_t patch_size = 16;   // pixels, divides image_size
  int64_t width = 768;
  int64_t layers = 12;
  int64_t heads = 12;  // divides width
  Pool pool = Pool::mean;
  FinalNorm norm = FinalNorm::tokens;
  Positions positions = Positions::sine_cosine;
  Activation act = Activation::gelu;
  bool pre_norm = false;  // CLIP's encoder: a norm before the blocks, no patch bias, every eps 1e-5 instead of 1e-6
  bool operator==(const VisionConfig&) const = default;
};

/// The masked decoder of the objectives rils, mae and mae+clip. The defaults are RILS's decoder.
struct DecoderConfig {
  int64_t width = 768;
  int64_t layers = 1;
  int64_t heads = 12;
  bool operator==(const DecoderConfig&) const = default;
};

/// CLIP's text encoder.
struct TextConfig {
  int64_t context_length = 77;  // tokens, SOT and EOT included
  int64_t vocab_size = 0;       // EOT is its last id; 0: as many as the vocabulary has
  int64_t width = 512;
  int64_t layers = 12;
  int64_t heads = 8;
  Activation act = Activation::quick_gelu;
  bool operator==(const TextConfig&) const = default;
};

/// The SimCLR projection head of the objectives simclr and slip: three linear layers with batch norm between them.
struct ImageMlpConfig {
  int64_t hidden = 4096;
  int64_t output = 256;
  bool operator==(const ImageMlpConfig&) const = default;
};

struct ModelConfig {
  ObjectiveName objective = ObjectiveName::rils;
  int64_t embed_dim = 512;  // width of the joint space
  VisionConfig vision;
  DecoderConfig decoder;
  TextConfig text;
  ImageMlpConfig image_mlp;
  bool operator==(const ModelConfig&) const = default;
};

/// The losses. The last two keys depart from the published method (our additions) and are off by default.
struct LossConfig {
  double mask_ratio = 0.75;           // fraction of patches hidden, in [0, 1)
  double student_temperature = 0.1;   // softmax temperature of the predicted distribution
  double teacher_temperature = 0.04;  // softmax temperature of the target distribution
  double reconstruction_weight = 0.5;
  Gather gather = Gather::constant;
  int64_t simulated_ranks = 0;   // 0: the largest divisor of the batch up to kRecipeRanks; see simulated_ranks()
  double logit_scale_max = 100;  // clamp of exp(logit_scale) after each step
  double mae_weight = 1.0;       // weight of the pixel loss of mae and mae+clip
  double ssl_temperature = 0.1;  // softmax temperature of the loss between two views of simclr and slip
  double ssl_scale = 1.0;        // weight of that loss
  /// Ours: the reconstruction weight grows linearly from 0 over this many steps; 0: it is full from the first step.
  int64_t reconstruction_warmup_steps = 0;
  /// Published: selected. With all (ours) the term's weight grows with the share of images that pass the gate.
  Normalizer reconstruction_normalizer = Normalizer::selected;
  bool operator==(const LossConfig&) const = default;
};

struct DataConfig {
  std::string train_data;  // sources, joined by "::"
  std::string val_data;
  std::string dataset_type = "auto";  // webdataset, files, csv, idx, folder, images, synthetic
  std::string csv_img_key = "filepath";
  std::string csv_caption_key = "title";
  std::string csv_separator;  // empty: detected
  std::string image_root;     // folder that the paths in a table start at; empty: the table's folder
  std::string image_key = "jpg;jpeg;png;webp";
  std::string text_key = "txt";
  std::string text_encoding = "utf-8";  // of captions that are not UTF-8: skipped, or "windows-1252"
  std::string captions = "random";      // one of an image's captions per epoch; or "all"
  std::string vocabulary;               // file of a byte-level BPE
  std::string truncation = "keep-eot";  // truncation of long captions; or "cut"
  int64_t max_image_pixels = 89478485;  // larger images are skipped
  int64_t train_num_samples = 0;        // samples per epoch; 0: all
  int64_t val_num_samples = 0;          // 0: all
  int64_t workers = 2;                  // threads that decode images; 0: the training thread decodes
  int64_t cache_mib = 0;                // memory for decoded images
  std::string zeroshot_data;            // labelled images for zero-shot classification while training
  std::string classnames;               // one class name per line; empty: the data set's own
  std::string templates;                // one prompt template per line, {c} for the class
  bool operator==(const DataConfig&) const = default;
};

/// Defaults: the image-text branch of SLIP's recipe.
struct AugmentConfig {
  std::array<double, 2> crop_scale = {0.5, 1.0};              // fraction of the image's area
  std::array<double, 2> crop_ratio = {3.0 / 4.0, 4.0 / 3.0};  // width / height
  double flip = 0.0;                                          // probability
  std::array<double, 2> view_crop_scale = {0.08, 1.0};        // crop_scale of the two views of simclr and slip
  std::string image_interpolation = "bilinear";               // or "bicubic"
  double crop_pct = 1.0;                                      // fraction of the shorter side that evaluation keeps
  bool resize_before_rgb = false;                             // as open_clip does: palettes and alpha first
  std::array<double, 3> image_mean = {0.485, 0.456, 0.406};   // of ImageNet, for values in [0, 1]
  std::array<double, 3> image_std = {0.229, 0.224, 0.225};
  bool operator==(const AugmentConfig&) const = default;
};

/// AdamW, linear warm-up, cosine. RILS's recipe is not public; the defaults are those of SLIP, whose code RILS grew
/// from.
struct OptimConfig {
  int64_t batch_size = 64;        // pairs per process and micro-batch
  int64_t accum_freq = 1;         // micro-batches per step
  int64_t global_batch_size = 0;  // 0: batch_size · accum_freq · processes; else accum_freq follows from it
  int64_t epochs = 25;
  double lr = 5e-4;  // peak
  double lr_start = 1e-6;
  double lr_end = 1e-5;
  int64_t warmup = -1;  // steps; -1: one epoch
  double beta1 = 0.9;
  double beta2 = 0.98;
  double eps = 1e-8;
  double wd = 0.5;            // decoupled weight decay
  double grad_clip_norm = 0;  // 0: none
  double ema = 0;             // decay of averaged weights; 0: none
  bool operator==(const OptimConfig&) const = default;
};

struct RunConfig {
  std::string name;  // name of the run's folder; empty: made from date, model and objective
  std::string logs = "logs";
  int64_t seed = 0;
  std::string precision = "fp32";   // or "amp_bf16": f32 master weights, bf16 compute
  std::string device = "auto";      // auto, cpu, cuda, cuda:N
  int64_t save_every_steps = 0;     // 0: only at ends of epochs
  int64_t save_frequency = 1;       // epochs
  int64_t keep = 3;                 // newest checkpoints to keep beside the best; 0: all
  int64_t log_every_n_steps = 10;   // steps
  int64_t val_frequency = 1;        // epochs; 0: never
  int64_t zeroshot_frequency = 1;   // epochs; 0: never
  int64_t picture_frequency = 0;    // epochs; 0: never
  bool grad_checkpointing = false;  // keep only the inputs of blocks; run blocks again in the backward pass
  std::string report_to;            // "tensorboard"
  bool operator==(const RunConfig&) const = default;
};

/// Training of a classifier, or of a probe of frozen features. The defaults are MAE's published recipe for ViT-B.
struct FinetuneConfig {
  std::string data_path;   // folder with train/ and val/ or test/, or with the IDX files of both
  std::string finetune;    // pre-trained weights; empty: from scratch
  int64_t nb_classes = 0;  // 0: as many as the data have
  int64_t input_size = 0;  // pixels, square; 0: the checkpoint's
  Pool pool = Pool::mean;  // mean: before a new norm; cls: after the final norm
  double blr = 5e-4;       // optim.lr = blr · batch · accum / 256 where that is 0
  double warmup_epochs = 5;
  double layer_decay = 0.65;                // factor of the learning rate from a block to the one below
  double drop_path = 0.1;                   // rate of the last block, 0 in the first
  double mixup = 0.8, cutmix = 1.0;         // alpha of the Beta distributions; 0: off
  double mixup_prob = 1.0;                  // probability of mixing a batch
  double mixup_switch_prob = 0.5;           // probability of cutmix, where both are on
  double smoothing = 0.1;                   // label smoothing
  std::string aa = "rand-m9-mstd0.5-inc1";  // RandAugment in timm's words; or "none"
  double reprob = 0.25;                     // probability of random erasing
  bool linear = false;                      // train a logistic regression on frozen features instead
  ProbeKind probe = ProbeKind::logistic;
  std::vector<int64_t> shots;   // labelled images per class, one probe for each number; empty: all
  int64_t draws = 3;            // random draws of the shots
  double train_fraction = 1.0;  // fraction of each class's training images
  bool operator==(const FinetuneConfig&) const = default;
};

/// Everything that describes a run. The keys of the TOML file are the members' names; schema.h describes them.
struct Config {
  ModelConfig model;
  LossConfig loss;
  DataConfig data;
  AugmentConfig augment;
  OptimConfig optim;
  RunConfig run;
  FinetuneConfig finetune;
  bool operator==(const Config&) const = default;
};

/// Steps of the linear warm-up: `warmup`, or an epoch where it is -1.
[[nodiscard]] inline int64_t warmup_steps(const OptimConfig& optim, int64_t steps_per_epoch) {
  return optim.warmup < 0 ? steps_per_epoch : optim.warmup;
}

/// The number of processes in SLIP's recipe: the upper limit of the default simulated ranks.
inline constexpr int64_t kRecipeRanks = 64;

/// The data-parallel ranks that the reconstruction term is computed as. Rank r of S owns samples r·N/S … (r+1)·N/S of
/// the global batch N and has a denominator of its own; the term is the mean over the ranks. Where
/// loss.simulated_ranks is 0: the largest divisor of N that is at most kRecipeRanks and a multiple of `processes`.
/// Throws ConfigError where an explicit number does not divide N.
[[nodiscard]] int64_t simulated_ranks(const LossConfig& loss, int64_t global_batch, int64_t processes = 1);

}  // namespace tessera::rils
