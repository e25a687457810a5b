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

/// What a data set is, found by reading all of it once.
struct DataSurvey {
  int64_t samples = 0;   // usable
  int64_t captions = 0;  // of usable samples
  SkipCounts skipped;    // samples + skipped.total() is all there is
  int smallest_width = 0, smallest_height = 0, largest_width = 0, largest_height = 0;
  int64_t repeated_captions = 0;  // captions that another one before equals
  int64_t long_captions = 0;      // longer than the context, SOT and EOT included; 0 without a tokenizer
  std::string long_example;       // the first of them
  double mean_tokens = 0;         // of a caption, SOT and EOT included
  std::vector<std::pair<std::string, std::string>> duplicates;  // a sample and the earlier one with the same pixels
  std::map<int32_t, int64_t> labels;                            // samples of each class
  std::map<uint64_t, std::string> images;                       // hash of the pixels → the first sample with them
};

/// Reads and decodes every sample, with all threads. `tokenizer` may be null.
[[nodiscard]] DataSurvey survey_data(const Dataset& data, const Tokenizer* tokenizer, int64_t max_image_pixels,
                                     const Progress& progress = {});

/// Samples of `held_out` whose pixels also occur in `train`, as (held-out, train) names.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> overlap(const DataSurvey& held_out,
                                                                       const DataSurvey& train);

/// The survey for a person, a line each; at most `most` examples of duplicates.
[[nodiscard]] std::string describe(const DataSurvey& survey, int most);

}  // namespace tessera::rils
