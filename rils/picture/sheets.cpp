#include "rils/picture/sheets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "engine/ops/norm.h"
#include "rils/eval/metrics.h"
#include "rils/eval/pointing.h"
#include "rils/method/pixels.h"
#include "rils/model/masking.h"
#include "rils/picture/heat_map.h"
#include "rils/train/inputs.h"
#include "rils/train/trainer.h"

namespace tessera::rils {
namespace {

constexpr double kPanel = 224, kGap = 16, kTextHeight = 64;
constexpr int kColumns = 34;  // characters in a line below a panel

/// The image in the size of the model, and the same image normalised as a batch of one on the host.
struct Seen {
  Image picture;
  Tensor batch;
};

Seen look(const Viewer& v, const Image& image) {
  const EvalTransform& transform = v.embed.transform;
  Seen seen{transform.crop(image), Tensor::empty({1, 3, transform.size, transform.size})};
  transform(image, seen.batch.data<float>());
  return seen;
}

/// Patches of a side: the model's images are square.
int64_t side_of(const Model& model) { return model.vision().grid().rows; }

/// One column of a table [rows, columns].
std::vector<float> column_of(const Tensor& table, int64_t column) {
  const auto width = static_cast<size_t>(table.size(1));
  const auto values = table.data<float>();
  std::vector<float> result;
  for (size_t i = static_cast<size_t>(column); i < values.size(); i += width) result.push_back(values[i]);
  return result;
}

std::vector<int64_t> best_of_rows(const Tensor& table) {
  const auto width = static_cast<size_t>(table.size(1));
  const std::span<const float> values = table.data<float>();
  std::vector<int64_t> result;
  for (size_t i = 0; i < values.size(); i += width) {
    const auto row = values.subspan(i, width);
    result.push_back(std::ranges::max_element(row) - row.begin());
  }
  return result;
}

int32_t rgb(std::string_view colour) {
  return static_cast<int32_t>(std::stol(std::string(colour.substr(1)), nullptr, 16));
}

/// A colour of the palette, or of the colour wheel where there are more sentences than the palette has colours.
int32_t sentence_colour(size_t index, size_t count) {
  if (count <= 8) return rgb(series_colour(index));
  const double hue = 6.0 * static_cast<double>(index) / static_cast<double>(count);
  const auto channel = [&](double shift) {
    const double k = std::fmod(hue + shift, 6.0);
    return static_cast<int32_t>(std::lround(40 + 190 * std::clamp(std::abs(k - 3) - 1, 0.0, 1.0)));
  };
  return channel(0) << 16 | channel(4) << 8 | channel(2);
}

void need_decoder(const Model& model, Reconstruction wanted, const char* what) {
  if (model.objective().reconstruction == wanted) return;
  throw ConfigError(fmt::format("--checkpoint: expected a model with a decoder that predicts {}, found objective {}",
                                what, word_of(model.config().objective)));
}

/// The decoder's prediction from the visible patches, where the model computes: a row for each hidden patch.
Tensor predict_hidden(const Viewer& v, const Seen& seen, const Masks& masks) {
  const int64_t only[] = {0};
  const PassOptions& pass = v.embed.pass;
  const TokenFeatures patches = v.model.vision().patch_tokens(seen.batch.to(v.model.device()), pass);
  return v.model.predict_hidden(patches, masks, only, pass).value;
}

using Panels = std::vector<std::pair<std::string, Image>>;

/// Draws pictures in a row with a line of text below each.
void draw_panels(Svg& svg, const Panels& panels) {
  for (size_t i = 0; i < panels.size(); ++i) {
    const double x = kGap + (kPanel + kGap) * static_cast<double>(i);
    svg.image(panels[i].second, x, kGap, kPanel, kPanel);
    svg.text(x, kGap + kPanel + 18, panels[i].first, {.fill = "#555555"});
  }
}

/// Paints one patch. `pixels` are ordered (row, column, channel) and in units of a normalised image.
void paint_patch(Image& picture, int64_t patch, int64_t grid, std::span<const double> pixels,
                 const EvalTransform& transform) {
  const auto side = static_cast<int>(picture.width / grid);
  const int left = static_cast<int>(patch % grid) * side, top = static_cast<int>(patch / grid) * side;
  for (size_t i = 0; i < pixels.size(); ++i) {
    const size_t c = i % 3;
    const int at = static_cast<int>(i / 3);
    const double value =
        255.0 * (pixels[i] * static_cast<double>(transform.std[c]) + static_cast<double>(transform.mean[c]));
    picture.pixel(left + at % side, top + at / side)[c] =
        static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
  }
}

}  // namespace

Svg heat_map_sheet(const Viewer& v, const Image& image, const std::vector<std::string>& sentences, double temperature,
                   const std::vector<SceneObject>& boxes) {
  if (sentences.empty()) throw ConfigError("--sentences: expected at least one, found none");
  const Seen seen = look(v, image);
  const Tensor patches = patch_embeddings(v.model, seen.batch, v.embed.pass);
  const Tensor prototypes = embed_texts(v.model, sentences, tokenize_with(v.tokenizer), v.embed);
  const bool several = sentences.size() > 1;
  const Tensor maps =
      several ? sentence_probabilities(patches, prototypes, temperature) : similarity(patches, prototypes);
  const auto values = maps.data<float>();
  const auto [low, high] = std::ranges::minmax(values);
  Svg svg(kGap + (kPanel + kGap) * static_cast<double>(sentences.size() + 1), kPanel + 2 * kGap + kTextHeight);
  svg.image(seen.picture, kGap, kGap, kPanel, kPanel);
  svg.paragraph(kGap, kGap + kPanel + 18,
                several ? fmt::format("probability given the patch, 0 to {:.2f}", high)
                        : fmt::format("cosine with the patch, {:.2f} to {:.2f}", low, high),
                kColumns, 2, {.fill = "#555555"});
  for (size_t s = 0; s < sentences.size(); ++s) {
    const double x = kGap + (kPanel + kGap) * static_cast<double>(s + 1);
    svg.image(heat_overlay(seen.picture, column_of(maps, static_cast<int64_t>(s)), side_of(v.model),
                           several ? 0.0 : static_cast<double>(low), static_cast<double>(high)),
              x, kGap, kPanel, kPanel);
    if (s < boxes.size()) {
      const SceneObject& b = boxes[s];
      // A white line inside a black one is visible on dark and on pale colours.
      for (const auto& [colour, width] : {std::pair("#000000", 4.0), std::pair("#ffffff", 2.0)}) {
        svg.rect(x + kPanel * b.x0, kGap + kPanel * b.y0, kPanel * (b.x1 - b.x0), kPanel * (b.y1 - b.y0), "none", 1,
                 colour, width);
      }
    }
    svg.paragraph(x, kGap + kPanel + 18, sentences[s], kColumns, 3);
  }
  return svg;
}

Svg reconstruction_sheet(const Viewer& v, const Image& image, const std::vector<std::string>& sentences,
                         uint64_t seed) {
  need_decoder(v.model, Reconstruction::language, "language-space features (rils)");
  if (sentences.size() < 2)
    throw ConfigError(fmt::format("--sentences: expected two or more, found {}", sentences.size()));
  const Seen seen = look(v, image);
  const Model& model = v.model;
  const int64_t count = model.vision().grid().patches();
  const Masks masks(mask_noise(seed, 0, 0, 1, count), v.loss.mask_ratio);
  const Tensor student = l2_normalize(model.project(predict_hidden(v, seen, masks)).value).y.to(Device::cpu());
  const Tensor teacher = patch_embeddings(model, seen.batch, v.embed.pass);
  const Tensor prototypes = embed_texts(model, sentences, tokenize_with(v.tokenizer), v.embed);
  const auto guesses = best_of_rows(similarity(student, prototypes));
  const auto answers = best_of_rows(similarity(teacher, prototypes));

  const std::vector<int32_t> nothing(static_cast<size_t>(count), -1);
  std::vector<int32_t> hidden = nothing, guessed = nothing, answered = nothing;
  int64_t equal = 0;
  for (size_t i = 0; i < guesses.size(); ++i) {
    const auto patch = static_cast<size_t>(masks.masked(0)[i]);
    hidden[patch] = 0x808080;
    guessed[patch] = sentence_colour(static_cast<size_t>(guesses[i]), sentences.size());
    answered[patch] = sentence_colour(static_cast<size_t>(answers[patch]), sentences.size());
    equal += guesses[i] == answers[patch] ? 1 : 0;
  }
  const int64_t grid = side_of(model);
  Svg svg(kGap + 4 * (kPanel + kGap), kPanel + 3 * kGap + 24 + 18 * static_cast<double>(sentences.size()));
  const std::string agreement = fmt::format("teacher's answer ({:.0f} % agree)",
                                            100.0 * static_cast<double>(equal) / static_cast<double>(guesses.size()));
  const Panels panels = {{"image", seen.picture},
                         {"visible patches", painted_patches(seen.picture, hidden, grid, 1)},
                         {"guess for the hidden patches", painted_patches(seen.picture, guessed, grid, 0.65)},
                         {agreement, painted_patches(seen.picture, answered, grid, 0.65)}};
  draw_panels(svg, panels);
  for (size_t s = 0; s < sentences.size(); ++s) {
    const double y = 2 * kGap + kPanel + 34 + 18 * static_cast<double>(s);
    svg.rect(kGap, y - 10, 12, 12, fmt::format("#{:06x}", sentence_colour(s, sentences.size())));
    svg.text(kGap + 20, y, sentences[s]);
  }
  return svg;
}

Svg pixel_sheet(const Viewer& v, const Image& image, uint64_t seed) {
  need_decoder(v.model, Reconstruction::pixels, "pixels (mae, mae+clip)");
  const Seen seen = look(v, image);
  const int64_t grid = side_of(v.model), count = v.model.vision().grid().patches();
  const Masks masks(mask_noise(seed, 0, 0, 1, count), v.loss.mask_ratio);
  const int64_t only[] = {0}, patch = v.model.config().vision.patch_size;
  const Tensor predicted = predict_hidden(v, seen, masks).to(Device::cpu());
  const Tensor target = pixel_targets(seen.batch, patch, masks, only);
  const double loss = pixel_loss(predicted, target, 1.0 / static_cast<double>(masks.hidden())).value.item();
  const Tensor shown = patch_pixels(seen.batch, patch);

  std::vector<int32_t> hidden(static_cast<size_t>(count), -1);
  Image guessed = seen.picture;
  const auto width = static_cast<size_t>(shown.size(1));
  std::vector<double> pixels(width);
  for (size_t i = 0; i < masks.masked(0).size(); ++i) {
    const auto place = static_cast<size_t>(masks.masked(0)[i]);
    const auto own = shown.data<float>().subspan(place * width, width);
    const auto guess = predicted.data<float>().subspan(i * width, width);
    const PatchMoments m = patch_moments(own);
    std::ranges::transform(guess, pixels.begin(), [&](float x) { return m.mean + m.std * static_cast<double>(x); });
    paint_patch(guessed, static_cast<int64_t>(place), grid, pixels, v.embed.transform);
    hidden[place] = 0x808080;
  }
  Svg svg(kGap + 3 * (kPanel + kGap), kPanel + 3 * kGap + 24);
  draw_panels(svg, {{"image", seen.picture},
                    {"visible patches", painted_patches(seen.picture, hidden, grid, 1)},
                    {fmt::format("guess for the hidden patches (loss {:.3f})", loss), guessed}});
  return svg;
}

}  // namespace tessera::rils
