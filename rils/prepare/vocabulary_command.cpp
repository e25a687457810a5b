#include "rils/prepare/vocabulary_command.h"

#include <algorithm>
#include <filesystem>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/data/dataset.h"
#include "rils/prepare/clip_vocabulary.h"
#include "rils/text/learn_vocabulary.h"

namespace tessera::rils {
namespace {

void for_each_line(const std::string& path, const std::function<void(std::string_view)>& visit) {
  const std::string text = read_file(path);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    visit(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace

int64_t prepare_vocabulary(const PrepareVocabularyOptions& o) {
  if (o.clip == !o.captions.empty()) throw ConfigError("vocabulary: expected either --captions or --clip");
  if (!o.clip && !o.package.empty()) throw ConfigError("vocabulary: --package needs --clip");
  if (o.clip) return write_clip_vocabulary(o.package, o.output);
  const bool lines = o.captions.ends_with(".txt") && std::filesystem::is_regular_file(o.captions);
  const auto captions = [&](const std::function<void(std::string_view)>& visit) {
    if (lines) {
      for_each_line(o.captions, visit);
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
