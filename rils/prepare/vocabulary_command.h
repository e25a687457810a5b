#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rils/data/skip_counts.h"

namespace tessera::rils {

/// `prepare vocabulary` learns a byte-level BPE from captions, or copies CLIP's.
struct PrepareVocabularyOptions {
  std::string captions;  // text file with one caption a line, or a data set: shards, table, folder
  std::string output;    // merges file in CLIP's format
  int64_t size = 8192;   // ids, start and end of text included
  bool clip = false;     // copy CLIP's own vocabulary instead
  std::string package;   // where to find it (clip_vocabulary.h); empty: pip downloads it
};

struct PrepareVocabularyReport {
  int64_t ids = 0;  // below `size` when the captions have too few different words
  SkipCounts skipped;
  std::vector<std::string> notes;
  /// For the user: a line, and one for each note.
  [[nodiscard]] std::string describe() const;
};

/// Throws IoError or ConfigError.
PrepareVocabularyReport prepare_vocabulary(const PrepareVocabularyOptions& options);

}  // namespace tessera::rils
