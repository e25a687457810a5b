#include "rils/convert/hub_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/nesting.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kLocal = "local-dir:";

/// Reads a JSON object key by key. A missing key gives an absent value, a wrong type an error that names the key.
class Reader {
 public:
  Reader(const fs::path& path, std::string where, Json json)
      : path_(path), where_(std::move(where)), json_(std::move(json)) {
    if (!json_.is_object()) fail(where_.empty() ? "the file" : where_, "an object");
  }
  static Reader open(const fs::path& path) {
    const std::string text = read_file(path);
    if (nests_too_deep(text)) throw IoError(fmt::format("{}: JSON that nests too deep", path.string()));
    Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) throw IoError(fmt::format("{}: not JSON", path.string()));
    return {path, "", std::move(json)};
  }

  [[nodiscard]] bool has(const char* key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  /// An absent object reads as an empty one.
  [[nodiscard]] Reader at(const char* key) const {
    return {path_, name(key), has(key) ? json_.at(key) : Json::object()};
  }
  template <class T>
  [[nodiscard]] std::optional<T> get(const char* key) const {
    if (!has(key)) return std::nullopt;
    // The library would also convert 1e300 to a whole number.
    if (std::is_same_v<T, int64_t> && !json_.at(key).is_number_integer()) fail(name(key), "a whole number");
    try {
      return json_.at(key).get<T>();
    } catch (const Json::exception&) {
      fail(name(key), "another type");
    }
  }
  [[nodiscard]] std::string text(const char* key, const std::string& otherwise) const {
    return get<std::string>(key).value_or(otherwise);
  }
  [[nodiscard]] std::string name(const char* key) const {
    return where_.empty() ? std::string(key) : where_ + "." + key;
  }
  /// Throws for a value that our towers cannot represent.
  [[noreturn]] void refuse(const char* key, std::string_view expected) const {
    throw ConfigError(fmt::format("{}: {}: expected {}, found {}", path_.string(), name(key), expected,
                                  has(key) ? json_.at(key).dump() : "none"));
  }

 private:
  [[noreturn]] void fail(const std::string& name, std::string_view expected) const {
    throw IoError(fmt::format("{}: {}: expected {}", path_.string(), name, expected));
  }
  fs::path path_;
  std::string where_;
  Json json_;
};

/// The interpolation in the terms of our configuration.
std::optional<std::string> interpolation_of(const Reader& r) {
  auto found = r.get<std::string>("interpolation");
  if (!found || *found == "bilinear" || *found == "bicubic") return found;
  if (*found == "random") return "bicubic";  // which timm and open_clip use in evaluation
  r.refuse("interpolation", "bilinear or bicubic");
}

void read_moments(const Reader& r, HubConfig& c) {
  c.mean = r.get<std::array<double, 3>>("mean");
  c.std = r.get<std::array<double, 3>>("std");
  c.interpolation = interpolation_of(r);
}

/// The pooling that timm keeps under `key`.
Pool timm_pool(const Reader& r, const char* key, const std::string& otherwise) {
  const std::string word = r.text(key, otherwise);
  if (word == "avg") return Pool::mean;
  if (word == "token") return Pool::cls;
  r.refuse(key, "avg or token");
}

bool is_quick(std::string_view name) { return name.find("quickgelu") != std::string_view::npos; }

/// Encoders that timm has a name for.
struct NamedEncoder {
  std::string_view name;
  int64_t image_size, patch_size, width, layers, heads;
};
constexpr std::array kNamed = {
    NamedEncoder{"vit_tiny_patch16_224", 224, 16, 192, 12, 3},
    NamedEncoder{"vit_tiny_patch16_384", 384, 16, 192, 12, 3},
    NamedEncoder{"vit_small_patch32_224", 224, 32, 384, 12, 6},
    NamedEncoder{"vit_small_patch16_224", 224, 16, 384, 12, 6},
    NamedEncoder{"vit_small_patch16_384", 384, 16, 384, 12, 6},
    NamedEncoder{"vit_base_patch32_224", 224, 32, 768, 12, 12},
    NamedEncoder{"vit_base_patch16_224", 224, 16, 768, 12, 12},
    NamedEncoder{"vit_base_patch16_384", 384, 16, 768, 12, 12},
    NamedEncoder{"vit_base_patch8_224", 224, 8, 768, 12, 12},
    NamedEncoder{"vit_large_patch16_224", 224, 16, 1024, 24, 16},
    NamedEncoder{"vit_large_patch16_384", 384, 16, 1024, 24, 16},
    NamedEncoder{"vit_large_patch14_224", 224, 14, 1024, 24, 16},
    NamedEncoder{"vit_huge_patch14_224", 224, 14, 1280, 32, 16},
};

/// timm's name of an encoder whose norm comes before pooling; empty where it has none.
std::string_view timm_name(const VisionConfig& v) {
  if (v.pre_norm || v.act != Activation::gelu || v.norm != FinalNorm::tokens) return {};
  const auto found = std::ranges::find_if(kNamed, [&](const NamedEncoder& n) {
    return n.image_size == v.image_size && n.patch_size == v.patch_size && n.width == v.width && n.layers == v.layers &&
           n.heads == v.heads;
  });
  return found == kNamed.end() ? std::string_view{} : found->name;
}

