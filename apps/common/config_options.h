#pragma once

#include <memory>
#include <string>
#include <string_view>

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
  /// Subcommands of inspect take all options of pretrain and list those that they read.
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

/// Where a key that an option such as "--mask-ratio" names can be given: "it belongs to pretrain", or, of a key without
/// an option of its own and if the program has --set, "use --set model.vision.width=N". Empty if there is no such key.
[[nodiscard]] std::string where_option_belongs(std::string_view option, bool has_set);

}  // namespace tessera::apps
