#pragma once

#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "rils/config/schema.h"

namespace tessera::rils {

// How the rows of the schema are written: a section says what its keys have in common, a row what differs.

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr Range kPositive{0, kInfinity, true, false};
inline constexpr Range kNotNegative{0, kInfinity, false, false};
inline constexpr Range kFraction{0, 1, false, false};       // both ends permitted
inline constexpr Range kBelowOne{0, 1, false, true};        // [0, 1)
inline constexpr Range kOpenFraction{0, 1, true, false};    // (0, 1]
inline constexpr Range kCount{1, kInfinity, false, false};  // at least one
inline constexpr Range kBatch{1, 1 << 24, false, false};    // products of two of them fit 64 bits
inline constexpr Range kExtent{1, 65536, false, false};     // of a model: products of four of them fit 64 bits

template <class T>
Field as_field(T& value) {
  if constexpr (std::is_enum_v<T>) {
    static_assert(Choosable<T>);
    return ChoiceField{reinterpret_cast<uint8_t*>(&value)};
  } else {
    return &value;
  }
}
template <size_t N>
Field as_field(std::array<double, N>& values) {
  return std::span<double>(values);
}

/// The choices of an enum are its words; other types have none.
template <class T>
std::vector<Choice> choices_of() {
  std::vector<Choice> choices;
  if constexpr (std::is_enum_v<T>) {
    for (const std::string_view word : kWords<T>) choices.push_back({word});
  }
  return choices;
}

/// The placeholder of a type's values in the help.
template <class T>
constexpr std::string_view placeholder_of() {
  if constexpr (std::is_same_v<T, bool>) return "BOOL";
  if constexpr (std::is_same_v<T, int64_t>) return "N";
  if constexpr (std::is_same_v<T, double>) return "X";
  if constexpr (std::is_same_v<T, std::array<double, 2>>) return "A,B";
  if constexpr (std::is_same_v<T, std::array<double, 3>>) return "R,G,B";
  if constexpr (std::is_same_v<T, std::vector<int64_t>>) return "N[,N...]";
  return "HOW";  // an enum
}

/// A key whose row is being written; good for one statement.
class Row {
 public:
  explicit Row(Key& key) : key_(key) {}
  Row& placeholder(std::string_view text) { return set(key_.placeholder, text); }
  Row& choices(std::vector<Choice> list) { return set(key_.choices, std::move(list)); }
  Row& formerly(std::string_view name) {
    return set(key_.old_path, std::string(key_.section()) + "." + std::string(name));
  }
  Row& common() { return set(key_.level, Level::common); }
  Row& rare() { return set(key_.level, Level::rare); }
  Row& set_only() { return set(key_.level, Level::set_only); }
  Row& may_change() { return set(key_.on_resume, OnResume::may_change); }
  Row& must_agree() { return set(key_.on_resume, OnResume::must_agree); }

 private:
  template <class T, class V>
  Row& set(T& member, V&& value) {
    member = std::forward<V>(value);
    return *this;
  }
  Key& key_;
};

/// Adds the keys of one section, whose values lie in a struct S. `place` finds the struct.
template <class S>
class Section {
 public:
  using Place = S& (*)(Config&);
  Section(std::vector<Key>& keys, std::string path, Place place, Level level, OnResume on_resume)
      : keys_(keys), path_(std::move(path)), place_(place), level_(level), on_resume_(on_resume) {}

  template <class T>
  Row operator()(std::string_view name, T S::*member, std::string_view help, Range range = {}) const {
    static_assert(!std::is_same_v<T, std::string>, "a string needs a placeholder");
    return add(name, member, help, placeholder_of<T>(), range);
  }
  Row operator()(std::string_view name, std::string S::*member, std::string_view help,
                 std::string_view placeholder) const {
    return add(name, member, help, placeholder, {});
  }

 private:
  template <class T>
  Row add(std::string_view name, T S::*member, std::string_view help, std::string_view placeholder, Range range) const {
    Key key{.path = path_ + "." + std::string(name),
            .field = [place = place_, member](Config& config) { return as_field(place(config).*member); },
            .placeholder = placeholder,
            .help = help,
            .range = range,
            .choices = choices_of<T>(),
            .level = level_,
            .on_resume = on_resume_};
    return Row(keys_.emplace_back(std::move(key)));
  }

  std::vector<Key>& keys_;
  std::string path_;
  Place place_;
  Level level_;
  OnResume on_resume_;
};

/// The rows of [model] and its sections, and of [finetune]: parts of schema().
void add_model_keys(std::vector<Key>& keys);
void add_finetune_keys(std::vector<Key>& keys);

}  // namespace tessera::rils
