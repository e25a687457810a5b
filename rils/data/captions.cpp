#include "rils/data/captions.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "engine/core/nesting.h"
#include "rils/data/dataset.h"
#include "rils/data/image.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

using Json = nlohmann::json;

constexpr int kMostNested = 3;  // lists within lists that are looked through
constexpr auto kOtherKeys = {"caption", "text", "title"};

void append(std::vector<std::string>& captions, std::string_view text) {
  const auto caption = trim(text);
  check_text_sizes(caption.size(), 0);
  if (!caption.empty()) captions.emplace_back(caption);
}

void append_lines(std::vector<std::string>& captions, std::string_view text) {
  for (const std::string_view line : split(text, '\n')) append(captions, line);
}

std::vector<std::string> captions_under(const Json& object, std::initializer_list<const char*> keys, int nested);

/// A string, the items of a list, or what an object in a list holds, as COCO's annotations do.
void append_json(std::vector<std::string>& captions, const Json& value, int nested) {
  if (value.is_string()) append(captions, value.get_ref<const std::string&>());
  if (nested == kMostNested) return;
  if (value.is_object() && nested > 0) {
    for (const auto& caption : captions_under(value, kOtherKeys, nested)) append(captions, caption);
  } else if (value.is_array()) {
    for (const auto& item : value) append_json(captions, item, nested + 1);
  }
}

/// The captions under the first of the keys that has any.
std::vector<std::string> captions_under(const Json& object, std::initializer_list<const char*> keys, int nested = 0) {
  std::vector<std::string> captions;
  for (const char* key : keys) {
    const auto found = object.find(key);
    if (found != object.end()) append_json(captions, *found, nested);
    if (!captions.empty()) break;
  }
  return captions;
}

[[noreturn]] void refuse_encoding(std::string_view bytes) {
  throw SampleError(skip::kBadEncoding,
                    bytes.find('\0') != std::string_view::npos
                        ? "expected text, found zero bytes, as in UTF-16 without its mark"
                        : "expected UTF-8; pretrain, inspect and prepare captions read Windows-1252 with "
                          "--text-encoding windows-1252");
}

/// The value of a text; "discarded" where it is broken or beyond the limits.
Json parse_bounded(std::string_view json) {
  if (is_json_bomb(json, kMostMetadataValues)) return Json::value_t::discarded;
  return Json::parse(json, nullptr, false);
}

/// The JSON of a sample; "discarded" where it is broken.
Json parse_json(std::string_view json, TextEncoding fallback) {
  const auto text = decode_text(json, fallback);
  if (!text) refuse_encoding(json);
  return parse_bounded(*text);
}

/// The captions of a sample whose only text is JSON.
std::vector<std::string> captions_of_json(std::string_view json, TextEncoding fallback) {
  if (json.empty()) return {};
  const Json parsed = parse_json(json, fallback);
  if (parsed.is_discarded()) {
    throw SampleError(skip::kBadMetadata, is_json_bomb(json, kMostMetadataValues)
                                              ? "the JSON metadata nest too deep or hold too many values"
                                              : "the JSON metadata are broken");
  }
  std::vector<std::string> captions;
  if (!parsed.is_object()) {
    append_json(captions, parsed, 0);
  } else if (captions = captions_under(parsed, {"captions"}); captions.empty()) {
    captions = captions_under(parsed, kOtherKeys);
  }
  return captions;
}

}  // namespace

void check_text_sizes(uint64_t text, uint64_t json) {
  if (text > kLongestCaption)
    throw SampleError(skip::kLongCaption, fmt::format("expected at most {} bytes, found {}", kLongestCaption, text));
  if (json > kLongestMetadata)
    throw SampleError(skip::kBadMetadata,
                      fmt::format("expected at most {} bytes of JSON, found {}", kLongestMetadata, json));
}

std::string decode_caption(std::string_view bytes, TextEncoding fallback) {
  check_text_sizes(bytes.size(), 0);
  auto text = decode_text(bytes, fallback);
  if (text) return std::move(*text);
  refuse_encoding(bytes);
}

std::vector<std::string> parse_captions(std::string_view text, std::string_view json, bool per_line,
                                        TextEncoding fallback) {
  check_text_sizes(text.size(), json.size());
  std::vector<std::string> captions;
  const bool has_text = !trim(text).empty();
  // Metadata are often long, so they are parsed only when they are needed.
  if (!has_text) {
    captions = captions_of_json(json, fallback);
  } else if (json.find("\"captions\"") != std::string_view::npos && decode_text(json, fallback)) {
    if (const Json parsed = parse_json(json, fallback); parsed.is_object())
      captions = captions_under(parsed, {"captions"});
  }
  if (!captions.empty()) return captions;
  if (!has_text) return captions;
  const std::string decoded = decode_caption(text, fallback);
  if (per_line) {
    append_lines(captions, decoded);
  } else {
    append(captions, decoded);
  }
  return captions;
}

void require_caption(const std::vector<std::string>& captions, bool has_text, std::string_view json) {
  if (!captions.empty()) return;
  std::string message = "the sample has no caption";
  if (const Json parsed = has_text ? Json() : parse_bounded(json); parsed.is_object()) {
    constexpr size_t kShown = 8;
    message += "; expected caption, captions, text or title in its JSON, found ";
    size_t shown = 0;
    for (const auto& [key, value] : parsed.items()) {
      if (shown == kShown) break;
      // Written as JSON, a key cannot break the line.
      message +=
          (shown++ == 0 ? "" : ", ") + Json(key.substr(0, 40)).dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    if (shown == 0) message += "no key";
  }
  throw SampleError(has_text ? skip::kEmptyCaption : skip::kNoCaption, message);
}

std::vector<std::string> captions_for(const DatasetOptions& options, std::string_view text, bool has_text,
                                      std::string_view json) {
  try {
    auto captions = parse_captions(text, json, options.caption_per_line, options.text_encoding);
    if (options.need_caption) require_caption(captions, has_text, json);
    return captions;
  } catch (const SampleError&) {
    if (options.need_caption) throw;
    return {};
  }
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
