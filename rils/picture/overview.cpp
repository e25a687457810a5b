#include "rils/picture/overview.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "engine/core/error.h"
#include "rils/data/file_datasets.h"
#include "rils/eval/loaded_model.h"
#include "rils/eval/scenes.h"
#include "rils/picture/sheets.h"
#include "rils/run/progress.h"
#include "rils/run/run_folder.h"
#include "rils/text/english.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

constexpr double kWidth = 1000, kGap = 20;
constexpr int64_t kBatch = 256, kSentences = 4;
constexpr double kVisible = 0.05;  // smallest share of a scene's area that an object of a map may have
constexpr std::string_view kQuiet = "#555555";

/// A column of drawings, each below a heading and some words about it.
class Page {
 public:
  void heading(std::string_view title, std::string_view words) {
    parts_.push_back({std::string(title), std::string(words), std::nullopt, 0});
  }
  void drawing(Svg svg, double width) { parts_.push_back({"", "", std::move(svg), width}); }

  [[nodiscard]] Svg draw() const {
    const double height = write(nullptr);
    Svg svg(kWidth, height);
    (void)write(&svg);
    return svg;
  }

 private:
  struct Part {
    std::string title, words;
    std::optional<Svg> drawing;
    double width;
  };

  /// Writes into a drawing, or only computes the height when there is none.
  double write(Svg* svg) const {
    Svg scratch(kWidth, 0);
    Svg& to = svg != nullptr ? *svg : scratch;
    double y = kGap;
    for (const Part& part : parts_) {
      if (part.drawing) {
        y += to.place(*part.drawing, kGap, y, part.width) + kGap;
        continue;
      }
      const bool first = &part == &parts_.front();
      if (!first) to.line(kGap, y, kWidth - kGap, y, "#dddddd");
      to.text(kGap, y + 26, part.title, {.size = first ? 22.0 : 17.0, .bold = true});
      const int lines = to.paragraph(kGap, y + 48, part.words, 138, 4, {.size = 12, .fill = kQuiet});
      y += 48 + 15 * lines + 6;
    }
    return y;
  }

  std::vector<Part> parts_;
};

/// The scene over which maps and guesses are drawn.
struct Scene {
  Image image;
  std::string caption;  // may be empty
  std::vector<std::string> nouns;
  std::vector<SceneObject> boxes;  // one for each noun; empty where they are not known
};

/// Two objects of different names that are large enough to be seen. Empty when the sample's metadata name no such pair.
std::vector<SceneObject> two_objects(const std::shared_ptr<const Dataset>& data, int64_t index) {
  std::vector<SceneObject> found;
  try {
    const auto scenes = scene_objects(SubsetDataset(data, {index}));
    for (const SceneObject& o : scenes.front()) {
      if ((o.x1 - o.x0) * (o.y1 - o.y0) < kVisible || (found.size() == 1 && found[0].name == o.name)) continue;
      found.push_back(o);
      if (found.size() == 2) return found;
    }
  } catch (const IoError&) {  // no metadata, or metadata of another kind
  }
  return {};
}

/// The user's sentences, or else captions of the data, evenly spread.
std::vector<Question> questions_of(const OverviewOptions& o, const LoadedModel& m, const ImageEmbeddings& images) {
  std::vector<Question> questions;
  for (const std::string& sentence : o.sentences) questions.push_back({sentence, {}, -1});
  const auto count = static_cast<int64_t>(images.captions.size());
  for (int64_t i = 0; o.sentences.empty() && i < std::min(kSentences, count); ++i) {
    const int64_t row = i * count / std::min(kSentences, count);
    questions.push_back({images.captions[static_cast<size_t>(row)].front(), {}, row});
  }
  for (Question& q : questions) {
    q.text = embed_texts(*m.model, std::vector<std::string>{q.sentence}, tokenize_with(m.tokenizer), m.embed);
  }
  return questions;
}

Scene scene_of(const OverviewOptions& o, const std::shared_ptr<const Dataset>& data, const ImageEmbeddings& images,
               bool keep_mode) {
  Scene scene;
  if (!o.image.empty()) return {read_image(o.image, keep_mode), "", o.nouns, {}};
  if (images.indices.empty()) throw IoError("no image of the data can be read");
  size_t chosen = 0;
  for (size_t i = 0; o.nouns.empty() && scene.boxes.empty() && i < images.indices.size(); ++i) {
    scene.boxes = two_objects(data, images.indices[i]);
    if (!scene.boxes.empty()) chosen = i;
  }
  const Sample sample = data->load(images.indices[chosen], true);
  scene.image = decode_sample(sample, kDefaultMaxImagePixels, keep_mode);
  if (!sample.captions.empty()) scene.caption = sample.captions.front();
  scene.nouns = o.nouns;
  for (const SceneObject& box : scene.boxes) scene.nouns.push_back(with_article(box.name));
  return scene;
}

void add_answers(Page& page, const std::vector<Question>& questions, const Dataset& data, const LoadedModel& m,
                 const ImageEmbeddings& images) {
  page.heading(
      "Sentences and the images nearest to them",
      fmt::format("Each row shows a sentence and, from left to right, the five of all {} images whose embeddings are "
                  "nearest to it. A green frame marks the image that the sentence describes; the grey line gives the "
                  "rank of that image.",
                  images.values.size(0)));
  page.drawing(answers_sheet(data, m.embed.transform, images, questions), kWidth - 2 * kGap);
}

