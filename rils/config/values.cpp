// Values of keys: checked when they are set, written as TOML, read from words of a command line.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/core/error.h"
#include "rils/config/bytes.h"
#include "rils/config/schema.h"

namespace tessera::rils {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

/// Control characters and quotes as TOML's basic strings escape them, and bytes that are no UTF-8.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : as_utf8(text)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string number_text(double value) {
  const std::string digits = fmt::format("{}", value);
  return digits.find_first_of(".en") == std::string::npos ? digits + ".0" : digits;  // n: nan and inf
}

std::string list_text(std::span<const double> values) {
  std::string out = "[";
  for (size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : ", ") + number_text(values[i]);
  return out + "]";
}

std::string value_text(const Value& value) {
  return std::visit(Overloaded{[](bool v) { return std::string(v ? "true" : "false"); },
                               [](int64_t v) { return fmt::format("{}", v); }, [](double v) { return number_text(v); },
                               [](const std::string& v) { return in_quotes(v); },
                               [](const std::vector<double>& v) { return list_text(v); }},
                    value);
}

/// One number stands alone, none is 0.
std::string integers_text(const std::vector<int64_t>& values) {
  if (values.size() > 1) return fmt::format("[{}]", fmt::join(values, ", "));
  return fmt::format("{}", values.empty() ? 0 : values[0]);
}

/// What a key takes: "an integer of at least 1", "one of rils, clip".
std::string expected(const Key& key, const Field& field) {
  const auto with_range = [&](const std::string& what) {
    const std::string range = key.range.describe();
    return range.empty() ? what : what + " " + range;
  };
  const auto words = [&] {
    std::string names;
    for (const Choice& choice : key.choices) {
      if (!choice.name.empty()) names += (names.empty() ? "" : ", ") + std::string(choice.name);
    }
    return names.find(',') == std::string::npos ? in_quotes(names) + " or nothing" : "one of " + names;
  };
  const auto string = [&](std::string*) { return key.choices.empty() ? "a string in quotes" : words(); };
  return std::visit(
      Overloaded{[](bool*) { return std::string("true or false"); }, [&](int64_t*) { return with_range("an integer"); },
                 [&](double*) { return with_range("a number"); }, string, [&](ChoiceField) { return words(); },
                 [&](std::span<double> v) { return with_range(fmt::format("a list of {} numbers", v.size())); },
                 [&](std::vector<int64_t>*) { return with_range("integers"); }},
      field);
}

[[noreturn]] void refuse(const Key& key, const Field& field, std::string_view origin, const std::string& found) {
  throw ConfigError(fmt::format("{}: expected {}, found {}", origin, expected(key, field), found));
}

/// Whether two words are equal when '-' and '_' count as the same.
bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](char x, char y) { return x == y || ((x == '-' || x == '_') && (y == '-' || y == '_')); });
}

/// The list's own spelling of a word; null when the list does not have it.
const Choice* find_choice(const Key& key, std::string_view word) {
  for (const Choice& choice : key.choices) {
    if (same_word(choice.name, word)) return &choice;
    for (const std::string_view alias : choice.aliases) {
      if (same_word(alias, word)) return &choice;
    }
  }
  return nullptr;
}

/// Digits, and nothing else, as an integer or a floating-point number.
template <class T>
bool read_number(std::string_view text, T& out) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool read_numbers(std::string_view text, std::vector<double>& out) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string_view part = text.substr(begin, end - begin);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!read_number(part, out.emplace_back())) return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace

bool Range::contains(double value) const {
  return std::isfinite(value) && (min_open ? value > min : value >= min) && (max_open ? value < max : value <= max);
}

std::string Range::describe() const {
  const bool below = std::isfinite(max), above = std::isfinite(min);
  if (above && below) return fmt::format("in {}{}, {}{}", min_open ? '(' : '[', min, max, max_open ? ')' : ']');
  if (above) return fmt::format("{} {}", min_open ? "above" : "of at least", min);
  if (below) return fmt::format("{} {}", max_open ? "below" : "of at most", max);
  return "";
}

std::string value_text(const Config& config, const Key& key) {
  Config copy = config;
  return std::visit(Overloaded{[](std::span<double> v) { return list_text(v); },
                               [](std::vector<int64_t>* v) { return integers_text(*v); },
                               [&](ChoiceField v) { return in_quotes(key.choices.at(*v.index).name); },
                               [](auto* v) { return value_text(Value(*v)); }},
                    key.field(copy));
}

