#include "rils/text/fix_text.h"

#include <algorithm>

#include "rils/text/html.h"
#include "rils/text/mojibake.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

constexpr size_t kLongestSegment = 1'000'000;  // ftfy's max_decode_length
// Characters that all passes over a text may read: nested references need a pass for each level, which took time by the
// square of the length. A text of 8,000 characters is always repaired to the end.
constexpr int64_t kLeastBudget = 9'000'000, kPasses = 4;

/// The letters of a Latin ligature or digraph that is one character; empty for all other characters.
std::u32string_view ligature(char32_t c) {
  constexpr std::u32string_view kTypographic[] = {U"ff", U"fi", U"fl", U"ffi", U"ffl", U"\u017ft", U"st"};
  constexpr std::pair<char32_t, std::u32string_view> kDigraphs[] = {
      {0x132, U"IJ"},      {0x133, U"ij"}, {0x149, U"\u02bcn"}, {0x1c4, U"D\u017d"}, {0x1c5, U"D\u017e"},
      {0x1c6, U"d\u017e"}, {0x1c7, U"LJ"}, {0x1c8, U"Lj"},      {0x1c9, U"lj"},      {0x1ca, U"NJ"},
      {0x1cb, U"Nj"},      {0x1cc, U"nj"}, {0x1f1, U"DZ"},      {0x1f2, U"Dz"},      {0x1f3, U"dz"}};
  if (c >= 0xfb00 && c <= 0xfb06) return kTypographic[c - 0xfb00];
  if (c < 0x132 || c > 0x1f3) return {};
  const auto* const found = std::ranges::find(kDigraphs, c, [](const auto& pair) { return pair.first; });
  return found == std::end(kDigraphs) ? std::u32string_view() : found->second;
}

bool is_dropped_control(char32_t c) {
  return c < 0x09 || c == 0x0b || (c >= 0x0e && c < 0x20) || c == 0x7f || (c >= 0x206a && c <= 0x206f) || c == 0xfeff ||
         (c >= 0xfff9 && c <= 0xfffc);
}

/// Spells out ligatures, replaces full-width and half-width forms and curly quotes, and makes every line break '\n'.
std::u32string make_plain(std::u32string_view text) {
  std::u32string spelled;
  spelled.reserve(text.size());
  for (const char32_t c : text) {
    if (const std::u32string_view letters = ligature(c); !letters.empty()) {
      spelled += letters;
    } else if (c == 0x3000) {
      spelled += U' ';
    } else if (c > 0xff00 && c < 0xfff0) {
      spelled += unicode::compatible(c);
    } else {
      spelled += c;
    }
  }
  std::u32string plain;
  plain.reserve(spelled.size());
  for (size_t i = 0; i < spelled.size(); ++i) {
    const char32_t c = spelled[i];
    if ((c >= 0x2018 && c <= 0x201b) || c == 0x02bc) {
      plain += U'\'';
    } else if (c >= 0x201c && c <= 0x201f) {
      plain += U'"';
    } else if (c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85) {
      if (c == '\r' && i + 1 < spelled.size() && spelled[i + 1] == '\n') ++i;
      plain += U'\n';
    } else {
      plain += c;
    }
  }
  return plain;
}

/// The length of a terminal escape sequence (ESC [, numbers, a letter) at the start of `text`, or 0.
size_t escape_length(std::u32string_view text) {
  if (!text.starts_with(U"\033[")) return 0;
  size_t n = 2;
  while (n < text.size() && (text[n] == ';' || unicode::is_decimal_digit(text[n]))) ++n;
  const char32_t last = n < text.size() ? text[n] | 0x20 : 0;
  return last >= 'a' && last <= 'z' ? n + 1 : 0;
}

std::u32string remove_controls(std::u32string_view text) {
  std::u32string without_escapes;
  without_escapes.reserve(text.size());
  while (!text.empty()) {
    const size_t length = escape_length(text);
    if (length == 0) without_escapes += text[0];
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  std::erase_if(without_escapes, is_dropped_control);
  return without_escapes;
}

/// Whether no step can change the text, as for nearly all captions.
bool is_plain(std::u32string_view text) {
  return std::ranges::all_of(text,
                             [](char32_t c) { return (c >= ' ' && c < 0x7f && c != '&') || c == '\t' || c == '\n'; });
}

/// Repairs one line with ftfy's steps in its order. ftfy's repair of surrogates is not needed, since decoded UTF-8 has
/// none. Every pass takes its length from `budget`; without any left the line gets one pass.
std::u32string fix_line(std::u32string text, bool unescape, int64_t& budget) {
  bool first = true;
  while (!is_plain(text) && (first || budget > 0)) {
    first = false;
    budget -= std::ssize(text);
    std::u32string fixed = unescape ? unescape_closed_references(text) : text;
    fixed = fix_c1_controls(fix_encoding(std::move(fixed)));
    fixed = unicode::compose(remove_controls(make_plain(fixed)));
    if (fixed == text) break;
    text = std::move(fixed);
  }
  return text;
}

}  // namespace

std::u32string fix_text(std::u32string text) {
  if (is_plain(text)) return text;
  std::u32string out;
  bool unescape = true;
  int64_t budget = kLeastBudget + kPasses * std::ssize(text);
  for (std::u32string_view rest = text; !rest.empty();) {
    const std::u32string_view line =
        rest.substr(0, std::min({rest.find(U'\n'), rest.size() - 1, kLongestSegment - 1}) + 1);
    unescape = unescape && line.find(U'<') == std::u32string_view::npos;
    out += fix_line(std::u32string(line), unescape, budget);
    rest.remove_prefix(line.size());
  }
  return out;
}

}  // namespace tessera::rils
