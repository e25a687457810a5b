#include "rils/prepare/vocabulary_command.h"

#include <fmt/format.h>

#include <filesystem>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/data/dataset.h"
#include "rils/prepare/clip_vocabulary.h"
#include "rils/text/ascii.h"
#include "rils/text/encoding.h"
#include "rils/text/learn_vocabulary.h"

namespace tessera::rils {

std::string PrepareVocabularyReport::describe() const {
  std::string text = fmt::format("{} ids", ids);
  if (skipped.total() > 0) text += "; " + skipped.describe();
  for (const std::string& note : notes) text += "\n" + note;
  return text;
}

PrepareVocabularyReport prepare_vocabulary(const PrepareVocabularyOptions& o) {
  if (o.clip == !o.captions.empty()) throw ConfigError("vocabulary: expected either --captions or --clip");
  if (!o.clip && !o.package.empty()) throw ConfigError("vocabulary: --package needs --clip");
  PrepareVocabularyReport report;
  if (o.clip) {
    report.ids = write_clip_vocabulary(o.package, o.output);
    return report;
  }
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
    report.skipped = data->skipped();
    report.notes = data->notes();
    for (int64_t i = 0; i < data->size(); ++i) {
      try {
        for (const std::string& caption : data->load(i, false).captions) visit(caption);
      } catch (const SampleError& error) {
        report.skipped.add(error.reason(), fmt::format("{}: {}", data->name(i), error.what()));
      }
    }
  };
  const Vocabulary vocabulary = learn_vocabulary(captions, o.size);
  vocabulary.save(o.output);
  report.ids = vocabulary.size();
  return report;
}

}  // namespace tessera::rils
