#include "rils/train/checkpoint_files.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/ops/copy.h"

namespace tessera::rils {

namespace {

constexpr const char* kStateChecksum = "state_checksum";
constexpr const char* kEmaChecksum = "ema_checksum";

[[noreturn]] void mismatch(const std::filesystem::path& path, const std::string& expected, const std::string& found) {
  throw IoError(fmt::format("{}: expected {}, found {}", path.string(), expected, found));
}

/// The word of a weights file's metadata, or "".
std::string word(const nn::SafetensorsFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? std::string() : found->second;
}

/// Checks one of the files that the weights name.
void check_part(const nn::SafetensorsFile& part, const nn::SafetensorsFile& weights, const char* key) {
  part.check_content();
  const std::string named = word(weights, key), own = part.stated_checksum();
  if (named != own) {
    mismatch(part.path(), fmt::format("what was saved with {} ({})", weights.path().filename().string(), named),
             own.empty() ? "a file without a checksum" : own);
  }
}

}  // namespace

std::string check_checkpoint(const CheckpointFiles& files) {
  const nn::SafetensorsFile weights(files.weights), state(files.state);
  weights.check_content();
  check_part(state, weights, kStateChecksum);
  const bool averages = std::filesystem::exists(files.ema);
  if (averages) check_part(nn::SafetensorsFile(files.ema), weights, kEmaChecksum);
  if (!averages && !word(weights, kEmaChecksum).empty()) mismatch(files.ema, "the averages of this step", "no file");
  const std::string step = std::to_string(nn::steps_of(state)), named = word(weights, "step");
  if (named != step) {
    mismatch(files.state, fmt::format("the state after step {}, as the weights", named), "that after step " + step);
  }
  const std::string name = fmt::format("step_{:0>8}.safetensors", named);
  if (files.weights.filename() != name) mismatch(files.weights, "the weights of its name", name);
  if (!weights.stated_checksum().empty()) return "";
  return fmt::format("{}: not verified: it has no checksums (an earlier version wrote it)", files.weights.string());
}

const std::string& word_of_state(const nn::Metadata& state, const std::string& key) {
  const auto found = state.find(key);
  if (found == state.end()) throw IoError(fmt::format("training state: expected the entry {}, found none", key));
  return found->second;
}

double number_of_state(const nn::Metadata& state, const std::string& key) {
  const std::string& text = word_of_state(state, key);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  throw IoError(fmt::format("training state: {}: expected a number, found \"{}\"", key, text));
}

template <class Optimizer>
void save_checkpoint(const CheckpointFiles& files, const nn::ParameterStore& store, const Optimizer& optimizer,
                     nn::Ema* ema, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata) {
  nn::Metadata with_parts = weights_metadata;
  with_parts[kStateChecksum] = save_training_state(files.state, store, optimizer, state_metadata);
  if (ema != nullptr) with_parts[kEmaChecksum] = save_weights(files.ema, store, ema->values(), weights_metadata);
  save_weights(files.weights, store, with_parts);
}

template <class Optimizer>
nn::Metadata load_checkpoint(const CheckpointFiles& files, nn::ParameterStore& store, Optimizer& optimizer,
                             nn::Ema* ema) {
  load_weights(nn::SafetensorsFile(files.weights), store);
  if (ema != nullptr) {
    // The averages are read through the store, whose values they replace for a moment.
    const Tensor weights = clone(store.values());
    load_weights(nn::SafetensorsFile(files.ema), store);
    copy_into(store.values(), ema->values());
    copy_into(weights, store.values());
    store.mark_written();
  }
  return load_training_state(nn::SafetensorsFile(files.state), store, optimizer);
}

template void save_checkpoint(const CheckpointFiles&, const nn::ParameterStore&, const nn::AdamW&, nn::Ema*,
                              const nn::Metadata&, const nn::Metadata&);
template void save_checkpoint(const CheckpointFiles&, const nn::ParameterStore&, const nn::Lars&, nn::Ema*,
                              const nn::Metadata&, const nn::Metadata&);
template nn::Metadata load_checkpoint(const CheckpointFiles&, nn::ParameterStore&, nn::AdamW&, nn::Ema*);
template nn::Metadata load_checkpoint(const CheckpointFiles&, nn::ParameterStore&, nn::Lars&, nn::Ema*);

}  // namespace tessera::rils
