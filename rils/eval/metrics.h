#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/tensor/tensor.h"
#include "rils/run/progress.h"

namespace tessera::rils {

/// Results of one direction of retrieval, as fractions of the queries; ranks start at 1.
struct RetrievalDirection {
  double recall_1 = 0, recall_5 = 0, recall_10 = 0;
  double mean_rank = 0, median_rank = 0;
  int64_t queries = 0;
};
struct Retrieval {
  RetrievalDirection text_to_image, image_to_text;
};

/// CLIP_benchmark's convention: every caption is a query for its image; an image is a hit if any of its captions is
/// among the first k. Embeddings f32, L2-normalised: image [I, E], text [T, E]; image_of_text[t] in [0, I). An image
/// without captions is not a query. Of equal scores the lower index ranks first, so the results do not depend on the
/// order of work.
[[nodiscard]] Retrieval retrieval(const Tensor& image, const Tensor& text, std::span<const int64_t> image_of_text,
                                  const Progress& progress = {});

/// Cosines of every row of a with every row of b, both L2-normalised: [A, B].
[[nodiscard]] Tensor similarity(const Tensor& a, const Tensor& b);

/// softmax(factor · row) of every row, computed in f64: scores f32 [R, N], N ≥ 1; result f32 [R, N].
[[nodiscard]] Tensor softmax(const Tensor& scores, double factor);

/// Places of the `count` largest values, the largest first. Of equal values the lower place comes first.
[[nodiscard]] std::vector<int64_t> largest(std::span<const float> values, int64_t count);

struct Classification {
  double acc1 = 0;
  double acc5 = 0;                   // NaN with fewer than five classes
  double mean_per_class_recall = 0;  // over the classes that occur
  int64_t samples = 0;
};
/// From scores f32 [R, C] and labels in [0, C).
[[nodiscard]] Classification classification(const Tensor& scores, std::span<const int32_t> labels);

struct KnnOptions {
  int64_t k = 20;
  double temperature = 0.07;  // a vote has the weight exp(cosine / temperature)
};
/// Weighted nearest-neighbour votes (Wu et al. 2018) on L2-normalised features: scores f32 [R, classes].
[[nodiscard]] Tensor knn_scores(const Tensor& train, std::span<const int32_t> train_labels, const Tensor& test,
                                int64_t classes, const KnnOptions& options, const Progress& progress = {});

}  // namespace tessera::rils
