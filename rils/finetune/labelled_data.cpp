#include "rils/finetune/labelled_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "rils/data/detect.h"
#include "rils/data/splits.h"
#include "rils/eval/tasks.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKey = "finetune.data_path";

struct Sources {
  std::string train, val;
  std::vector<std::string> notes;
};

Sources split_folders(const fs::path& root, const Splits& splits) {
  const Split *train = splits.choose("train"), *val = splits.choose("val");
  if (train == nullptr) {
    throw ConfigError(
        fmt::format("{}: expected train beside {} in {}, found none", kKey, splits.names(), root.string()));
  }
  if (val == nullptr) {
    throw ConfigError(fmt::format("{}: expected val or test beside {}, found neither", kKey, train->path.string()));
  }
  Sources sources{train->path.string(), val->path.string(), {}};
  sources.notes.push_back(fmt::format("train images from {}, val images from {}", sources.train, sources.val));
  if (auto others = splits.describe_others(root); !others.empty()) sources.notes.push_back(std::move(others));
  return sources;
}

Sources find_sources(const std::string& path) {
  if (path.empty()) throw ConfigError(fmt::format("{}: expected a folder of labelled images, found none", kKey));
  const fs::path root(path);
  if (fs::is_directory(root)) {
    const Splits splits = find_splits(root);
    if (!splits.found.empty()) return split_folders(root, splits);
    if (idx_files_in(root).size() >= 2) return {path, path, {}};
  }
  throw ConfigError(
      fmt::format("{}: expected a folder with train/ and val/ or test/, or with the IDX files of both, "
                  "found {}",
                  kKey, fs::exists(root) ? path : "no folder " + path));
}

/// The class of every sample; images are not read. Throws IoError when no sample has one.
std::vector<int32_t> labels_of(const Dataset& data, const std::string& source, const Progress& progress) {
  constexpr int64_t kTold = 256;
  std::vector<int32_t> labels;
  SkipCounts skipped = data.skipped();
  labels.reserve(static_cast<size_t>(data.size()));
  for (int64_t i = 0; i < data.size(); ++i) {
    try {
      labels.push_back(data.load(i, false).label);
    } catch (const SampleError& error) {
      labels.push_back(-1);  // the loader skips and counts it
      skipped.add(error.reason(), fmt::format("{}: {}", data.name(i), error.what()));
    }
    if (progress && (i % kTold == 0 || i + 1 == data.size())) progress(i + 1, data.size());
  }
  if (const auto most = std::ranges::max_element(labels); most != labels.end() && *most >= kMostClasses)
    throw IoError(fmt::format("{}: expected class numbers below {}, found {}", source, kMostClasses, *most));
  if (std::ranges::all_of(labels, [](int32_t label) { return label < 0; }))
    throw IoError(fmt::format("{}: no usable image: {}", source, skipped.describe()));
  return labels;
}

std::vector<int64_t> class_sizes(std::span<const int32_t> labels, int64_t classes) {
  std::vector<int64_t> sizes(static_cast<size_t>(classes));
  for (const int32_t label : labels) {
    if (label >= 0) ++sizes.at(static_cast<size_t>(label));
  }
  return sizes;
}

void check_same_classes(const Dataset& train, const Dataset& val, const Sources& sources) {
  const auto& a = train.class_names();
  const auto& b = val.class_names();
  if (a == b) return;
  const auto missing = [](const auto& in, const auto& from) {
    return std::ranges::find_if(in, [&](const auto& name) { return std::ranges::find(from, name) == from.end(); });
  };
  const auto only_a = missing(a, b), only_b = missing(b, a);
  const bool first = only_a != a.end();
  throw ConfigError(fmt::format("{}: expected the classes of {} in {} too, found {} only in {}", kKey, sources.train,
                                sources.val,
                                first               ? *only_a
                                : only_b != b.end() ? *only_b
                                                    : "another order",
                                first ? sources.train : sources.val));
}

/// The images of every class in a random order that depends on (seed, draw).
std::vector<std::vector<int64_t>> shuffled_classes(const LabelledData& data, uint64_t seed, int64_t draw) {
  const Philox random(seed, "shots");
  std::vector<std::vector<std::pair<uint32_t, int64_t>>> keyed(static_cast<size_t>(data.classes));
  for (size_t i = 0; i < data.labels.size(); ++i) {
    if (data.labels[i] < 0) continue;
    keyed.at(static_cast<size_t>(data.labels[i])).emplace_back(random.bits(static_cast<uint64_t>(draw), i, 0), i);
  }
  std::vector<std::vector<int64_t>> classes;
  for (auto& images : keyed) {
    std::ranges::sort(images);
    auto& order = classes.emplace_back();
    for (const auto& [key, image] : images) order.push_back(image);
  }
  return classes;
}