void set_value(Config& config, const Key& key, const Value& value, std::string_view origin) {
  const Field field = key.field(config);
  const auto refused = [&] { refuse(key, field, origin, value_text(value)); };
  const auto check = [&](double v) {
    if (!key.range.contains(v)) refused();
  };
  const auto number = [&](double* out) {
    const auto* exact = std::get_if<int64_t>(&value);
    const auto* real = std::get_if<double>(&value);
    if (exact == nullptr && real == nullptr) refused();
    const double v = real != nullptr ? *real : static_cast<double>(*exact);
    check(v);
    *out = v;
  };
  const auto word = [&](std::string* out) {
    const auto* v = std::get_if<std::string>(&value);
    const Choice* choice = v == nullptr ? nullptr : find_choice(key, *v);
    if (v == nullptr || (choice == nullptr && !key.choices.empty())) refused();
    *out = choice == nullptr ? *v : std::string(choice->name);
  };
  const auto choice = [&](ChoiceField out) {
    const auto* v = std::get_if<std::string>(&value);
    const Choice* found = v == nullptr ? nullptr : find_choice(key, *v);
    if (found == nullptr) refused();
    *out.index = static_cast<uint8_t>(found - key.choices.data());
  };
  const auto list = [&](std::span<double> out) {
    const auto* v = std::get_if<std::vector<double>>(&value);
    if (v == nullptr || v->size() != out.size()) refused();
    for (const double x : *v) check(x);
    std::ranges::copy(*v, out.begin());
  };
  const auto integer = [&](int64_t* out) {
    const auto* v = std::get_if<int64_t>(&value);
    if (v == nullptr) refused();
    check(static_cast<double>(*v));
    *out = *v;
  };
  const auto integers = [&](std::vector<int64_t>* out) {
    std::vector<int64_t> read;
    const auto add = [&](double v) {
      check(v);
      if (v != std::floor(v)) refused();
      read.push_back(static_cast<int64_t>(v));
    };
    if (const auto* one = std::get_if<int64_t>(&value)) {
      if (*one != 0) add(static_cast<double>(*one));
    } else if (const auto* several = std::get_if<std::vector<double>>(&value)) {
      for (const double v : *several) add(v);
    } else {
      refused();
    }
    *out = std::move(read);
  };
  const auto truth = [&](bool* out) {
    const auto* v = std::get_if<bool>(&value);
    if (v == nullptr) refused();
    *out = *v;
  };
  std::visit(Overloaded{truth, integer, number, word, choice, list, integers}, field);
}

void set_from_text(Config& config, const Key& key, std::string_view text, std::string_view origin) {
  const Field field = key.field(config);
  const auto misread = [&] { refuse(key, field, origin, in_quotes(text)); };
  const auto truth = [&](bool*) -> Value {
    if (text != "true" && text != "false") misread();
    return text == "true";
  };
  const auto number = [&]<class T>(T*) -> Value {
    T v{};
    if (!read_number(text, v)) misread();
    return v;
  };
  const auto word = [&](std::string*) -> Value { return std::string(text); };
  const auto choice = [&](ChoiceField) -> Value { return std::string(text); };
  const auto list = [&](std::span<double>) -> Value {
    std::vector<double> v;
    if (!read_numbers(text, v)) misread();
    return v;
  };
  const auto integers = [&](std::vector<int64_t>*) -> Value {
    int64_t one = 0;
    return read_number(text, one) ? Value(one) : list({});
  };
  set_value(config, key, std::visit(Overloaded{truth, word, choice, list, integers, number}, field), origin);
}

void set_assignment(Config& config, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    throw ConfigError(fmt::format("--set: expected section.key=value, found {}", in_quotes(assignment)));
  }
  std::string path(assignment.substr(0, equals));
  std::ranges::replace(path, '-', '_');
  const Key* key = find_key(path);
  if (key == nullptr) throw ConfigError(fmt::format("--set: {}", unknown_key(path)));
  set_from_text(config, *key, assignment.substr(equals + 1), fmt::format("--set {}", path));
}

}  // namespace tessera::rils
