#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "rils/picture/svg.h"

namespace tessera::rils {

/// Options of the overview. The comments say what an empty field stands for.
struct OverviewOptions {
  std::filesystem::path run;                   // logs/NAME; required
  std::vector<std::filesystem::path> compare;  // runs whose curves are drawn too; empty: none
  std::string checkpoint;                      // empty: the run's latest
  std::string vocabulary;                      // empty: the one of the checkpoint
  std::string data;                            // empty: the run's validation data
  std::vector<std::string> sentences;          // empty: captions of the data, evenly spread
  std::vector<std::string> nouns;              // two nouns; empty: two objects of a scene whose metadata name them
  std::string image;                           // file; empty: a scene of the data
  uint64_t seed = 0;                           // draws the mask
};

/// Draws one sheet: sentences with their five nearest images, heat maps of two nouns over one scene, the decoder's
/// guesses for hidden patches, and the curves of the run. A line of text replaces a part that the run's objective does
/// not have. Throws IoError or ConfigError.
[[nodiscard]] Svg overview_sheet(const OverviewOptions& options);

}  // namespace tessera::rils
