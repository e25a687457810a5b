#include "rils/train/stored_vocabulary.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace tessera::rils {

void store_vocabulary(nn::Metadata& metadata, const Vocabulary* vocabulary) {
  metadata[kDigestEntry] = vocabulary != nullptr ? vocabulary->digest() : "";
  if (vocabulary != nullptr) metadata[kMergesEntry] = vocabulary->text();
}

std::shared_ptr<const Vocabulary> stored_vocabulary(const nn::SafetensorsFile& file) {
  const auto merges = file.metadata().find(kMergesEntry), digest = file.metadata().find(kDigestEntry);
  if (merges == file.metadata().end()) return nullptr;
  const std::string name = fmt::format("{}: metadata {}", file.path().string(), kMergesEntry);
  auto vocabulary = std::make_shared<const Vocabulary>(Vocabulary::parse(merges->second, name));
  if (digest == file.metadata().end() || digest->second != vocabulary->digest()) {
    throw IoError(fmt::format("{}: expected the vocabulary {}, found {}", name,
                              digest == file.metadata().end() ? "of a digest" : digest->second, vocabulary->digest()));
  }
  return vocabulary;
}

}  // namespace tessera::rils
