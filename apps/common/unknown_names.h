#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tessera::apps {

/// Throws ConfigError for the first word that is meant as an option or a subcommand and that the program, with the
/// subcommand that was chosen, does not have. The message says what was most likely meant: our name for an option of
/// other programs or why there is none (other_names.h), where it belongs, or a name that is near.
void check_names(const CLI::App& app, const std::vector<std::string>& args);

}  // namespace tessera::apps
