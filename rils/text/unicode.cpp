#include "rils/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "rils/text/tables/tables.h"

namespace tessera::rils::unicode {
namespace {

int category_of(uint32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }

bool contains(std::span<const CodeRange> ranges, char32_t code) {
  const auto after = std::ranges::upper_bound(ranges, code, {}, &CodeRange::first);
  return after != ranges.begin() && code <= (after - 1)->last;
}

/// Whether so many marks follow each other that utf8proc, which puts them in order by exchanging neighbours, takes
/// long.
bool has_long_run_of_marks(std::u32string_view text) {
  constexpr int kLong = 64;
  int run = 0;
  for (const char32_t c : text) {
    const int category = category_of(c);
    run = category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME ? run + 1 : 0;
    if (run > kLong) return true;
  }
  return false;
}

/// The canonical decomposition, with marks in canonical order.
std::u32string decompose_in_order(std::u32string_view text) {
  constexpr utf8proc_ssize_t kMost = 8;  // characters of a canonical decomposition; Unicode has 4 at most
  std::u32string out;
  for (const char32_t c : text) {
    utf8proc_int32_t parts[kMost];
    int boundary = 0;
    const auto n =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, kMost,
                                static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary);
    if (n < 1 || n > kMost) out += c;
    for (utf8proc_ssize_t i = 0; n <= kMost && i < n; ++i) out += static_cast<char32_t>(parts[i]);
  }
  const auto order = [](char32_t c) {
    return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
  };
  for (auto at = out.begin(); at != out.end();) {
    const auto end = std::find_if(at, out.end(), [&](char32_t c) { return order(c) == 0; });
    std::stable_sort(at, end, [&](char32_t a, char32_t b) { return order(a) < order(b); });
    at = end == out.end() ? end : end + 1;
  }
  return out;
}

std::u32string normalise(std::u32string_view text, int options) {
  const std::string bytes = encode_all(text);
  utf8proc_uint8_t* result = nullptr;
  const auto n =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()), static_cast<utf8proc_ssize_t>(bytes.size()),
                   &result, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | options));
  if (n < 0) return std::u32string(text);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(result, &std::free);
  return decode_all({reinterpret_cast<const char*>(result), static_cast<size_t>(n)});
}

/// Unicode's property Case_Ignorable, which utf8proc lacks. The listed characters are those with the word break
/// MidLetter, MidNumLet or Single_Quote.
bool is_case_ignorable(char32_t c) {
  const int category = category_of(c);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_LM || category == UTF8PROC_CATEGORY_SK ||
         std::u32string_view(U"'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a")
                 .find(c) != std::u32string_view::npos;
}

/// Unicode's property Cased for characters that are not Case_Ignorable: the categories of letters with case, and the
/// ordinals, Roman numerals, and circled and squared letters of Other_Lowercase and Other_Uppercase.
bool is_cased(char32_t c) {
  const int category = category_of(c);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT ||
         c == 0xaa || c == 0xba || (c >= 0x2160 && c <= 0x217f) || (c >= 0x24b6 && c <= 0x24e9) ||
         (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

/// Whether the capital sigma at i ends a word: apart from ignorable signs, a cased letter precedes it and none follows.
bool is_final_sigma(std::u32string_view codes, size_t i) {
  size_t before = i;
  while (before > 0 && is_case_ignorable(codes[before - 1])) --before;
  if (before == 0 || !is_cased(codes[before - 1])) return false;
  size_t after = i + 1;
  while (after < codes.size() && is_case_ignorable(codes[after])) ++after;
  return after == codes.size() || !is_cased(codes[after]);
}

}  // namespace

Decoded decode(std::string_view text) {
  const auto at = [&](size_t i) -> uint32_t { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  const uint32_t first = at(0);
  if (first < 0x80) return {first, 1, true};
  const size_t length = first >= 0xf0 && first <= 0xf4  ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 1;
  if (length == 1) return {kReplacement, 1, false};
  uint32_t code = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    uint32_t low = 0x80;
    uint32_t high = 0xbf;
    if (i == 1) {  // excludes overlong forms, surrogates and code points above U+10FFFF
      if (first == 0xe0) low = 0xa0;
      if (first == 0xed) high = 0x9f;
      if (first == 0xf0) low = 0x90;
      if (first == 0xf4) high = 0x8f;
    }
    if (i >= text.size() || at(i) < low || at(i) > high) return {kReplacement, i, false};
    code = code << 6 | (at(i) & 0x3f);
  }
  return {code, length, true};
}

void append(std::string& out, uint32_t code) {
  utf8proc_uint8_t bytes[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(std::max<utf8proc_ssize_t>(n, 0)));
}

std::u32string decode_all(std::string_view text) {
  std::u32string codes;
  codes.reserve(text.size());
  while (!text.empty()) {
    const Decoded d = decode(text);
    codes.push_back(d.code);
    text.remove_prefix(d.bytes);
  }
  return codes;
}

std::string encode_all(std::u32string_view codes) {
  std::string text;
  text.reserve(codes.size());
  for (const char32_t c : codes) append(text, c);
  return text;
}

bool is_letter(uint32_t code) {
  const int category = category_of(code);
  if (category == UTF8PROC_CATEGORY_CN) return contains(kNewerLetters, code);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_number(uint32_t code) {
  const int category = category_of(code);
  if (category == UTF8PROC_CATEGORY_CN) return contains(kNewerNumbers, code);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_decimal_digit(uint32_t code) { return category_of(code) == UTF8PROC_CATEGORY_ND; }

bool is_space(uint32_t code) {
  if ((code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x1f) || code == 0x20 || code == 0x85) return true;
  const int category = category_of(code);
  return category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
}

std::u32string compose(std::u32string text) {
  // No character below U+0300 combines.
  if (std::ranges::all_of(text, [](char32_t c) { return c < 0x300; })) return text;
  return normalise(has_long_run_of_marks(text) ? decompose_in_order(text) : text, 0);
}

std::u32string compatible(char32_t code) { return normalise({&code, 1}, UTF8PROC_COMPAT); }

char32_t upper(char32_t code) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code))); }

std::u32string lower(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == 0x130) {
      out += U"i\u0307";
    } else if (c == 0x3a3) {
      out += is_final_sigma(text, i) ? U'\u03c2' : U'\u03c3';
    } else {
      out += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
    }
  }
  return out;
}

}  // namespace tessera::rils::unicode
