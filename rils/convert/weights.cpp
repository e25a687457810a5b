#include "rils/convert/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "nn/io/checkpoint.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/convert/hub_config.h"
#include "rils/convert/names.h"
#include "rils/convert/unread.h"
#include "rils/eval/loaded_model.h"
#include "rils/finetune/loaded_classifier.h"
#include "rils/model/cost.h"
#include "rils/model/positions.h"
#include "rils/run/run_folder.h"
#include "rils/text/vocabulary.h"
#include "rils/train/stored_vocabulary.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTimmFile = "model.safetensors";
constexpr const char* kTimmConfig = "config.json";
constexpr std::array kOpenClipFiles = {"open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"};
constexpr const char* kOpenClipConfig = "open_clip_config.json";
constexpr int64_t kClipIds = 49408;

struct Preprocessing {
  std::string_view name;
  std::array<double, 3> mean, std;
};
constexpr std::array kPreprocessing = {
    Preprocessing{"imagenet", {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}},
    Preprocessing{"inception", {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}},
    Preprocessing{"clip", {0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}},
};

struct Files {
  fs::path weights, config;  // the latter may be empty
};

fs::path if_there(const fs::path& path) { return fs::is_regular_file(path) ? path : fs::path(); }

Files find_files(const fs::path& path) {
  if (!fs::is_directory(path)) {
    refuse_parts(path);
    refuse_pickle(path);
    const std::string name = path.filename().string();
    if (std::ranges::find(kOpenClipFiles, name) != kOpenClipFiles.end()) {
      return {path, if_there(path.parent_path() / kOpenClipConfig)};
    }
    return {path, name == kTimmFile ? if_there(path.parent_path() / kTimmConfig) : fs::path()};
  }
  for (const char* name : kOpenClipFiles) {
    if (fs::is_regular_file(path / name)) return {path / name, if_there(path / kOpenClipConfig)};
  }
  if (fs::is_regular_file(path / kTimmFile)) {
    const fs::path config = if_there(path / kOpenClipConfig);
    return {path / kTimmFile, config.empty() ? if_there(path / kTimmConfig) : config};
  }
  for (const auto& file : fs::directory_iterator(path)) refuse_parts(file.path());
  for (const auto& file : fs::directory_iterator(path)) refuse_pickle(file.path());
  throw IoError(
      fmt::format("{}: expected {} or {} in the folder, found neither", path.string(), kTimmFile, kOpenClipFiles[0]));
}

/// The value that an option names; empty where it was not given.
template <class E>
std::optional<E> choice_of(const char* option, const std::string& word) {
  if (word.empty()) return std::nullopt;
  if (const auto found = from_word<E>(word)) return found;
  throw ConfigError(fmt::format("{}: expected {}, found \"{}\"", option, fmt::join(kWords<E>, " or "), word));
}
std::optional<int64_t> given(int64_t number) { return number == 0 ? std::nullopt : std::optional(number); }

std::string text_of(int64_t number) { return std::to_string(number); }
template <Choosable E>
std::string text_of(E choice) {
  return std::string(word_of(choice));
}

/// Builds the model of foreign weights. Sizes come from the shapes; the rest from options, the JSON file or the
/// family's defaults.
class ForeignReader {
 public:
  ForeignReader(const nn::SafetensorsFile& file, HubConfig hub, Names names, const WeightsOptions& options)
      : file_(file), hub_(std::move(hub)), names_(names), options_(options) {}

  Weights read() {
    set_vision();
    if (names_ == Names::mae) set_decoder();
    if (text()) set_text();
    config_.model.objective = text()                 ? ObjectiveName::clip
                              : names_ == Names::mae ? ObjectiveName::mae
                                                     : ObjectiveName::encoder;
    set_preprocessing();
    check_values();
    check_claims();
    Weights w;
    w.model = std::make_unique<Model>(config_.model, std::nullopt);
    const std::vector<std::string> left = read_tensors(file_, names_, w.model->store());
    if (!left.empty()) note(fmt::format("left out: {}", fmt::join(left, ", ")));
    if (text()) set_vocabulary(w);
    w.family = family();
    w.config = std::move(config_);
    w.notes = std::move(hub_.notes);
    return w;
  }

