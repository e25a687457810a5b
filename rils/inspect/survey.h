#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "rils/data/dataset.h"
#include "rils/eval/embed.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// Statistics of a data set, from reading all of it once.
struct DataSurvey {
  int64_t samples = 0;   // usable samples
  int64_t captions = 0;  // captions of usable samples
  SkipCounts skipped;    // the samples that are not usable
  int smallest_width = 0, smallest_height = 0, largest_width = 0, largest_height = 0;
  int64_t repeated_captions = 0;  // captions that equal an earlier one
  int64_t long_captions = 0;      // longer than the context, SOT and EOT included; 0 without a tokenizer
  std::string long_example;       // the first sample with a long caption
  double mean_tokens = 0;         // mean length of a caption, SOT and EOT included; 0 without a tokenizer
  std::vector<std::pair<std::string, std::string>> duplicates;  // a sample and an earlier one with the same pixels
  std::map<int32_t, int64_t> labels;                            // number of samples of each class
  std::map<uint64_t, std::string> images;                       // hash of the pixels → the first sample with them
};

/// Reads and decodes every sample, with all threads. `tokenizer` may be null.
[[nodiscard]] DataSurvey survey_data(const Dataset& data, const Tokenizer* tokenizer, int64_t max_image_pixels,
                                     const Progress& progress = {});

/// Samples of `val` whose pixels also occur in `train`, as pairs of a val name and a train name.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> overlap(const DataSurvey& val, const DataSurvey& train);

/// The survey as lines of text, with at most `most` examples of duplicates.
[[nodiscard]] std::string describe(const DataSurvey& survey, int most);

}  // namespace tessera::rils
