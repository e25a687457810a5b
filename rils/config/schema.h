#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rils/config/config.h"

namespace tessera::rils {

/// An enum whose words are the key's choices: the number of one of them.
struct ChoiceField {
  uint8_t* index;
};
/// Where a key's value lies in a Config.
using Field =
    std::variant<bool*, int64_t*, double*, std::string*, ChoiceField, std::span<double>, std::vector<int64_t>*>;

/// Permitted numbers; an open end is not itself permitted.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_open = false, max_open = false;
  [[nodiscard]] bool contains(double value) const;
  /// "of at least 1", "above 0", "in [0, 1)"; empty when everything is permitted.
  [[nodiscard]] std::string describe() const;
};

/// One word of a closed list, and its other spellings.
struct Choice {
  std::string_view name;
  std::vector<std::string_view> aliases = {};
};

/// How the command line offers a key: under its own heading, at the end of the help, or only through --set.
enum class Level : uint8_t { common, rare, set_only };

/// Whether a resumed run may have another value.
enum class OnResume : uint8_t { may_change, must_agree };

/// The description of one key. Reading, options, help, checks and comparison all work from it.
struct Key {
  std::string path;  // "model.vision.width"
  std::function<Field(Config&)> field;
  std::string_view placeholder;  // for its value in the help
  std::string_view help;         // with the unit
  Range range = {};
  std::vector<Choice> choices = {};  // empty: any value of the type
  Level level = Level::rare;
  OnResume on_resume = OnResume::may_change;
  std::string old_path = {};  // the path in older files; empty: the same

  /// "model.vision" and "width".
  [[nodiscard]] std::string_view section() const { return std::string_view(path).substr(0, path.rfind('.')); }
  [[nodiscard]] std::string_view name() const { return std::string_view(path).substr(path.rfind('.') + 1); }
};

/// The programs and subcommands that have options for keys.
enum class Program : uint8_t { pretrain, finetune, inspect_model, inspect_data };
/// Whether a program reads a key.
[[nodiscard]] bool serves(const Key& key, Program program);
/// The defaults of a fine-tuning run: MAE's recipe.
[[nodiscard]] Config finetuning_defaults();
/// The defaults with --probe lars: MAE's linear probe.
[[nodiscard]] Config probing_defaults();

/// All keys, section by section.
[[nodiscard]] std::span<const Key> schema();
/// By path, the old one included; null when there is none.
[[nodiscard]] const Key* find_key(std::string_view path);
/// The message for a path that no key has: "unknown key optim.lrr; did you mean optim.lr?", with the same name in
/// another section or a near one, else with the names that its section has, else with the sections.
[[nodiscard]] std::string unknown_key(std::string_view path);
/// The same for a section: "unknown section [optimizer]; did you mean [optim]?".
[[nodiscard]] std::string unknown_section(std::string_view path);

/// The candidate that was most likely meant: the one with the fewest insertions, deletions, replacements and swaps of
/// neighbours (the first of equals) if they are at most a third of the longer word, else the first that begins with
/// the word, or the other way round. Empty if none is near.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// A key's value as TOML writes it: shortest digits that read back as the same double, strings in quotes.
[[nodiscard]] std::string value_text(const Config& config, const Key& key);

/// Sets a key from a word of the command line: numbers, true and false, lists as "0.5,1". A list of integers may be one
/// number alone; 0 is an empty one. `origin` begins the message ("--lr"). Throws ConfigError:
/// `--lr: expected a number of at least 0, found "fast"`.
void set_from_text(Config& config, const Key& key, std::string_view text, std::string_view origin);
/// `section.key=value`, the argument of --set. Throws ConfigError, for an unknown key with the nearest known one.
void set_assignment(Config& config, std::string_view assignment);

/// Stores a value that has been read, after checks of range and choices.
using Value = std::variant<bool, int64_t, double, std::string, std::vector<double>>;
void set_value(Config& config, const Key& key, const Value& value, std::string_view origin);

/// A key whose values differ.
struct Difference {
  const Key* key;
  std::string first, second;  // as TOML writes them
};
[[nodiscard]] std::vector<Difference> differences(const Config& first, const Config& second);
/// Checks that a run may be resumed with another configuration. Throws ConfigError that names the first key that must
/// agree and does not. The split into micro-batches may differ if the global batch is the same.
void check_resumable(const Config& stored, const Config& now);

/// Checks what must hold between keys: divisibility, order of bounds, ranks that divide the batch. Throws ConfigError.
void check_config(const Config& config);

/// Throws ConfigError for an objective without a term: such a model is used, not trained.
void check_trainable(const ModelConfig& model);

/// The global batch N, accum_freq as global_batch_size asks for it, and the simulated ranks. Throws ConfigError when N
/// is not divided evenly by micro-batches or ranks, or the ranks by the processes.
struct BatchPlan {
  int64_t global = 0;
  int64_t accum_freq = 1;
  int64_t simulated_ranks = 1;
};
[[nodiscard]] BatchPlan plan_batch(const Config& config, int64_t processes);

}  // namespace tessera::rils
