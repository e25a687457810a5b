#include "rils/convert/convert.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <ostream>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "nn/io/checkpoint.h"
#include "rils/config/toml.h"
#include "rils/convert/hub_config.h"
#include "rils/convert/names.h"
#include "rils/text/vocabulary.h"
#include "rils/train/inputs.h"
#include "rils/train/stored_vocabulary.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVocabulary = "vocabulary.txt.gz";
/// PyTorch's readers require it.
const nn::Metadata kForPyTorch = {{"format", "pt"}};

bool is_file(const fs::path& path) { return path.extension() == ".safetensors"; }

void need_file(const ConvertOptions& o) {
  if (is_file(o.out)) return;
  throw ConfigError(fmt::format("--convert: expected a name that ends in .safetensors for {}, found {}", o.to, o.out));
}

/// Fills a folder under a temporary name and renames it when it is complete.
void write_folder(const fs::path& folder, const std::function<void(const fs::path&)>& write) {
  ScratchFolder partial(fs::path(folder) += ".partial");
  write(partial.path());
  partial.rename_to(folder);
}

/// The first parts of names, each once: "visual.decoder_blocks" stands for all tensors below it.
std::string parts_of(const std::vector<std::string>& names) {
  std::string text, last;
  for (const std::string& name : names) {
    const size_t first = name.starts_with("visual.") ? sizeof("visual.") - 1 : 0;
    const std::string part = name.substr(0, name.find('.', first));
    if (part == last) continue;
    text += (text.empty() ? "" : ", ") + part;
    last = part;
  }
  return text;
}

void write_tessera(const Weights& w, const ConvertOptions& o, std::ostream& out) {
  if (!w.model) throw ConfigError(fmt::format("--to: expected timm for a classifier, found {}", o.to));
  if (w.family == "ours")
    throw ConfigError(fmt::format("--to: expected timm, mae or open_clip for a checkpoint of Tessera, found {}", o.to));
  need_file(o);
  nn::Metadata metadata = {
      {"config", to_toml(w.config)}, {"preprocessing", preprocessing(w.config)}, {"step", "0"}, {"source", o.in}};
  if (w.model->objective().contrastive) {
    store_vocabulary(metadata, w.words.get());
    metadata[kDigestEntry] = w.vocabulary;
    metadata["truncation"] = w.config.data.truncation;
  }
  save_weights(o.out, w.store(), metadata);
  out << fmt::format("written: {}\n", o.out);
}

std::vector<nn::NamedTensor> tensors_of(const Weights& w, Names names, std::ostream& out) {
  std::vector<std::string> left_out;
  auto tensors = write_tensors(w.store(), names, left_out);
  if (!left_out.empty()) out << fmt::format("left out: {}\n", parts_of(left_out));
  return tensors;
}

void write_timm(const Weights& w, const ConvertOptions& o, std::ostream& out) {
  const auto tensors = tensors_of(w, Names::timm, out);
  if (is_file(o.out)) {
    nn::write_safetensors(o.out, tensors, kForPyTorch);
    out << fmt::format("written: {}\n", o.out);
    return;
  }
  write_folder(o.out, [&](const fs::path& folder) {
    nn::write_safetensors(folder / "model.safetensors", tensors, kForPyTorch);
    write_file_atomically(folder / "config.json", timm_config(w.config, w.classifier ? w.classifier->classes() : 0));
  });
  out << fmt::format("written: {0}; timm.create_model(\"local-dir:{0}\", pretrained=True)\n", o.out);
}

void write_mae(const Weights& w, const ConvertOptions& o, std::ostream& out) {
  if (!w.model || w.model->objective().reconstruction != Reconstruction::pixels) {
    throw ConfigError(fmt::format("--to: expected timm for a model without a pixel decoder, found {}", o.to));
  }
  need_file(o);
  nn::write_safetensors(o.out, tensors_of(w, Names::mae, out), kForPyTorch);
  out << fmt::format("written: {}\n", o.out);
}

