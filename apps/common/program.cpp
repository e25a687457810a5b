#include "apps/common/program.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <vector>

#include "engine/core/error.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"

namespace tessera::apps {
namespace {

constexpr int kUsage = 2;
constexpr int kFailure = 1;

void complain(const std::string& message) {
  std::string line = message.substr(0, message.find('\n'));
  std::fprintf(stderr, "error: %s\n", line.c_str());
}

/// "--batch-size,--batch_size".
std::string option_names(std::string_view key) {
  std::string dashed(key);
  for (char& c : dashed) c = c == '_' ? '-' : c;
  return dashed == key ? "--" + dashed : "--" + dashed + ",--" + std::string(key);
}

}  // namespace

int run(CLI::App& app, int argc, char** argv, const std::function<int()>& action) {
  try {
    app.parse(argc, argv);
    return action();
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    complain(std::string(e.what()) + " (--help lists the options)");
    return kUsage;
  } catch (const ConfigError& e) {
    complain(e.what());
    return kUsage;
  } catch (const std::exception& e) {
    complain(e.what());
    return kFailure;
  }
}

std::string command_line(int argc, char** argv) {
  std::string text;
  for (int i = 0; i < argc; ++i) text += (i > 0 ? " " : "") + std::string(argv[i]);
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

struct ConfigOptions::State {
  std::string file;
  std::vector<std::string> assignments;
  std::map<const rils::Key*, std::string> values;
  bool gather_with_grad = false;
  bool local_loss = false;
};

ConfigOptions::ConfigOptions(CLI::App& app) : state_(std::make_unique<State>()) {
  app.add_option("--config", state_->file, "TOML file that describes the run");
  app.add_option("--set", state_->assignments, "section.key=value, for any key of the file")->allow_extra_args(false);
  const rils::Config defaults;
  for (const rils::Level level : {rils::Level::common, rils::Level::rare}) {
    for (const rils::Key& key : rils::schema()) {
      if (key.level != level) continue;
      const std::string help = std::string(key.help) + (key.help.empty() ? "" : " ") + "[" + value_text(defaults, key) + "]";
      auto* option = app.add_option(option_names(key.name()), state_->values[&key], help);
      option->type_name(std::string(key.metavar))->group(level == rils::Level::common ? "Options" : "Rare options");
      if (key.metavar.empty()) option->expected(0, 1)->default_str("true");
    }
  }
  app.add_flag("--gather-with-grad,--gather_with_grad", state_->gather_with_grad, "loss.gather = with-gradient")
      ->group("Rare options");
  app.add_flag("--local-loss,--local_loss", state_->local_loss,
               "loss.gather = constant; open_clip's bare default is neither and is left out")
      ->group("Rare options");
}

ConfigOptions::~ConfigOptions() = default;

rils::Config ConfigOptions::resolve() const {
  rils::Config config;
  if (!state_->file.empty()) config = rils::load_config(state_->file);
  for (const rils::Key& key : rils::schema()) {
    const auto it = state_->values.find(&key);
    if (it == state_->values.end() || it->second.empty()) continue;
    std::string origin = "--" + std::string(key.name());
    for (char& c : origin) c = c == '_' ? '-' : c;
    set_from_text(config, key, it->second, origin);
  }
  if (state_->gather_with_grad && state_->local_loss) {
    throw ConfigError("--gather-with-grad and --local-loss: expected one of them, found both");
  }
  if (state_->gather_with_grad) config.loss.gather = "with-gradient";
  if (state_->local_loss) config.loss.gather = "constant";
  for (const std::string& assignment : state_->assignments) rils::set_assignment(config, assignment);
  rils::check_config(config);
  return config;
}

}  // namespace tessera::apps
