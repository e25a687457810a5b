#include "rils/text/html.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "rils/text/ascii.h"
#include "rils/text/code_page.h"
#include "rils/text/tables/tables.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

struct Entity {
  std::u32string text;
  bool open = false;  // valid without a semicolon
};

std::unordered_map<std::string_view, Entity> parse_entities() {
  std::unordered_map<std::string_view, Entity> entities;
  std::string_view rest = kHtmlEntities;
  const auto next = [&](char end) {
    const size_t n = std::min(rest.find(end), rest.size());
    const std::string_view word = rest.substr(0, n);
    rest.remove_prefix(std::min(n + 1, rest.size()));
    return word;
  };
  while (!rest.empty()) {
    std::string_view name = next(' ');
    Entity entity{{}, name.ends_with('!')};
    if (entity.open) name.remove_suffix(1);
    const std::string_view codes = next(' ');
    const char* const end = codes.data() + codes.size();
    for (const char* at = codes.data(); at < end; ++at) {
      uint32_t code = 0;
      at = std::from_chars(at, end, code, 16).ptr;
      entity.text += static_cast<char32_t>(code);
    }
    entities.emplace(name, std::move(entity));
  }
  return entities;
}

/// The text of a named reference, or nullptr for an unknown name. `closed`: a semicolon follows.
const std::u32string* find_entity(std::string_view name, bool closed) {
  static const std::unordered_map<std::string_view, Entity> entities = parse_entities();
  const auto it = entities.find(name);
  return it != entities.end() && (closed || it->second.open) ? &it->second.text : nullptr;
}

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char32_t c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_alphanumeric(char32_t c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

template <class Predicate>
size_t run_length(std::u32string_view text, size_t most, Predicate belongs) {
  size_t n = 0;
  while (n < std::min(text.size(), most) && belongs(text[n])) ++n;
  return n;
}

/// The text of a numeric reference by HTML's rules: 0x80 to 0x9f are read as Windows-1252, control characters and
/// noncharacters are dropped, invalid code points become the replacement character.
std::u32string character(uint32_t code) {
  if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {unicode::kReplacement};
  if (code >= 0x80 && code <= 0x9f) return {windows_1252(code)};
  const bool dropped = code < 0x09 || code == 0x0b || (code >= 0x0e && code < 0x20) || code == 0x7f ||
                       (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
  return dropped ? std::u32string() : std::u32string{code};
}

/// The text of a reference ("&…") and its length; 0 if there is none.
struct Reference {
  std::u32string text;
  size_t length = 0;
};

Reference numeric_reference(std::u32string_view text) {
  const bool hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  const size_t begin = hex ? 3 : 2;
  const size_t digits =
      run_length(text.substr(std::min(begin, text.size())), text.size(), hex ? is_hex_digit : is_digit);
  if (digits == 0) return {};
  uint32_t code = 0;
  for (const char32_t c : text.substr(begin, digits)) {
    const uint32_t digit = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
    code = std::min<uint32_t>(code * (hex ? 16 : 10) + digit, 0x110000);
  }
  const size_t end = begin + digits;
  return {character(code), end + (end < text.size() && text[end] == ';' ? 1 : 0)};
}

/// Reads up to 32 characters and resolves the longest prefix that is a name; the other characters stay as they are.
Reference named_reference(std::u32string_view text) {
  constexpr std::u32string_view kNoName = U"\t\n\f <&#;";
  const size_t length =
      run_length(text.substr(1), 32, [&](char32_t c) { return kNoName.find(c) == std::u32string_view::npos; });
  if (length == 0) return {};
  const bool closed = length + 1 < text.size() && text[length + 1] == ';';
  const size_t end = length + (closed ? 2 : 1);
  std::string name;
  for (const char32_t c : text.substr(1, run_length(text.substr(1), length, [](char32_t c) { return c < 0x80; }))) {
    name += static_cast<char>(c);
  }
  if (name.size() == length && closed) {
    if (const std::u32string* found = find_entity(name, true)) return {*found, end};
  }
  for (size_t n = name.size(); n >= 2; --n) {
    if (const std::u32string* found = find_entity(std::string_view(name).substr(0, n), false)) {
      return {*found + std::u32string(text.substr(n + 1, end - n - 1)), end};
    }
  }
  return {std::u32string(text.substr(0, end)), end};
}

template <class Resolve>
std::u32string resolve_all(std::u32string_view text, Resolve&& resolve) {
  std::u32string out;
  out.reserve(text.size());
  for (;;) {
    const size_t n = std::min(text.find(U'&'), text.size());
    out += text.substr(0, n);
    text.remove_prefix(n);
    if (text.empty()) return out;
    const Reference reference = resolve(text);
    out += reference.length > 0 ? std::u32string_view(reference.text) : text.substr(0, 1);
    text.remove_prefix(std::max<size_t>(reference.length, 1));
  }
}

/// Python's str.upper() for the characters of lower-case entities.
std::u32string upper_case(std::u32string_view text) {
  constexpr std::pair<char32_t, std::u32string_view> kLonger[] = {
      {0xdf, U"SS"},   {0x149, U"\u02bcN"}, {0xfb00, U"FF"}, {0xfb01, U"FI"},
      {0xfb02, U"FL"}, {0xfb03, U"FFI"},    {0xfb04, U"FFL"}};
  std::u32string out;
  for (const char32_t c : text) {
    const auto* const longer = std::ranges::find(kLonger, c, [](const auto& pair) { return pair.first; });
    if (longer != std::end(kLonger)) {
      out += longer->second;
    } else {
      out += unicode::upper(c);
    }
  }
  return out;
}

Reference closed_reference(std::u32string_view text) {
  const size_t begin = text.size() > 1 && text[1] == '#' ? 2 : 1;
  const size_t length = run_length(text.substr(begin), 25, is_alphanumeric);
  const size_t end = begin + length + 1;
  if (length == 0 || length > 24 || end > text.size() || text[end - 1] != ';') return {};
  const std::u32string_view whole = text.substr(0, end);
  if (begin == 2) {
    std::u32string resolved = unescape_html(whole);
    if (resolved.find(U';') != std::u32string::npos) resolved = whole;  // partly resolved, or the text is a semicolon
    return {std::move(resolved), end};
  }
  std::string name;
  for (const char32_t c : whole.substr(1, length)) name += static_cast<char>(c);
  if (const std::u32string* found = find_entity(name, true)) return {*found, end};
  const bool capitals = std::ranges::none_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
  const std::u32string* found = capitals ? find_entity(lower_ascii(name), true) : nullptr;
  if (found == nullptr || unescape_html(whole) != whole) return {std::u32string(whole), end};
  return {upper_case(*found), end};
}

}  // namespace

std::u32string unescape_html(std::u32string_view text) {
  return resolve_all(text, [](std::u32string_view at) {
    return at.size() > 1 && at[1] == '#' ? numeric_reference(at) : named_reference(at);
  });
}

std::u32string unescape_closed_references(std::u32string_view text) { return resolve_all(text, closed_reference); }

}  // namespace tessera::rils
