#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rils/config/config.h"
#include "rils/data/augment/rand_augment.h"
#include "rils/data/dataset.h"
#include "rils/data/loader.h"

namespace tessera::rils {

/// Labelled images to learn from and to judge by.
struct LabelledData {
  std::shared_ptr<const Dataset> train, val;
  std::vector<int32_t> labels;           // of train; −1 where the sample turned out unusable
  std::vector<std::string> class_names;  // by label; numbers where the data have no names
  int64_t classes = 0;                   // finetune.nb_classes, or as many as the data have
};

/// Opens finetune.data_path: a folder with train/ and val/ or test/ (class folders, or shards with labels), or one with
/// the IDX files of both. Throws ConfigError in one line: a missing split, fewer than two classes, a class without
/// images, splits with other classes, a label beyond finetune.nb_classes.
[[nodiscard]] LabelledData open_labelled(const Config& config);

/// `count` samples of each class, drawn without order by (seed, draw); ascending. Throws ConfigError when a class has
/// fewer.
[[nodiscard]] std::vector<int64_t> draw_shots(const LabelledData& data, int64_t count, uint64_t seed, int64_t draw);
/// A share of each class, rounded, at least one sample; ascending.
[[nodiscard]] std::vector<int64_t> draw_fraction(const LabelledData& data, double fraction, uint64_t seed);

/// What training does with an image. Throws ConfigError for a finetune.aa that it does not understand.
[[nodiscard]] ClassifyTransform classify_transform(const Config& config);
/// Micro-batches of optim.batch_size for training, continued from `state`.
[[nodiscard]] std::unique_ptr<Loader> training_loader(const Config& config, std::shared_ptr<const Dataset> data,
                                                      const LoaderState& state);
/// MAE's test transform: the shorter side to size · 256 / 224 (above 224 pixels to size, unless `always`), bicubic or
/// as configured, and the centre.
[[nodiscard]] EvalTransform centre_transform(const Config& config, bool always = false);

}  // namespace tessera::rils
