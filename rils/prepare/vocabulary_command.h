#pragma once

#include <cstdint>
#include <string>

namespace tessera::rils {

/// `prepare vocabulary`: learns a byte-level BPE from captions, or takes CLIP's.
struct PrepareVocabularyOptions {
  std::string captions;  // a text file with a caption a line, or a data set: shards, table, folder
  std::string output;    // merges file in CLIP's format
  int64_t size = 8192;   // ids, start and end of text included
  bool clip = false;     // CLIP's own vocabulary, instead of captions
  std::string package;   // where to find that (clip_vocabulary.h); empty: downloaded
};

/// Returns the size that was reached: less than asked for when the captions are few. Throws IoError or ConfigError.
int64_t prepare_vocabulary(const PrepareVocabularyOptions& options);

}  // namespace tessera::rils
