#include "rils/inspect/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "engine/core/philox.h"
#include "engine/cpu/host.h"

namespace tessera::rils {
namespace {

/// What is known of one sample after reading it.
struct Reading {
  bool usable = false;
  std::string reason, example;
  Sample sample;
  int width = 0, height = 0;
  uint64_t pixels = 0;
};

Reading read(const Dataset& data, int64_t index, int64_t max_image_pixels) {
  Reading r;
  try {
    r.sample = data.load(index, true);
    const Image image = decode_sample(r.sample, max_image_pixels);
    r.sample.encoded.clear();
    r.sample.decoded.reset();
    r.width = image.width;
    r.height = image.height;
    const std::string_view pixels(reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size());
    // The size belongs to the hash: the same pixels may form images of different sizes.
    r.pixels = fnv1a64(pixels) ^ (static_cast<uint64_t>(image.width) << 32U | static_cast<uint64_t>(image.height));
    r.usable = true;
  } catch (const SampleError& e) {
    r.reason = e.reason();
    r.example = fmt::format("{}: {}", data.name(index), e.what());
  }
  return r;
}

void add_size(DataSurvey& s, int width, int height) {
  const bool first = s.samples == 1;
  s.smallest_width = first ? width : std::min(s.smallest_width, width);
  s.smallest_height = first ? height : std::min(s.smallest_height, height);
  s.largest_width = std::max(s.largest_width, width);
  s.largest_height = std::max(s.largest_height, height);
}

std::string listed(const std::vector<std::pair<std::string, std::string>>& pairs, int most) {
  std::string text;
  for (size_t i = 0; i < std::min(pairs.size(), static_cast<size_t>(most)); ++i) {
    text += fmt::format("  {} = {}\n", pairs[i].first, pairs[i].second);
  }
  if (pairs.size() > static_cast<size_t>(most))
    text += fmt::format("  and {} more\n", pairs.size() - static_cast<size_t>(most));
  return text;
}

}  // namespace

DataSurvey survey_data(const Dataset& data, const Tokenizer* tokenizer, int64_t max_image_pixels,
                       const Progress& progress) {
  constexpr int64_t kBatch = 256;
  DataSurvey s;
  s.skipped = data.skipped();
  std::set<std::string> captions;
  int64_t tokens = 0;
  for (int64_t first = 0; first < data.size(); first += kBatch) {
    const int64_t count = std::min(kBatch, data.size() - first);
    std::vector<Reading> readings(static_cast<size_t>(count));
    cpu::threads(cpu_context()).run(count, [&](int64_t i, int) {
      readings[static_cast<size_t>(i)] = read(data, first + i, max_image_pixels);
    });
    for (int64_t i = 0; i < count; ++i) {
      Reading& r = readings[static_cast<size_t>(i)];
      if (!r.usable) {
        s.skipped.add(r.reason, r.example);
        continue;
      }
      ++s.samples;
      add_size(s, r.width, r.height);
      if (r.sample.label >= 0) ++s.labels[r.sample.label];
      const std::string name = data.name(first + i);
      const auto [earlier, is_new] = s.images.emplace(r.pixels, name);
      if (!is_new) s.duplicates.emplace_back(name, earlier->second);
      for (const std::string& caption : r.sample.captions) {
        ++s.captions;
        if (!captions.insert(caption).second) ++s.repeated_captions;
        if (tokenizer == nullptr) continue;
        const auto length = static_cast<int64_t>(tokenizer->encode(caption).size()) + 2;
        tokens += length;
        if (length > tokenizer->context_length() && s.long_captions++ == 0) s.long_example = name;
      }
    }
    if (progress) progress(first + count, data.size());
  }
  if (s.captions > 0) s.mean_tokens = static_cast<double>(tokens) / static_cast<double>(s.captions);
  return s;
}

std::vector<std::pair<std::string, std::string>> overlap(const DataSurvey& val, const DataSurvey& train) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [pixels, name] : val.images) {
    const auto found = train.images.find(pixels);
    if (found != train.images.end()) pairs.emplace_back(name, found->second);
  }
  std::ranges::sort(pairs);
  return pairs;
}

std::string describe(const DataSurvey& s, int most) {
  std::string text = fmt::format("{} samples, {}\n", s.samples, s.skipped.describe());
  if (s.samples == 0) return text;
  text += fmt::format("sizes from {} x {} to {} x {} pixels\n", s.smallest_width, s.smallest_height, s.largest_width,
                      s.largest_height);
  if (s.captions > 0) text += fmt::format("{} captions, {} repeated\n", s.captions, s.repeated_captions);
  if (s.mean_tokens > 0) {
    text += fmt::format("captions have {:.1f} tokens on average, {} are too long{}\n", s.mean_tokens, s.long_captions,
                        s.long_captions > 0 ? fmt::format(" (first {})", s.long_example) : "");
  }
  if (!s.labels.empty()) {
    const auto [fewest, largest] = std::ranges::minmax_element(s.labels, {}, [](const auto& l) { return l.second; });
    text += fmt::format("{} classes with {} to {} samples\n", s.labels.size(), fewest->second, largest->second);
  }
  text +=
      fmt::format("{} samples with the pixels of an earlier one\n{}", s.duplicates.size(), listed(s.duplicates, most));
  return text;
}

}  // namespace tessera::rils
