#include "apps/common/program.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>
#include <stdexcept>
#include <vector>

#include "apps/common/unknown_names.h"
#include "engine/core/error.h"
#include "engine/core/printable.h"
#include "engine/runtime/context.h"
#include "rils/config/schema.h"
#include "rils/run/version.h"

namespace tessera::apps {
namespace {

constexpr int kUsage = 2;
constexpr int kFailure = 1;
constexpr size_t kNameColumn = 36;

/// One line per option: its first name, its placeholder, its help, its default.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kNameColumn); }
  std::string make_description(const CLI::App* app) const override { return app->get_description() + "\n\n"; }
  std::string make_usage(const CLI::App* app, std::string name) const override {
    return CLI::Formatter::make_usage(app, std::move(name)) + "\n";
  }
  std::string make_group(std::string group, bool positional, std::vector<const CLI::Option*> options) const override {
    std::string text = CLI::Formatter::make_group(std::move(group), positional, std::move(options));
    return text.substr(positional ? 0 : 1);  // CLI11 puts a blank line of its own between groups
  }
  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    if (positional) return option->get_name(true, false);
    const std::string letter = option->get_snames().empty() ? "" : fmt::format("-{}, ", option->get_snames().front());
    return letter + "--" + option->get_lnames().front();
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string type = option->get_type_name();
    type.resize(std::min(type.find(':'), type.size()));  // a check's own words stand behind
    if (type == "INT" || type == "UINT") type = "N";
    if (type == "FLOAT") type = "X";
    return option->get_type_size() == 0 || type.empty() ? "" : " " + type;
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text = option->get_description();
    std::string value = option->get_default_str();
    std::erase_if(value, [](char c) { return c == '"' || c == '[' || c == ']'; });
    if (option->get_required()) text += " (required)";
    if (!value.empty() && option->get_type_size() != 0) text += fmt::format(" [{}]", value);
    return text;
  }
};

int complain(int code, std::string message) {
  // Names and texts of users may hold line ends and what steers a terminal.
  std::ranges::replace_if(
      message, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  std::cout.flush();
  std::fprintf(stderr, "error: %s\n", printable(message).c_str());
  return code;
}

/// Long options with `-` for `_` in their names; what follows a lone `--` stays.
std::vector<std::string> with_dashes(int argc, const char* const* argv) {
  std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  for (std::string& arg : args) {
    if (arg == "--") break;
    if (!arg.starts_with("--")) continue;
    const auto end = arg.begin() + static_cast<std::ptrdiff_t>(std::min(arg.find('='), arg.size()));
    std::replace(arg.begin() + 2, end, '_', '-');
  }
  return args;
}

/// A message of CLI11 in our form: what, expected, found.
std::string describe(const CLI::ParseError& e) {
  std::string text = e.what();
  constexpr std::string_view kConversion = "Could not convert: ", kNotIn = " not in {";
  const size_t colon = text.find(": "), list = text.find(kNotIn);
  const size_t equals = text.find(" = ");
  if (text.starts_with(kConversion) && equals != std::string::npos) {
    text = fmt::format("{}: expected a number, found {}", text.substr(kConversion.size(), equals - kConversion.size()),
                       text.substr(equals + 3));
  } else if (colon < list && list != std::string::npos && text.ends_with('}')) {
    const size_t words = list + kNotIn.size();
    text = fmt::format("{}: expected one of {}, found {}", text.substr(0, colon),
                       text.substr(words, text.size() - 1 - words), text.substr(colon + 2, list - colon - 2));
  } else if (dynamic_cast<const CLI::ArgumentMismatch*>(&e) != nullptr && text.ends_with(" missing")) {
    text = text.substr(0, text.find(':')) + ": expected a value, found none";
  } else if (dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr) {
    text = "unexpected argument" + text.substr(std::min(text.find(": "), text.size()));
  }
  return text + " (--help lists the options)";
}

int parse_and_run(CLI::App& app, std::vector<std::string> args, const std::function<int()>& action) {
  check_names(app, args);
  try {
    std::ranges::reverse(args);  // as CLI11 wants them
    app.parse(std::move(args));
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return complain(kUsage, describe(e));
  }
  const int code = action();
  if (code == 0 && (!std::cout.flush() || std::fflush(stdout) != 0))
    return complain(kFailure, "standard output cannot be written");
  return code;
}

}  // namespace

void set_up(CLI::App& app) {
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("-h,--help", "print this help");
  app.set_version_flag("--version", "tessera " + std::string(rils::version()), "print the version");
  app.option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

int run(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& action) {
  try {
    if (argc > 0) app.name(std::string(argv[0]).substr(std::string(argv[0]).rfind('/') + 1));
    return parse_and_run(app, with_dashes(argc, argv), action);
  } catch (const ConfigError& e) {
    return complain(kUsage, e.what());
  } catch (const std::bad_alloc&) {
    return complain(kFailure, "the machine's memory is exhausted");
  } catch (const std::filesystem::filesystem_error& e) {
    const std::string path = e.path1().string();
    return complain(kFailure, path.empty() ? std::string("expected a path, found an empty word")
                                           : fmt::format("{}: {}", path, e.code().message()));
  } catch (const std::logic_error& e) {
    return complain(kFailure, fmt::format("a fault of this program, please report it with the command: {}", e.what()));
  } catch (const std::exception& e) {
    return complain(kFailure, e.what());
  }
}

namespace {

/// Refuses the words of an option that are no T in the range.
template <class T>
CLI::Option* only(CLI::Option* option, const char* kind, const rils::Range& range) {
  return option->check([kind, range](const std::string& word) -> std::string {
    T value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    const bool read = error == std::errc() && end == word.data() + word.size();
    if (read && range.contains(static_cast<double>(value))) return "";
    return fmt::format("expected {} {}, found {}", kind, range.describe(), read ? word : '"' + word + '"');
  });
}

}  // namespace

CLI::Option* whole_number(CLI::Option* option, int64_t least, int64_t most) {
  const bool open = most == std::numeric_limits<int64_t>::max();
  const double end = open ? std::numeric_limits<double>::infinity() : static_cast<double>(most);
  return only<int64_t>(option, "an integer", {.min = static_cast<double>(least), .max = end});
}

CLI::Option* number(CLI::Option* option, bool above_zero) {
  return only<double>(option, "a number", {.min = 0, .min_open = above_zero});
}

void add_device_option(CLI::App& app, std::string& word) {
  app.add_option("--device", word, "device: auto, cpu or cuda[:N]");
}

Device choose_device(const std::string& word) {
  std::string note;
  const Device device = tessera::choose_device(word, note);
  if (!note.empty()) std::fprintf(stderr, "%s\n", note.c_str());
  return device;
}

std::string command_line(int argc, const char* const* argv) {
  std::string text = fmt::format("{}", fmt::join(argv, argv + argc, " "));
  std::ranges::replace(text, '\n', ' ');
  return text;
}

}  // namespace tessera::apps
