#include "rils/text/english.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tessera::rils {
namespace {

bool is_letter(char c) { return c >= 'a' && c <= 'z'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_vowel(char c) { return std::string_view("aeiou").find(c) != std::string_view::npos; }

bool ends_with_any(std::string_view word, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view e) { return word.ends_with(e); });
}

std::string plural_word(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kIrregular = {{
      {"mouse", "mice"},
      {"goose", "geese"},
      {"ox", "oxen"},
      {"man", "men"},
      {"woman", "women"},
      {"person", "people"},
      {"policeman", "policemen"},
      {"fish", "fish"},
      {"sheep", "sheep"},
      {"aircraft", "aircraft"},
      {"moose", "moose"},
      {"die", "dice"},
      {"deer", "deer"},
      {"bison", "bison"},
      {"squid", "squid"},
  }};
  for (const auto& [one, many] : kIrregular)
    if (word == one) return std::string(many);
  std::string out(word);
  if (word == "wolf" || word == "leaf" || word == "elf") {
    out.back() = 'v';
    return out + "es";
  }
  if (word == "knife") return "knives";
  if (word == "potato" || word == "tomato" || word == "mango" || word == "volcano" || word == "superhero")
    return out + "es";
  if (word.size() > 1 && word.back() == 'y' && !is_vowel(word[word.size() - 2])) {
    out.pop_back();
    return out + "ies";
  }
  if (ends_with_any(word, {"s", "x", "z", "ch", "sh"})) return out + "es";
  return out + "s";
}

}  // namespace

std::string plain_words(std::string_view text) {
  std::string out;
  int depth = 0;
  const auto separate = [&] {
    if (!out.empty() && out.back() != ' ') out += ' ';
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = lower(text[i]);
    if (c == '(' || c == ')') {
      depth = std::max(0, depth + (c == '(' ? 1 : -1));
      separate();
    } else if (depth > 0) {
      continue;
    } else if (is_letter(c)) {
      out += c;
    } else if (c == '\'' || text.substr(i).starts_with("\xe2\x80\x99")) {
      if (!out.empty() && out.back() != ' ') out += '\'';
      if (c != '\'') i += 2;
    } else {
      separate();
    }
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '\'')) out.pop_back();
  return out;
}

std::vector<std::string_view> split_at_blanks(std::string_view text) {
  std::vector<std::string_view> words;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string with_article(std::string_view noun_phrase) {
  const bool silent_h = noun_phrase.starts_with("hour");
  const bool you_sound =
      noun_phrase.starts_with("uni") || noun_phrase.starts_with("use") || noun_phrase.starts_with("euro");
  const bool an = silent_h || (!noun_phrase.empty() && is_vowel(noun_phrase.front()) && !you_sound);
  return std::string(an ? "an " : "a ").append(noun_phrase);
}

std::string plural(std::string_view noun_phrase) {
  const size_t of = noun_phrase.find(" of ");
  const std::string_view head = noun_phrase.substr(0, of);
  const size_t last = head.rfind(' ') == std::string_view::npos ? 0 : head.rfind(' ') + 1;
  std::string out(head.substr(0, last));
  out += plural_word(head.substr(last));
  if (of != std::string_view::npos) out += noun_phrase.substr(of);
  return out;
}

}  // namespace tessera::rils
