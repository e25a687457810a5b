#include "rils/finetune/loaded_classifier.h"

#include <fmt/format.h>

#include <sstream>

#include "engine/core/error.h"
#include "nn/io/checkpoint.h"
#include "rils/eval/loaded_model.h"
#include "rils/finetune/linear_probe.h"
#include "rils/finetune/trainer.h"

namespace tessera::rils {
namespace {

constexpr const char* kHead = "head.weight";

template <class Model>
ImageFunction load(const nn::SafetensorsFile& file, const Config& config, int64_t classes, const PassOptions& pass) {
  const auto model = std::make_shared<Model>(config.model.vision, config.finetune.pool, classes, 0);
  load_weights(file, model->store());
  return [model, pass](const Tensor& images) { return model->logits(images, pass).value; };
}

}  // namespace

bool is_classifier(const nn::SafetensorsFile& file) { return !config_of(file).finetune.data_path.empty(); }

LoadedClassifier load_classifier(const nn::SafetensorsFile& file, const std::string& precision) {
  const Config config = config_of(file);
  const auto head = file.tensors().find(kHead);
  const auto names = file.metadata().find("classes");
  if (head == file.tensors().end() || head->second.shape.rank() != 2 || names == file.metadata().end()) {
    throw IoError(
        fmt::format("{}: expected a checkpoint of finetune, found no head or no classes", file.path().string()));
  }
  const int64_t classes = head->second.shape[0];
  LoadedClassifier c;
  std::istringstream lines(names->second);
  for (std::string name; std::getline(lines, name);) c.classes.push_back(name);
  // With --nb-classes there may be more outputs than named classes.
  while (std::ssize(c.classes) < classes) c.classes.push_back(std::to_string(c.classes.size()));
  PassOptions pass;
  pass.precision = nn::parse_precision(precision);
  c.logits = config.finetune.probe == ProbeKind::lars ? load<LinearProbe>(file, config, classes, pass)
                                                      : load<Classifier>(file, config, classes, pass);
  c.embed = evaluation_options(config, pass);
  c.embed.normalize = c.embed.keep_captions = false;
  return c;
}

}  // namespace tessera::rils
