#include "rils/config/schema.h"

namespace tessera::rils {
namespace {

void model_keys(std::vector<Key>& keys, Config& c) {
  ModelConfig& m = c.model;
  const std::vector<Key> own = {
      {"model.objective", &m.objective, "rils or clip"},
      {"model.embed_dim", &m.embed_dim, "width of the joint embedding"},
      {"model.vision.image_size", &m.vision.image_size, "pixels"},
      {"model.vision.patch_size", &m.vision.patch_size, "pixels"},
      {"model.vision.width", &m.vision.width, ""},
      {"model.vision.layers", &m.vision.layers, ""},
      {"model.vision.heads", &m.vision.heads, ""},
      {"model.decoder.width", &m.decoder.width, ""},
      {"model.decoder.layers", &m.decoder.layers, ""},
      {"model.decoder.heads", &m.decoder.heads, ""},
      {"model.text.context_length", &m.text.context_length, "tokens"},
      {"model.text.vocab_size", &m.text.vocab_size, ""},
      {"model.text.width", &m.text.width, ""},
      {"model.text.layers", &m.text.layers, ""},
      {"model.text.heads", &m.text.heads, ""}};
  keys.insert(keys.end(), own.begin(), own.end());
}

void loss_keys(std::vector<Key>& keys, Config& c) {
  LossConfig& l = c.loss;
  const std::vector<Key> own = {
      {"loss.mask_ratio", &l.mask_ratio, "share of patches hidden"},
      {"loss.student_temperature", &l.student_temperature, ""},
      {"loss.teacher_temperature", &l.teacher_temperature, ""},
      {"loss.reconstruction_weight", &l.reconstruction_weight, ""},
      {"loss.gather", &l.gather, "constant (keys carry no gradient) or with-gradient"},
      {"loss.shards", &l.shards, "parts of the global batch with queries and denominators of their own"},
      {"loss.logit_scale_max", &l.logit_scale_max, ""},
      {"loss.reconstruction_warmup_steps", &l.reconstruction_warmup_steps,
       "ours, off as published: the reconstruction weight grows linearly over so many steps"},
      {"loss.reconstruction_normalizer", &l.reconstruction_normalizer,
       "selected as published; all (ours): the mean is over every hidden patch of the batch"}};
  keys.insert(keys.end(), own.begin(), own.end());
}

void data_keys(std::vector<Key>& keys, Config& c) {
  DataConfig& d = c.data;
  AugmentConfig& a = c.augment;
  const std::vector<Key> own = {
      {"data.train_data", &d.train_data, "shards, table or folder; {00..12}, *, and :: between sources"},
      {"data.val_data", &d.val_data, "the same, for validation"},
      {"data.dataset_type", &d.dataset_type, "auto, webdataset, files, csv, folder, idx or synthetic"},
      {"data.csv_img_key", &d.csv_img_key, "column of image paths, by name or number"},
      {"data.csv_caption_key", &d.csv_caption_key, "column of captions, by name or number"},
      {"data.csv_separator", &d.csv_separator, "empty: detected"},
      {"data.image_root", &d.image_root, "what the table's paths are relative to; empty: the table's folder"},
      {"data.image_key", &d.image_key, "extensions of images in shards"},
      {"data.text_key", &d.text_key, "extension of captions in shards"},
      {"data.captions", &d.captions, "random (one an epoch) or all"},
      {"data.vocabulary", &d.vocabulary, "merges file in CLIP's format, plain or gzipped"},
      {"data.truncation", &d.truncation, "keep-eot or cut"},
      {"data.workers", &d.workers, "threads that read and decode"},
      {"data.cache_mb", &d.cache_mb, "MiB of decoded images kept in memory"},
      {"data.max_image_pixels", &d.max_image_pixels, "larger images are skipped"},
      {"data.train_num_samples", &d.train_num_samples, "samples of an epoch; 0: all"},
      {"augment.scale_min", &a.scale_min, "smallest share of the area in a random crop"},
      {"augment.scale_max", &a.scale_max, "largest share"},
      {"augment.flip", &a.flip, "mirror half of the images"},
      {"augment.interpolation", &a.interpolation, "bilinear or bicubic"}};
  keys.insert(keys.end(), own.begin(), own.end());
}

void training_keys(std::vector<Key>& keys, Config& c) {
  OptimConfig& o = c.optim;
  RunConfig& r = c.run;
  const std::vector<Key> own = {
      {"optim.batch_size", &o.batch_size, "pairs in a micro-batch"},
      {"optim.accum_freq", &o.accum_freq, "micro-batches a step; negatives span them all"},
      {"optim.epochs", &o.epochs, ""},
      {"optim.lr", &o.lr, "peak learning rate"},
      {"optim.lr_start", &o.lr_start, "of the warm-up"},
      {"optim.lr_end", &o.lr_end, "of the cosine"},
      {"optim.warmup", &o.warmup, "steps; -1: one epoch"},
      {"optim.beta1", &o.beta1, ""},
      {"optim.beta2", &o.beta2, ""},
      {"optim.eps", &o.eps, ""},
      {"optim.wd", &o.wd, "weight decay"},
      {"optim.grad_clip_norm", &o.grad_clip_norm, "0: off"},
      {"optim.ema", &o.ema, "decay of the averaged weights; 0: off"},
      {"run.name", &r.name, "folder below run.logs; empty: made from date and objective"},
      {"run.logs", &r.logs, "where runs are kept"},
      {"run.seed", &r.seed, ""},
      {"run.precision", &r.precision, "fp32 or amp_bf16"},
      {"run.device", &r.device, "auto, cpu or cuda[:N]"},
      {"run.save_every_steps", &r.save_every_steps, "steps; 0: only with epochs"},
      {"run.save_frequency", &r.save_frequency, "epochs"},
      {"run.keep", &r.keep, "checkpoints kept besides the best; 0: all"},
      {"run.log_every_n_steps", &r.log_every_n_steps, "steps"},
      {"run.val_frequency", &r.val_frequency, "epochs; 0: never"},
      {"run.grad_checkpointing", &r.grad_checkpointing, "less memory, a third more work"}};
  keys.insert(keys.end(), own.begin(), own.end());
}

}  // namespace

std::vector<Key> schema(Config& config) {
  std::vector<Key> keys;
  model_keys(keys, config);
  loss_keys(keys, config);
  data_keys(keys, config);
  training_keys(keys, config);
  return keys;
}

}  // namespace tessera::rils
