#include "apps/common/program.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <vector>

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
    return positional ? option->get_name(true, false) : "--" + option->get_lnames().front();
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
  std::ranges::replace(message, '\n', ' ');
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

/// Names the nearest option of the program, and of the subcommand that was chosen, for the first that neither has.
void check_names(const CLI::App& app, const std::vector<std::string>& args) {
  std::vector<std::string> known;
  const auto add = [&](const CLI::App& part) {
    for (const CLI::Option* option : part.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  };
  add(app);
  for (const std::string& arg : args) {
    if (arg == "--") return;
    for (const CLI::App* sub : app.get_subcommands([&](const CLI::App* s) { return s->get_name() == arg; })) add(*sub);
    if (!arg.starts_with("--")) continue;
    const std::string name = arg.substr(0, arg.find('='));
    if (std::ranges::find(known, name) != known.end()) continue;
    const std::vector<std::string_view> candidates(known.begin(), known.end());
    throw ConfigError(fmt::format("unknown option {}; did you mean {}?", name, rils::nearest(name, candidates)));
  }
}

/// A message of CLI11 in our form: what, expected, found.
std::string describe(const CLI::ParseError& e) {
  std::string text = e.what();
  constexpr std::string_view kConversion = "Could not convert: ";
  const size_t equals = text.find(" = ");
  if (text.starts_with(kConversion) && equals != std::string::npos) {
    text = fmt::format("{}: expected a number, found {}", text.substr(kConversion.size(), equals - kConversion.size()),
                       text.substr(equals + 3));
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
  app.set_help_flag("--help", "print this help");
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
  } catch (const std::exception& e) {
    return complain(kFailure, e.what());
  }
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