 private:
  /// Whether there is a text encoder. Of SLIP's models, SimCLR has none.
  [[nodiscard]] bool text() const {
    if (names_ == Names::slip) return file_.contains("token_embedding.weight");
    return names_ == Names::open_clip || names_ == Names::open_clip_timm;
  }
  [[nodiscard]] std::optional<Activation> act() const { return choice_of<Activation>("--act", options_.act); }
  [[nodiscard]] std::string name(const std::string& ours) const { return link_of(ours, names_)->name; }
  [[nodiscard]] bool has(const std::string& ours) const {
    const auto link = link_of(ours, names_);
    return link && file_.contains(link->name);
  }
  void note(std::string line) { hub_.notes.push_back(std::move(line)); }

  /// Checks the bounds of every key, since shapes and JSON may hold anything.
  void check_values() const {
    Config read;
    merge_toml(read, to_toml(config_), file_.path().string());
    check_config(read);
  }

  /// Bounds the memory that the model takes. Tensors without elements may have any size, and numbers of blocks come
  /// from names; which tensor is absent or of another shape, read_tensors says.
  void check_claims() const {
    const int64_t claimed = parameter_counts(config_.model).total(), held = file_.elements();
    if (claimed / 2 <= held) return;
    throw IoError(
        fmt::format("{}: expected the {} parameters of its shapes, found {}", file_.path().string(), claimed, held));
  }

  /// The shape of their tensor; read_tensors compares it in full.
  [[nodiscard]] const Shape& shape(const std::string& ours, int rank) const {
    const auto found = file_.tensors().find(name(ours));
    if (found == file_.tensors().end() || found->second.shape.rank() != rank) {
      throw IoError(fmt::format("{}: {}: expected a tensor of rank {}, found {}", file_.path().string(), name(ours),
                                rank, found == file_.tensors().end() ? "none" : to_string(found->second.shape)));
    }
    return found->second.shape;
  }
  [[nodiscard]] int64_t count(const std::string& before, const std::string& after) const {
    int64_t blocks = 0;
    while (has(fmt::format("{}{}{}", before, blocks, after))) ++blocks;
    return blocks;
  }
  /// Their table of positions as [1, 1 + G², D].
  [[nodiscard]] Tensor table(const std::string& ours) const {
    const Shape& found = shape(ours, names_ == Names::open_clip ? 2 : 3);
    Tensor t = cast(file_.load(name(ours)), DType::f32).reshape({1, found[found.rank() - 2], found[found.rank() - 1]});
    try {
      (void)grid_of(t);
    } catch (const ShapeError& e) {
      throw IoError(fmt::format("{}: {}: {}", file_.path().string(), name(ours), e.what()));
    }
    return t;
  }

  /// The option, else the files' value, else the default. An option may not contradict the files.
  template <class T>
  T choose(const char* option, std::optional<T> said, std::optional<T> found, T customary) const {
    if (!said) return found.value_or(customary);
    if (found && *found != *said) {
      throw ConfigError(fmt::format("{}: expected {} as in {}, found {}", option, text_of(*found), hub_.path.string(),
                                    text_of(*said)));
    }
    return *said;
  }

  void set_vision() {
    VisionConfig& v = config_.model.vision;
    const Shape& patch = shape("visual.patch_embed.proj.weight", 4);
    v.width = patch[0];
    v.patch_size = patch[3];
    v.layers = count("visual.blocks.", ".attn.qkv.weight");
    const bool flat = names_ == Names::open_clip;
    (void)shape("visual.cls_token", flat ? 1 : 3);
    const Tensor positions = table("visual.pos_embed");
    v.image_size = grid_of(positions).rows * v.patch_size;
    v.positions = is_sine_cosine(positions) ? Positions::sine_cosine : Positions::learned;
    v.pre_norm = has("visual.norm_pre.weight");
    const bool pooled = hub_.pooled_norm.value_or(!flat && has("visual.fc_norm.weight"));
    v.norm = pooled ? FinalNorm::pooled : FinalNorm::tokens;
    // timm pools the mean when its norm follows pooling, and MAE's features are means; others use their CLS token.
    const Pool customary = pooled || names_ == Names::mae ? Pool::mean : Pool::cls;
    v.pool = choose("--pool", choice_of<Pool>("--pool", options_.pool), hub_.pool, customary);
    const std::optional<int64_t> by_width =
        hub_.head_width ? std::optional(v.width / std::max<int64_t>(*hub_.head_width, 1)) : std::nullopt;
    v.heads = choose<int64_t>("--heads", given(options_.heads), hub_.heads ? hub_.heads : by_width,
                              std::max<int64_t>(v.width / (v.width == 1280 ? 80 : 64), 1));
    // timm's encoders in open_clip and SLIP ignore quick_gelu, which then concerns the text encoder only.
    const bool own = names_ != Names::open_clip_timm && names_ != Names::slip;
    v.act = choose("--act", own ? act() : std::nullopt, hub_.act, Activation::gelu);
    if (hub_.path.empty()) {
      std::vector<std::string> assumed;
      if (options_.heads == 0) assumed.push_back(fmt::format("--heads {}", v.heads));
      if (options_.pool.empty()) assumed.push_back(fmt::format("--pool {}", word_of(v.pool)));
      if (options_.act.empty()) assumed.push_back(fmt::format("--act {}", word_of(v.act)));
      if (!assumed.empty()) note(fmt::format("no JSON configuration found, assumed: {}", fmt::join(assumed, " ")));
    }
  }

