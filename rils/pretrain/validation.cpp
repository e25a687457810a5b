#include "rils/pretrain/validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rils/picture/sheets.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

std::shared_ptr<const Dataset> open_held_out(const Config& config, const std::string& source, bool captions,
                                             int64_t most, std::vector<std::string>& notes) {
  if (source.empty()) return nullptr;
  DatasetOptions options = dataset_options(config);
  options.split = "val";
  options.need_caption = captions;
  options.need_label = !captions;
  std::shared_ptr<const Dataset> data = open_dataset(source, options);
  notes.insert(notes.end(), data->notes().begin(), data->notes().end());
  if (data->skipped().total() > 0) {
    notes.push_back(fmt::format("data {}: {} samples, {}", source, data->size(), data->skipped().describe()));
  }
  if (most == 0 || most >= data->size()) return data;
  std::vector<int64_t> first(static_cast<size_t>(most));
  std::iota(first.begin(), first.end(), int64_t{0});
  return std::make_shared<SubsetDataset>(std::move(data), std::move(first));
}

}  // namespace

Validation::Validation(const Config& config, std::shared_ptr<const Tokenizer> tokenizer, int64_t global_batch)
    : transform_(eval_transform(config)), tokenizer_(std::move(tokenizer)), batch_(global_batch) {
  if (!tokenizer_) return;
  pairs_ = open_held_out(config, config.data.val_data, true, config.data.val_num_samples, notes_);
  classes_ = open_held_out(config, config.data.zeroshot_data, false, 0, notes_);
  if (classes_) {
    prompts_ = class_prompts(config.data.classnames, config.data.templates, config.data.zeroshot_data, *classes_);
    if (!prompts_.note.empty()) notes_.push_back(prompts_.note);
  }
}

std::optional<Recurrence> validations_of(const Config& config) {
  if (!terms_of(config.model.objective).contrastive) return std::nullopt;
  Recurrence due;
  if (!config.data.val_data.empty()) due.epochs.push_back(config.run.val_frequency);
  if (!config.data.zeroshot_data.empty()) due.epochs.push_back(config.run.zeroshot_frequency);
  return due.epochs.empty() ? std::nullopt : std::optional(due);
}

ValidationReport Validation::run(const Model& model, const PassOptions& pass, bool pairs, bool classes,
                                 const Stages& stages) const {
  EmbedOptions options = embed_options(pass);
  options.stages = stages;
  ValidationReport report;
  if (classes && classes_) add_zero_shot(model, options, report);
  if (pairs && pairs_) add_retrieval(model, options, report);
  return report;
}

EmbedOptions Validation::embed_options(const PassOptions& pass) const {
  EmbedOptions options;
  options.transform = transform_;
  options.pass = pass;
  return options;
}

std::vector<std::filesystem::path> Validation::draw(const Model& model, const LossConfig& loss, const PassOptions& pass,
                                                    const std::filesystem::path& folder, int64_t step) const {
  constexpr int64_t kImages = 2, kSentences = 4;
  const EmbedOptions options = embed_options(pass);
  const RetrievalResult found = run_retrieval(model, *pairs_, tokenize_with(tokenizer_), options);
  std::filesystem::create_directories(folder);
  std::vector<std::filesystem::path> drawn;
  const auto name = [&](std::string_view what) {
    return drawn.emplace_back(folder / fmt::format("step_{:08}-{}.svg", step, what));
  };
  write_drawing(name("retrievals"), retrieval_sheet(*pairs_, transform_, found, 3));
  const Viewer viewer{model, loss, tokenizer_, options};
  const auto images = static_cast<int64_t>(found.images.indices.size());
  for (int64_t i = 0; i < std::min(kImages, images); ++i) {
    // Its own caption beside those of the images that follow it.
    std::vector<std::string> sentences;
    for (int64_t s = 0; s < std::min(kSentences, images); ++s) {
      sentences.push_back(found.images.captions[static_cast<size_t>((i + s) % images)].front());
    }
    const Sample sample = pairs_->load(found.images.indices[static_cast<size_t>(i)], true);
    const Image image = decode_sample(sample, kDefaultMaxImagePixels, transform_.resize_before_rgb);
    write_drawing(name(fmt::format("heat-map-{}", i + 1)),
                  heat_map_sheet(viewer, image, sentences, loss.teacher_temperature));
    const Reconstruction what = model.objective().reconstruction;
    if (what == Reconstruction::none || (what == Reconstruction::language && sentences.size() < 2)) continue;
    const auto seed = static_cast<uint64_t>(step);
    write_drawing(name(fmt::format("reconstruction-{}", i + 1)),
                  what == Reconstruction::pixels ? pixel_sheet(viewer, image, seed)
                                                 : reconstruction_sheet(viewer, image, sentences, seed));
  }
  return drawn;
}

void Validation::add_retrieval(const Model& model, const EmbedOptions& options, ValidationReport& report) const {
  const RetrievalResult r = run_retrieval(model, *pairs_, tokenize_with(tokenizer_), options);
  const int64_t images = r.images.values.size(0), captions = r.texts.size(0);
  const int64_t n = std::min(batch_, images);
  const double loss = validation_loss(r, model.logit_scale().value.item(), n);
  report.record.add("clip_loss", loss);
  for (const auto& [name, d] :
       {std::pair{"image_retrieval", r.figures.text_to_image}, std::pair{"text_retrieval", r.figures.image_to_text}}) {
    report.record.add(fmt::format("{}_recall@1", name), d.recall_1);
    report.record.add(fmt::format("{}_recall@5", name), d.recall_5);
    report.record.add(fmt::format("{}_recall@10", name), d.recall_10);
    report.record.add(fmt::format("{}_median_rank", name), d.median_rank);
  }
  report.score = r.figures.text_to_image.recall_10;
  report.lines.push_back(
      fmt::format("clip loss {:.4f} (ln {} = {:.4f}); text to image R@1 {:.2f} R@5 {:.2f} R@10 {:.2f}, image to text "
                  "R@10 {:.2f} (%; {} images, {} captions, chance {:.2f})",
                  loss, n, std::log(static_cast<double>(n)), 100 * r.figures.text_to_image.recall_1,
                  100 * r.figures.text_to_image.recall_5, 100 * r.figures.text_to_image.recall_10,
                  100 * r.figures.image_to_text.recall_10, images, captions,
                  1000.0 / static_cast<double>(std::max<int64_t>(images, 10))));
}

void Validation::add_zero_shot(const Model& model, const EmbedOptions& options, ValidationReport& report) const {
  const ZeroShotResult r = run_zero_shot(model, *classes_, prompts_, tokenize_with(tokenizer_), options);
  report.record.add("zeroshot_acc1", r.figures.acc1);
  report.record.add("zeroshot_acc5", r.figures.acc5);
  report.record.add("zeroshot_mean_per_class_recall", r.figures.mean_per_class_recall);
  report.score = r.figures.acc1;
  report.lines.push_back(fmt::format("zero-shot acc1 {:.2f} % ({} images, {} classes, chance {:.2f} %)",
                                     100 * r.figures.acc1, r.figures.samples, r.classes,
                                     100.0 / static_cast<double>(r.classes)));
}

}  // namespace tessera::rils
