#include "rils/prepare/vocabulary_command.h"

#include <filesystem>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/data/dataset.h"
#include "rils/prepare/clip_vocabulary.h"
#include "rils/text/ascii.h"
#include "rils/text/encoding.h"
#include "rils/text/learn_vocabulary.h"

namespace tessera::rils {
int64_t prepare_vocabulary(const PrepareVocabularyOptions& o) {
  if (o.clip == !o.captions.empty()) throw ConfigError("vocabulary: expected either --captions or --clip");
  if (!o.clip && !o.package.empty()) throw ConfigError("vocabulary: --package needs --clip");
  if (o.clip) return write_clip_vocabulary(o.package, o.output);
  const bool lines = o.captions.ends_with(".txt") && std::filesystem::is_regular_file(o.captions);
  const auto captions = [&](const std::function<void(std::string_view)>& visit) {
    if (lines) {
      const std::string bytes = read_file(o.captions);
      const std::string text = decode_text(bytes, TextEncoding::utf_8).value_or(bytes);
      for (const std::string_view line : split(text, '\n'))
        if (is_utf8(line)) visit(line);  // pretrain skips other captions
      return;
    }
    const auto data = open_dataset(o.captions, {});
    for (int64_t i = 0; i < data->size(); ++i) {
      try {
        for (const std::string& caption : data->load(i, false).captions) visit(caption);
      } catch (const SampleError&) {
        continue;  // pretrain skips and counts it
      }
    }
  };
  const Vocabulary vocabulary = learn_vocabulary(captions, o.size);
  vocabulary.save(o.output);
  return vocabulary.size();
}

}  // namespace tessera::rils
