#pragma once

#include <memory>
#include <string>

#include "rils/config/schema.h"

namespace CLI {
class App;
}

namespace tessera::apps {

/// The options of a configuration: --config FILE, --set section.key=value for any key, and an option for each key that
/// has one, made from the schema.
class ConfigOptions {
 public:
  /// Adds them to a program or subcommand after set_up(); the rare ones come last in its help.
  explicit ConfigOptions(CLI::App& app, rils::Program program = rils::Program::pretrain);
  ~ConfigOptions();
  ConfigOptions(const ConfigOptions&) = delete;
  ConfigOptions& operator=(const ConfigOptions&) = delete;

  /// Call it after parsing. Applies defaults, then the file, then options and assignments in the order in which they
  /// were typed, and checks the result. Throws ConfigError.
  [[nodiscard]] rils::Config resolve() const;
  /// The same for a resumed run. `resume` names the run's folder (see find_resume_point); without --config its file is
  /// read. The result has that folder's name and logs.
  [[nodiscard]] rils::Config resolve_resumed(const std::string& resume) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::apps
