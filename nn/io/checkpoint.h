#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/optim/adamw.h"
#include "nn/optim/lars.h"
#include "nn/parameter_store.h"

namespace tessera::nn {

using Metadata = std::map<std::string, std::string>;

/// Entries and buffers of a store, by their names.
void save_weights(const std::filesystem::path& path, const ParameterStore& store, const Metadata& metadata);
/// The same names with other values (an EMA arena laid out like the store's).
void save_weights(const std::filesystem::path& path, const ParameterStore& store, const Tensor& values,
                  const Metadata& metadata);

/// What a load found. Fixed buffers may be absent from the file; those that are there must agree in shape, and their
/// values stay the model's own.
struct LoadReport {
  std::vector<std::string> missing;     // entries that the file does not have
  std::vector<std::string> unrestored;  // running buffers that the file does not have
  std::vector<std::string> unexpected;  // tensors that the model does not have
  std::vector<std::string> mismatched;  // "NAME: file [..], model [..]"
  /// Every entry was there, and nothing that the model does not know.
  [[nodiscard]] bool fits() const { return missing.empty() && unexpected.empty() && mismatched.empty(); }
  [[nodiscard]] bool complete() const { return fits() && unrestored.empty(); }
  /// The first few of each kind in one line.
  [[nodiscard]] std::string summary() const;
};

/// Copies what fits by name and shape into entries and running buffers, converting floating types.
LoadReport load_matching(const SafetensorsFile& file, ParameterStore& store);
/// Throws IoError in one line unless names and shapes agree exactly (fixed buffers may be absent from the file).
void load_weights(const SafetensorsFile& file, ParameterStore& store);
/// The same, but running buffers may be absent too and then stay as they are.
void load_parameters(const SafetensorsFile& file, ParameterStore& store);

/// The optimiser's moments under `m.NAME` and `v.NAME`; steps and whatever else resuming needs are in the metadata.
void save_training_state(const std::filesystem::path& path, const ParameterStore& store, const AdamW& optimizer,
                         Metadata metadata);
/// Restores moments and step count and returns the metadata. Throws IoError when the file is of another model.
Metadata load_training_state(const SafetensorsFile& file, const ParameterStore& store, AdamW& optimizer);
/// The same with the momentum under `m.NAME` alone.
void save_training_state(const std::filesystem::path& path, const ParameterStore& store, const Lars& optimizer,
                         Metadata metadata);
Metadata load_training_state(const SafetensorsFile& file, const ParameterStore& store, Lars& optimizer);

}  // namespace tessera::nn
