// The order of the attempts and the rules for damaged UTF-8 are those of ftfy's fix_encoding (Robyn Speer, Apache
// License 2.0).
#include <algorithm>
#include <optional>

#include "rils/text/code_page.h"
#include "rils/text/mojibake.h"
#include "rils/text/tables/tables.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

/// Bytes with a sentinel after the end. The sentinel belongs to no range.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] int operator[](size_t i) const { return i < bytes_.size() ? static_cast<uint8_t>(bytes_[i]) : -1; }

 private:
  std::string_view bytes_;
};

constexpr bool in(int byte, int first, int last) { return byte >= first && byte <= last; }
constexpr bool is_continuation(int byte) { return in(byte, 0x80, 0xbf); }

/// The length of a UTF-8 sequence at i in which a blank replaced the byte 0xa0; 0 if there is none. Sequences of
/// unlikely characters are not accepted.
size_t blanked_length(const Bytes& b, size_t i) {
  const auto likely = [](int byte) { return is_continuation(byte) && byte != 0x85 && byte != 0xa0; };
  switch (b[i]) {
    case 0xc2:
    case 0xc3:
    case 0xc5:
    case 0xce:
    case 0xd0:
    case 0xd9:
      return b[i + 1] == ' ' ? 2 : 0;
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
      if (b[i] >= 0xe2 && b[i + 1] == ' ' && likely(b[i + 2])) return 3;
      return likely(b[i + 1]) && b[i + 2] == ' ' ? 3 : 0;
    case 0xf0: {
      int blanks = 0;
      for (size_t k = 1; k < 4; ++k) {
        if (b[i + k] != ' ' && !is_continuation(b[i + k])) return 0;
        blanks += b[i + k] == ' ' ? 1 : 0;
      }
      return blanks == 1 ? 4 : 0;
    }
    default:
      return 0;
  }
}

/// Restores bytes 0xa0 that became blanks inside UTF-8. "Ã" with a blank is the word "à" and a blank, except where a
/// Portuguese word follows ("às", "àquele").
std::string restore_no_break_spaces(const std::string& bytes) {
  std::string words;
  for (size_t i = 0; i < bytes.size(); ++i) {
    words += bytes[i];
    if (bytes[i] != '\xc3' || i + 1 >= bytes.size() || bytes[i + 1] != ' ') continue;
    const std::string_view rest = std::string_view(bytes).substr(i + 2);
    const bool goes_on =
        std::ranges::any_of(std::initializer_list<std::string_view>{" ", "quele", "quela", "quilo", "s "},
                            [&](std::string_view word) { return rest.starts_with(word); });
    if (!goes_on) words += '\xa0';
  }
  const Bytes view(words);
  for (size_t i = 0; i < words.size();) {
    const size_t length = blanked_length(view, i);
    for (size_t k = i; k < i + length; ++k) {
      if (words[k] == ' ') words[k] = '\xa0';
    }
    i += std::max<size_t>(length, 1);
  }
  return words;
}

/// The length of a UTF-8 (or CESU-8) sequence at i in which bytes were lost: 0x1a stands for each, or one '?'.
size_t lossy_length(const Bytes& b, size_t i) {
  const auto gone = [](int byte) { return byte == 0x1a || byte == '?'; };
  const auto later = [](int byte) { return byte == 0x1a || is_continuation(byte); };
  const int lead = b[i];
  if (in(lead, 0xc2, 0xdf) && b[i + 1] == 0x1a) return 2;
  if (in(lead, 0xc2, 0xc3) && b[i + 1] == '?') return 2;
  if (lead == 0xed && in(b[i + 1], 0xa0, 0xaf) && b[i + 3] == 0xed && in(b[i + 4], 0xb0, 0xbf)) {
    const int third = b[i + 2];
    const int sixth = b[i + 5];
    const auto may_be = [&](int byte) { return gone(byte) || is_continuation(byte); };
    if (may_be(third) && may_be(sixth) && (gone(third) || gone(sixth))) return 6;
  }
  const size_t length = in(lead, 0xe0, 0xef) ? 3 : in(lead, 0xf0, 0xf4) ? 4 : 0;
  for (size_t lost = 1; lost < length; ++lost) {
    bool fits = true;
    for (size_t k = 1; k < length; ++k) fits = fits && (k == lost ? gone(b[i + k]) : later(b[i + k]));
    if (fits) return length;
  }
  return lead == 0x1a ? 1 : 0;
}

