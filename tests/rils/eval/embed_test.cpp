// Embeddings and class vectors: what they are made of, and that nothing else matters.
#include "rils/eval/embed.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"
#include "rils/eval/tasks.h"
#include "tests/rils/eval/tiny_space.h"

namespace tessera::rils {
namespace {

using test::tiny_config;
using test::tokenize_letters;

Config letters() {
  Config c = tiny_config("clip");
  c.model.text.context_length = 30;
  return c;
}

std::vector<double> row_of(const Tensor& t, int64_t row) {
  const auto width = static_cast<size_t>(t.size(1));
  const auto values = t.data<float>().subspan(static_cast<size_t>(row) * width, width);
  return {values.begin(), values.end()};
}

std::vector<double> unit(std::vector<double> v) {
  double square = 0;
  for (const double x : v) square += x * x;
  for (double& x : v) x /= std::sqrt(square);
  return v;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 2e-6) << i;
}

TEST(ClassVectors, AreTheNormalisedMeanOverTemplatesAndSynonyms) {
  const Model model(letters().model, 3);
  const EmbedOptions options;
  const std::vector<std::string> templates = {"a {c}.", "many {c} in the sun", "{c}"};
  const std::vector<std::string> names = {"cat;kitten;tom", "dog", "a bird"};
  const Tensor found = embed_classes(model, names, templates, tokenize_letters, options);
  ASSERT_EQ(found.shape(), (Shape{3, 8}));
  const std::vector<std::vector<std::string>> sentences = {
      {"a cat.", "many cat in the sun", "cat", "a kitten.", "many kitten in the sun", "kitten", "a tom.",
       "many tom in the sun", "tom"},
      {"a dog.", "many dog in the sun", "dog"},
      {"a a bird.", "many a bird in the sun", "a bird"}};
  for (size_t c = 0; c < sentences.size(); ++c) {
    std::vector<double> sum(8);
    for (const std::string& sentence : sentences[c]) {
      const Tensor one = embed_texts(model, std::vector{sentence}, tokenize_letters, options);
      const std::vector<double> v = unit(row_of(one, 0));
      for (size_t i = 0; i < v.size(); ++i) sum[i] += v[i];
    }
    expect_near(row_of(found, static_cast<int64_t>(c)), unit(sum));
  }
}

TEST(ClassVectors, FillEveryPlaceForTheName) {
  EXPECT_EQ(fill_template("a {c} beside a {c}.", "dog"), "a dog beside a dog.");
  EXPECT_EQ(fill_template("{c}{c}", "{c}"), "{c}{c}") << "a name is not a template";
}

TEST(ClassVectors, NeedAPlaceForTheName) {
  const Model model(letters().model, 3);
  const std::vector<std::string> names = {"cat"}, without = {"a thing"}, none;
  EXPECT_THROW((void)embed_classes(model, names, without, tokenize_letters, {}), ConfigError);
  EXPECT_THROW((void)embed_classes(model, names, none, tokenize_letters, {}), ConfigError);
  EXPECT_THROW((void)embed_classes(model, none, names, tokenize_letters, {}), ConfigError);
}

/// Pictures and captions in memory; number 2 cannot be decoded, number 5 cannot be read.
class Pictures final : public Dataset {
 public:
  [[nodiscard]] int64_t size() const override { return 9; }
  [[nodiscard]] std::string name(int64_t index) const override { return "picture " + std::to_string(index); }
  [[nodiscard]] Sample load(int64_t index, bool) const override {
    if (index == 5) throw SampleError(skip::kMissingFile, "no such file");
    Sample s;
    const std::string png = index == 2 ? "nothing at all" : test::noise_png(static_cast<uint64_t>(index));
    const auto bytes = std::as_bytes(std::span(png));
    s.encoded.assign(bytes.begin(), bytes.end());
    s.label = static_cast<int32_t>(index % 3);
    for (int64_t i = 0; i <= index % 2; ++i) s.captions.push_back("caption " + std::to_string(10 * index + i));
    return s;
  }
};

EmbedOptions small(int64_t batch_size) {
  EmbedOptions o;
  o.transform.size = o.transform.resize = 8;
  o.batch_size = batch_size;
  return o;
}

TEST(EmbedImages, AreUnitRowsWhateverTheBatchAndWhatCannotBeUsedIsCounted) {
  const Model model(letters().model, 3);
  const Pictures data;
  const ImageEmbeddings whole = embed_images(data, small(100), joint_embedding(model, {}));
  EXPECT_EQ(whole.indices, (std::vector<int64_t>{0, 1, 3, 4, 6, 7, 8}));
  EXPECT_EQ(whole.labels, (std::vector<int32_t>{0, 1, 0, 1, 0, 1, 2}));
  EXPECT_EQ(whole.captions[1], (std::vector<std::string>{"caption 10", "caption 11"}));
  EXPECT_EQ(whole.skipped.total(), 2);
  EXPECT_EQ(whole.skipped.count(skip::kMissingFile), 1);
  EXPECT_EQ(whole.skipped.count(skip::kUnknownFormat), 1);
  EXPECT_EQ(whole.skipped.total() + std::ssize(whole.indices), data.size());
  for (int64_t i = 0; i < 7; ++i) expect_near(row_of(whole.values, i), unit(row_of(whole.values, i)));
  for (const int64_t batch : {1, 2, 3, 9}) {
    const ImageEmbeddings parts = embed_images(data, small(batch), joint_embedding(model, {}));
    EXPECT_LE(test::absolute_error(parts.values, whole.values), 1e-6) << batch;
    EXPECT_EQ(parts.labels, whole.labels);
    EXPECT_EQ(parts.skipped, whole.skipped);
  }
  EmbedOptions raw = small(4);
  raw.normalize = raw.keep_captions = false;
  const ImageEmbeddings pixels = embed_images(data, raw, raw_pixels());
  EXPECT_EQ(pixels.values.shape(), (Shape{7, 3 * 8 * 8}));
  EXPECT_TRUE(pixels.captions.empty());
  // What each row is made from: the sample's own pixels, normalised, row by row.
  std::vector<float> first(3 * 8 * 8);
  raw.transform(decode_sample(data.load(8, true)), first);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(pixels.values.data<float>()[6 * first.size() + i], first[i]) << i;
  }
}

