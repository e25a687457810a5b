// Every figure against its definition, written out for small random problems, and at the borders of its bars.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "rils/eval/metrics.h"
#include "rils/eval/pointing.h"
#include "rils/eval/tasks.h"

namespace tessera::rils {
namespace {

using Rows = std::vector<std::vector<double>>;

/// Unit vectors of 16 coordinates of ±1/4: their cosines are multiples of 1/8, exact in f32, and many are equal.
Tensor sign_vectors(int64_t rows, std::mt19937& random) {
  Tensor result = Tensor::empty({rows, 16});
  for (float& x : result.data<float>()) x = random() % 2 == 0 ? 0.25f : -0.25f;
  return result;
}

Rows cosines(const Tensor& a, const Tensor& b) {
  const auto x = a.data<float>(), y = b.data<float>();
  const auto width = static_cast<size_t>(a.size(1));
  Rows result(static_cast<size_t>(a.size(0)), std::vector<double>(static_cast<size_t>(b.size(0))));
  for (size_t i = 0; i < result.size(); ++i) {
    for (size_t j = 0; j < result[i].size(); ++j) {
      for (size_t k = 0; k < width; ++k) {
        result[i][j] += static_cast<double>(x[i * width + k]) * static_cast<double>(y[j * width + k]);
      }
    }
  }
  return result;
}

/// Indices from the largest score to the smallest; of equal ones the lower index first.
std::vector<size_t> best_first(const std::vector<double>& scores) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  return order;
}

/// Place, counted from 1, of the first item that is one of `right`.
double first_hit(const std::vector<double>& scores, const std::vector<size_t>& right) {
  const auto order = best_first(scores);
  const auto hit = std::ranges::find_if(order, [&](size_t i) { return std::ranges::count(right, i) > 0; });
  return static_cast<double>(hit - order.begin()) + 1;
}

void expect_direction(const RetrievalDirection& found, std::vector<double> ranks) {
  const auto n = static_cast<double>(ranks.size());
  const auto share = [&](double k) {
    return static_cast<double>(std::ranges::count_if(ranks, [k](double rank) { return rank <= k; })) / n;
  };
  ASSERT_EQ(found.queries, std::ssize(ranks));
  EXPECT_DOUBLE_EQ(found.recall_1, share(1));
  EXPECT_DOUBLE_EQ(found.recall_5, share(5));
  EXPECT_DOUBLE_EQ(found.recall_10, share(10));
  EXPECT_NEAR(found.mean_rank, std::accumulate(ranks.begin(), ranks.end(), 0.0) / n, 1e-9);
  std::ranges::sort(ranks);
  EXPECT_DOUBLE_EQ(found.median_rank, 0.5 * (ranks[(ranks.size() - 1) / 2] + ranks[ranks.size() / 2]));
}

TEST(RetrievalReference, EveryFigureOfRandomProblems) {
  std::mt19937 random(1);
  // The last has more queries than are scored at once.
  for (const auto& [images, texts] : std::vector<std::pair<int64_t, int64_t>>{{7, 7}, {20, 61}, {33, 90}, {270, 301}}) {
    SCOPED_TRACE(texts);
    const Tensor image = sign_vectors(images, random), text = sign_vectors(texts, random);
    std::vector<int64_t> owner;
    for (int64_t t = 0; t < texts; ++t) owner.push_back(static_cast<int64_t>(random() % static_cast<uint32_t>(images)));
    const Retrieval found = retrieval(image, text, owner);
    std::vector<double> text_ranks, image_ranks;
    const Rows of_text = cosines(text, image), of_image = cosines(image, text);
    for (size_t t = 0; t < owner.size(); ++t) {
      text_ranks.push_back(first_hit(of_text[t], {static_cast<size_t>(owner[t])}));
    }
    for (size_t i = 0; i < of_image.size(); ++i) {
      std::vector<size_t> own;
      for (size_t t = 0; t < owner.size(); ++t) {
        if (owner[t] == static_cast<int64_t>(i)) own.push_back(t);
      }
      if (!own.empty()) image_ranks.push_back(first_hit(of_image[i], own));
    }
    expect_direction(found.text_to_image, text_ranks);
    expect_direction(found.image_to_text, image_ranks);
  }
}

/// 13 items in order of their score.
Tensor descending() {
  std::vector<float> values;
  for (int i = 0; i < 13; ++i) values.push_back(1.0f - 0.0625f * static_cast<float>(i));
  return Tensor::from(values, {13, 1});
}

TEST(RetrievalReference, AHitAtTheBarCountsAndOneBelowDoesNot) {
  const Tensor one = Tensor::full({1, 1}, 1.0);
  for (int64_t rank = 1; rank <= 13; ++rank) {
    SCOPED_TRACE(rank);
    const RetrievalDirection d = retrieval(descending(), one, std::vector<int64_t>{rank - 1}).text_to_image;
    EXPECT_EQ(d.recall_1, rank <= 1 ? 1.0 : 0.0);
    EXPECT_EQ(d.recall_5, rank <= 5 ? 1.0 : 0.0);
    EXPECT_EQ(d.recall_10, rank <= 10 ? 1.0 : 0.0);
    EXPECT_EQ(d.mean_rank, static_cast<double>(rank));
    EXPECT_EQ(d.median_rank, static_cast<double>(rank));
  }
}

TEST(RetrievalReference, AnImageHitsByTheBestOfItsCaptionsWhereverThatStands) {
  // Image 0 is at +1 and image 1 at −1, so the captions rank for image 0 as they are numbered; image 0 owns the one at
  // `rank` and the very last or, where the order is turned round, the very first in number and last in rank.
  for (const bool turned : {false, true}) {
    for (int64_t rank = 1; rank <= 12; ++rank) {
      SCOPED_TRACE(rank);
      std::vector<float> values;
      std::vector<int64_t> owner(13, 1);
      for (int64_t t = 0; t < 13; ++t) values.push_back(1.0f - 0.0625f * static_cast<float>(turned ? 12 - t : t));
      owner[static_cast<size_t>(turned ? 13 - rank : rank - 1)] = owner[turned ? 0 : 12] = 0;
      const Tensor image = Tensor::from(std::vector<float>{1, -1}, {2, 1}), text = Tensor::from(values, {13, 1});
      const RetrievalDirection d = retrieval(image, text, owner).image_to_text;
      // Image 1 sees the captions in the opposite order; its own nearest is the second unless image 0 has that too.
      const double other = rank == 12 ? 3 : 2;
      EXPECT_EQ(d.mean_rank, (static_cast<double>(rank) + other) / 2);
      EXPECT_EQ(d.recall_1, rank <= 1 ? 0.5 : 0.0);
      EXPECT_EQ(d.recall_5, rank <= 5 ? 1.0 : 0.5);
      EXPECT_EQ(d.recall_10, rank <= 10 ? 1.0 : 0.5);
    }
  }
}

void expect_classification(const Tensor& scores, const std::vector<int32_t>& labels) {
  const auto classes = static_cast<size_t>(scores.size(1));
  const auto values = scores.data<float>();
  double top1 = 0, top5 = 0;
  std::vector<double> seen(classes), hit(classes);
  for (size_t r = 0; r < labels.size(); ++r) {
    const auto row = values.subspan(r * classes, classes);
    const auto label = static_cast<size_t>(labels[r]);
    const double rank = first_hit({row.begin(), row.end()}, {label});
    top1 += rank <= 1 ? 1 : 0;
    top5 += rank <= 5 ? 1 : 0;
    seen[label] += 1;
    hit[label] += rank <= 1 ? 1 : 0;
  }
  const auto n = static_cast<double>(labels.size());
  const Classification found = classification(scores, labels);
  EXPECT_EQ(found.samples, std::ssize(labels));
  EXPECT_DOUBLE_EQ(found.acc1, top1 / n);
  if (classes < 5) {
    EXPECT_TRUE(std::isnan(found.acc5));
  } else {
    EXPECT_DOUBLE_EQ(found.acc5, top5 / n);
  }
  double recall = 0, occurring = 0;
  for (size_t c = 0; c < classes; ++c) {
    if (seen[c] == 0) continue;
    recall += hit[c] / seen[c];
    occurring += 1;
  }
  EXPECT_NEAR(found.mean_per_class_recall, recall / occurring, 1e-12);
}

TEST(ClassificationReference, EveryFigureOfRandomProblems) {
  std::mt19937 random(2);
  for (const int64_t classes : {2, 4, 5, 6, 30}) {
    SCOPED_TRACE(classes);
    const Tensor scores = Tensor::empty({80, classes});
    for (float& x : scores.data<float>()) x = static_cast<float>(random() % 12);  // many are equal
    std::vector<int32_t> labels;
    // The last class never occurs, where there are more than two.
    const auto most = static_cast<uint32_t>(classes > 2 ? classes - 1 : classes);
    for (int i = 0; i < 80; ++i) labels.push_back(static_cast<int32_t>(random() % most));
    expect_classification(scores, labels);
  }
}

TEST(ClassificationReference, AHitAtTheBarCountsAndOneBelowDoesNot) {
  const Tensor scores = descending().reshape({1, 13});
  for (int32_t rank = 1; rank <= 13; ++rank) {
    const Classification c = classification(scores, std::vector<int32_t>{rank - 1});
    EXPECT_EQ(c.acc1, rank <= 1 ? 1.0 : 0.0) << rank;
    EXPECT_EQ(c.acc5, rank <= 5 ? 1.0 : 0.0) << rank;
    EXPECT_EQ(c.mean_per_class_recall, c.acc1) << rank;
  }
  EXPECT_EQ(classification(Tensor::zeros({1, 5}), std::vector<int32_t>{4}).acc5, 1.0) << "five of five classes";
}

TEST(KnnReference, VotesOfRandomProblems) {
  std::mt19937 random(3);
  for (const auto& [train_rows, k] : std::vector<std::pair<int64_t, int64_t>>{{40, 1}, {40, 7}, {300, 20}, {5, 9}}) {
    for (const double temperature : {0.07, 0.5}) {
      SCOPED_TRACE(k);
      const Tensor train = sign_vectors(train_rows, random), test = sign_vectors(9, random);
      std::vector<int32_t> labels;
      for (int64_t i = 0; i < train_rows; ++i) labels.push_back(static_cast<int32_t>(random() % 4));
      const Tensor found = knn_scores(train, labels, test, 4, {k, temperature});
      const Rows cosine = cosines(test, train);
      for (size_t r = 0; r < 9; ++r) {
        const auto order = best_first(cosine[r]);
        std::vector<double> votes(4);
        const auto taken = std::min(order.size(), static_cast<size_t>(k));
        for (size_t i = 0; i < taken; ++i) {
          votes[static_cast<size_t>(labels[order[i]])] += std::exp((cosine[r][order[i]] - 1) / temperature);
        }
        for (size_t c = 0; c < 4; ++c) {
          EXPECT_NEAR(found.data<float>()[4 * r + c], votes[c], 1e-5 * (votes[c] + 1e-12)) << r << " " << c;
        }
      }
    }
  }
}

TEST(KnnReference, ExactlyKNeighboursVote) {
  // Each training row has a class of its own, and all rows are equal: the first k of them vote.
  const Tensor same = Tensor::full({12, 1}, 1.0);
  std::vector<int32_t> labels(12);
  std::iota(labels.begin(), labels.end(), 0);
  for (const int64_t k : {1, 5, 11, 12, 20}) {
    const Tensor scores = knn_scores(same, labels, same.slice(0, 0, 1), 12, {k, 0.07});
    for (int64_t c = 0; c < 12; ++c) EXPECT_EQ(scores.data<float>()[static_cast<size_t>(c)] > 0, c < k) << k << c;
  }
}

TEST(PointingReference, ProbabilitiesOfRandomProblems) {
  std::mt19937 random(4);
  const Tensor patches = sign_vectors(9, random), sentences = sign_vectors(6, random);
  for (const double temperature : {0.04, 0.3}) {
    const Tensor found = sentence_probabilities(patches, sentences, temperature);
    const Rows cosine = cosines(patches, sentences);
    for (size_t p = 0; p < 9; ++p) {
      double total = 0;
      for (const double c : cosine[p]) total += std::exp(c / temperature);
      for (size_t s = 0; s < 6; ++s) {
        EXPECT_NEAR(found.data<float>()[6 * p + s], std::exp(cosine[p][s] / temperature) / total, 2e-6);
      }
    }
  }
}

TEST(PointingReference, SharesAndHitsOfRandomBoxes) {
  // Boxes with corners on a raster of 24 cells; maps of 3 × 3 and 4 × 4 patches, each cut into whole cells.
  constexpr int kCells = 24;
  std::mt19937 random(5);
  for (const int grid : {3, 4}) {
    const int side = kCells / grid;
    for (int trial = 0; trial < 40; ++trial) {
      const Tensor map = Tensor::empty({grid * grid, 2});
      for (float& p : map.data<float>()) p = static_cast<float>(1 + random() % 64) / 64.0f;
      const int x0 = static_cast<int>(random() % 23), y0 = static_cast<int>(random() % 23);
      const int x1 = x0 + 1 + static_cast<int>(random() % static_cast<uint32_t>(kCells - x0));
      const int y1 = y0 + 1 + static_cast<int>(random() % static_cast<uint32_t>(kCells - y0));
      const auto at = [&](int patch) {
        return static_cast<double>(map.data<float>()[static_cast<size_t>(2 * patch + 1)]);
      };
      double inside = 0, total = 0, area = 0;
      for (int y = 0; y < kCells; ++y) {
        for (int x = 0; x < kCells; ++x) {
          const double p = at(y / side * grid + x / side);
          total += p;
          if (x < x0 || x >= x1 || y < y0 || y >= y1) continue;
          inside += p;
          area += 1;
        }
      }
      int best = 0;
      for (int patch = 1; patch < grid * grid; ++patch) best = at(patch) > at(best) ? patch : best;
      const double cx = (best % grid + 0.5) * side, cy = (best / grid + 0.5) * side;
      const bool hit = cx >= x0 && cx < x1 && cy >= y0 && cy < y1;
      constexpr double kUnit = kCells;
      const PointingScore s = pointing_score(map, grid, {1, x0 / kUnit, y0 / kUnit, x1 / kUnit, y1 / kUnit});
      EXPECT_NEAR(s.energy, inside / total, 1e-9);
      EXPECT_NEAR(s.chance, area / (kUnit * kUnit), 1e-9);
      if (cx != x0 && cx != x1 && cy != y0 && cy != y1) {
        EXPECT_EQ(s.hit, hit ? 1.0 : 0.0);
      }
    }
  }
}

TEST(PointingReference, TheHalvesOfAnImageShareWhatIsThere) {
  // The most probable patch is the middle one, whose centre is the edge between two halves: it is in one of them.
  const Tensor map = Tensor::from(std::vector<float>{1, 2, 3, 4, 9, 4, 3, 2, 1}, {9, 1});
  for (const bool rows : {false, true}) {
    const PointingScore a = pointing_score(map, 3, {0, 0, 0, rows ? 1 : 0.5, rows ? 0.5 : 1});
    const PointingScore b = pointing_score(map, 3, {0, rows ? 0 : 0.5, rows ? 0.5 : 0, 1, 1});
    EXPECT_NEAR(a.energy + b.energy, 1.0, 1e-9);
    EXPECT_EQ(a.hit + b.hit, 1.0);
    EXPECT_DOUBLE_EQ(a.chance + b.chance, 1.0);
  }
}

/// CLIP's loss of pairs: the mean of both directions' cross-entropies.
double clip_loss(const Rows& cosine, double scale) {
  const size_t n = cosine.size();
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    double row = 0, column = 0;
    for (size_t j = 0; j < n; ++j) {
      row += std::exp(scale * (cosine[i][j] - cosine[i][i]));
      column += std::exp(scale * (cosine[j][i] - cosine[i][i]));
    }
    sum += 0.5 * (std::log(row) + std::log(column));
  }
  return sum / static_cast<double>(n);
}

