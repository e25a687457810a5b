#include "rils/inspect/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <istream>
#include <ostream>

#include "engine/core/printable.h"
#include "engine/ops/copy.h"
#include "engine/runtime/context.h"
#include "nn/io/safetensors.h"
#include "rils/model/cost.h"
#include "rils/model/memory.h"
#include "rils/run/run_folder.h"
#include "rils/text/tokenizer.h"
#include "rils/train/inputs.h"
#include "rils/train/stored_vocabulary.h"

namespace tessera::rils {

void inspect_model(const Config& given, std::ostream& out) {
  constexpr int64_t kClipIds = 49408;
  Config config = given;
  const bool assumed = terms_of(config.model.objective).contrastive && config.model.text.vocab_size == 0 &&
                       config.data.vocabulary.empty();
  if (assumed) {
    config.model.text.vocab_size = kClipIds;
    out << fmt::format("vocabulary of CLIP's {} ids; --vocabulary names another\n", kClipIds);
  } else {
    config = with_vocabulary_size(config);
  }
  const ParameterCounts p = parameter_counts(config.model);
  const int64_t batch = std::max(config.optim.batch_size * config.optim.accum_freq, config.optim.global_batch_size);
  const auto tokens = static_cast<double>(config.model.text.context_length);
  const ForwardCost c = forward_cost(config.model, config.loss, tokens, batch);
  const auto row = [&](const char* name, int64_t parameters, double macs) {
    out << fmt::format("{:<18} {:>13} {:>12.4f}\n", name, parameters, macs / 1e9);
  };
  out << fmt::format("{:<18} {:>13} {:>12}\n", "part", "parameters", "GMAC/sample");
  row("encoder, full", p.encoder, c.full_pass);
  row("encoder, masked", 0, c.masked_pass);
  row("decoder", p.decoder, c.decoder);
  row("text", p.text, c.text);
  row("projections", p.image_projection + p.logit_scale, c.projections);
  row("patch-sentence", 0, c.patch_sentence);
  row("two views", p.image_mlp, c.simclr);
  row(c.gated ? "all, gate open" : "all", p.total(), c.total(1));
  if (c.gated) row("all, gate closed", p.total(), c.total(0));
  const bool bf16 = config.run.precision != "fp32";
  const StepShape step{.caption_tokens = tokens,
                       .micro_batch = config.optim.batch_size,
                       .global_batch = batch,
                       .compute = bf16 ? DType::bf16 : DType::f32,
                       .checkpointing = config.run.grad_checkpointing,
                       .ema = config.optim.ema > 0};
  out << fmt::format("training memory    {:.2f} GiB at batch {} ({}{}), captions of {} tokens\n",
                     training_memory(config.model, config.loss, step, cpu_context().kernels()).total() / 0x1p30,
                     config.optim.batch_size, config.run.precision,
                     config.run.grad_checkpointing ? ", checkpointing" : "", config.model.text.context_length);
}

namespace {

void list(const nn::SafetensorsFile& file, std::ostream& out) {
  for (const auto& [name, info] : file.tensors()) {
    out << fmt::format("{:<56} {:<5} {}\n", printable(name), info.half ? "f16" : name_of(info.dtype),
                       to_string(info.shape));
  }
  out << fmt::format("{} tensors, {} elements\n", file.tensors().size(), file.elements());
  for (const auto& [key, value] : file.metadata()) {
    const bool merges = key == kMergesEntry;  // thousands of lines
    out << fmt::format("{}: {}\n", printable(key),
                       merges ? fmt::format("the vocabulary, {} bytes", value.size()) : printable_lines(value));
  }
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const Tensor x = cast(a, DType::f64);
  const Tensor y = cast(b, DType::f64);
  double largest = 0;
  for (size_t i = 0; i < x.data<double>().size(); ++i) {
    largest = std::max(largest, std::abs(x.data<double>()[i] - y.data<double>()[i]));
  }
  return largest;
}

void compare(const nn::SafetensorsFile& a, const nn::SafetensorsFile& b, std::ostream& out) {
  int64_t equal = 0;
  for (const auto& [name, info] : a.tensors()) {
    if (!b.contains(name)) {
      out << fmt::format("{:<56} only in {}\n", name, a.path().string());
    } else if (b.tensors().at(name).shape != info.shape) {
      out << fmt::format("{:<56} {} and {}\n", name, to_string(info.shape), to_string(b.tensors().at(name).shape));
    } else if (const double d = largest_difference(a.load(name), b.load(name)); d != 0) {
      out << fmt::format("{:<56} differs by up to {:.3g}\n", name, d);
    } else {
      ++equal;
    }
  }
  for (const auto& [name, info] : b.tensors()) {
    if (!a.contains(name)) out << fmt::format("{:<56} only in {}\n", name, b.path().string());
  }
  out << fmt::format("{} tensors are equal\n", equal);
}

}  // namespace

void inspect_checkpoint(const std::string& path, const std::string& other, std::ostream& out) {
  const nn::SafetensorsFile file(weights_file(path));
  if (other.empty()) {
    list(file, out);
  } else {
    compare(file, nn::SafetensorsFile(weights_file(other)), out);
  }
}

void inspect_tokens(const TokensOptions& o, std::istream& in, std::ostream& out) {
  const Tokenizer tokenizer(std::make_shared<const Vocabulary>(Vocabulary::load(o.vocabulary)), o.context_length,
                            parse_truncation(o.truncation));
  std::vector<int32_t> ids(static_cast<size_t>(o.context_length));
  for (std::string line; std::getline(in, line);) {
    (void)tokenizer.encode_padded(line, ids);
    out << fmt::format("{}\n", fmt::join(ids, " "));
  }
}

}  // namespace tessera::rils
