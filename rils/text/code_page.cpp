#include "rils/text/code_page.h"

#include <array>
#include <unordered_map>

#include "rils/text/tables/tables.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

constexpr uint8_t kLostByte = 0x1a;

using Inverse = std::unordered_map<char32_t, uint8_t>;

const Inverse& inverse(CodePage page) {
  static const std::array<Inverse, kCodePages.size()> inverses = [] {
    std::array<Inverse, kCodePages.size()> maps;
    for (size_t p = 0; p < maps.size(); ++p) {
      for (size_t i = 0; i < 128; ++i) maps[p][kCodePages[p][i]] = static_cast<uint8_t>(0x80 + i);
    }
    return maps;
  }();
  return inverses[static_cast<size_t>(page) - 1];
}

}  // namespace

bool is_loose(CodePage page) { return page >= CodePage::windows_1252 && page <= CodePage::windows_1257; }

std::optional<std::string> encode(std::u32string_view text, CodePage page) {
  std::string bytes;
  bytes.reserve(text.size());
  const bool loose = is_loose(page);
  for (const char32_t c : text) {
    if (loose && c == unicode::kReplacement) {
      bytes += static_cast<char>(kLostByte);
    } else if (c < 0x80 && !(loose && c == kLostByte)) {
      bytes += static_cast<char>(c);
    } else if (page == CodePage::latin_1) {
      if (c > 0xff) return std::nullopt;
      bytes += static_cast<char>(c);
    } else {
      const Inverse& map = inverse(page);
      const auto it = map.find(c);
      if (it == map.end()) return std::nullopt;
      bytes += static_cast<char>(it->second);
    }
  }
  return bytes;
}

char32_t windows_1252(uint32_t byte) { return kCodePages[0][byte - 0x80]; }

}  // namespace tessera::rils
