#include "rils/config/toml.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <optional>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/config/bytes.h"
#include "rils/config/schema.h"

namespace tessera::rils {
namespace {

/// The sections that keys lie in, and those above them.
bool is_section(std::string_view path) {
  return std::ranges::any_of(schema(), [&](const Key& key) {
    return key.path.size() > path.size() && key.path.starts_with(path) && key.path[path.size()] == '.';
  });
}

std::optional<std::vector<double>> numbers(const toml::array& array) {
  std::vector<double> out;
  for (const toml::node& element : array) {
    const auto number = element.is_number() ? element.value<double>() : std::nullopt;
    if (!number) return std::nullopt;
    out.push_back(*number);
  }
  return out;
}

/// A value of one of the types that keys have; a date or a mixed list is none.
std::optional<Value> read_value(const toml::node& node) {
  if (const auto* v = node.as_boolean()) return v->get();
  if (const auto* v = node.as_integer()) return v->get();
  if (const auto* v = node.as_floating_point()) return v->get();
  if (const auto* v = node.as_string()) return raw_bytes(v->get());
  if (const auto* v = node.as_array()) {
    if (auto list = numbers(*v)) return std::move(*list);
  }
  return std::nullopt;
}

std::string_view kind(const toml::node& node) {
  if (node.is_table()) return "a section";
  if (node.is_array()) return "a list of something else";
  return "a date or time";
}

/// The end of the string that begins at `at` with one quote or three; of one that does not end, that of the text or of
/// its line.
size_t end_of_string(std::string_view text, size_t at) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool long_one = text.substr(at).starts_with(three);
  for (size_t i = at + (long_one ? 3 : 1); i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (long_one && text.substr(i).starts_with(three)) {
      return std::min(text.find_first_not_of(quote, i), i + 5);  // two more quotes may belong to the string
    } else if (!long_one && (text[i] == quote || text[i] == '\n')) {
      return text[i] == quote ? i + 1 : i;
    }
  }
  return text.size();
}

/// Refuses a line with more dots outside of strings than any key or list here has. The library makes and frees a table
/// for each part of a dotted key by recursion.
void check_dots(std::string_view text, std::string_view origin) {
  constexpr int kMost = 64;
  int64_t line = 1;
  int dots = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      const size_t end = end_of_string(text, i);
      line += std::ranges::count(text.substr(i, end - i), '\n');
      i = end - 1;
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (c == '\n') {
      ++line;
      dots = 0;
    } else if (c == '.' && ++dots > kMost) {
      throw ConfigError(fmt::format("{}:{}: expected at most {} dots in a line, found more", origin, line, kMost));
    }
  }
}

class Reader {
 public:
  Reader(Config& config, std::string_view origin) : config_(config), origin_(origin) {}

  void section(const toml::table& table, const std::string& path) {
    for (const auto& [name, node] : table) {
      const std::string below = path.empty() ? std::string(name.str()) : fmt::format("{}.{}", path, name.str());
      const std::string where = fmt::format("{}:{}", origin_, name.source().begin.line);
      if (is_section(below)) {
        if (!node.is_table()) throw ConfigError(fmt::format("{}: {}: expected a section, found a value", where, below));
        section(*node.as_table(), below);
      } else if (const Key* key = find_key(below)) {
        value(*key, node, where);
      } else if (node.is_table()) {
        throw ConfigError(fmt::format("{}: {}", where, unknown_section(below)));
      } else {
        throw ConfigError(fmt::format("{}: {}", where, unknown_key(below)));
      }
    }
  }

 private:
  void value(const Key& key, const toml::node& node, const std::string& where) {
    const std::string place = fmt::format("{}: {}", where, key.path);
    const auto read = read_value(node);
    if (!read) throw ConfigError(fmt::format("{}: expected a value, found {}", place, kind(node)));
    set_value(config_, key, *read, place);
  }

  Config& config_;
  std::string_view origin_;
};

}  // namespace

void merge_toml(Config& config, std::string_view text, std::string_view origin) {
  check_dots(text, origin);
  toml::table table;
  try {
    table = toml::parse(text, origin);
  } catch (const toml::parse_error& e) {
    std::string reason(e.description());
    std::ranges::replace(reason, '\n', ' ');
    throw ConfigError(fmt::format("{}:{}: {}", origin, e.source().begin.line, reason));
  }
  Config merged = config;
  Reader(merged, origin).section(table, "");
  config = std::move(merged);
}

Config load_config(const std::filesystem::path& path) {
  Config config;
  merge_toml(config, read_file(path), path.string());
  return config;
}

std::string to_toml(const Config& config) {
  std::string out;
  std::string_view section;
  const bool classifier = config.finetune != FinetuneConfig{};
  for (const Key& key : schema()) {
    if (key.section() == "finetune" && !classifier) continue;  // a run of pretrain
    if (key.section() != section) {
      section = key.section();
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    }
    out += fmt::format("{} = {}\n", key.name(), value_text(config, key));
  }
  return out;
}

}  // namespace tessera::rils
