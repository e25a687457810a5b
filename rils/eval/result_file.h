#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "rils/config/config.h"
#include "rils/run/metrics.h"

namespace tessera::rils {

/// A result, as CLIP_benchmark writes one. Its texts may hold any bytes.
struct Result {
  std::string task;        // zeroshot_classification, zeroshot_retrieval, linear_probe; ours: knn, pointing, finetuning
  std::string dataset;     // a name, see dataset_label
  std::string data;        // the source that was read
  std::string setting;     // what tells it from the usual result of the task on these data ("untrained"); "": nothing
  std::string model;       // see model_label
  std::string pretrained;  // the weights, or "untrained" or "pixels"
  Record metrics, chance;  // fractions; `chance` has the keys of the metrics that it speaks of
  int64_t samples = 0;
  double seconds = 0;
  std::string command;
};

/// The name of a data set: the last part of its source, with the folder before it where the part is a split
/// ("scenes/test"). A pattern of names stands for the folder before it. The names of joined sources are joined by +.
[[nodiscard]] std::string dataset_label(const std::string& source);
/// "rils-768x12": objective, width and layers of the image encoder.
[[nodiscard]] std::string model_label(const ModelConfig& model);
/// The setting of a probe with this many images a class, or with a fraction of all images; "" for all.
[[nodiscard]] std::string probe_setting(int64_t shots, double fraction);

/// Writes the object that CLIP_benchmark's `build` reads, with further keys of ours, to a file. Throws IoError.
void write_result(const Result& result, const std::filesystem::path& file);
/// Writes it to TASK-DATASET.json (or TASK-DATASET-SETTING.json) in the folder results/ of a run. It replaces a result
/// of the same task, data and setting, and no other: where the name is taken, -2 is added, then -3. Returns the file.
/// Throws IoError.
std::filesystem::path gather_result(const Result& result, const std::filesystem::path& run);

}  // namespace tessera::rils
