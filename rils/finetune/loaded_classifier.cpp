#include "rils/finetune/loaded_classifier.h"

#include <fmt/format.h>

#include <memory>
#include <sstream>
#include <utility>

#include "engine/core/error.h"
#include "nn/io/checkpoint.h"
#include "rils/eval/loaded_model.h"
#include "rils/finetune/linear_probe.h"
#include "rils/finetune/trainer.h"

namespace tessera::rils {
namespace {

constexpr const char* kHead = "head.weight";

template <class Model>
ImageFunction load(const nn::SafetensorsFile& file, std::shared_ptr<Model> model, const PassOptions& pass) {
  load_weights(file, model->store());
  return [model = std::move(model), pass](const Tensor& images) {
    return model->logits(images.to(model->store().device()), pass).value;
  };
}

}  // namespace

int64_t classes_of(const nn::SafetensorsFile& file, int64_t width) {
  const auto head = file.tensors().find(kHead);
  const bool found = head != file.tensors().end();
  // Its width is that of the encoder: one of 0 could claim any number of classes without a byte of data.
  if (found && head->second.shape.rank() == 2 && head->second.shape[1] == width) return head->second.shape[0];
  throw IoError(fmt::format("{}: expected a checkpoint of finetune with a head [classes, {}], found {}",
                            file.path().string(), width, found ? to_string(head->second.shape) : "no head"));
}

bool is_classifier(const nn::SafetensorsFile& file) { return !config_of(file).finetune.data_path.empty(); }

LoadedClassifier load_classifier(const nn::SafetensorsFile& file, const std::string& precision, Device device) {
  const Config config = config_of(file);
  const auto names = file.metadata().find("classes");
  if (names == file.metadata().end()) {
    throw IoError(fmt::format("{}: expected a checkpoint of finetune, found no classes", file.path().string()));
  }
  const int64_t classes = classes_of(file, config.model.vision.width);
  LoadedClassifier c;
  std::istringstream lines(names->second);
  for (std::string name; std::getline(lines, name);) c.classes.push_back(name);
  // With --nb-classes there may be more outputs than named classes.
  while (std::ssize(c.classes) < classes) c.classes.push_back(std::to_string(c.classes.size()));
  PassOptions pass;
  pass.precision = nn::parse_precision(precision);
  const VisionConfig& vision = config.model.vision;
  const Pool pool = config.finetune.pool;
  c.logits =
      config.finetune.probe == ProbeKind::lars
          ? load(file, std::make_shared<LinearProbe>(vision, pool, classes, std::nullopt, device), pass)
          : load(file, std::make_shared<Classifier>(vision, pool, classes, std::nullopt, DType::f32, device), pass);
  c.embed = evaluation_options(config, pass);
  c.embed.normalize = c.embed.keep_captions = false;
  return c;
}

}  // namespace tessera::rils