  void set_decoder() {
    DecoderConfig& d = config_.model.decoder;
    d.width = shape("visual.decoder_embed.weight", 2)[0];
    d.layers = count("visual.decoder_blocks.", ".mlp.fc1.weight");
    d.heads = options_.decoder_heads > 0 ? options_.decoder_heads : 16;
    if (!is_sine_cosine(table("visual.decoder_pos_embed"))) {
      throw IoError(fmt::format("{}: {}: expected the sine-cosine table, found another", file_.path().string(),
                                name("visual.decoder_pos_embed")));
    }
  }

  void set_text() {
    TextConfig& t = config_.model.text;
    t.context_length = shape("positional_embedding", 2)[0];
    t.vocab_size = shape("token_embedding.weight", 2)[0];
    t.width = shape("token_embedding.weight", 2)[1];
    t.layers = count("transformer.resblocks.", ".attn.in_proj_weight");
    t.heads = choose<int64_t>("--text-heads", given(options_.text_heads), hub_.text_heads,
                              std::max<int64_t>(t.width / 64, 1));
    t.act = choose("--act", act(), hub_.text_act, names_ == Names::slip ? Activation::quick_gelu : Activation::gelu);
    config_.model.embed_dim = shape("text_projection", 2)[1];
  }

  void set_preprocessing() {
    AugmentConfig& a = config_.augment;
    const bool clip = text() && names_ != Names::slip;  // SLIP normalises as ImageNet's models do
    const std::string wanted = !options_.preprocessing.empty() ? options_.preprocessing : clip ? "clip" : "imagenet";
    const auto usual = std::ranges::find(kPreprocessing, std::string_view(wanted), &Preprocessing::name);
    if (usual == kPreprocessing.end()) {
      throw ConfigError(fmt::format("--preprocessing: expected imagenet, inception or clip, found \"{}\"", wanted));
    }
    const bool said = !options_.preprocessing.empty();
    if (said && ((hub_.mean && *hub_.mean != usual->mean) || (hub_.std && *hub_.std != usual->std))) {
      throw ConfigError(
          fmt::format("--preprocessing: expected mean and std of {}, found {}", hub_.path.string(), wanted));
    }
    if (!said && !hub_.mean) note(fmt::format("no mean and std found, assumed: --preprocessing {}", wanted));
    a.image_mean = hub_.mean.value_or(usual->mean);
    a.image_std = hub_.std.value_or(usual->std);
    a.image_interpolation = hub_.interpolation.value_or("bicubic");
    a.crop_pct = hub_.crop_pct.value_or(1.0);
    a.resize_before_rgb = clip;  // as open_clip and OpenAI's programs do; the others convert files first
  }

  /// The vocabulary of the option, or of the JSON file, or CLIP's own for a vocabulary of CLIP's size.
  void set_vocabulary(Weights& w) {
    const int64_t ids = config_.model.text.vocab_size;
    const std::string& file = options_.vocabulary.empty() && hub_.vocabulary ? *hub_.vocabulary : options_.vocabulary;
    if (!file.empty() && (!options_.vocabulary.empty() || fs::exists(file))) {
      w.words = std::make_shared<const Vocabulary>(Vocabulary::load(file));
      if (w.words->size() != ids) {
        throw ConfigError(fmt::format("--vocabulary: expected {} ids, found {} in {}", ids, w.words->size(), file));
      }
      w.vocabulary = w.words->digest();
    } else if (ids == kClipIds) {
      w.vocabulary = kClipDigest;
      note(
          "the text encoder needs CLIP's vocabulary: make it with prepare vocabulary --clip, name it with "
          "--vocabulary");
    } else {
      note(fmt::format("the text encoder needs its vocabulary of {} ids: name it with --vocabulary", ids));
    }
  }