std::vector<int64_t> take(const std::vector<std::vector<int64_t>>& classes,
                          const std::function<int64_t(size_t)>& count) {
  std::vector<int64_t> chosen;
  for (size_t c = 0; c < classes.size(); ++c) {
    chosen.insert(chosen.end(), classes[c].begin(), classes[c].begin() + count(c));
  }
  std::ranges::sort(chosen);
  return chosen;
}

}  // namespace

LabelledData open_labelled(const Config& config, const Stages& stages) {
  const FinetuneConfig& f = config.finetune;
  const Sources sources = find_sources(f.data_path);
  DatasetOptions options = dataset_options(config);
  options.need_caption = false;
  options.need_label = true;
  options.stages = stages;
  LabelledData data;
  options.split = "train";
  data.train = open_dataset(sources.train, options);
  options.split = "test";
  data.val = open_dataset(sources.val, options);
  check_same_classes(*data.train, *data.val, sources);
  data.notes = sources.notes;
  for (const auto* part : {data.train.get(), data.val.get()}) {
    data.notes.insert(data.notes.end(), part->notes().begin(), part->notes().end());
  }

  const Progress reading = stage_of(stages, "reading labels");
  data.labels = labels_of(*data.train, sources.train, reading);
  int64_t found = std::ssize(data.train->class_names());
  for (const int32_t label : data.labels) found = std::max<int64_t>(found, label + 1);
  for (const int32_t label : labels_of(*data.val, sources.val, reading)) found = std::max<int64_t>(found, label + 1);
  if (found < 2) throw ConfigError(fmt::format("{}: expected at least 2 classes, found {}", sources.train, found));
  data.class_names = data.train->class_names();
  for (int64_t c = std::ssize(data.class_names); c < found; ++c) data.class_names.push_back(std::to_string(c));
  const std::vector<int64_t> sizes = class_sizes(data.labels, found);
  if (const auto empty = std::ranges::find(sizes, 0); empty != sizes.end()) {
    throw ConfigError(fmt::format("{}: expected images of every class, found none of {}", sources.train,
                                  data.class_names[static_cast<size_t>(empty - sizes.begin())]));
  }
  if (f.nb_classes != 0 && f.nb_classes < found) {
    throw ConfigError(fmt::format("finetune.nb_classes: expected at least {}, the classes of {}, found {}", found,
                                  f.data_path, f.nb_classes));
  }
  data.classes = std::max(f.nb_classes, found);
  return data;
}

std::vector<int64_t> draw_shots(const LabelledData& data, int64_t count, uint64_t seed, int64_t draw) {
  const auto classes = shuffled_classes(data, seed, draw);
  return take(classes, [&](size_t c) {
    if (c < data.class_names.size() && std::ssize(classes[c]) < count) {
      throw ConfigError(fmt::format("finetune.shots: expected at most {}, the images of class {}, found {}",
                                    classes[c].size(), data.class_names[c], count));
    }
    return std::min<int64_t>(count, std::ssize(classes[c]));
  });
}

std::vector<int64_t> draw_fraction(const LabelledData& data, double fraction, uint64_t seed) {
  const auto classes = shuffled_classes(data, seed, 0);
  return take(classes, [&](size_t c) {
    const auto size = static_cast<double>(classes[c].size());
    return std::min<int64_t>(std::max<int64_t>(std::llround(fraction * size), 1), std::ssize(classes[c]));
  });
}

ClassifyTransform classify_transform(const Config& config) {
  ClassifyTransform t;
  t.crop = train_transform(config);
  t.augment = RandAugment::parse(config.finetune.aa);
  t.augment.fill = RandAugment::fill_of(t.crop.mean);
  t.crop.clipped_crop = config.finetune.probe == ProbeKind::lars;
  t.erasing.probability = config.finetune.reprob;
  return t;
}

std::unique_ptr<Loader> training_loader(const Config& config, std::shared_ptr<const Dataset> data,
                                        const LoaderState& state) {
  LoaderOptions o;
  o.batch_size = config.optim.batch_size;
  o.image_size = static_cast<int>(config.model.vision.image_size);
  o.transform = classify_transform(config);
  o.workers = static_cast<int>(config.data.workers);
  o.seed = static_cast<uint64_t>(config.run.seed);
  o.max_image_pixels = config.data.max_image_pixels;
  o.resize_before_rgb = config.augment.resize_before_rgb;
  o.cache_bytes = static_cast<size_t>(config.data.cache_mib) << 20;
  return std::make_unique<Loader>(std::move(data), std::move(o), state);
}

EvalTransform centre_transform(const Config& config, bool always) {
  constexpr int kTrained = 224, kResized = 256;  // pixels in MAE's evaluation
  EvalTransform t = eval_transform(config);
  if (always || t.size <= kTrained) t.resize = t.size * kResized / kTrained;
  return t;
}

}  // namespace tessera::rils