void add_maps(Page& page, const Scene& scene, const LoadedModel& m, const Viewer& viewer) {
  if (scene.nouns.empty()) {
    page.heading("Two nouns over one scene",
                 "Not drawn: the data do not name the objects in their images. Use --nouns.");
    return;
  }
  page.heading(
      "Two nouns over one scene",
      fmt::format("Each map shows how probable its noun is for every patch, compared with the other noun: dark is 0, "
                  "pale yellow is the largest value. {}",
                  scene.boxes.empty() ? "A good map is bright where the object is."
                                      : "The white frame is the object's true box; a good map is bright inside it."));
  page.drawing(heat_map_sheet(viewer, scene.image, scene.nouns, m.config.loss.teacher_temperature, scene.boxes), 740);
}

void add_guesses(Page& page, const Scene& scene, const std::vector<Question>& questions, const LoadedModel& m,
                 const Viewer& viewer, uint64_t seed) {
  const Reconstruction kind = m.model->objective().reconstruction;
  if (kind == Reconstruction::none) {
    page.heading("Guesses behind hidden patches",
                 fmt::format("Not drawn: the objective {} has no decoder.", word_of(m.config.model.objective)));
    return;
  }
  if (kind == Reconstruction::pixels) {
    page.heading("Guesses behind hidden patches",
                 "The third image shows the pixels that the decoder predicts for the hidden patches. It predicts "
                 "normalised pixels, so each patch is drawn with the mean and std of its true pixels.");
    page.drawing(pixel_sheet(viewer, scene.image, seed), 740);
    return;
  }
  std::vector<std::string> sentences = scene.nouns;
  if (!scene.caption.empty()) sentences.push_back(scene.caption);
  for (const Question& q : questions) {
    if (sentences.size() < 6 && std::ranges::find(sentences, q.sentence) == sentences.end())
      sentences.push_back(q.sentence);
  }
  page.heading(
      "Guesses behind hidden patches",
      fmt::format("{:.0f} % of the patches are hidden. Each colour stands for one of the sentences below. The third "
                  "image shows which sentence fits each hidden patch best according to the decoder, which knows only "
                  "the visible patches. The fourth shows the answer of the encoder that sees the whole image, the "
                  "teacher.",
                  100 * m.config.loss.mask_ratio));
  page.drawing(reconstruction_sheet(viewer, scene.image, sentences, seed), kWidth - 2 * kGap);
}

}  // namespace

Svg overview_sheet(const OverviewOptions& o) {
  if (!o.nouns.empty() && o.nouns.size() != 2) {
    throw ConfigError(fmt::format("--nouns: expected two, found {}", o.nouns.size()));
  }
  (void)RunFolder::open(o.run);
  const LoadedModel m = load_model(o.checkpoint.empty() ? o.run.string() : o.checkpoint, o.vocabulary, kBatch, "fp32");
  DatasetOptions options = dataset_options(m.config);
  options.type = DatasetType::automatic;
  options.split = o.data.empty() ? "val" : "test";  // the run's own validation data, or those of a test
  options.need_metadata = true;
  const std::string source = o.data.empty() ? m.config.data.val_data : o.data;
  if (source.empty()) throw ConfigError("--data: expected images and captions, since the run has no validation data");
  const std::shared_ptr<const Dataset> data = open_dataset(source, options);
  print_notes(*data);
  const bool reads = m.tokenizer != nullptr;
  StageProgress bar;
  ImageEmbeddings images;
  if (reads) {
    EmbedOptions shown = m.embed;
    shown.stages = std::ref(bar);
    images = embed_images(*data, shown, joint_embedding(*m.model, m.embed.pass));
    print_skipped(source, images);
  } else {
    images.indices = {0};
  }
  const Viewer viewer{*m.model, m.config.loss, m.tokenizer, m.embed};
  const std::vector<Question> questions = reads ? questions_of(o, m, images) : std::vector<Question>{};
  const Scene scene = scene_of(o, data, images, m.embed.transform.resize_before_rgb);
  Page page;
  page.heading(
      fmt::format("Run {} at a glance", one_path(o.run).filename().string()),
      fmt::format("Objective: {}. Image encoder: width {}, {} blocks, images of {} pixels, patches of {}. Data: {}.",
                  word_of(m.config.model.objective), m.config.model.vision.width, m.config.model.vision.layers,
                  m.config.model.vision.image_size, m.config.model.vision.patch_size, source));
  if (reads) {
    add_answers(page, questions, *data, m, images);
    add_maps(page, scene, m, viewer);
  } else {
    page.heading("Sentences and nouns",
                 fmt::format("Not drawn: the objective {} has no text encoder.", word_of(m.config.model.objective)));
  }
  add_guesses(page, scene, questions, m, viewer, o.seed);
  std::vector<std::filesystem::path> runs = {o.run};
  runs.insert(runs.end(), o.compare.begin(), o.compare.end());
  page.heading(
      "How the training went",
      "The contrastive loss at chance is the logarithm of the batch size. An image passes the gate when its own "
      "sentence is the nearest to it in the batch; only images that pass are reconstructed. Values named val are "
      "measured on validation data.");
  page.drawing(curves_sheet(runs, Curves::main), kWidth - 2 * kGap);
  return page.draw();
}

}  // namespace tessera::rils
