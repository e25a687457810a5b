#include "rils/text/clean.h"

#include <utf8proc.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

using Codes = std::u32string;

Codes decode_all(std::string_view text) {
  Codes codes;
  while (!text.empty()) {
    const unicode::Decoded d = unicode::decode(text);
    codes.push_back(d.code);
    text.remove_prefix(d.bytes);
  }
  return codes;
}

std::string encode_all(const Codes& codes) {
  std::string text;
  for (const char32_t c : codes) unicode::append(text, c);
  return text;
}

/// Single characters that stand for two letters, spelled out; empty for all others.
std::u32string_view digraph(char32_t c) {
  constexpr std::pair<char32_t, std::u32string_view> kDigraphs[] = {
      {0x132, U"IJ"},      {0x133, U"ij"}, {0x149, U"'n"}, {0x1c4, U"D\u017d"}, {0x1c5, U"D\u017e"},
      {0x1c6, U"d\u017e"}, {0x1c7, U"LJ"}, {0x1c8, U"Lj"}, {0x1c9, U"lj"},      {0x1ca, U"NJ"},
      {0x1cb, U"Nj"},      {0x1cc, U"nj"}, {0x1f1, U"DZ"}, {0x1f2, U"Dz"},      {0x1f3, U"dz"}};
  for (const auto& [digraph, letters] : kDigraphs) {
    if (c == digraph) return letters;
  }
  return {};
}

/// Full-width and half-width forms, ligatures of Latin letters and typographic quotes made plain; control characters
/// dropped.
Codes make_plain(const Codes& codes) {
  constexpr std::u32string_view kLigatures[] = {U"ff", U"fi", U"fl", U"ffi", U"ffl", U"st", U"st"};
  Codes out;
  for (const char32_t c : codes) {
    if (c >= 0xff01 && c <= 0xff5e) {
      out.push_back(c - 0xff01 + 0x21);
    } else if (c == 0x3000) {
      out.push_back(U' ');
    } else if (c >= 0xfb00 && c <= 0xfb06) {
      out += kLigatures[c - 0xfb00];
    } else if (const std::u32string_view letters = digraph(c); !letters.empty()) {
      out += letters;
    } else if ((c >= 0x2018 && c <= 0x201b) || c == 0x02bc) {
      out.push_back(U'\'');
    } else if (c >= 0x201c && c <= 0x201f) {
      out.push_back(U'"');
    } else if (c == 0x2028 || c == 0x2029 || c == 0x85) {
      out.push_back(U'\n');
    } else if ((c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r') || c == 0x7f || c == 0xfeff ||
               (c >= 0x206a && c <= 0x206f) || (c >= 0xfff9 && c <= 0xfffc)) {
      continue;
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string compose(const std::string& text) {
  utf8proc_uint8_t* result = nullptr;
  const auto n =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &result, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (n < 0) return text;
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(result, &std::free);
  return {reinterpret_cast<const char*>(result), static_cast<size_t>(n)};
}

/// An entity at the front of `text` ("&…"): its code point and length, or zeros.
std::pair<uint32_t, size_t> entity(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, uint32_t>, 22> kNames = {
      {{"&amp;", '&'},      {"&lt;", '<'},      {"&gt;", '>'},       {"&quot;", '"'},     {"&apos;", '\''},
       {"&nbsp;", 0xa0},    {"&copy;", 0xa9},   {"&reg;", 0xae},     {"&deg;", 0xb0},     {"&eacute;", 0xe9},
       {"&egrave;", 0xe8},  {"&agrave;", 0xe0}, {"&ccedil;", 0xe7},  {"&ouml;", 0xf6},    {"&uuml;", 0xfc},
       {"&auml;", 0xe4},    {"&ntilde;", 0xf1}, {"&ndash;", 0x2013}, {"&mdash;", 0x2014}, {"&hellip;", 0x2026},
       {"&rsquo;", 0x2019}, {"&euro;", 0x20ac}}};
  for (const auto& [name, code] : kNames) {
    if (text.starts_with(name)) return {code, name.size()};
  }
  if (!text.starts_with("&#")) return {0, 0};
  const bool hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  const char* first = text.data() + (hex ? 3 : 2);
  uint32_t code = 0;
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), code, hex ? 16 : 10);
  if (error != std::errc() || end == first) return {0, 0};
  auto length = static_cast<size_t>(end - text.data());
  if (length < text.size() && text[length] == ';') ++length;
  if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = unicode::kReplacement;
  return {code, length};
}

std::string unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text[0] == '&') {
      if (const auto [code, length] = entity(text); length > 0) {
        unicode::append(out, code);
        text.remove_prefix(length);
        continue;
      }
    }
    out += text[0];
    text.remove_prefix(1);
  }
  return out;
}

std::string squeeze(std::string_view text) {
  std::string out;
  bool blank = false;
  while (!text.empty()) {
    const unicode::Decoded d = unicode::decode(text);
    if (unicode::is_space(d.code)) {
      blank = !out.empty();
    } else {
      if (blank) out += ' ';
      blank = false;
      out += text.substr(0, d.bytes);
    }
    text.remove_prefix(d.bytes);
  }
  return out;
}

bool is_case_ignorable(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_LM || category == UTF8PROC_CATEGORY_SK || c == U'\'' || c == U'.' || c == U':' ||
         c == 0xb7 || c == 0x2018 || c == 0x2019 || c == 0x2024 || c == 0x2027;
}

bool is_cased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

/// Whether the capital sigma at i ends a word: a cased letter before it and none after, ignorable signs aside.
bool is_final_sigma(const Codes& codes, size_t i) {
  size_t before = i;
  while (before > 0 && is_case_ignorable(codes[before - 1])) --before;
  if (before == 0 || !is_cased(codes[before - 1])) return false;
  size_t after = i + 1;
  while (after < codes.size() && is_case_ignorable(codes[after])) ++after;
  return after == codes.size() || !is_cased(codes[after]);
}

}  // namespace

std::string lower_case(std::string_view text) {
  const Codes codes = decode_all(text);
  std::string out;
  for (size_t i = 0; i < codes.size(); ++i) {
    const char32_t c = codes[i];
    if (c == 0x130) {
      out += "i\u0307";
    } else if (c == 0x3a3) {
      unicode::append(out, is_final_sigma(codes, i) ? 0x3c2 : 0x3c3);
    } else {
      unicode::append(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return out;
}

std::string clean_caption(std::string_view text) {
  const std::string plain = compose(encode_all(make_plain(decode_all(text))));
  return lower_case(squeeze(unescape(unescape(plain))));
}

}  // namespace tessera::rils
