#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rils/config/config.h"

namespace CLI {
class App;
}

namespace tessera::apps {

/// Parses the command line and runs what it chose. Errors become one line on stderr and an exit code: 2 for wrong usage
/// or configuration, 1 for what fails while running.
int run(CLI::App& app, int argc, char** argv, const std::function<int()>& action);

/// The command as it was typed, for records.
[[nodiscard]] std::string command_line(int argc, char** argv);

/// The options of a configuration: --config FILE, --set section.key=value, and one option per key that has one, with - or
/// _ alike. After parsing, resolve() gives defaults, file and options on top of each other, checked.
class ConfigOptions {
 public:
  explicit ConfigOptions(CLI::App& app);
  ~ConfigOptions();
  ConfigOptions(const ConfigOptions&) = delete;
  ConfigOptions& operator=(const ConfigOptions&) = delete;
  [[nodiscard]] rils::Config resolve() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::apps
