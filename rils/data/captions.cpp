#include "rils/data/captions.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "rils/data/image.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

void append(std::vector<std::string>& captions, std::string_view text) {
  const auto caption = trim(text);
  if (!caption.empty()) captions.emplace_back(caption);
}

}  // namespace

std::vector<std::string> parse_captions(std::string_view text, std::string_view json, bool per_line) {
  std::vector<std::string> captions;
  const bool has_text = !trim(text).empty();
  // Metadata are often long, so they are parsed only when they are needed.
  if (!json.empty() && (!has_text || json.find("\"captions\"") != std::string_view::npos)) {
    const auto parsed = nlohmann::json::parse(json, nullptr, false);
    if (!parsed.is_object() && !has_text) throw SampleError(skip::kBadMetadata, "the JSON metadata are broken");
    if (parsed.is_object()) {
      if (const auto list = parsed.find("captions"); list != parsed.end() && list->is_array())
        for (const auto& item : *list)
          if (item.is_string()) append(captions, item.get_ref<const std::string&>());
      if (!captions.empty()) return captions;
      if (const auto one = parsed.find("caption"); !has_text && one != parsed.end() && one->is_string())
        append(captions, one->get_ref<const std::string&>());
    }
  }
  if (!per_line) {
    append(captions, text);
    return captions;
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    append(captions, text.substr(begin, end - begin));
    begin = end + 1;
  }
  return captions;
}

void require_caption(const std::vector<std::string>& captions, bool has_text) {
  if (captions.empty())
    throw SampleError(has_text ? skip::kEmptyCaption : skip::kNoCaption, "the sample has no caption");
}

int32_t parse_label(std::string_view text) {
  const auto digits = trim(text);
  int32_t label = -1;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), label);
  if (digits.empty() || code != std::errc() || end != digits.data() + digits.size() || label < 0)
    throw SampleError(skip::kBadLabel, fmt::format("expected a class number, found '{}'", digits.substr(0, 40)));
  return label;
}

}  // namespace tessera::rils
