#include "rils/text/clean.h"

#include "rils/text/fix_text.h"
#include "rils/text/html.h"
#include "rils/text/unicode.h"

namespace tessera::rils {
namespace {

/// Removes white space at both ends and replaces each run of white space by one blank.
std::u32string squeeze(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  bool blank = false;
  for (const char32_t c : text) {
    if (unicode::is_space(c)) {
      blank = !out.empty();
    } else {
      if (blank) out += U' ';
      blank = false;
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string lower_case(std::string_view text) { return unicode::encode_all(unicode::lower(unicode::decode_all(text))); }

std::string clean_caption(std::string_view text) {
  std::u32string codes = fix_text(unicode::decode_all(text));
  codes = unescape_html(unescape_html(codes));
  return unicode::encode_all(unicode::lower(squeeze(codes)));
}

}  // namespace tessera::rils
