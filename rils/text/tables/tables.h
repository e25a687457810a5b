#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace tessera::rils {

/// HTML 5's named references, separated by blanks: a name, with '!' if it is also valid without a semicolon, then its
/// one or two code points in hexadecimal, joined by '+'.
extern const std::string_view kHtmlEntities;

/// Classes of characters in wrongly decoded text, from ftfy's heuristic. A character may belong to several.
enum CharacterClass : uint32_t {
  kCommon = 1u << 0,  // occur anywhere
  kC1 = 1u << 1,      // control characters that only wrong decoding makes
  kBad = 1u << 2,     // hardly ever intended
  kLaw = 1u << 3,     // paragraph and section
  kCurrency = 1u << 4,
  kStart = 1u << 5,  // punctuation before a word
  kEnd = 1u << 6,    // punctuation after a word
  kNumeric = 1u << 7,
  kFace = 1u << 8,  // letters that emoticons are made of
  kUpperAccented = 1u << 9,
  kLowerAccented = 1u << 10,
  kUpperCommon = 1u << 11,
  kLowerCommon = 1u << 12,
  kBox = 1u << 13,  // box drawing
  // Characters that bytes of UTF-8 become in one of the code pages: the first of two, three or four bytes, and later
  // bytes. Strict: without characters that are often intended.
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
/// In ascending order. Characters outside all ranges have no class.
extern const std::span<const ClassRange> kClassRanges;

struct CodeRange {
  char32_t first, last;
};
/// Letters and numbers that are newer than the Unicode version of older libraries, in ascending order. They are those
/// that the Python package `regex` knew when the tables were made (Unicode 18).
extern const std::span<const CodeRange> kNewerLetters;
extern const std::span<const CodeRange> kNewerNumbers;

/// The upper halves of the code pages after Latin-1, in the order of CodePage: Windows-1252, 1251, 1250, 1253, 1254 and
/// 1257 (bytes without a character stand for themselves), ISO 8859-2, Mac Roman, code page 437.
extern const std::array<std::array<char16_t, 128>, 9> kCodePages;

}  // namespace tessera::rils