std::string replace_lossy_sequences(const std::string& bytes) {
  const Bytes view(bytes);
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = lossy_length(view, i);
    if (length > 0) {
      out += "\xef\xbf\xbd";
    } else {
      out += bytes[i];
    }
    i += std::max<size_t>(length, 1);
  }
  return out;
}

/// Decodes UTF-8, also with CESU-8's surrogate pairs and Java's two-byte zero; nullopt for invalid bytes. Like ftfy it
/// takes a line break at the end for a missing last byte.
std::optional<std::u32string> decode_found_utf8(const std::string& bytes) {
  const Bytes b(bytes);
  const auto last_line_break = [&](size_t i) { return i + 1 == b.size() && b[i] == '\n'; };
  std::u32string out;
  for (size_t i = 0; i < b.size();) {
    if (b[i] == 0xc0 && (b[i + 1] == 0x80 || last_line_break(i + 1))) {
      out += U'\0';
      i += 2;
      continue;
    }
    if (b[i] == 0xed && in(b[i + 1], 0xa0, 0xaf) && is_continuation(b[i + 2]) && b[i + 3] == 0xed &&
        in(b[i + 4], 0xb0, 0xbf) && (is_continuation(b[i + 5]) || last_line_break(i + 5))) {
      out += static_cast<char32_t>(0x10000 + ((b[i + 1] & 0x0f) << 16) + ((b[i + 2] & 0x3f) << 10) +
                                   ((b[i + 4] & 0x0f) << 6) + (b[i + 5] & 0x3f));
      i += 6;
      continue;
    }
    const unicode::Decoded d = unicode::decode(std::string_view(bytes).substr(i));
    if (!d.valid) return std::nullopt;
    out += static_cast<char32_t>(d.code);
    i += d.bytes;
  }
  return out;
}

/// Repairs a text that is as a whole UTF-8 read in one of the code pages.
std::optional<std::u32string> decode_whole(std::u32string_view text) {
  for (int p = 0; p < kCodePageCount; ++p) {
    const auto page = static_cast<CodePage>(p);
    std::optional<std::string> bytes = encode(text, page);
    if (!bytes) continue;
    // In Mac Roman the result would be a dash and a blank.
    if (page != CodePage::mac_roman) bytes = restore_no_break_spaces(*bytes);
    if (is_loose(page)) bytes = replace_lossy_sequences(*bytes);
    if (auto decoded = decode_found_utf8(*bytes)) return decoded;
  }
  return std::nullopt;
}

/// The length of a run of sequences at `at` that look like UTF-8 in one of the code pages.
size_t utf8_like_length(std::u32string_view text, size_t at) {
  const auto classes = [&](size_t i) { return i < text.size() ? character_classes(text[i]) : 0u; };
  if (at > 0 && (classes(at - 1) & kContinuationStrict) != 0) return 0;
  const size_t begin = at;
  for (;;) {
    const uint32_t first = classes(at);
    const size_t later = (first & kFirstOf2) != 0 ? 1 : (first & kFirstOf3) != 0 ? 2 : (first & kFirstOf4) != 0 ? 3 : 0;
    size_t n = 0;
    while (n < later && (classes(at + 1 + n) & kContinuation) != 0) ++n;
    if (later == 0 || n < later) return at - begin;
    at += 1 + later;
  }
}

/// Repairs parts of a text. A repaired part is shorter, so the depth of the recursion is the number of wrong decodings.
std::u32string fix_parts(std::u32string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_like_length(text, i);
    const std::u32string_view part = text.substr(i, std::max<size_t>(length, 1));
    if (length > 0 && length < text.size() && looks_garbled(part)) {
      out += fix_encoding(std::u32string(part));
    } else {
      out += part;
    }
    i += part.size();
  }
  return out;
}

}  // namespace

std::u32string fix_c1_controls(std::u32string text) {
  for (char32_t& c : text) {
    if (c >= 0x80 && c <= 0x9f) c = windows_1252(c);
  }
  return text;
}

std::u32string fix_encoding(std::u32string text) {
  while (looks_garbled(text)) {
    std::u32string fixed;
    if (auto whole = decode_whole(text)) {
      fixed = std::move(*whole);
    } else {
      fixed = fix_parts(text);
      if (fixed == text) fixed = fix_c1_controls(text);
    }
    if (fixed == text) break;
    text = std::move(fixed);
  }
  return text;
}

}  // namespace tessera::rils
