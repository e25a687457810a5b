#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rils/config/config.h"
#include "rils/eval/tasks.h"
#include "rils/run/metrics.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// The result of a validation during training.
struct ValidationReport {
  Record record;                   // a line of results.jsonl, without the step
  std::vector<std::string> lines;  // for the console
  double score = -1;               // larger is better: text → image recall@10, else zero-shot accuracy, in [0, 1]
};

/// The validation data of a run: image-caption pairs (data.val_data), labelled images (data.zeroshot_data), both or
/// neither. Both tasks need text: for an objective without it nothing is opened.
class Validation {
 public:
  /// Opens both. Throws IoError or ConfigError.
  Validation(const Config& config, std::shared_ptr<const Tokenizer> tokenizer, int64_t global_batch);

  /// Lines for the user: what was skipped or passed over when the data were opened, and which split was read.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  [[nodiscard]] bool has_pairs() const { return pairs_ != nullptr; }
  [[nodiscard]] bool has_classes() const { return classes_ != nullptr; }
  /// With `pairs`, the contrastive loss and the recalls in both directions on the pairs; with `classes`, the zero-shot
  /// accuracy on the labelled images.
  [[nodiscard]] ValidationReport run(const Model& model, const PassOptions& pass, bool pairs, bool classes) const;
  /// Draws the best and worst retrievals, and for two pairs heat maps and, with a decoder, its predictions of hidden
  /// patches. Returns the files FOLDER/STEP-NAME.svg. Needs pairs.
  std::vector<std::filesystem::path> draw(const Model& model, const LossConfig& loss, const PassOptions& pass,
                                          const std::filesystem::path& folder, int64_t step) const;

 private:
  [[nodiscard]] EmbedOptions embed_options(const PassOptions& pass) const;
  void add_retrieval(const Model& model, const EmbedOptions& options, ValidationReport& report) const;
  void add_zero_shot(const Model& model, const EmbedOptions& options, ValidationReport& report) const;

  EvalTransform transform_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  int64_t batch_;
  std::shared_ptr<const Dataset> pairs_, classes_;
  ClassPrompts prompts_;
  std::vector<std::string> notes_;
};

}  // namespace tessera::rils