/// The timm model from which this encoder is built with further arguments. CLIP's models have a norm before the blocks
/// and its epsilon.
std::string_view architecture(const VisionConfig& v) {
  if (v.pre_norm)
    return v.act == Activation::quick_gelu ? "vit_base_patch16_clip_quickgelu_224" : "vit_base_patch16_clip_224";
  const std::string_view name = timm_name(v);
  return name.empty() ? "vit_base_patch16_224" : name;
}

Json preprocess_json(const Config& c) {
  return {
      {"mean", c.augment.image_mean}, {"std", c.augment.image_std}, {"interpolation", c.augment.image_interpolation}};
}

/// Reads pooling, heads and activation of an encoder from timm's config.json.
void read_timm_model(const Reader& r, HubConfig& c) {
  const std::string name = r.text("architecture", "");
  if (!name.starts_with("vit_") && !name.starts_with("deit")) r.refuse("architecture", "a plain vision transformer");
  const Reader args = r.at("model_args");
  c.pool = args.has("global_pool") ? timm_pool(args, "global_pool", "") : timm_pool(r, "global_pool", "token");
  c.heads = args.get<int64_t>("num_heads");
  const auto named = std::ranges::find(kNamed, std::string_view(name), &NamedEncoder::name);
  if (!c.heads && named != kNamed.end()) c.heads = named->heads;
  const std::string act = args.text("act_layer", is_quick(name) ? "quick_gelu" : "gelu");
  c.act = from_word<Activation>(act);
  if (!c.act) args.refuse("act_layer", "gelu or quick_gelu");
}

}  // namespace

HubConfig read_timm_config(const fs::path& path) {
  const Reader r = Reader::open(path);
  if (!r.has("architecture"))
    throw IoError(fmt::format("{}: expected the architecture of a timm model, found none", path.string()));
  HubConfig c;
  c.path = path;
  read_timm_model(r, c);
  const Reader preprocess = r.has("pretrained_cfg") ? r.at("pretrained_cfg") : r;
  read_moments(preprocess, c);
  c.crop_pct = preprocess.get<double>("crop_pct");
  return c;
}

namespace {

void read_timm_tower(const Reader& vision, const fs::path& path, HubConfig& c) {
  const std::string name = vision.text("timm_model_name", "");
  if (name.starts_with(kLocal)) {
    read_timm_model(Reader::open(path.parent_path() / "config.json"), c);
  } else {
    const auto named = std::ranges::find(kNamed, std::string_view(name), &NamedEncoder::name);
    if (named != kNamed.end()) c.heads = named->heads;
    c.act = is_quick(name) ? Activation::quick_gelu : Activation::gelu;
  }
  if (vision.text("timm_proj", "linear") != "linear") vision.refuse("timm_proj", "linear");
  c.pool = timm_pool(vision, "timm_pool", "avg");
}

/// Reads an image encoder of open_clip's own; refuses keys that ask for another computation than ours.
void read_native_tower(const Reader& vision, HubConfig& c) {
  const std::string pool = vision.text("pool_type", "tok");
  if (pool != "tok" && pool != "avg") vision.refuse("pool_type", "tok or avg");
  c.pool = pool == "avg" ? Pool::mean : Pool::cls;
  c.pooled_norm = vision.get<bool>("final_ln_after_pool").value_or(false);
  c.head_width = vision.get<int64_t>("head_width").value_or(64);
}

void refuse_others(const Reader& tower) {
  if (tower.has("act_kwargs")) tower.refuse("act_kwargs", "none");
  const Reader norm = tower.at("norm_kwargs");
  if (norm.get<double>("eps").value_or(1e-5) != 1e-5) norm.refuse("eps", "1e-5");
}

}  // namespace

HubConfig read_open_clip_config(const fs::path& path) {
  const Reader file = Reader::open(path);
  const Reader model = file.has("model_cfg") ? file.at("model_cfg") : file;
  if (!model.has("vision_cfg") || !model.has("text_cfg")) {
    throw IoError(
        fmt::format("{}: expected vision_cfg and text_cfg of open_clip, found neither or one", path.string()));
  }
  HubConfig c;
  c.path = path;
  const Reader vision = model.at("vision_cfg"), text = model.at("text_cfg");
  const Activation act = model.get<bool>("quick_gelu").value_or(false) ? Activation::quick_gelu : Activation::gelu;
  c.text_act = act;
  refuse_others(vision);
  refuse_others(text);
  if (vision.has("timm_model_name")) {
    read_timm_tower(vision, path, c);
  } else {
    c.act = act;
    read_native_tower(vision, c);
  }
  c.text_heads = text.get<int64_t>("heads");
  if (text.has("hf_model_name")) text.refuse("hf_model_name", "CLIP's own text encoder");
  if (text.text("pool_type", "argmax") != "argmax") text.refuse("pool_type", "argmax");
  if (text.get<bool>("no_causal_mask").value_or(false)) text.refuse("no_causal_mask", "false");
  c.vocabulary = text.at("tokenizer_kwargs").get<std::string>("bpe_path");
  // A path that was absolute is wrong once the folder has moved.
  if (c.vocabulary && !fs::exists(*c.vocabulary)) {
    const fs::path beside = path.parent_path() / fs::path(*c.vocabulary).filename();
    if (fs::exists(beside)) c.vocabulary = beside.string();
  }
  const Reader preprocess = file.at("preprocess_cfg");
  read_moments(preprocess, c);
  if (preprocess.text("resize_mode", "shortest") != "shortest") {
    c.notes.push_back(
        fmt::format("resize_mode {} is not followed: the shorter side is resized and the centre is cropped",
                    preprocess.text("resize_mode", "")));
  }
  return c;
}

