#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rils/eval/metrics.h"
#include "rils/picture/sheets.h"

namespace tessera::rils {
namespace {

constexpr double kThumb = 112, kGap = 8, kText = 300;
constexpr int kShown = 5;

/// A text, its nearest images, and the rank of its own image.
struct Query {
  int64_t text = 0, image = 0, rank = 0;  // ranks begin at 1
  double lead = 0;                        // cosine of its own image minus that of the best other image
  std::vector<int64_t> nearest;
};

Query ask(std::span<const float> cosines, int64_t text, int64_t image) {
  Query q{text, image, 1, 0, {}};
  const auto at = [&](int64_t i) { return cosines[static_cast<size_t>(i)]; };
  const auto nearer = [&](int64_t a, int64_t b) { return at(a) != at(b) ? at(a) > at(b) : a < b; };
  for (int64_t i = 0; image >= 0 && i < std::ssize(cosines); ++i) q.rank += i != image && nearer(i, image) ? 1 : 0;
  q.nearest = largest(cosines, kShown);
  if (image < 0) return q;  // the user's own sentence has no image and no rank
  const int64_t other = q.nearest[0] != image || q.nearest.size() == 1 ? q.nearest[0] : q.nearest[1];
  q.lead = static_cast<double>(at(image) - at(other));
  return q;
}

Image thumbnail(const EvalTransform& transform, const Sample& sample) {
  return transform.crop(decode_sample(sample, kDefaultMaxImagePixels, transform.resize_before_rgb));
}

/// Draws one row: the sentence and its nearest images, with a frame around its own image.
void draw_query(Svg& svg, const Query& q, const std::string& sentence, const Dataset& data,
                const EvalTransform& transform, const ImageEmbeddings& images, double y) {
  svg.paragraph(kGap, y + 18, sentence, 44, 4);
  svg.text(
      kGap, y + kThumb - 6,
      q.image < 0 ? "a sentence of your own" : fmt::format("its image ranks {} of {}", q.rank, images.values.size(0)),
      {.size = 11, .fill = "#555555"});
  for (size_t i = 0; i < q.nearest.size(); ++i) {
    const double x = kText + (kThumb + kGap) * static_cast<double>(i);
    const int64_t index = images.indices[static_cast<size_t>(q.nearest[i])];
    svg.image(thumbnail(transform, data.load(index, true)), x, y, kThumb, kThumb);
    if (q.nearest[i] == q.image) svg.rect(x + 1.5, y + 1.5, kThumb - 3, kThumb - 3, "none", 1, "#009e73", 4);
  }
}

/// The caption of a query.
const std::string& caption_of(const RetrievalResult& result, const Query& q) {
  const auto first = std::ranges::find(result.image_of_text, q.image) - result.image_of_text.begin();
  return result.images.captions[static_cast<size_t>(q.image)][static_cast<size_t>(q.text - first)];
}

}  // namespace

Svg montage_sheet(const Dataset& data, const EvalTransform& transform, int count) {
  constexpr int kAcross = 8, kColumns = 19, kLines = 4;
  constexpr double kHeight = kThumb + 62;
  const auto shown = std::min<int64_t>(count, data.size());
  const int64_t rows = (shown + kAcross - 1) / kAcross;
  Svg svg(kGap + kAcross * (kThumb + kGap), kGap + static_cast<double>(rows) * kHeight);
  for (int64_t i = 0; i < shown; ++i) {
    const double x = kGap + static_cast<double>(i % kAcross) * (kThumb + kGap);
    const double y = kGap + static_cast<double>(i / kAcross) * kHeight;
    std::string below;
    try {
      const Sample sample = data.load(i * data.size() / shown, true);
      svg.image(thumbnail(transform, sample), x, y, kThumb, kThumb);
      const auto label = static_cast<size_t>(sample.label);
      if (!sample.captions.empty())
        below = sample.captions.front();
      else if (sample.label >= 0)
        below = label < data.class_names().size() ? data.class_names()[label] : fmt::format("class {}", label);
    } catch (const SampleError& e) {
      below = e.reason();
    }
    svg.paragraph(x, y + kThumb + 12, below, kColumns, kLines, {.size = 10});
  }
  return svg;
}

Svg answers_sheet(const Dataset& data, const EvalTransform& transform, const ImageEmbeddings& images,
                  const std::vector<Question>& questions) {
  Svg svg(kText + kShown * (kThumb + kGap), static_cast<double>(questions.size()) * (kThumb + kGap));
  double y = 0;
  for (const Question& question : questions) {
    const Tensor cosines = similarity(question.text, images.values);
    const Query q = ask(std::as_const(cosines).data<float>(), 0, question.image);
    draw_query(svg, q, question.sentence, data, transform, images, y);
    y += kThumb + kGap;
  }
  return svg;
}

Svg retrieval_sheet(const Dataset& data, const EvalTransform& transform, const RetrievalResult& result, int count) {
  const Tensor cosines = similarity(result.texts, result.images.values);
  const auto width = static_cast<size_t>(cosines.size(1));
  const std::span<const float> values = cosines.data<float>();
  std::vector<Query> queries;
  for (size_t t = 0; t < result.image_of_text.size(); ++t) {
    queries.push_back(ask(values.subspan(t * width, width), static_cast<int64_t>(t), result.image_of_text[t]));
  }
  std::ranges::stable_sort(
      queries, [](const Query& a, const Query& b) { return a.rank != b.rank ? a.rank < b.rank : a.lead > b.lead; });
  const auto shown = std::min(static_cast<size_t>(count), queries.size());
  Svg svg(kText + kShown * (kThumb + kGap) + kGap, 2 * 34 + 2 * static_cast<double>(shown) * (kThumb + kGap) + kGap);
  double y = 0;
  for (const bool best : {true, false}) {
    svg.text(kGap, y + 22, best ? "best: texts whose image ranks highest" : "worst: texts whose image ranks lowest",
             {.size = 14, .bold = true});
    y += 34;
    for (size_t i = 0; i < shown; ++i, y += kThumb + kGap) {
      const Query& q = queries[best ? i : queries.size() - 1 - i];
      draw_query(svg, q, caption_of(result, q), data, transform, result.images, y);
    }
  }
  return svg;
}

}  // namespace tessera::rils