void write_open_clip(const Weights& w, const ConvertOptions& o, std::ostream& out) {
  if (!w.model || !w.model->objective().contrastive) {
    throw ConfigError(fmt::format("--to: expected timm for a model without a text encoder, found {}", o.to));
  }
  if (is_file(o.out)) throw ConfigError(fmt::format("--convert: expected a folder for {}, found {}", o.to, o.out));
  // open_clip has CLIP's vocabulary already.
  const bool own = w.vocabulary != kClipDigest;
  const bool found = own && w.words != nullptr;
  if (own && !found) {
    out << "no vocabulary written: open_clip will use CLIP's; name the model's vocabulary with --vocabulary FILE\n";
  }
  const bool native = has_open_clip_encoder(w.config.model);
  const OpenClipConfig config = open_clip_config(w.config, o.out, found ? kVocabulary : "");
  const auto tensors = tensors_of(w, native ? Names::open_clip : Names::open_clip_timm, out);
  write_folder(o.out, [&](const fs::path& folder) {
    nn::write_safetensors(folder / "open_clip_model.safetensors", tensors, kForPyTorch);
    write_file_atomically(folder / "open_clip_config.json", config.text);
    if (!config.timm.empty()) write_file_atomically(folder / "config.json", config.timm);
    if (found) w.words->save_gzipped(folder / kVocabulary);
  });
  for (const std::string& note : config.notes) out << note << '\n';
  out << fmt::format("written: {0}; open_clip.create_model(\"local-dir:{0}\")\n", o.out);
}

void describe(const Weights& w, const ConvertOptions& o, std::ostream& out) {
  const VisionConfig& v = w.config.model.vision;
  out << fmt::format("{}: {}\n", o.in, w.family);
  out << fmt::format("image encoder: {} pixels, patches of {}, width {}, {} layers, {} heads, {}, {} positions{}\n",
                     v.image_size, v.patch_size, v.width, v.layers, v.heads, word_of(v.act), word_of(v.positions),
                     v.pre_norm ? ", a norm before the blocks" : "");
  const Pool pool = w.classifier ? w.config.finetune.pool : v.pool;
  out << fmt::format("feature: {}, norm {} pooling\n", pool == Pool::mean ? "mean of the patches" : "CLS token",
                     v.norm == FinalNorm::pooled || (w.classifier && pool == Pool::mean) ? "after" : "before");
  if (w.classifier) out << fmt::format("head: {} classes\n", w.classifier->classes());
  if (w.model && w.model->has_decoder()) {
    const DecoderConfig& d = w.config.model.decoder;
    out << fmt::format("decoder: width {}, {} layers, {} heads\n", d.width, d.layers, d.heads);
  }
  if (w.model && w.model->objective().contrastive) {
    const TextConfig& t = w.config.model.text;
    out << fmt::format("text encoder: {} tokens of {}, width {}, {} layers, {} heads, {}; joint width {}\n",
                       t.context_length, t.vocab_size, t.width, t.layers, t.heads, word_of(t.act),
                       w.config.model.embed_dim);
  }
  out << fmt::format("preprocessing: {}\n", preprocessing(w.config));
  for (const std::string& note : w.notes) out << note << '\n';
}

}  // namespace

void convert_weights(const ConvertOptions& o, std::ostream& out) {
  using Write = void (*)(const Weights&, const ConvertOptions&, std::ostream&);
  const std::pair<std::string_view, Write> targets[] = {
      {"tessera", write_tessera}, {"timm", write_timm}, {"mae", write_mae}, {"open_clip", write_open_clip}};
  for (const auto& [name, write] : targets) {
    if (name != o.to) continue;
    if (fs::exists(o.out)) throw ConfigError(fmt::format("--convert: {} exists already", o.out));
    const Weights weights = read_weights(o.in, o.weights);
    describe(weights, o, out);
    return write(weights, o, out);
  }
  throw ConfigError(fmt::format("--to: expected tessera, timm, mae or open_clip, found {}", o.to));
}

}  // namespace tessera::rils
