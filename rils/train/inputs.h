#pragma once

#include <memory>
#include <string>

#include "rils/config/config.h"
#include "rils/data/augment/simclr.h"
#include "rils/data/loader.h"
#include "rils/method/step.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// Returns the configuration with model.text.vocab_size taken from the vocabulary if it is 0: from `stored` if it is
/// not null, else from the file that the configuration names. Throws as open_tokenizer.
[[nodiscard]] Config with_vocabulary_size(Config config, const Vocabulary* stored = nullptr);

/// The tokenizer of a configuration, with `stored` or the vocabulary that it names; null if the objective has no text.
/// Throws ConfigError when no vocabulary is named or when its size is not the model's, IoError when it cannot be read.
[[nodiscard]] std::shared_ptr<const Tokenizer> open_tokenizer(const Config& config,
                                                              std::shared_ptr<const Vocabulary> stored = nullptr);
/// Throws ConfigError without a tokenizer: the model has no text encoder.
[[nodiscard]] Tokenize tokenize_with(std::shared_ptr<const Tokenizer> tokenizer);

/// Options of open_dataset as the configuration has them; captions are needed where the objective reads them.
[[nodiscard]] DatasetOptions dataset_options(const Config& config);
[[nodiscard]] TrainTransform train_transform(const Config& config);
[[nodiscard]] SimclrTransform simclr_transform(const Config& config);
[[nodiscard]] EvalTransform eval_transform(const Config& config);

/// How images are prepared (size, mean, std, interpolation) as JSON, for whoever uses a checkpoint's weights.
[[nodiscard]] std::string preprocessing(const Config& config);

/// The loader of global batches for training, continued from `state`. Without a tokenizer batches have no tokens.
[[nodiscard]] std::unique_ptr<Loader> open_loader(const Config& config, std::shared_ptr<const Dataset> data,
                                                  std::shared_ptr<const Tokenizer> tokenizer, int64_t global_batch,
                                                  const LoaderState& state);

/// The images that a sample becomes: a crop, SimCLR's two augmented views, or all three.
[[nodiscard]] int64_t views_of(const Config& config);
/// A loader's batch cut into `parts` micro-batches, with what the objective reads of it and the noise of this step's
/// masks. Their images are parts of `images`, f32 [views · batch.size, 3, size, size], which holds batch.images.
[[nodiscard]] std::vector<MicroBatch> to_micro_batches(const Batch& batch, const Tensor& images, const Config& config,
                                                       int64_t parts, int64_t step);

}  // namespace tessera::rils
