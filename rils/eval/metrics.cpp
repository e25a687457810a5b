#include "rils/eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/ops/loss.h"
#include "engine/ops/matmul.h"
#include "engine/ops/pointwise.h"

namespace tessera::rils {
namespace {

constexpr int64_t kQueryBlock = 256;

/// Calls visit(row, scores) with each query's cosine to every item, computed in blocks of queries.
template <class Visit>
void for_each_query(const Tensor& queries, const Tensor& items, Visit&& visit) {
  const Tensor transposed = items.transpose(0, 1);
  for (int64_t first = 0; first < queries.size(0); first += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, queries.size(0) - first);
    const Tensor scores = matmul(queries.slice(0, first, count), transposed);
    const auto all = scores.data<float>();
    for (int64_t i = 0; i < count; ++i) {
      visit(first + i, all.subspan(static_cast<size_t>(i * items.size(0)), static_cast<size_t>(items.size(0))));
    }
  }
}

/// Rank of an item among all, 1 for the largest score; of equal scores the lower index ranks first.
int64_t rank_of(std::span<const float> scores, int64_t item) {
  const float own = scores[static_cast<size_t>(item)];
  int64_t rank = 1;
  for (size_t i = 0; i < scores.size(); ++i) {
    const bool before = static_cast<int64_t>(i) < item;
    rank += scores[i] > own || (scores[i] == own && before) ? 1 : 0;
  }
  return rank;
}

RetrievalDirection summarise(std::vector<int64_t> ranks) {
  RetrievalDirection r;
  r.queries = static_cast<int64_t>(ranks.size());
  if (ranks.empty()) return r;
  const auto n = static_cast<double>(ranks.size());
  const auto within = [&](int64_t k) {
    return static_cast<double>(std::ranges::count_if(ranks, [k](int64_t rank) { return rank <= k; })) / n;
  };
  r.recall_1 = within(1);
  r.recall_5 = within(5);
  r.recall_10 = within(10);
  r.mean_rank = std::accumulate(ranks.begin(), ranks.end(), 0.0) / n;
  std::ranges::sort(ranks);
  const size_t middle = ranks.size() / 2;
  r.median_rank = ranks.size() % 2 == 1 ? static_cast<double>(ranks[middle])
                                        : 0.5 * static_cast<double>(ranks[middle - 1] + ranks[middle]);
  return r;
}

}  // namespace

Retrieval retrieval(const Tensor& image, const Tensor& text, std::span<const int64_t> image_of_text,
                    const Progress& progress) {
  if (static_cast<int64_t>(image_of_text.size()) != text.size(0)) {
    throw ShapeError("retrieval: expected one image index for each caption");
  }
  std::vector<std::vector<int64_t>> captions(static_cast<size_t>(image.size(0)));
  for (size_t t = 0; t < image_of_text.size(); ++t) {
    captions.at(static_cast<size_t>(image_of_text[t])).push_back(static_cast<int64_t>(t));
  }
  std::vector<int64_t> text_ranks, image_ranks;
  const int64_t queries = text.size(0) + image.size(0);
  const auto tell = [&](int64_t done) {
    if (progress && (done % kQueryBlock == 0 || done == queries)) progress(done, queries);
  };
  for_each_query(text, image, [&](int64_t t, std::span<const float> scores) {
    text_ranks.push_back(rank_of(scores, image_of_text[static_cast<size_t>(t)]));
    tell(t + 1);
  });
  for_each_query(image, text, [&](int64_t i, std::span<const float> scores) {
    tell(text.size(0) + i + 1);
    const auto& own = captions[static_cast<size_t>(i)];
    if (own.empty()) return;
    const int64_t best = *std::ranges::max_element(
        own, [&](int64_t a, int64_t b) { return scores[static_cast<size_t>(a)] < scores[static_cast<size_t>(b)]; });
    image_ranks.push_back(rank_of(scores, best));
  });
  return {summarise(std::move(text_ranks)), summarise(std::move(image_ranks))};
}

Tensor similarity(const Tensor& a, const Tensor& b) { return matmul(a, b.transpose(0, 1)); }

Tensor softmax(const Tensor& scores, double factor) {
  const Tensor logits = scale(cast(scores, DType::f64), factor);
  const Tensor lse = cross_entropy(logits, Tensor::zeros({scores.size(0)}, DType::i32)).lse;
  Tensor result = Tensor::empty(scores.shape());
  const auto from = logits.data<double>(), sums = lse.data<double>();
  const auto to = result.data<float>();
  const auto width = static_cast<size_t>(scores.size(1));
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<float>(std::exp(from[i] - sums[i / width]));
  return result;
}

std::vector<int64_t> largest(std::span<const float> values, int64_t count) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto kept = std::min<int64_t>(count, std::ssize(order));
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](int64_t a, int64_t b) {
    const float x = values[static_cast<size_t>(a)], y = values[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  order.resize(static_cast<size_t>(kept));
  return order;
}

Classification classification(const Tensor& scores, std::span<const int32_t> labels) {
  const int64_t classes = scores.size(1);
  if (static_cast<int64_t>(labels.size()) != scores.size(0)) {
    throw ShapeError("classification: expected one label for each row of scores");
  }
  std::vector<int64_t> seen(static_cast<size_t>(classes)), hit(seen.size());
  int64_t top1 = 0;
  int64_t top5 = 0;
  const auto all = scores.data<float>();
  for (size_t r = 0; r < labels.size(); ++r) {
    const auto row = all.subspan(r * static_cast<size_t>(classes), static_cast<size_t>(classes));
    const int64_t rank = rank_of(row, labels[r]);
    const auto label = static_cast<size_t>(labels[r]);
    ++seen[label];
    hit[label] += rank == 1 ? 1 : 0;
    top1 += rank == 1 ? 1 : 0;
    top5 += rank <= 5 ? 1 : 0;
  }
  Classification c;
  c.samples = static_cast<int64_t>(labels.size());
  if (c.samples == 0) return c;
  const auto n = static_cast<double>(c.samples);
  c.acc1 = static_cast<double>(top1) / n;
  c.acc5 = classes >= 5 ? static_cast<double>(top5) / n : std::numeric_limits<double>::quiet_NaN();
  int64_t occurring = 0;
  for (size_t k = 0; k < seen.size(); ++k) {
    if (seen[k] == 0) continue;
    ++occurring;
    c.mean_per_class_recall += static_cast<double>(hit[k]) / static_cast<double>(seen[k]);
  }
  c.mean_per_class_recall /= static_cast<double>(occurring);
  return c;
}

Tensor knn_scores(const Tensor& train, std::span<const int32_t> train_labels, const Tensor& test, int64_t classes,
                  const KnnOptions& options, const Progress& progress) {
  if (static_cast<int64_t>(train_labels.size()) != train.size(0)) {
    throw ShapeError("knn: expected one label for each training row");
  }
  Tensor scores = Tensor::zeros({test.size(0), classes});
  for_each_query(test, train, [&](int64_t r, std::span<const float> cosines) {
    float* row = scores.data<float>().data() + r * classes;
    for (const int64_t neighbour : largest(cosines, options.k)) {
      const auto i = static_cast<size_t>(neighbour);
      row[train_labels[i]] += std::exp((cosines[i] - 1.0f) / static_cast<float>(options.temperature));
    }
    const int64_t done = r + 1;
    if (progress && (done % kQueryBlock == 0 || done == test.size(0))) progress(done, test.size(0));
  });
  return scores;
}

}  // namespace tessera::rils
