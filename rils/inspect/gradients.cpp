#include "rils/inspect/gradients.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "nn/io/checkpoint.h"
#include "rils/config/schema.h"
#include "rils/run/run_folder.h"
#include "rils/train/figures.h"

namespace tessera::rils {
namespace {

Tensor load_checked(const nn::SafetensorsFile& file, const std::string& name, DType dtype, const Shape& expected) {
  Tensor tensor = file.load(name);
  const auto& shape = tensor.shape();
  bool fits = tensor.dtype() == dtype && shape.rank() == expected.rank();
  for (int d = 0; fits && d < shape.rank(); ++d) fits = expected[d] == -1 || expected[d] == shape[d];
  if (!fits) {
    throw IoError(fmt::format("{}: {} is {}, expected {} {} (-1: any)", file.path().string(), name, describe(tensor),
                              name_of(dtype), to_string(expected)));
  }
  return tensor;
}

MicroBatch load_batch(const std::filesystem::path& path, const Model& model) {
  const nn::SafetensorsFile file(path);
  const ModelConfig& c = model.config();
  MicroBatch batch;
  const Objective& objective = model.objective();
  int64_t samples = -1;  // unknown until the first tensor is read; then the same for all
  const auto pictures = [&](const char* name) {
    Tensor t = load_checked(file, name, DType::f32, {samples, 3, c.vision.image_size, c.vision.image_size});
    samples = t.size(0);
    return t.to(model.device());
  };
  if (objective.contrastive || model.has_decoder()) batch.images = pictures("images");
  if (objective.simclr) {
    batch.view1 = pictures("view1");
    batch.view2 = pictures("view2");
  }
  if (objective.contrastive) {
    batch.tokens = load_checked(file, "tokens", DType::i32, {samples, c.text.context_length});
  }
  if (model.has_decoder()) {
    batch.noise = load_checked(file, "noise", DType::f32, {samples, model.vision().grid().patches()});
  }
  if (samples == 0) throw IoError(fmt::format("{}: no samples", path.string()));
  return batch;
}

/// A vocabulary of no given size has as many ids as the weights.
ModelConfig sized_by(const nn::SafetensorsFile& weights, ModelConfig config) {
  const auto ids = weights.tensors().find("token_embedding.weight");
  if (config.text.vocab_size == 0 && ids != weights.tensors().end() && ids->second.shape.rank() == 2) {
    config.text.vocab_size = ids->second.shape[0];
  }
  return config;
}

Tensor scalar(double value) { return Tensor::full({}, value); }

}  // namespace

StepResult write_gradients(const ModelConfig& config, const LossConfig& loss, const GradientFiles& files,
                           nn::Precision precision, Device device) {
  check_trainable(config);
  const nn::SafetensorsFile weights(weights_file(files.checkpoint));
  Model model(sized_by(weights, config), std::nullopt, precision.param, device);
  load_parameters(weights, model.store());
  const MicroBatch batch = load_batch(files.batch, model);
  const int64_t samples = (batch.images ? batch.images : batch.view1).size(0);
  if (loss.simulated_ranks != 0 && samples % loss.simulated_ranks != 0) {
    throw ConfigError(fmt::format("{}: expected a multiple of loss.simulated_ranks = {} samples, found {}",
                                  files.batch.string(), loss.simulated_ranks, samples));
  }
  StepOptions options;
  options.pass.precision = precision;
  const StepResult result = compute_gradients(model, loss, std::span(&batch, 1), options);

  std::vector<nn::NamedTensor> out = {{"loss", scalar(result.loss)}};
  const Record figures = term_figures(result, model.objective());
  for (const auto& [name, figure] : figures.figures()) {
    out.push_back({name, scalar(std::get<double>(figure))});
  }
  const Tensor all = model.store().grads().to(Device::cpu());
  const Tensor grads = all.dtype() == DType::f32 ? all : cast(all, DType::f32);
  for (const nn::Entry& entry : model.store().entries()) {
    out.push_back({"grad." + entry.name, grads.slice(0, entry.offset, entry.count()).reshape(entry.shape)});
  }
  nn::write_safetensors(files.out, out);
  return result;
}

}  // namespace tessera::rils