TEST(RunRetrieval, ScoresEveryCaptionAndTheLossOfTheFirst) {
  const Model model(letters().model, 3);
  const Pictures data;
  const RetrievalResult r = run_retrieval(model, data, tokenize_letters, small(4));
  EXPECT_EQ(r.image_of_text, (std::vector<int64_t>{0, 1, 1, 2, 2, 3, 4, 5, 5, 6}));
  EXPECT_EQ(r.figures.text_to_image.queries, 10);
  EXPECT_EQ(r.figures.image_to_text.queries, 7);
  const Tensor own = embed_texts(model, std::vector<std::string>{"caption 31"}, tokenize_letters, small(4));
  expect_near(row_of(r.texts, 4), row_of(own, 0));
}

TEST(RunZeroShot, TakesTheNearestClassVector) {
  const Model model(letters().model, 3);
  const Pictures data;
  const ClassPrompts prompts{{"red", "green;lime", "blue"}, {"a {c}", "the {c} one"}};
  const ZeroShotResult r = run_zero_shot(model, data, prompts, tokenize_letters, small(4));
  const Tensor classes = embed_classes(model, prompts.names, prompts.templates, tokenize_letters, small(4));
  double right = 0;
  for (int64_t i = 0; i < 7; ++i) {
    std::pair<double, int32_t> best{-2, -1};
    for (int32_t c = 0; c < 3; ++c) {
      const auto image = row_of(r.images.values, i), vector = row_of(classes, c);
      double cosine = 0;
      for (size_t k = 0; k < image.size(); ++k) cosine += image[k] * vector[k];
      best = std::max(best, std::pair{cosine, c});
    }
    right += best.second == r.images.labels[static_cast<size_t>(i)] ? 1 : 0;
  }
  EXPECT_EQ(r.classes, 3);
  EXPECT_DOUBLE_EQ(r.figures.acc1, right / 7);
  const ClassPrompts two{{"red", "green"}, {"a {c}"}};
  EXPECT_THROW((void)run_zero_shot(model, data, two, tokenize_letters, small(4)), ConfigError);
}

TEST(ClassCount, IsOneMoreThanTheLargestLabel) {
  EXPECT_EQ(class_count(std::vector<int32_t>{2, 0, 6, 1}, "data"), 7);
  EXPECT_THROW((void)class_count(std::vector<int32_t>{2, -1}, "data"), IoError);
}

}  // namespace
}  // namespace tessera::rils