TEST(ValidationLossReference, IsTheMeanOfEveryWholeBatch) {
  std::mt19937 random(6);
  RetrievalResult r;
  r.images.values = sign_vectors(11, random);
  r.texts = sign_vectors(20, random);
  // Image 3 has no caption; others have one, two or three, of which the first counts.
  r.image_of_text = {0, 0, 1, 2, 2, 2, 4, 4, 5, 6, 6, 7, 7, 7, 8, 8, 9, 9, 10, 10};
  std::vector<int64_t> images, texts;
  for (size_t t = 0; t < r.image_of_text.size(); ++t) {
    if (t > 0 && r.image_of_text[t] == r.image_of_text[t - 1]) continue;
    images.push_back(r.image_of_text[t]);
    texts.push_back(static_cast<int64_t>(t));
  }
  ASSERT_EQ(images.size(), 10U);
  const Rows all = cosines(r.images.values, r.texts);
  for (const size_t batch : {1, 2, 3, 4, 5, 10}) {
    double expected = 0;
    const size_t batches = images.size() / batch;
    for (size_t b = 0; b < batches; ++b) {
      Rows own(batch, std::vector<double>(batch));
      for (size_t i = 0; i < batch; ++i) {
        for (size_t j = 0; j < batch; ++j) {
          own[i][j] = all[static_cast<size_t>(images[b * batch + i])][static_cast<size_t>(texts[b * batch + j])];
        }
      }
      expected += clip_loss(own, 7.0) / static_cast<double>(batches);
    }
    EXPECT_NEAR(validation_loss(r, 7.0, static_cast<int64_t>(batch)), expected, 1e-6) << batch;
  }
  r.image_of_text.clear();
  EXPECT_TRUE(std::isnan(validation_loss(r, 7.0, 4)));
}

}  // namespace
}  // namespace tessera::rils
