#include "tests/fuzz/readers/well_formed.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "rils/text/unicode.h"

namespace tessera::fuzz {
namespace {

bool are_characters(std::string_view text) {
  while (!text.empty()) {
    const auto d = rils::unicode::decode(text);
    const bool allowed = d.code >= 0x20 || d.code == '\t' || d.code == '\n' || d.code == '\r';
    if (!d.valid || !allowed || d.code == 0xfffe || d.code == 0xffff) return false;
    text.remove_prefix(d.bytes);
  }
  return true;
}

/// Text between tags, or in an attribute.
bool is_text(std::string_view text) {
  constexpr std::array<std::string_view, 5> kEntities = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
  for (size_t at = 0; (at = text.find_first_of("<>&", at)) != std::string_view::npos; ++at) {
    if (std::ranges::none_of(kEntities, [&](auto e) { return text.substr(at).starts_with(e); })) return false;
  }
  return true;
}

/// The attributes of a tag: name="value".
bool are_attributes(std::string_view text) {
  while (!text.empty()) {
    if (text.front() == ' ' || text.front() == '\n') {
      text.remove_prefix(1);
      continue;
    }
    const size_t begin = text.find("=\"");
    const size_t end = begin == std::string_view::npos ? begin : text.find('"', begin + 2);
    if (end == std::string_view::npos || text.substr(0, begin).find_first_of(" \"<") != std::string_view::npos)
      return false;
    if (!is_text(text.substr(begin + 2, end - begin - 2))) return false;
    text.remove_prefix(end + 1);
  }
  return true;
}

}  // namespace

bool is_well_formed(std::string_view text) {
  if (!are_characters(text)) return false;
  std::vector<std::string> open;
  for (;;) {
    const size_t tag = std::min(text.find('<'), text.size());
    if (!is_text(text.substr(0, tag))) return false;
    if (tag == text.size()) return open.empty();
    const size_t end = text.find('>', tag);
    if (end == std::string_view::npos) return false;
    std::string_view inside = text.substr(tag + 1, end - tag - 1);
    text.remove_prefix(end + 1);
    if (inside.starts_with('?')) continue;
    if (inside.starts_with('/')) {
      if (open.empty() || open.back() != inside.substr(1)) return false;
      open.pop_back();
      continue;
    }
    const bool empty = inside.ends_with('/');
    if (empty) inside.remove_suffix(1);
    const size_t name = std::min(inside.find_first_of(" \n"), inside.size());
    if (name == 0 || !are_attributes(inside.substr(name))) return false;
    if (!empty) open.emplace_back(inside.substr(0, name));
  }
}

}  // namespace tessera::fuzz
