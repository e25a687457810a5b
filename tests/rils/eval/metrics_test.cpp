#include "rils/eval/metrics.h"
#include "rils/eval/tasks.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"
#include "rils/eval/pointing.h"

namespace tessera::rils {
namespace {

TEST(Retrieval, CountsRanksByHand) {
  // Three images on the axes; captions at known angles. Caption 3 is nearer to image 0 than to its own image 2.
  const Tensor image = Tensor::from(std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1}, {3, 3});
  const Tensor text = Tensor::from(std::vector<float>{1, 0, 0, 0.6f, 0.8f, 0, 0, 1, 0, 0.8f, 0, 0.6f}, {4, 3});
  const std::vector<int64_t> owner = {0, 0, 1, 2};
  const Retrieval r = retrieval(image, text, owner);
  EXPECT_EQ(r.text_to_image.queries, 4);
  EXPECT_DOUBLE_EQ(r.text_to_image.recall_1, 0.5);
  EXPECT_DOUBLE_EQ(r.text_to_image.recall_5, 1.0);
  EXPECT_DOUBLE_EQ(r.text_to_image.mean_rank, 1.5);
  EXPECT_DOUBLE_EQ(r.text_to_image.median_rank, 1.5);
  EXPECT_EQ(r.image_to_text.queries, 3);
  EXPECT_DOUBLE_EQ(r.image_to_text.recall_1, 1.0);
}

TEST(Retrieval, EqualScoresRankByIndex) {
  const Tensor same = Tensor::full({4, 2}, std::sqrt(0.5));
  const std::vector<int64_t> owner = {0, 1, 2, 3};
  const Retrieval r = retrieval(same, same, owner);
  EXPECT_DOUBLE_EQ(r.text_to_image.recall_1, 0.25);
  EXPECT_DOUBLE_EQ(r.text_to_image.mean_rank, 2.5);
}

TEST(Classification, CountsPerClass) {
  const Tensor scores = Tensor::from(std::vector<float>{3, 1, 2, 0, 5, 1, 1, 2, 3, 9, 0, 0}, {4, 3});
  const std::vector<int32_t> labels = {0, 1, 0, 0};
  const Classification c = classification(scores, labels);
  EXPECT_DOUBLE_EQ(c.acc1, 0.75);
  EXPECT_TRUE(std::isnan(c.acc5));
  EXPECT_DOUBLE_EQ(c.mean_per_class_recall, (2.0 / 3.0 + 1.0) / 2.0);
}

TEST(Softmax, IsExactForLargeScores) {
  const Tensor p = softmax(Tensor::from(std::vector<float>{1000, 999, -1000, 3, 3, 3}, {2, 3}), 2.0);
  EXPECT_FLOAT_EQ(p.data<float>()[0], static_cast<float>(1 / (1 + std::exp(-2.0))));
  EXPECT_FLOAT_EQ(p.data<float>()[1], static_cast<float>(1 / (1 + std::exp(2.0))));
  EXPECT_EQ(p.data<float>()[2], 0.0f);
  for (size_t i = 3; i < 6; ++i) EXPECT_FLOAT_EQ(p.data<float>()[i], 1.0f / 3);
}

TEST(Largest, OfEqualValuesTheLowerPlaceComesFirst) {
  const std::vector<float> values = {0.5f, 2, -1, 2, 0.5f};
  EXPECT_EQ(largest(values, 3), (std::vector<int64_t>{1, 3, 0}));
  EXPECT_EQ(largest(values, 9), (std::vector<int64_t>{1, 3, 0, 4, 2}));
  EXPECT_TRUE(largest({}, 1).empty());
}

TEST(Knn, VotesByNearness) {
  const Tensor train = Tensor::from(std::vector<float>{1, 0, 0, 1, -1, 0}, {3, 2});
  const std::vector<int32_t> labels = {2, 1, 0};
  const Tensor test = Tensor::from(std::vector<float>{0.8f, 0.6f}, {1, 2});
  const Tensor scores = knn_scores(train, labels, test, 3, {2, 0.1});
  EXPECT_NEAR(scores.data<float>()[2], std::exp((0.8 - 1) / 0.1), 1e-6);
  EXPECT_NEAR(scores.data<float>()[1], std::exp((0.6 - 1) / 0.1), 1e-6);
  EXPECT_EQ(scores.data<float>()[0], 0.0f);
}

TEST(Pointing, ScoresTheEnergyInsideTheBox) {
  // A 2 × 2 grid, two sentences; sentence 0 sits in the upper left patch.
  const Tensor map = Tensor::from(std::vector<float>{0.9f, 0.1f, 0.1f, 0.9f, 0.0f, 1.0f, 0.0f, 1.0f}, {4, 2});
  const PointingScore exact = pointing_score(map, 2, {0, 0, 0, 0.5, 0.5});
  EXPECT_NEAR(exact.energy, 0.9, 1e-6);
  EXPECT_EQ(exact.hit, 1.0);
  EXPECT_DOUBLE_EQ(exact.chance, 0.25);
  const PointingScore half = pointing_score(map, 2, {0, 0, 0, 0.25, 0.5});
  EXPECT_NEAR(half.energy, 0.45, 1e-6);
  const PointingScore away = pointing_score(map, 2, {0, 0.5, 0.5, 1, 1});
  EXPECT_NEAR(away.energy, 0.0, 1e-6);
  EXPECT_EQ(away.hit, 0.0);
  EXPECT_THROW((void)pointing_score(map, 3, {0, 0, 0, 1, 1}), ShapeError);
}

TEST(Pointing, ProbabilitiesAreASoftmaxOverSentences) {
  const Tensor patches = Tensor::from(std::vector<float>{1, 0, 0, 1}, {2, 2});
  const Tensor p = sentence_probabilities(patches, patches, 0.5);
  EXPECT_NEAR(p.data<float>()[0], 1 / (1 + std::exp(-2.0)), 1e-6);
  EXPECT_NEAR(p.data<float>()[0] + p.data<float>()[1], 1.0, 1e-6);
}

TEST(ValidationLoss, IsTheMeanOverWholeBatchesOfFirstCaptions) {
  // Three images; the first has two captions, of which the second does not count. The third pair is an incomplete
  // batch.
  RetrievalResult r;
  r.images.values = Tensor::from(std::vector<float>{1, 0, 0, 1, 0.6f, 0.8f}, {3, 2});
  r.texts = Tensor::from(std::vector<float>{0.8f, 0.6f, -1, 0, 0, 1, 1, 0}, {4, 2});
  r.image_of_text = {0, 0, 1, 2};
  const double s = 5.0;
  // Cosines of the first two pairs: [0.8 0.0; 0.6 1.0].
  const auto nll = [&](double own, double other) { return std::log1p(std::exp(s * (other - own))); };
  const double expected = 0.25 * (nll(0.8, 0.0) + nll(1.0, 0.6) + nll(0.8, 0.6) + nll(1.0, 0.0));
  EXPECT_NEAR(validation_loss(r, s, 2), expected, 1e-6);
  EXPECT_GT(std::abs(validation_loss(r, s, 3) - expected), 0.1);
  EXPECT_EQ(validation_loss(r, s, 7), validation_loss(r, s, 3)) << "fewer pairs than a batch are one batch";
}

}  // namespace
}  // namespace tessera::rils
