#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "rils/text/mojibake.h"
#include "rils/text/tables/tables.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

// Classes of characters in addition to those of the tables.
constexpr uint32_t kLatinLower = 1u << 20;
constexpr uint32_t kLatinUpper = 1u << 21;
constexpr uint32_t kNotLatin = 1u << 22;
constexpr uint32_t kWhite = 1u << 23;
constexpr uint32_t kWord = 1u << 24;  // a letter, a number or _
constexpr uint32_t kNotNewline = 1u << 25;
constexpr uint32_t kLatin = kLatinLower | kLatinUpper;
constexpr uint32_t kAccented = kLowerAccented | kUpperAccented;
constexpr uint32_t kQuoting = kStart | kEnd;
/// Characters that indicate mojibake next to a character that is hardly ever intended.
constexpr uint32_t kBesideBad = kAccented | kBox | kQuoting | kCurrency | kNumeric | kLaw;

/// One character of a rule: a member of one of the classes, or one of the listed characters.
struct Place {
  uint32_t classes = 0;
  std::u32string_view characters;
};
constexpr size_t kLongest = 7;
struct Rule {
  std::array<Place, kLongest> places;
  bool at_start = false;  // the rule applies only at the start of the text
};

constexpr Place one(std::u32string_view characters) { return {0, characters}; }
constexpr Place any(uint32_t classes, std::u32string_view characters = {}) { return {classes, characters}; }

constexpr std::u32string_view kLatin1Lead = U"\u00c3\u00c2";  // Ã Â: the first bytes of Latin-1's characters
constexpr std::u32string_view kCyrillicLead = U"\u0412\u0413\u0420\u0421";  // В Г Р С
constexpr std::u32string_view kGreekLead = U"\u0392\u0393\u039e\u039f";     // Β Γ Ξ Ο
constexpr Place kArabicSecond =
    any(kCommon | kCurrency | kBad | kNumeric | kStart, U"\u0178\u0160\u00ae\u00b0\u00b5\u00bb");

