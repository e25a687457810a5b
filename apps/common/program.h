#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace tessera::apps {

/// What all programs share, before options are added: --version, help in the common form with defaults in brackets.
void set_up(CLI::App& app);

/// Parses the command line and runs what it chose; the exit code. In names of options `-` and `_` are alike, and of an
/// option given twice the last one counts. Errors become one line on stderr: 2 for wrong usage or configuration (an
/// unknown option with the nearest known one), 1 for what fails while running, a standard output that cannot be written
/// included.
int run(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& action);

/// The command as it was typed, in one line, for records.
[[nodiscard]] std::string command_line(int argc, const char* const* argv);

}  // namespace tessera::apps