  [[nodiscard]] std::string family() const {
    if (names_ == Names::mae) return "MAE with its decoder";
    if (names_ == Names::timm) return "timm encoder";
    if (names_ == Names::slip) return text() ? "SLIP" : "SLIP's image encoder";
    return names_ == Names::open_clip ? "open_clip" : "open_clip with timm's image encoder";
  }

  const nn::SafetensorsFile& file_;
  HubConfig hub_;
  Names names_;
  const WeightsOptions& options_;
  Config config_;
};

Names family_of(const nn::SafetensorsFile& file) {
  refuse_known(file);
  const auto carries = [&](const char* ours, Names names) { return file.contains(link_of(ours, names)->name); };
  for (const Names names : {Names::open_clip, Names::open_clip_timm, Names::slip, Names::timm}) {
    if (!carries("visual.blocks.0.attn.qkv.weight", names)) continue;
    const bool mae = names == Names::timm && carries("visual.decoder_embed.weight", Names::mae);
    return mae ? Names::mae : names;
  }
  throw IoError(
      fmt::format("{}: expected the tensor names of a vision transformer of timm, MAE, SLIP or open_clip, found {}",
                  file.path().string(), file.tensors().empty() ? "no tensor" : file.tensors().begin()->first));
}

/// The vocabulary of a checkpoint of ours: the file of the option, else what the checkpoint holds or, of an earlier
/// version, the file that it names. Null when there is none.
std::shared_ptr<const Vocabulary> words_of(const nn::SafetensorsFile& file, const Weights& w,
                                           const std::string& given) {
  auto stored = given.empty() ? stored_vocabulary(file) : nullptr;
  const std::string& path = given.empty() ? w.config.data.vocabulary : given;
  if (stored || (given.empty() && !fs::is_regular_file(path))) return stored;
  auto found = std::make_shared<const Vocabulary>(Vocabulary::load(path));
  if (!w.vocabulary.empty() && found->digest() != w.vocabulary) {
    throw ConfigError(fmt::format("--vocabulary: expected the model's vocabulary {}, found {} in {}", w.vocabulary,
                                  found->digest(), path));
  }
  return found;
}

Weights read_ours(const nn::SafetensorsFile& file, const WeightsOptions& options) {
  Weights w;
  w.family = "ours";
  w.config = config_of(file);
  if (const auto digest = file.metadata().find(kDigestEntry); digest != file.metadata().end()) {
    w.vocabulary = digest->second;
  }
  if (file.contains("probe_norm.running_mean")) {
    w.config.model.objective = ObjectiveName::encoder;
    w.model = std::make_unique<Model>(w.config.model, std::nullopt);
    load_encoder(file, w.model->store());
    w.notes.emplace_back("left out: the probe's head with its batch norm");
  } else if (file.contains("head.weight")) {
    const VisionConfig& vision = w.config.model.vision;
    w.classifier =
        std::make_unique<Classifier>(vision, w.config.finetune.pool, classes_of(file, vision.width), std::nullopt);
    load_weights(file, w.classifier->store());
  } else {
    check_parameters(parameter_counts(w.config.model).total(), file);
    w.model = std::make_unique<Model>(w.config.model, std::nullopt);
    load_weights(file, w.model->store());
    if (w.model->objective().contrastive) w.words = words_of(file, w, options.vocabulary);
  }
  return w;
}

}  // namespace

Weights read_weights(const fs::path& path, const WeightsOptions& options) {
  (void)choice_of<Activation>("--act", options.act);
  (void)choice_of<Pool>("--pool", options.pool);
  const Files files = find_files(weights_file(path.string()));
  const nn::SafetensorsFile file(files.weights);
  if (file.metadata().contains("config")) return read_ours(file, options);
  const Names names = family_of(file);
  const bool clip = names == Names::open_clip || names == Names::open_clip_timm;
  HubConfig hub;
  if (!files.config.empty()) {
    if (clip != (files.config.filename() == kOpenClipConfig)) {
      throw IoError(fmt::format("{}: expected {} beside, found {}", files.weights.string(),
                                clip ? kOpenClipConfig : kTimmConfig, files.config.filename().string()));
    }
    hub = clip ? read_open_clip_config(files.config) : read_timm_config(files.config);
  }
  return ForeignReader(file, std::move(hub), names, options).read();
}

}  // namespace tessera::rils
