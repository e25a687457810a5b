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

/// Writes the entries and buffers of a store under their names, with a checksum, which it returns.
std::string save_weights(const std::filesystem::path& path, const ParameterStore& store, const Metadata& metadata);
/// Writes other values under the same names, such as an EMA arena of the store's layout.
std::string save_weights(const std::filesystem::path& path, const ParameterStore& store, const Tensor& values,
                         const Metadata& metadata);

/// What a load found. Fixed buffers may be absent from the file. Those in the file must have the right shape, but the
/// model keeps its own values.
struct LoadReport {
  std::vector<std::string> missing;     // entries that the file does not have
  std::vector<std::string> unrestored;  // running buffers that the file does not have
  std::vector<std::string> unexpected;  // tensors that the model does not have
  std::vector<std::string> mismatched;  // "NAME [..] (expected [..])"
  /// True when the file has every entry, with its shape, and no tensor that the model does not have.
  [[nodiscard]] bool fits() const { return missing.empty() && unexpected.empty() && mismatched.empty(); }
  [[nodiscard]] bool complete() const { return fits() && unrestored.empty(); }
  /// One line with the first few names of each kind.
  [[nodiscard]] std::string summary() const;
};

/// Loading checks the checksum of a file that has one, and throws IoError for a damaged file.

/// Copies the tensors that fit by name and shape into entries and running buffers, and converts floating types.
LoadReport load_matching(const SafetensorsFile& file, ParameterStore& store);
/// Loads entries and running buffers. Throws IoError unless names and shapes agree exactly (the file may lack fixed
/// buffers).
void load_weights(const SafetensorsFile& file, ParameterStore& store);
/// Like load_weights, but the file may lack running buffers, which then keep their values.
void load_parameters(const SafetensorsFile& file, ParameterStore& store);

/// Writes the optimiser's moments under `m.NAME` and `v.NAME`, and its number of steps with the metadata.
/// Returns the file's checksum.
std::string save_training_state(const std::filesystem::path& path, const ParameterStore& store, const AdamW& optimizer,
                                Metadata metadata);
/// The number of steps of a training state. Throws IoError when the file is none.
[[nodiscard]] int64_t steps_of(const SafetensorsFile& file);
/// Restores moments and steps, and returns the metadata. Throws IoError when the file belongs to another model.
Metadata load_training_state(const SafetensorsFile& file, const ParameterStore& store, AdamW& optimizer);
/// The same for LARS, whose momentum is under `m.NAME`.
std::string save_training_state(const std::filesystem::path& path, const ParameterStore& store, const Lars& optimizer,
                                Metadata metadata);
Metadata load_training_state(const SafetensorsFile& file, const ParameterStore& store, Lars& optimizer);

}  // namespace tessera::nn
