#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace tessera::rils {

/// HTML 5's named references, separated by blanks: a name, with '!' where it counts without a semicolon too, then its
/// one or two code points in hexadecimal, joined by '+'.
extern const std::string_view kHtmlEntities;

/// Kinds of characters by the part they play in wrongly decoded text, after ftfy's heuristic. A character may be of
/// several.
enum CharacterClass : uint32_t {
  kCommon = 1u << 0,  // found anywhere
  kC1 = 1u << 1,      // control characters that only wrong decoding makes
  kBad = 1u << 2,     // hardly ever meant
  kLaw = 1u << 3,     // paragraph and section
  kCurrency = 1u << 4,
  kStart = 1u << 5,  // punctuation before a word
  kEnd = 1u << 6,    // and after one
  kNumeric = 1u << 7,
  kFace = 1u << 8,  // letters that emoticons are made of
  kUpperAccented = 1u << 9,
  kLowerAccented = 1u << 10,
  kUpperCommon = 1u << 11,
  kLowerCommon = 1u << 12,
  kBox = 1u << 13,  // box drawing
  // What the bytes of UTF-8 look like in one of the code pages: first bytes of two, three and four, and later ones;
  // strict: without those that often stand for themselves.
  kFirstOf2 = 1u << 14,
  kFirstOf3 = 1u << 15,
  kFirstOf4 = 1u << 16,
  kContinuation = 1u << 17,
  kContinuationStrict = 1u << 18,
};

struct ClassRange {
  char16_t first, last;
  uint32_t classes;
};
/// In ascending order; what is in none of them has no class.
extern const std::span<const ClassRange> kClassRanges;

struct CodeRange {
  char32_t first, last;
};
/// Letters and numbers newer than the Unicode of older libraries, in ascending order: what the `regex` package knew
/// when the tables were made (Unicode 18).
extern const std::span<const CodeRange> kNewerLetters;
extern const std::span<const CodeRange> kNewerNumbers;

/// The upper halves of the code pages after Latin-1 that text is tried in: Windows-1252, 1251, 1250, 1253, 1254 and
/// 1257 (bytes without a character stand for themselves), ISO 8859-2, Mac Roman, code page 437.
extern const std::array<std::array<char16_t, 128>, 9> kCodePages;

}  // namespace tessera::rils
