#include "rils/picture/commands.h"

#include <fmt/format.h>

#include <filesystem>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/data/decode.h"
#include "rils/data/file_datasets.h"
#include "rils/picture/report.h"
#include "rils/picture/sheets.h"
#include "rils/run/progress.h"
#include "rils/train/data.h"

namespace tessera::rils {
namespace {

constexpr int64_t kBatch = 256;

LoadedModel load(const PictureOptions& o) { return load_model(o.checkpoint, o.vocabulary, kBatch, "fp32"); }

Image open_image(const std::string& path) {
  try {
    return decode_image(read_sample_file(path));
  } catch (const SampleError& error) {
    throw IoError(fmt::format("{}: {}: {}", path, error.reason(), error.what()));
  }
}

/// As typed, "@FILE" replaced by the lines of the file.
std::vector<std::string> sentences_of(const std::vector<std::string>& words) {
  std::vector<std::string> sentences;
  for (const std::string& word : words) {
    if (!word.starts_with('@')) {
      sentences.push_back(word);
      continue;
    }
    const std::string text = read_file(word.substr(1));
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      if (end > begin) sentences.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return sentences;
}

int finish(const std::string& out, const Svg& drawing) {
  write_drawing(out, drawing);
  fmt::print("{}\n", out);
  return 0;
}

}  // namespace

int draw_heat_maps(const PictureOptions& o) {
  const LoadedModel m = load(o);
  const double temperature = o.temperature > 0 ? o.temperature : m.config.loss.teacher_temperature;
  return finish(o.out, heat_map_sheet(m, open_image(o.image), sentences_of(o.sentences), temperature));
}

int draw_reconstruction(const PictureOptions& o) {
  const LoadedModel m = load(o);
  return finish(o.out,
                reconstruction_sheet(m, open_image(o.image), sentences_of(o.sentences), static_cast<uint64_t>(o.seed)));
}

int draw_retrievals(const PictureOptions& o) {
  const LoadedModel m = load(o);
  DatasetOptions options = dataset_options(m.config);
  options.type = DatasetType::automatic;
  options.split = "test";
  const auto data = open_dataset(o.data, options);
  StageProgress bar;
  const RetrievalResult result =
      run_retrieval(*m.model, *data, encoder_of(m.tokenizer), m.embed,
                    [&](int64_t done, int64_t total) { bar("reading images", done, total); });
  return finish(o.out, retrieval_sheet(*data, m.embed.transform, result, o.count));
}

int draw_curves(const std::vector<std::string>& runs, const std::string& out) {
  return finish(out, curves_sheet({runs.begin(), runs.end()}));
}

int write_report(const std::string& run, const std::string& out) {
  const std::string path = out.empty() ? (std::filesystem::path(run) / "report.html").string() : out;
  write_file_atomically(path, run_report(run));
  fmt::print("{}\n", path);
  return 0;
}

}  // namespace tessera::rils
