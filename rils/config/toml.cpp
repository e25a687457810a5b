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

constexpr uint64_t kMostBytes = 1 << 20;

/// The sections that keys lie in, and those above them.
bool is_section(std::string_view path) {
  return std::ranges::any_of(schema(), [&](const Key& key) {
    return key.path.size() > path.size() && key.path.starts_with(path) && key.path[path.size()] == '.';
  });
}

std::string_view nearest_section(std::string_view path) {
  std::vector<std::string_view> sections;
  for (const Key& key : schema()) sections.push_back(key.section());
  return nearest(path, sections);
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

/// Refuses a line with more dots outside of quotes than any key or list here has. The library makes and frees a table
/// for each part of a dotted key by recursion.
void check_dots(std::string_view text, std::string_view origin) {
  constexpr int kMost = 64;
  int line = 1, dots = 0;
  char quote = 0;
  bool comment = false;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
      dots = 0;
      quote = 0;
      comment = false;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      comment = true;
    } else if (c == '.' && !comment && ++dots > kMost) {
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
        throw ConfigError(
            fmt::format("{}: unknown section [{}]; did you mean [{}]?", where, below, nearest_section(below)));
      } else {
        throw ConfigError(fmt::format("{}: unknown key {}; did you mean {}?", where, below, nearest_key(below)));
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
  if (text.size() > kMostBytes) {
    throw ConfigError(fmt::format("{}: expected at most {} bytes of TOML, found {}", origin, kMostBytes, text.size()));
  }
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
  merge_toml(config, read_file(path, kMostBytes), path.string());
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
