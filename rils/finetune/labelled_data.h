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

/// The train/val split of a set of labelled images.
struct LabelledData {
  std::shared_ptr<const Dataset> train, val;
  std::vector<int32_t> labels;           // of train; −1 for an unusable sample
  std::vector<std::string> class_names;  // by label; numbers where the data have no names
  int64_t classes = 0;                   // finetune.nb_classes, or the number of classes in the data
  std::vector<std::string> notes;        // lines for the user about what was read and passed over
};

/// Opens finetune.data_path: a folder with a train split and a val or test split (find_splits) of class folders or
/// shards with labels, or a folder with the IDX files of both splits. Throws ConfigError for a missing split, fewer
/// than two classes, a class without training images, splits with different classes, or a label beyond
/// finetune.nb_classes.
[[nodiscard]] LabelledData open_labelled(const Config& config);

/// Draws `count` samples of each class at random by (seed, draw); returns their places in ascending order. Throws
/// ConfigError when a class has fewer.
[[nodiscard]] std::vector<int64_t> draw_shots(const LabelledData& data, int64_t count, uint64_t seed, int64_t draw);
/// Draws a fraction of each class, rounded, but at least one sample; returns their places in ascending order.
[[nodiscard]] std::vector<int64_t> draw_fraction(const LabelledData& data, double fraction, uint64_t seed);

/// The augmentation of training images. Throws ConfigError for an invalid finetune.aa.
[[nodiscard]] ClassifyTransform classify_transform(const Config& config);
/// A loader of micro-batches of optim.batch_size for training that continues from `state`.
[[nodiscard]] std::unique_ptr<Loader> training_loader(const Config& config, std::shared_ptr<const Dataset> data,
                                                      const LoaderState& state);
/// MAE's evaluation transform: resizes the shorter side to size · 256 / 224 (above 224 pixels to size, unless `always`)
/// and crops the centre.
[[nodiscard]] EvalTransform centre_transform(const Config& config, bool always = false);

}  // namespace tessera::rils
