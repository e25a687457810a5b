#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "engine/core/device.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tessera::apps {

/// Gives a program --version and the common form of help, with defaults in brackets. Call it before options are added.
void set_up(CLI::App& app);

/// Parses the command line, runs the action and returns the exit code. In names of options `-` and `_` are the same,
/// and of an option that is given twice the last value counts. Errors become one line on stderr. The exit code is 2 for
/// wrong usage or configuration (the line names the nearest known option), and 1 for a failure while running, which
/// includes a standard output that cannot be written.
int run(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& action);

/// Lets an option take whole numbers from `least` to `most` only, and returns it. Another word becomes an error such as
/// "--k: expected an integer of at least 1, found 0".
CLI::Option* whole_number(CLI::Option* option, int64_t least, int64_t most = std::numeric_limits<int64_t>::max());
/// The same for finite numbers of at least 0, or above 0.
CLI::Option* number(CLI::Option* option, bool above_zero);

/// Adds --device, a word for choose_device().
void add_device_option(CLI::App& app, std::string& word);
/// The device that the word names. Prints on stderr why auto does not take a GPU whose backend is installed.
[[nodiscard]] Device choose_device(const std::string& word);

/// The command as it was typed, in one line, for records.
[[nodiscard]] std::string command_line(int argc, const char* const* argv);

}  // namespace tessera::apps
