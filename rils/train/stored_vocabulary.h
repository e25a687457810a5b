#pragma once

#include <memory>

#include "nn/io/checkpoint.h"
#include "rils/text/vocabulary.h"

namespace tessera::rils {

/// The entries of a checkpoint's metadata that hold its vocabulary: the digest, "" for a model without text, and the
/// merges as plain text, without which a checkpoint of an earlier version needs the file that its configuration names.
inline constexpr const char* kDigestEntry = "vocabulary";
inline constexpr const char* kMergesEntry = "merges";

/// Adds both entries, or only an empty digest for a null vocabulary.
void store_vocabulary(nn::Metadata& metadata, const Vocabulary* vocabulary);
/// The vocabulary that a checkpoint holds; null if it holds none. Throws IoError when it is not that of the digest.
[[nodiscard]] std::shared_ptr<const Vocabulary> stored_vocabulary(const nn::SafetensorsFile& file);

}  // namespace tessera::rils
