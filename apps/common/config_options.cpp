#include "apps/common/config_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string_view>
#include <variant>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/run/run_folder.h"

namespace tessera::apps {
namespace {

using rils::Key;
using rils::Level;

constexpr const char* kRareGroup = "Advanced";

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
    Alias{"optim.lr_end", "min-lr"},
};

std::string option_name(const Key& key) {
  std::string name(key.name());
  std::ranges::replace(name, '_', '-');
  return "--" + name;
}

/// The first name is the one in the help: fine-tuning speaks MAE's language.
std::string all_names(const Key& key, rils::Program program) {
  std::string names = option_name(key);
  for (const Alias& alias : kAliases) {
    if (alias.path != key.path) continue;
    names = program == rils::Program::finetune ? fmt::format("--{},{}", alias.name, names)
                                               : fmt::format("{},--{}", names, alias.name);
  }
  return names;
}

std::string heading(const Key& key) {
  if (key.level == Level::rare) return kRareGroup;
  const std::string_view section = std::string_view(key.path).substr(0, key.path.find('.'));
  if (section == "data" || section == "augment") return "Data";
  if (section == "model" || section == "loss") return "Objective";
  if (section == "finetune") return "Classifier";
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

void set_folder(rils::Config& config, const std::string& word) {
  const std::filesystem::path path = std::filesystem::path(word).lexically_normal();
  const std::filesystem::path folder = path.filename().empty() ? path.parent_path() : path;
  config.run.name = folder.filename().string();
  config.run.logs = folder.has_parent_path() ? folder.parent_path().string() : ".";
}

}  // namespace

struct ConfigOptions::State {
  CLI::App* app = nullptr;
  rils::Program program = rils::Program::pretrain;
  rils::Config defaults;
  std::string file;
  /// What an occurrence of an option does with its word.
  std::map<const CLI::Option*, std::function<void(rils::Config&, const std::string&)>> actions;

  /// Whether an option's last word is this one.
  [[nodiscard]] bool typed(const char* name, std::string_view word) const {
    const CLI::Option* option = app->get_option(name);
    return option->count() > 0 && option->results().back() == word;
  }

  /// Defaults, then the file where one is named.
  [[nodiscard]] rils::Config start() const {
    rils::Config config =
        program == rils::Program::finetune && typed("--probe", "lars") ? rils::probing_defaults() : defaults;
    if (file.empty()) return config;
    if (!std::filesystem::is_regular_file(file)) {
      throw ConfigError(fmt::format("--config: expected a file, found none at {}", file));
    }
    merge_toml(config, read_file(file), file);
    return config;
  }

  /// What inspect does not read it takes all the same, unlisted: the command line of pretrain goes through it.
  [[nodiscard]] bool takes(const Key& key) const {
    return serves(key, program) || (program != rils::Program::finetune && serves(key, rils::Program::pretrain));
  }

  [[nodiscard]] std::string group_of(const Key& key) const { return serves(key, program) ? heading(key) : ""; }

  void add_key(const Key& key) {
    const std::string names = all_names(key, program);
    CLI::Option* option = is_flag(key) ? app->add_flag(names) : app->add_option(names);
    option->description(help_text(key));
    std::string value = value_text(defaults, key);
    if (value != "\"\"") option->default_str(value);
    if (!is_flag(key)) option->type_name(std::string(key.placeholder));
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->group(group_of(key));
    actions[option] = [&key, origin = option_name(key)](rils::Config& config, const std::string& word) {
      set_from_text(config, key, word, origin);
    };
  }

  /// A flag that is short for an assignment.
  void add_short(const char* name, const char* help, void (*set)(rils::Config&)) {
    const bool unread = program == rils::Program::inspect_model || program == rils::Program::inspect_data;
    CLI::Option* flag = app->add_flag(name)->description(help)->group(unread ? "" : kRareGroup);
    actions[flag] = [set](rils::Config& config, const std::string&) { set(config); };
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

ConfigOptions::ConfigOptions(CLI::App& app, rils::Program program) : state_(std::make_unique<State>()) {
  state_->app = &app;
  state_->program = program;
  if (program == rils::Program::finetune) state_->defaults = rils::finetuning_defaults();
  app.add_option("--config", state_->file, "TOML file that describes the run")->type_name("FILE")->group("Start");
  CLI::Option* set = app.add_option("--set")->description("set any key of the TOML file: section.key=value");
  set->type_name("KEY=VALUE")->group("Start")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  state_->actions[set] = [](rils::Config& config, const std::string& word) { set_assignment(config, word); };
  for (const Level level : {Level::common, Level::rare}) {
    for (const Key& key : rils::schema()) {
      if (key.level == level && state_->takes(key)) state_->add_key(key);
    }
  }
  if (program == rils::Program::finetune) {
    state_->add_short("--global-pool", "short for --pool mean", [](auto& c) { c.finetune.pool = rils::Pool::mean; });
    state_->add_short("--cls-token", "short for --pool cls", [](auto& c) { c.finetune.pool = rils::Pool::cls; });
    CLI::Option* folder = app.add_option("--output-dir")->description("folder of the run: --logs and --name in one");
    folder->type_name("DIR")->group("Run")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    state_->actions[folder] = set_folder;
    return;
  }
  state_->add_short("--gather-with-grad", "short for --gather with-gradient",
                    [](auto& c) { c.loss.gather = rils::Gather::with_gradient; });
  state_->add_short("--local-loss", "short for --gather constant (not the default of open_clip)",
                    [](auto& c) { c.loss.gather = rils::Gather::constant; });
}

ConfigOptions::~ConfigOptions() = default;

std::string where_option_belongs(std::string_view option, bool has_set) {
  std::vector<std::string> programs, assignments;
  const auto add = [](std::vector<std::string>& to, const std::string& text) {
    if (std::ranges::find(to, text) == to.end()) to.push_back(text);
  };
  for (const Key& key : rils::schema()) {
    const std::string names = "," + all_names(key, rils::Program::pretrain) + ",";
    if (names.find(fmt::format(",{},", option)) == std::string::npos) continue;
    if (key.level == Level::set_only) {
      add(assignments, fmt::format("--set {}={}", key.path, key.placeholder));
      continue;
    }
    if (serves(key, rils::Program::pretrain)) add(programs, "pretrain");
    if (serves(key, rils::Program::finetune)) add(programs, "finetune");
  }
  if (!programs.empty()) return fmt::format("it belongs to {}", fmt::join(programs, " and "));
  if (assignments.empty() || !has_set) return "";
  return fmt::format("use {}", fmt::join(assignments, " or "));
}

rils::Config ConfigOptions::resolve() const {
  rils::Config config = state_->start();
  state_->apply(config);
  check_config(config);
  return config;
}

rils::Config ConfigOptions::resolve_resumed(const std::string& resume) const {
  rils::Config typed = state_->start();
  state_->apply(typed);
  const rils::ResumePoint point = find_resume_point(resume, typed.run);
  const rils::RunFolder folder = rils::RunFolder::open(point.folder, "--resume");
  rils::Config config = state_->file.empty() ? rils::load_config(folder.config()) : typed;
  if (state_->file.empty()) state_->apply(config);
  config.run.name = point.folder.filename().string();
  config.run.logs = point.folder.has_parent_path() ? point.folder.parent_path().string() : ".";
  check_config(config);
  return config;
}

}  // namespace tessera::apps