std::string timm_config(const Config& config, int64_t classes) {
  const VisionConfig& v = config.model.vision;
  const bool classifier = classes > 0;
  const Pool pool = classifier ? config.finetune.pool : v.pool;
  const bool fc_norm = classifier && pool == Pool::mean ? true : v.norm == FinalNorm::pooled;
  const char* word = pool == Pool::mean ? "avg" : "token";
  Json pretrained = preprocess_json(config);
  pretrained["input_size"] = {3, v.image_size, v.image_size};
  pretrained["fixed_input_size"] = true;
  pretrained["crop_pct"] = config.augment.crop_pct;
  pretrained["num_classes"] = classes;
  pretrained["first_conv"] = "patch_embed.proj";
  pretrained["classifier"] = "head";
  Json args = {{"img_size", v.image_size}, {"patch_size", v.patch_size}, {"embed_dim", v.width},
               {"depth", v.layers},        {"num_heads", v.heads},       {"global_pool", word},
               {"fc_norm", fc_norm},       {"num_classes", classes}};
  if (v.act == Activation::quick_gelu && !v.pre_norm) args["act_layer"] = word_of(v.act);
  const Json json = {{"architecture", architecture(v)},
                     {"num_classes", classes},
                     {"num_features", v.width},
                     {"global_pool", word},
                     {"model_args", args},
                     {"pretrained_cfg", pretrained}};
  return json.dump(2) + "\n";
}

bool has_open_clip_encoder(const ModelConfig& model) {
  return model.vision.pre_norm && model.vision.act == model.text.act;
}

OpenClipConfig open_clip_config(const Config& config, const fs::path& folder, const std::string& vocabulary) {
  const VisionConfig& v = config.model.vision;
  const TextConfig& t = config.model.text;
  const std::string place = fs::absolute(folder).lexically_normal().string();
  OpenClipConfig result;
  Json vision = {{"image_size", v.image_size}};
  if (has_open_clip_encoder(config.model)) {
    vision.update(
        {{"layers", v.layers}, {"width", v.width}, {"head_width", v.width / v.heads}, {"patch_size", v.patch_size}});
    if (v.pool == Pool::mean) vision["pool_type"] = "avg";
    if (v.norm == FinalNorm::pooled) vision["final_ln_after_pool"] = true;
  } else {
    std::string name(timm_name(v));
    if (name.empty()) {
      name = std::string(kLocal) + place;
      result.timm = timm_config(config, 0);
      result.notes.push_back(
          fmt::format("timm has no name for this encoder: open_clip finds it at {}, the timm_model_name in "
                      "open_clip_config.json; change that entry when the folder moves",
                      place));
    }
    vision.update({{"timm_model_name", name},
                   {"timm_model_pretrained", false},
                   {"timm_pool", v.pool == Pool::mean ? "avg" : "token"},
                   {"timm_proj", "linear"}});
  }
  Json text = {{"context_length", t.context_length},
               {"vocab_size", t.vocab_size},
               {"width", t.width},
               {"heads", t.heads},
               {"layers", t.layers}};
  if (!vocabulary.empty()) {
    text["tokenizer_kwargs"] = {{"bpe_path", place + "/" + vocabulary}};
    result.notes.push_back(
        fmt::format("open_clip finds the vocabulary at {}/{}, the bpe_path in open_clip_config.json; when the folder "
                    "moves, change that entry, or give get_tokenizer the new bpe_path",
                    place, vocabulary));
  }
  Json model = {{"embed_dim", config.model.embed_dim}, {"vision_cfg", vision}, {"text_cfg", text}};
  if (t.act == Activation::quick_gelu) model["quick_gelu"] = true;
  Json preprocess = preprocess_json(config);
  preprocess["size"] = v.image_size;
  preprocess["resize_mode"] = "shortest";
  if (config.augment.crop_pct != 1.0) {
    result.notes.push_back(fmt::format("open_clip has no crop_pct: it keeps the whole shorter side instead of {} of it",
                                       config.augment.crop_pct));
  }
  result.text = Json{{"model_cfg", model}, {"preprocess_cfg", preprocess}}.dump(2) + "\n";
  return result;
}

}  // namespace tessera::rils
