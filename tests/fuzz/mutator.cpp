#include "tests/fuzz/mutator.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace tessera::fuzz {
namespace {

constexpr size_t kLongest = 16 << 10;
constexpr std::string_view kLikely("\0\xff\x7f\x80\n\r\t \"'{}[]<>,;:.=&#\\/0-\x1e", 28);
constexpr std::array<std::string_view, 6> kNumbers = {"0", "-1", "4294967296", "9223372036854775807", "1e300", "99999"};

}  // namespace

std::string Mutator::next() {
  std::string text = corpus_[below(corpus_.size())];
  for (size_t n = 1 + below(4); n > 0; --n) damage(text);
  text.resize(std::min(text.size(), kLongest));
  return text;
}

void Mutator::damage(std::string& text) {
  const size_t at = below(text.size() + 1), length = std::min(text.size() - at, 1 + below(1 + below(64)));
  switch (below(8)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
      break;
    case 1:
      if (at < text.size()) text[at] = kLikely[below(kLikely.size())];
      break;
    case 2:
      text.insert(at, 1 + below(4), kLikely[below(kLikely.size())]);
      break;
    case 3:
      text.erase(at, length);
      break;
    case 4:
      text.insert(below(text.size() + 1), text.substr(at, length));
      break;
    case 5: {
      const std::string& other = corpus_[below(corpus_.size())];
      text = text.substr(0, at) + other.substr(below(other.size() + 1));
      break;
    }
    case 6:
      put_number(text);
      break;
    default:
      for (size_t i = at; i < at + length; ++i) text[i] = static_cast<char>(random_());
  }
}

/// Replaces digits by a number at the border of a type, or bytes by a binary one.
void Mutator::put_number(std::string& text) {
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  const auto from = text.begin() + static_cast<std::ptrdiff_t>(below(text.size() + 1));
  const auto begin = std::find_if(from, text.end(), is_digit);
  if (below(2) == 0 && begin != text.end()) {
    const auto end = std::find_if_not(begin, text.end(), is_digit);
    text.replace(begin, end, kNumbers[below(kNumbers.size())]);
    return;
  }
  const size_t at = below(text.size() + 1), size = std::min(text.size() - at, size_t{1} << below(4));
  text.replace(at, size, size, below(2) == 0 ? '\0' : '\xff');
}

}  // namespace tessera::fuzz
