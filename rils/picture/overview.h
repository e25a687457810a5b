#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "rils/picture/svg.h"

namespace tessera::rils {

/// What the one sheet to look at first is asked with. What is left empty is chosen from the run and its data.
struct OverviewOptions {
  std::filesystem::path run;                   // logs/NAME
  std::vector<std::filesystem::path> compare;  // runs whose curves are drawn beside
  std::string checkpoint;                      // the run's latest
  std::string vocabulary;                      // the checkpoint's own
  std::string data;                            // the run's validation data
  std::vector<std::string> sentences;          // captions of the data, evenly spread
  std::vector<std::string> nouns;              // two; those of a scene whose metadata name things
  std::string image;                           // a file; a scene of the data
  uint64_t seed = 0;                           // of the mask
};

/// One sheet: sentences with their five nearest images, two nouns' heat maps over one scene, what the model expects
/// behind its hidden patches, and the curves of the run. A part that the run's objective has not is left out with a
/// line that says so. Throws IoError or ConfigError.
[[nodiscard]] Svg overview_sheet(const OverviewOptions& options);

}  // namespace tessera::rils
