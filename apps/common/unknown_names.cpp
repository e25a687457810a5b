#include "apps/common/unknown_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>

#include "apps/common/config_options.h"
#include "apps/common/other_names.h"
#include "engine/core/error.h"
#include "rils/config/schema.h"

namespace tessera::apps {
namespace {

constexpr const char* kSeeHelp = " (--help lists the options)";

using Names = std::vector<std::string>;

/// The options of a program or subcommand with their dashes.
Names options_of(const CLI::App& app) {
  Names names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

bool contains(const Names& names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

std::vector<const CLI::App*> subcommands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

Names names_of(const std::vector<const CLI::App*>& subcommands) {
  Names names;
  for (const CLI::App* sub : subcommands) names.push_back(sub->get_name());
  return names;
}

std::string_view without_dashes(std::string_view option) {
  return option.substr(std::min(option.find_first_not_of('-'), option.size()));
}

std::string suggestion(std::string_view word, const Names& names, std::string_view dashes) {
  std::vector<std::string_view> candidates;
  for (const std::string& name : names) candidates.push_back(without_dashes(name));
  const std::string_view near = rils::nearest(word, candidates);
  return near.empty() ? "" : fmt::format("; did you mean {}{}?", dashes, near);
}

/// The answer of the table of other names: the first row that fits what the program has.
std::optional<std::string> answer(std::span<const OtherNames> rows, std::string_view name, const Names& known,
                                  std::string_view dashes) {
  for (const OtherNames& row : rows) {
    if (!row.has(name)) continue;
    if (row.ours.empty()) return fmt::format(": {}", row.text);
    for (const std::string_view ours : row.ours) {
      const std::string option = fmt::format("{}{}", dashes, ours.substr(0, ours.find(' ')));
      if (!contains(known, option)) continue;
      const char* joint = row.text.empty() ? "" : row.text.starts_with("and ") ? " " : ": ";
      return fmt::format("; use {}{}{}{}", dashes, ours, joint, row.text);
    }
  }
  return std::nullopt;
}

std::string about_option(const CLI::App& app, const CLI::App* chosen, const std::string& option, const Names& known) {
  const std::string_view name = without_dashes(option);
  Names owners;
  for (const CLI::App* sub : subcommands_of(app)) {
    if (sub != chosen && contains(options_of(*sub), option)) owners.push_back(sub->get_name());
  }
  if (!owners.empty() && chosen == nullptr) return " before the subcommand; write it behind";
  const auto other = answer(other_options(), name, known, "--");
  if (other && other->starts_with(';')) return *other;
  if (!owners.empty()) return fmt::format("; it belongs to {}", fmt::join(owners, ", "));
  if (other) return *other;
  const std::string place = where_option_belongs(option, contains(known, "--set"));
  if (!place.empty()) return "; " + place;
  const std::string near = suggestion(name, known, "--");
  return near.empty() ? kSeeHelp : near;
}

std::string about_subcommand(const CLI::App& app, std::string word) {
  const Names known = names_of(subcommands_of(app));
  const std::string typed = word;
  std::ranges::replace(word, '_', '-');
  if (const auto other = answer(other_subcommands(), word, known, "")) return typed + *other;
  const std::string near = suggestion(word, known, "");
  return typed + (near.empty() ? fmt::format("; expected {}", fmt::join(known, ", ")) : near);
}

/// Whether a word stands for an option, and not for a number or for standard input.
bool is_option(std::string_view word) {
  return word.starts_with("--") ||
         (word.size() > 1 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1])));
}

}  // namespace

void check_names(const CLI::App& app, const std::vector<std::string>& args) {
  Names known = options_of(app);
  const std::vector<const CLI::App*> subcommands = subcommands_of(app);
  const CLI::App* chosen = nullptr;
  for (const std::string& arg : args) {
    if (arg == "--") return;
    if (is_option(arg)) {
      const std::string name = arg.substr(0, arg.find('='));
      if (contains(known, name)) continue;
      throw ConfigError(fmt::format("unknown option {}{}", name, about_option(app, chosen, name, known)));
    }
    if (chosen != nullptr || subcommands.empty()) continue;
    const auto sub = std::ranges::find(subcommands, arg, [](const CLI::App* s) { return s->get_name(); });
    if (sub == subcommands.end()) throw ConfigError("unknown subcommand " + about_subcommand(app, arg));
    chosen = *sub;
    for (std::string& name : options_of(*chosen)) known.push_back(std::move(name));
  }
  const bool asks = std::ranges::any_of(args, [&](const std::string& arg) { return is_option(arg); });
  if (app.get_require_subcommand_min() == 0 || chosen != nullptr || asks) return;
  throw ConfigError(fmt::format("expected a subcommand, found none: {}", fmt::join(names_of(subcommands), ", ")));
}

}  // namespace tessera::apps
