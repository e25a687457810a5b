#include "apps/common/config_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string_view>
#include <variant>

#include "engine/core/error.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/run/run_folder.h"

namespace tessera::apps {
namespace {

using rils::Key;
using rils::Level;

constexpr const char* kRareGroup = "Rare";

/// Names that users of other programs know.
struct Alias {
  std::string_view path, name;
};
constexpr std::array kAliases = {
    Alias{"optim.wd", "weight-decay"},
    Alias{"optim.grad_clip_norm", "clip-grad"},
    Alias{"optim.accum_freq", "accum-iter"},
    Alias{"data.workers", "num-workers"},
    Alias{"data.csv_img_key", "csv-image-key"},
    Alias{"augment.image_interpolation", "interpolation"},
    Alias{"run.save_every_steps", "save-every-n-steps"},
    Alias{"run.logs", "logs-dir"},
};

std::string option_name(const Key& key) {
  std::string name(key.name());
  std::ranges::replace(name, '_', '-');
  return "--" + name;
}

std::string all_names(const Key& key) {
  std::string names = option_name(key);
  for (const Alias& alias : kAliases) {
    if (alias.path == key.path) names += fmt::format(",--{}", alias.name);
  }
  return names;
}

std::string heading(const Key& key) {
  if (key.level == Level::rare) return kRareGroup;
  const std::string_view section = key.path.substr(0, key.path.find('.'));
  if (section == "data" || section == "augment") return "Data";
  if (section == "model" || section == "loss") return "Objective";
  return section == "optim" ? "Optimisation" : "Run";
}

std::string help_text(const Key& key) {
  std::string choices;
  for (const rils::Choice& choice : key.choices) {
    if (!choice.name.empty()) choices += (choices.empty() ? ": " : ", ") + std::string(choice.name);
  }
  return std::string(key.help) + choices;
}

bool is_flag(const Key& key) {
  rils::Config config;
  return std::holds_alternative<bool*>(key.field(config));
}

}  // namespace

struct ConfigOptions::State {
  CLI::App* app = nullptr;
  std::string file;
  /// What an occurrence of an option does with its word.
  std::map<const CLI::Option*, std::function<void(rils::Config&, const std::string&)>> actions;

  void add_key(const Key& key, const rils::Config& defaults) {
    CLI::Option* option = is_flag(key) ? app->add_flag(all_names(key)) : app->add_option(all_names(key));
    option->description(help_text(key));
    std::string value = value_text(defaults, key);
    if (value != "\"\"") option->default_str(value);
    if (!is_flag(key)) option->type_name(std::string(key.metavar));
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->group(heading(key));
    actions[option] = [&key, origin = option_name(key)](rils::Config& config, const std::string& word) {
      set_from_text(config, key, word, origin);
    };
  }

  void add_gather(const char* name, const char* gather, const char* help) {
    actions[app->add_flag(name)->description(help)->group(kRareGroup)] =
        [gather](rils::Config& config, const std::string&) { config.loss.gather = gather; };
  }

  /// Options in the order in which they were typed.
  void apply(rils::Config& config) const {
    std::map<const CLI::Option*, size_t> used;
    for (const CLI::Option* option : app->parse_order()) {
      const auto action = actions.find(option);
      if (action != actions.end()) action->second(config, option->results().at(used[option]++));
    }
  }
};

ConfigOptions::ConfigOptions(CLI::App& app) : state_(std::make_unique<State>()) {
  state_->app = &app;
  app.add_option("--config", state_->file, "TOML file that describes the run")->type_name("FILE")->group("Start");
  CLI::Option* set = app.add_option("--set")->description("section.key=value, for any key of the file");
  set->type_name("KEY=VALUE")->group("Start")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  state_->actions[set] = [](rils::Config& config, const std::string& word) { set_assignment(config, word); };
  const rils::Config defaults;
  for (const Level level : {Level::common, Level::rare}) {
    for (const Key& key : rils::schema()) {
      if (key.level == level) state_->add_key(key, defaults);
    }
  }
  state_->add_gather("--gather-with-grad", "with-gradient", "the same as --gather with-gradient");
  state_->add_gather("--local-loss", "constant", "the same as --gather constant; open_clip's bare default is neither");
}

ConfigOptions::~ConfigOptions() = default;

rils::Config ConfigOptions::resolve() const {
  rils::Config config;
  if (!state_->file.empty()) {
    if (!std::filesystem::is_regular_file(state_->file)) {
      throw ConfigError(fmt::format("--config: expected a file, found none at {}", state_->file));
    }
    config = rils::load_config(state_->file);
  }
  state_->apply(config);
  check_config(config);
  return config;
}

rils::Config ConfigOptions::resolve_resumed(const std::string& resume) const {
  rils::Config typed;
  if (!state_->file.empty()) typed = rils::load_config(state_->file);
  state_->apply(typed);
  const rils::ResumePoint point = find_resume_point(resume, typed.run);
  const rils::RunFolder folder = rils::RunFolder::open(point.folder);
  rils::Config config = state_->file.empty() ? rils::load_config(folder.config()) : typed;
  if (state_->file.empty()) state_->apply(config);
  config.run.name = point.folder.filename().string();
  config.run.logs = point.folder.has_parent_path() ? point.folder.parent_path().string() : ".";
  check_config(config);
  return config;
}

}  // namespace tessera::apps
