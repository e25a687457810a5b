// Which keys each program reads.
#include <algorithm>

#include "rils/config/schema.h"

namespace tessera::rils {
namespace {

/// The keys of one section that a program reads; all of them where no name is given.
struct SectionKeys {
  std::string_view section;
  std::vector<std::string_view> names;
};

const std::vector<SectionKeys>& keys_of(Program program) {
  static const std::vector<SectionKeys> finetune = {
      {"finetune", {}},
      {"model.vision", {}},
      {"augment",
       {"crop_scale", "crop_ratio", "flip", "image_interpolation", "resize_before_rgb", "image_mean", "image_std"}},
      {"data", {"dataset_type", "image_key", "max_image_pixels", "workers", "cache_mib"}},
      {"optim",
       {"batch_size", "accum_freq", "epochs", "lr", "lr_end", "beta1", "beta2", "eps", "wd", "grad_clip_norm", "ema"}},
      {"run",
       {"name", "logs", "seed", "precision", "save_every_steps", "save_frequency", "keep", "log_every_n_steps",
        "val_frequency", "grad_checkpointing", "report_to", "device"}},
  };
  static const std::vector<SectionKeys> inspect_model = {
      {"model", {}},
      {"model.vision", {}},
      {"model.decoder", {}},
      {"model.text", {}},
      {"model.image_mlp", {}},
      {"loss", {"mask_ratio"}},
      {"data", {"vocabulary"}},
      {"optim", {"batch_size", "accum_freq", "global_batch_size", "ema"}},
      {"run", {"precision", "grad_checkpointing"}},
  };
  static const std::vector<SectionKeys> inspect_data = {
      {"model", {"objective"}},
      {"model.vision", {"image_size"}},
      {"model.text", {"context_length", "vocab_size"}},
      {"data",
       {"train_data", "val_data", "dataset_type", "csv_img_key", "csv_caption_key", "csv_separator", "image_root",
        "image_key", "text_key", "text_encoding", "captions", "vocabulary", "truncation", "max_image_pixels",
        "train_num_samples", "workers", "cache_mib"}},
      {"augment", {}},
      {"optim", {"batch_size", "accum_freq", "global_batch_size"}},
      {"run", {"seed"}},
  };
  return program == Program::finetune ? finetune : program == Program::inspect_model ? inspect_model : inspect_data;
}

}  // namespace

bool serves(const Key& key, Program program) {
  if (program == Program::pretrain) return key.section() != "finetune";
  return std::ranges::any_of(keys_of(program), [&](const SectionKeys& keys) {
    return keys.section == key.section() &&
           (keys.names.empty() || std::ranges::find(keys.names, key.name()) != keys.names.end());
  });
}

}  // namespace tessera::rils
