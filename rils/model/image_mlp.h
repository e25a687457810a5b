#pragma once

#include "nn/layers/batch_norm.h"
#include "rils/config/config.h"
#include "rils/model/vision.h"

namespace tessera::rils {

/// The SimCLR projection head: `image_mlp.layer1`, `bn1`, ReLU, `layer2`, `bn2`, ReLU, `layer3`, with
/// PyTorch's initial values. Its batch norms need every row of the global batch in one call.
class ImageMlp {
 public:
  ImageMlp(ParameterStore& store, int64_t width, const ImageMlpConfig& config, DType dtype);

  /// Whether the running moments of the batch norms are updated from this batch.
  enum class KeepMoments : uint8_t { no, yes };
  /// Rows [N, output] of backbone features [N, D], N ≥ 2.
  [[nodiscard]] Var operator()(const Var& features, const Precision& precision, KeepMoments keep) const;

 private:
  nn::Linear layer1_, layer2_, layer3_;
  nn::BatchNorm bn1_, bn2_;
};

}  // namespace tessera::rils
