#include "rils/eval/embed.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/core/error.h"
#include "engine/core/printable.h"
#include "engine/cpu/host.h"
#include "engine/ops/copy.h"
#include "engine/ops/norm.h"

namespace tessera::rils {
namespace {

/// One decoded sample, or the reason why it cannot be used.
struct Decoded {
  std::optional<Sample> sample;
  std::string reason, example;
};

Decoded decode_into(const Dataset& data, int64_t index, const EvalTransform& transform, std::span<float> out) {
  Decoded d;
  try {
    Sample sample = data.load(index);
    transform(decode_sample(sample, kDefaultMaxImagePixels, transform.resize_before_rgb), out);
    sample.encoded.clear();
    sample.decoded.reset();
    d.sample = std::move(sample);
  } catch (const SampleError& e) {
    d.reason = e.reason();
    d.example = fmt::format("{}: {}", data.name(index), e.what());
  }
  return d;
}

std::vector<std::string> split_synonyms(const std::string& name) {
  std::vector<std::string> names;
  size_t begin = 0;
  while (begin <= name.size()) {
    const size_t end = std::min(name.find(';', begin), name.size());
    if (end > begin) names.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  if (names.empty()) throw ConfigError("class names: a name is empty");
  return names;
}

}  // namespace

void print_notes(const Dataset& data) {
  for (const std::string& note : data.notes()) fmt::print(stderr, "{}\n", printable(note));
}

void print_skipped(const std::string& source, const ImageEmbeddings& images, std::FILE* stream) {
  if (images.skipped.total() > 0) fmt::print(stream, "{}: {}\n", source, images.skipped.describe());
}

Tensor patch_embeddings(const Model& model, const Tensor& images, const PassOptions& pass) {
  const VisionTower& vision = model.vision();
  const TokenFeatures encoded = vision.encode(vision.patch_tokens(images.to(model.device()), pass), pass);
  const auto& [samples, prefix, grid] = encoded.layout;
  const Shape by_sample{samples, encoded.layout.rows_per_sample(), vision.width()};
  const Tensor dense = contiguous(encoded.values.value.reshape(by_sample).slice(1, prefix, grid.patches()));
  const Var rows = vision.after_pooling(Var(dense.reshape({samples * grid.patches(), vision.width()})));
  return l2_normalize(model.project(rows).value).y.to(Device::cpu());
}

ImageFunction joint_embedding(const Model& model, const PassOptions& pass) {
  return [&model, pass](const Tensor& images) { return model.encode_image(images.to(model.device()), pass).value; };
}

ImageFunction backbone_features(const Model& model, const PassOptions& pass) {
  return
      [&model, pass](const Tensor& images) { return model.vision().features(images.to(model.device()), pass).value; };
}

ImageFunction raw_pixels() {
  return [](const Tensor& images) { return images.reshape({images.size(0), -1}); };
}

ImageEmbeddings embed_images(const Dataset& data, const EmbedOptions& options, const ImageFunction& function) {
  ImageEmbeddings result;
  result.skipped = data.skipped();
  const int64_t size = options.transform.size;
  const int64_t pixels = 3 * size * size;
  std::vector<Tensor> parts;
  Tensor queued;  // the rows of the last batch: a device computes them while the next batch is decoded
  const auto collect = [&] {
    if (queued) parts.push_back(queued.to(Device::cpu()));
    queued = {};
  };
  for (int64_t first = 0; first < data.size(); first += options.batch_size) {
    const int64_t count = std::min(options.batch_size, data.size() - first);
    const Tensor staged = Tensor::empty({count, pixels});
    std::vector<Decoded> decoded(static_cast<size_t>(count));
    const auto values = staged.data<float>();
    cpu::threads(cpu_context()).run(count, [&](int64_t i, int) {
      const auto out = values.subspan(static_cast<size_t>(i * pixels), static_cast<size_t>(pixels));
      decoded[static_cast<size_t>(i)] = decode_into(data, first + i, options.transform, out);
    });
    int64_t kept = 0;
    for (int64_t i = 0; i < count; ++i) {
      Decoded& d = decoded[static_cast<size_t>(i)];
      if (!d.sample) {
        result.skipped.add(d.reason, d.example);
        continue;
      }
      if (kept != i) copy_into(staged.slice(0, i, 1), staged.slice(0, kept, 1));
      ++kept;
      result.indices.push_back(first + i);
      result.labels.push_back(d.sample->label);
      if (options.keep_captions) result.captions.push_back(std::move(d.sample->captions));
    }
    collect();
    if (kept > 0) {
      const Tensor rows = function(staged.slice(0, 0, kept).reshape({kept, 3, size, size}));
      queued = options.normalize ? l2_normalize(rows).y : rows;
    }
    if (options.stages) options.stages("reading images", first + count, data.size());
  }
  collect();
  if (parts.empty()) throw IoError(fmt::format("no usable image: {}", result.skipped.describe()));
  result.values = concatenate_rows(parts);
  return result;
}

Tensor embed_texts(const Model& model, std::span<const std::string> texts, const Tokenize& tokenize,
                   const EmbedOptions& options) {
  const int64_t length = model.config().text.context_length;
  const auto total = static_cast<int64_t>(texts.size());
  std::vector<Tensor> parts;
  for (int64_t first = 0; first < total; first += options.batch_size) {
    const int64_t count = std::min(options.batch_size, total - first);
    const Tensor tokens = Tensor::zeros({count, length}, DType::i32);
    for (int64_t i = 0; i < count; ++i) {
      (void)tokenize(texts[static_cast<size_t>(first + i)],
                     tokens.data<int32_t>().subspan(static_cast<size_t>(i * length), static_cast<size_t>(length)));
    }
    parts.push_back(l2_normalize(model.encode_text(tokens, options.pass).value).y.to(Device::cpu()));
    if (options.stages) options.stages("reading texts", first + count, total);
  }
  return parts.empty() ? Tensor::empty({0, model.config().embed_dim}) : concatenate_rows(parts);
}

std::string fill_template(const std::string& sentence_template, const std::string& name) {
  constexpr std::string_view kPlace = "{c}";
  std::string text = sentence_template;
  size_t at = text.find(kPlace);
  if (at == std::string::npos)
    throw ConfigError(fmt::format("template \"{}\": expected {{c}} where the name goes", sentence_template));
  for (; at != std::string::npos; at = text.find(kPlace, at + name.size())) text.replace(at, kPlace.size(), name);
  return text;
}

Tensor embed_classes(const Model& model, std::span<const std::string> class_names,
                     std::span<const std::string> templates, const Tokenize& tokenize, const EmbedOptions& options) {
  if (class_names.empty() || templates.empty())
    throw ConfigError("zero-shot: expected class names and templates, found none");
  const Tensor classes = Tensor::zeros({static_cast<int64_t>(class_names.size()), model.config().embed_dim});
  EmbedOptions one_class = options;
  one_class.stages = {};
  for (size_t c = 0; c < class_names.size(); ++c) {
    std::vector<std::string> sentences;
    for (const std::string& name : split_synonyms(class_names[c])) {
      for (const std::string& t : templates) sentences.push_back(fill_template(t, name));
    }
    const Tensor embedded = embed_texts(model, sentences, tokenize, one_class);
    const auto row = classes.slice(0, static_cast<int64_t>(c), 1).data<float>();
    const auto all = embedded.data<float>();
    for (size_t i = 0; i < all.size(); ++i) row[i % row.size()] += all[i];
    if (options.stages) options.stages("reading class names", static_cast<int64_t>(c) + 1, classes.size(0));
  }
  return l2_normalize(classes).y;
}

}  // namespace tessera::rils