/// The unlikely sequences, from the table in ftfy's badness.py (Robyn Speer, Apache License 2.0).
constexpr Rule kRules[] = {
    {{any(kC1)}},
    {{any(kBesideBad | kBad), any(kBad)}},
    {{any(kLatin), any(kLowerCommon | kUpperCommon), any(kBad)}},
    {{any(kBad), any(kBesideBad)}},
    {{any(kLowerAccented | kLowerCommon | kBox | kEnd | kCurrency | kNumeric), any(kUpperAccented)}},
    {{any(kBox | kEnd | kCurrency | kNumeric), any(kLowerAccented)}},
    {{any(kLowerAccented | kBox | kEnd), any(kCurrency)}},
    {{any(kWhite), any(kUpperAccented), any(kCurrency)}},
    {{any(kUpperAccented | kBox), any(kNumeric | kLaw)}},
    {{any(kAccented | kBox | kCurrency | kEnd), any(kStart), any(kNumeric)}},
    {{any(kAccented | kCurrency | kNumeric | kBox | kLaw), any(kEnd), any(kStart)}},
    {{any(kCurrency | kNumeric | kBox), any(kStart)}},
    {{any(kLatinLower), any(kUpperAccented), any(kStart | kCurrency)}},
    {{any(kBox), any(kFace)}},
    {{any(kAccented | kCurrency | kNumeric | kQuoting | kLaw), any(kBox)}},
    {{any(kBox), any(kEnd)}},
    {{any(kAccented), any(kQuoting), any(kWord)}},
    {{one(U"\u0152\u0153"), any(kNotLatin)}},  // Œ œ
    {{any(kUpperAccented), one(U"\u00b0")}},   // a degree sign after a capital
    // Windows-1252: pairs of characters that are in no rule above
    {{one(U"\u00c2\u00c3\u00ce\u00d0"), any(kQuoting,
                                            U"\u20ac\u0153\u0160\u0161\u00a2\u00a3\u0178\u017e\u00a0\u00ad\u00ae\u00a9"
                                            U"\u00b0\u00b7\u00bb\u2013\u2014\u00b4")}},
    {{one(U"\u00d7"), one(U"\u00b2\u00b3")}},  // × ² ³
    // Windows-1252: Arabic, two letters
    {{one(U"\u00d8\u00d9"), kArabicSecond, one(U"\u00d8\u00d9"), kArabicSecond}},
    // Windows-1252: alphabets of South Asia
    {{one(U"\u00e0"), one(U"\u00b2\u00b5\u00b9\u00bc\u00bd\u00be")}},
    // Mac Roman
    {{one(U"\u221a"), one(U"\u00b1\u2202\u2020\u2260\u00ae\u2122\u00b4\u2264\u2265\u00a5\u00b5\u00f8")}},
    {{one(U"\u2248"), one(U"\u00b0\u00a2")}},
    {{one(U"\u201a"), one(U"\u00c4"),
      one(U"\u00ec\u00ee\u00ef\u00f2\u00f4\u00fa\u00f9\u00fb\u2020\u00b0\u00a2\u03c0")}},
    {{one(U"\u201a"), one(U"\u00e2\u00f3"), one(U"\u00e0\u00e4\u00b0\u00ea")}},
    // Windows-1251: U+2000 and the following; letters; Windows-1251 on top of Windows-1252 with a Latin letter nearby
    {{one(U"\u0432"), one(U"\u0402")}},
    {{one(kCyrillicLead), any(kC1 | kBad | kQuoting | kCurrency, U"\u00b0\u00b5"), one(kCyrillicLead)}},
    {{one(U"\u0413"), one(U"\u045e"), one(U"\u0412"), one(U"\u0402"), one(U"\u0412"), any(kNotNewline),
      any(kLatin, U" ")}},
    // Windows-1252: à, á and the no-break space
    {{one(U"\u00c3"), one(U"\u00a0\u00a1")}},
    {{any(kLatinLower), one(kLatin1Lead), one(U" ")}},
    {{any(kLatinLower), any(kWhite), one(kLatin1Lead), one(U" ")}},
    {{one(kLatin1Lead), one(U" ")}, true},
    // Â before the very character that it encodes
    {{any(kLatinLower | kEnd, U".,?!"), one(U"\u00c2"), any(kQuoting, U" ")}},
    // Windows-1253: U+2000 and the following; letters
    {{one(U"\u03b2"), one(U"\u20ac"), one(U"\u2122\u00a0\u0386\u00ad\u00ae\u00b0")}},
    {{one(kGreekLead), any(kC1 | kBad | kQuoting | kCurrency, U"\u00b0"), one(kGreekLead)}},
    // Windows-1257: U+2000 and the following
    {{one(U"\u0101"), one(U"\u20ac")}},
};

uint32_t kinds(char32_t c) {
  uint32_t result = character_classes(c);
  const bool lower = c >= 'a' && c <= 'z';
  const bool upper = c >= 'A' && c <= 'Z';
  result |= lower ? kLatinLower : upper ? kLatinUpper : kNotLatin;
  if (unicode::is_space(c)) result |= kWhite;
  if (c == '_' || unicode::is_letter(c) || unicode::is_number(c)) result |= kWord;
  if (c != '\n') result |= kNotNewline;
  return result;
}

bool rule_matches(const Rule& rule, std::u32string_view text, std::span<const uint32_t> kinds_of, size_t at) {
  if (rule.at_start && at != 0) return false;
  for (const Place& place : rule.places) {
    if (place.classes == 0 && place.characters.empty()) return true;
    if (at == text.size()) return false;
    if ((kinds_of[at] & place.classes) == 0 && place.characters.find(text[at]) == std::u32string_view::npos)
      return false;
    ++at;
  }
  return true;
}

}  // namespace

bool looks_garbled(std::u32string_view text) {
  // Every rule has a character outside ASCII.
  if (std::ranges::all_of(text, [](char32_t c) { return c < 0x80; })) return false;
  std::vector<uint32_t> kinds_of(text.size());
  std::ranges::transform(text, kinds_of.begin(), kinds);
  for (size_t at = 0; at < text.size(); ++at) {
    if (std::ranges::any_of(kRules, [&](const Rule& r) { return rule_matches(r, text, kinds_of, at); })) return true;
  }
  return false;
}

uint32_t character_classes(char32_t code) {
  const auto after = std::ranges::upper_bound(kClassRanges, code, {}, [](const ClassRange& r) { return r.first; });
  if (after == kClassRanges.begin()) return 0;
  const ClassRange& range = *(after - 1);
  return code <= range.last ? range.classes : 0;
}

}  // namespace tessera::rils
