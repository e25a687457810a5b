// Converts weights of timm, MAE and open_clip in both directions and compares outputs with those of the original
// programs (tests/golden/convert).
#include "rils/convert/convert.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "nn/io/checkpoint.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/convert/hub_config.h"
#include "rils/eval/loaded_model.h"
#include "tests/rils/convert/convert_case.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using test_convert::case_path;
using test_convert::Convert;
using test_convert::message_of;
using test_convert::said_of;
using test_convert::tensors_of;

const nn::SafetensorsFile& expected() {
  static const nn::SafetensorsFile file(case_path("expected.safetensors"));
  return file;
}

struct Case {
  std::string name;
  WeightsOptions options;
};
/// The golden weights, with options for what a bare file does not tell.
std::vector<Case> cases() {
  WeightsOptions heads;
  heads.heads = heads.decoder_heads = 2;
  return {{"timm_cls", {}},   {"timm_avg", {}},  {"mae.safetensors", heads},
          {"clip_quick", {}}, {"clip_gelu", {}}, {"clip_timm", {}}};
}

double error_of(const Tensor& found, const std::string& name) {
  return test::relative_error(found, expected().load(name));
}

/// Names of tensors that are in only one file or that differ in a bit.
std::vector<std::string> different(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    const bool same = other != b.end() && other->second.shape() == tensor.shape() &&
                      std::ranges::equal(other->second.data<float>(), tensor.data<float>());
    if (!same) names.push_back(name);
  }
  for (const auto& [name, tensor] : b) {
    if (!a.contains(name)) names.push_back(name);
  }
  return names;
}

std::string convert(const std::string& in, const fs::path& out, const std::string& to,
                    const WeightsOptions& weights = {}) {
  std::ostringstream said;
  convert_weights({in, out.string(), to, weights}, said);
  return said.str();
}

Config small_config(std::string_view objective) {
  Config c;
  c.model.objective = *from_word<ObjectiveName>(objective);
  c.model.embed_dim = 12;
  c.model.vision.image_size = 32;
  c.model.vision.patch_size = 8;
  c.model.vision.width = 16;
  c.model.vision.layers = 2;
  c.model.vision.heads = 2;
  c.model.decoder = {.width = 8, .layers = 2, .heads = 2};
  c.model.image_mlp = {.hidden = 16, .output = 4};
  c.model.text = {.context_length = 9, .vocab_size = 520, .width = 8, .layers = 1, .heads = 2};
  c.augment.image_interpolation = "bilinear";
  c.augment.image_mean = {0.1, 0.2, 0.3};
  return c;
}

/// The same model in f64, which reveals a wrong epsilon.
std::unique_ptr<Model> widened(const Model& model) {
  auto wide = std::make_unique<Model>(model.config(), 0, DType::f64);
  for (const nn::Entry& e : wide->store().entries()) copy_into(model.store().find(e.name)->value(), e.value());
  wide->store().mark_written();
  return wide;
}

void expect_golden(const Model& model, nn::Precision precision, const std::string& name, double tolerance) {
  const Tensor images = expected().load("images"), tokens = expected().load("tokens");
  PassOptions pass;
  pass.precision = precision;
  if (model.objective().contrastive) {
    EXPECT_LE(error_of(model.encode_image(images, pass).value, name + ".image"), tolerance) << name;
    EXPECT_LE(error_of(model.encode_text(tokens, pass).value, name + ".text"), tolerance) << name;
  } else {
    EXPECT_LE(error_of(model.vision().features(images, pass).value, name + ".features"), tolerance) << name;
  }
}

TEST(ConvertGolden, FeaturesAgreeWithTimmMaeAndOpenClip) {
  for (const Case& c : cases()) {
    const Weights w = read_weights(case_path(c.name), c.options);
    const std::string name = c.name.substr(0, c.name.find('.'));
    expect_golden(*w.model, nn::kFp32, name, 1e-5);
    expect_golden(*widened(*w.model), nn::kFp64, name, 2e-7);  // the goldens' own rounding
  }
}

TEST(ConvertGolden, TheDecoderPredictsWhatMaesDoes) {
  const Weights w = read_weights(case_path("mae.safetensors"), cases()[2].options);
  const Tensor images = expected().load("images"), all = expected().load("mae.predicted");
  const Masks masks(expected().load("noise"), 0.75);
  const std::vector<int64_t> samples = {0, 1, 2};
  const VisionTower& vision = w.model->vision();
  const Tensor found = w.model->predict_hidden(vision.patch_tokens(images, {}), masks, samples, {}).value;
  const Tensor wanted = Tensor::empty(found.shape());
  int64_t row = 0;
  for (const int64_t b : samples) {
    for (const int32_t p : masks.masked(b)) {
      copy_into(all.slice(0, b, 1).slice(1, p, 1).reshape({1, found.size(1)}), wanted.slice(0, row++, 1));
    }
  }
  EXPECT_EQ(row, 36);
  EXPECT_LE(test::relative_error(found, wanted), 1e-5);
}

TEST_F(Convert, ANormAfterPoolingIsReadFromTheConfiguration) {
  fs::copy(case_path("clip_gelu"), at("model"));
  auto json = nlohmann::json::parse(read_file(at("model") / "open_clip_config.json"));
  json["model_cfg"]["vision_cfg"]["final_ln_after_pool"] = true;
  write_file_atomically(at("model") / "open_clip_config.json", json.dump());
  const Weights w = read_weights(at("model"), {});
  EXPECT_EQ(w.config.model.vision.norm, FinalNorm::pooled);
  const Tensor found = w.model->encode_image(expected().load("images"), {}).value;
  EXPECT_LE(error_of(found, "clip_gelu.image_normed_after_pooling"), 1e-5);
  EXPECT_GT(error_of(found, "clip_gelu.image"), 1e-2);
}

TEST_F(Convert, WhatIsWrittenIsWhatWasRead) {
  const Tensor images = expected().load("images");
  for (const Case& c : cases()) {
    const fs::path file = at(c.name + ".safetensors");
    const std::string said = convert(case_path(c.name), file, "tessera", c.options);
    const LoadedModel loaded = [&] {
      const nn::SafetensorsFile stored(file);
      LoadedModel m;
      m.config = config_of(stored);
      m.model = std::make_unique<Model>(m.config.model, 3);
      load_weights(stored, m.model->store());
      return m;
    }();
    const Weights w = read_weights(case_path(c.name), c.options);
    EXPECT_EQ(loaded.config, w.config) << c.name;
    const Tensor a = loaded.model->vision().features(images, {}).value,
                 b = w.model->vision().features(images, {}).value;
    EXPECT_TRUE(std::ranges::equal(a.data<float>(), b.data<float>())) << c.name;
    const auto preprocessing = nlohmann::json::parse(nn::SafetensorsFile(file).metadata().at("preprocessing"));
    const bool timm = c.name.starts_with("timm");
    EXPECT_EQ(preprocessing.at("interpolation"), timm ? "bilinear" : "bicubic") << c.name;
    EXPECT_EQ(preprocessing.value("crop_pct", 1.0), timm ? 0.875 : 1.0) << c.name;
    EXPECT_EQ(preprocessing.value("resize_before_rgb", false), c.name.starts_with("clip")) << c.name;
    EXPECT_EQ(preprocessing.at("std")[1], timm ? 0.25 : c.name.starts_with("mae") ? 0.224 : 0.26130258) << c.name;
    EXPECT_EQ(said.find("left out: head.bias, head.weight") != std::string::npos, timm) << said;
  }
}

TEST_F(Convert, ThereAndBackLosesNothingButTheKeysBias) {
  const std::map<std::string, std::string> back = {{"timm_cls", "timm"},       {"timm_avg", "timm"},
                                                   {"mae.safetensors", "mae"}, {"clip_quick", "open_clip"},
                                                   {"clip_gelu", "open_clip"}, {"clip_timm", "open_clip"}};
  for (const Case& c : cases()) {
    const std::string& to = back.at(c.name);
    const fs::path ours = at(c.name + ".ours.safetensors"),
                   out = at(to == "mae" ? "again.safetensors" : c.name + "-again");
    (void)convert(case_path(c.name), ours, "tessera", c.options);
    (void)convert(ours, out, to);
    const auto weights = [&](const fs::path& path) {
      if (!fs::is_directory(path)) return path;
      return path / (to == "timm" ? "model.safetensors" : "open_clip_model.safetensors");
    };
    auto before = tensors_of(weights(case_path(c.name))), after = tensors_of(weights(out));
    int64_t fused = 0;
    for (auto& [name, tensor] : before) {
      const bool image = !name.starts_with("transformer.");
      if (!image || (!name.ends_with("qkv.bias") && !name.ends_with("in_proj_bias"))) continue;
      fill(tensor.slice(0, tensor.size(0) / 3, tensor.size(0) / 3), 0.0);
      ++fused;
    }
    EXPECT_EQ(fused, to == "mae" ? 3 : 2) << c.name;
    std::vector<std::string> heads;
    if (to == "timm") heads = {"head.bias", "head.weight"};
    EXPECT_EQ(different(before, after), heads) << c.name;

    const fs::path again = at(c.name + ".again.safetensors");
    (void)convert(out, again, "tessera", c.options);
    EXPECT_TRUE(different(tensors_of(ours), tensors_of(again)).empty()) << c.name;
    EXPECT_EQ(config_of(nn::SafetensorsFile(again)), config_of(nn::SafetensorsFile(ours))) << c.name;
  }
}

TEST_F(Convert, ModelsOfOursComeBackBitForBit) {
  const std::map<std::string, std::string> to = {{"rils", "open_clip"}, {"clip", "open_clip"}, {"slip", "open_clip"},
                                                 {"mae", "mae"},        {"mae+clip", "timm"},  {"simclr", "timm"}};
  for (const auto& [objective, target] : to) {
    const Config config = small_config(objective);
    const std::string file = ours(config);
    const fs::path out = at(objective + (target == "mae" ? "-out.safetensors" : "-out"));
    const std::string said = convert(file, out, target);
    EXPECT_EQ(said.find("left out: ") == std::string::npos, objective == "clip" || objective == "mae") << said;
    const fs::path again = at(objective + "-again.safetensors");
    WeightsOptions options;
    if (target == "mae") options.heads = options.decoder_heads = 2;
    (void)convert(out, again, "tessera", options);
    auto before = tensors_of(file);
    const auto after = tensors_of(again);
    const bool text = target == "open_clip";
    EXPECT_EQ(after.contains("logit_scale"), text) << objective;
    std::erase_if(before, [&](const auto& entry) { return !after.contains(entry.first); });
    EXPECT_TRUE(different(before, after).empty()) << objective;
    Config stored = config_of(nn::SafetensorsFile(again));
    EXPECT_EQ(word_of(stored.model.objective), text ? "clip" : target == "mae" ? "mae" : "encoder");
    EXPECT_EQ(stored.model.vision, config.model.vision) << objective;
    if (target != "mae") {
      AugmentConfig expected = config.augment;
      expected.resize_before_rgb = text;  // the order of open_clip, which these weights now belong to
      EXPECT_EQ(stored.augment, expected) << objective;
    }
    if (text) {
      EXPECT_EQ(stored.model.text, config.model.text);
      EXPECT_EQ(stored.model.embed_dim, config.model.embed_dim);
    }
  }
}

TEST_F(Convert, AClassifierBecomesTimmsWithItsHead) {
  for (const std::string pool : {"mean", "cls"}) {
    Config config = small_config("rils");
    config.finetune.pool = *from_word<Pool>(pool);
    Classifier model(config.model.vision, config.finetune.pool, 5, 3);
    for (const nn::Entry& e : model.store().entries()) {
      // Initial biases are all zero and initial norms all one; distinct values show whether each is in its place.
      float next = 0.3f;
      for (float& x : e.value().data<float>()) x += 0.1f * std::sin(next += 0.7f);
    }
    model.store().mark_written();
    const fs::path file = at(pool + ".safetensors");
    save_weights(file, model.store(), {{"config", to_toml(config)}});
    (void)convert(file, at(pool), "timm");
    const auto json = nlohmann::json::parse(read_file(at(pool) / "config.json"));
    EXPECT_EQ(json.at("num_classes"), 5);
    EXPECT_EQ(json.at("model_args").at("global_pool"), pool == "mean" ? "avg" : "token");
    EXPECT_EQ(json.at("model_args").at("fc_norm"), pool == "mean");

    const Weights w = read_weights(at(pool), {});
    EXPECT_EQ(word_of(w.config.model.vision.pool), pool);
    EXPECT_EQ(w.config.model.vision.norm, pool == "mean" ? FinalNorm::pooled : FinalNorm::tokens);
    const auto theirs = tensors_of(at(pool) / "model.safetensors");
    const Tensor images = expected().load("images");
    const Tensor logits = model.logits(images, {}).value;
    autograd::LinearInputs bias;
    bias.bias = Var(theirs.at("head.bias"));
    const Tensor found =
        autograd::linear(w.model->vision().features(images, {}), Var(theirs.at("head.weight")), bias).value;
    EXPECT_LE(test::relative_error(found, logits), 1e-6) << pool;
    EXPECT_EQ(message_of<ConfigError>([&] { (void)convert(file, at("x"), "open_clip"); }),
              "--to: expected timm for a model without a text encoder, found open_clip");
  }
}

TEST(ConvertConfig, PublishedSizesAreNamedAndOthersFoundByTheirFolder) {
  Config published;
  published.model.text.vocab_size = 49408;
  const OpenClipConfig named = open_clip_config(published, "/models/out", "");
  const auto model = nlohmann::json::parse(named.text).at("model_cfg");
  EXPECT_EQ(model.at("vision_cfg"), nlohmann::json({{"image_size", 224},
                                                    {"timm_model_name", "vit_base_patch16_224"},
                                                    {"timm_model_pretrained", false},
                                                    {"timm_pool", "avg"},
                                                    {"timm_proj", "linear"}}));
  EXPECT_EQ(
      model.at("text_cfg"),
      nlohmann::json({{"context_length", 77}, {"vocab_size", 49408}, {"width", 512}, {"heads", 8}, {"layers", 12}}));
  EXPECT_EQ(model.at("quick_gelu"), true);
  EXPECT_TRUE(named.timm.empty());
  const OpenClipConfig other = open_clip_config(small_config("rils"), "/models/out", "v.txt.gz");
  const auto small = nlohmann::json::parse(other.text).at("model_cfg");
  EXPECT_EQ(small.at("vision_cfg").at("timm_model_name"), "local-dir:/models/out");
  EXPECT_EQ(small.at("text_cfg").at("tokenizer_kwargs").at("bpe_path"), "/models/out/v.txt.gz");
  EXPECT_EQ(nlohmann::json::parse(other.timm).at("model_args").at("embed_dim"), 16);
}

TEST_F(Convert, SlipsModelsAreRead) {
  // Golden weights of open_clip with timm's encoder, under SLIP's names.
  const auto slip = [&](bool text) {
    return changed("clip_timm/open_clip_model.safetensors", [&](auto& all) {
      std::map<std::string, Tensor> renamed;
      for (const auto& [name, tensor] : all) {
        const bool image = name.starts_with("visual.trunk.");
        if (name == "visual.head.proj.weight") {
          if (text) renamed["image_projection"] = contiguous(tensor.transpose(0, 1));
        } else if (image || text) {
          renamed[image ? "visual." + name.substr(13) : name] = tensor;
        }
      }
      renamed["image_mlp.layer1.weight"] = Tensor::zeros({2, 2});
      all = std::move(renamed);
    });
  };
  WeightsOptions options;
  options.heads = options.text_heads = 2;
  options.pool = word_of(read_weights(case_path("clip_timm"), {}).config.model.vision.pool);
  const Weights clip = read_weights(slip(true), options);
  EXPECT_EQ(clip.family, "SLIP");
  EXPECT_EQ(clip.config.model.text.act, Activation::quick_gelu);
  EXPECT_EQ(clip.config.augment.image_mean[0], 0.485);
  const Tensor found = clip.model->encode_image(expected().load("images"), {}).value;
  EXPECT_LE(error_of(found, "clip_timm.image"), 1e-5);
  const Weights encoder = read_weights(slip(false), options);
  EXPECT_EQ(encoder.family, "SLIP's image encoder");
  EXPECT_EQ(encoder.config.model.objective, ObjectiveName::encoder);
}

TEST_F(Convert, ErrorsNameTheTensorAndTheKey) {
  const std::string model = "timm_cls/model.safetensors", place = at("changed.safetensors").string();
  WeightsOptions heads;
  heads.heads = 2;
  EXPECT_EQ(said_of(changed(model, [](auto& t) { t.erase("blocks.1.mlp.fc1.bias"); }), heads),
            place + ": blocks.1.mlp.fc1.bias: expected the shape [96], found none");
  EXPECT_EQ(said_of(changed(model, [](auto& t) { t["blocks.0.extra.gamma"] = Tensor::zeros({24}); }), heads),
            place + ": blocks.0.extra.gamma: our model has no place for this tensor");
  EXPECT_EQ(said_of(changed(model, [](auto& t) { t["blocks.0.attn.qkv.bias"] = Tensor::zeros({48}); }), heads),
            place + ": blocks.0.attn.qkv.bias: expected the shape [72], found [48]");
  EXPECT_EQ(said_of(changed(model, [](auto& t) { t.erase("cls_token"); }), heads),
            place + ": cls_token: expected a tensor of rank 3, found none");
  EXPECT_EQ(
      said_of(changed(model, [](auto& t) { std::erase_if(t, [](auto& e) { return e.first != "norm.bias"; }); })),
      place + ": expected the tensor names of a vision transformer of timm, MAE, SLIP or open_clip, found norm.bias");
  EXPECT_EQ(said_of(changed("mae.safetensors", [](auto& t) { fill(t["decoder_pos_embed"], 0.5); }), heads),
            place + ": decoder_pos_embed: expected the sine-cosine table, found another");
  EXPECT_EQ(said_of(changed(model,
                            [](auto& t) {
                              t["pos_embed"] = Tensor::zeros({1, 16, 24});
                            }),
                    heads),
            place + ": pos_embed: positions: expected [1, 1 + grid², width], found [1,16,24]");
  const std::string empty = said_of(changed(model,
                                            [](auto& t) {
                                              t["patch_embed.proj.weight"] = Tensor::zeros({24, 3, 8, 0});
                                            }),
                                    heads);
  EXPECT_NE(empty.find("expected an integer in [1, 65536], found 0"), std::string::npos) << empty;
  // A width that takes no data.
  const std::string wide = said_of(changed(model,
                                           [](auto& t) {
                                             t["patch_embed.proj.weight"] = Tensor::zeros({65536, 0, 8, 8});
                                           }),
                                   {});
  EXPECT_NE(wide.find("parameters of its shapes, found"), std::string::npos) << wide;
  heads.heads = 5;
  EXPECT_EQ(said_of(changed(model, [](auto&) {}), heads),
            "model.vision.heads: expected a divisor of model.vision.width = 24, found 5");
  EXPECT_EQ(said_of(case_path("timm_cls"), heads),
            "--heads: expected 2 as in " + case_path("timm_cls/config.json") + ", found 5");
  WeightsOptions wrong;
  wrong.act = "relu";
  EXPECT_EQ(said_of(case_path("timm_cls"), wrong), "--act: expected gelu or quick_gelu, found \"relu\"");
  const std::string whole = read_file(case_path(model));
  const fs::path torn = folder_.write("torn.safetensors", whole.substr(0, whole.size() - 7));
  EXPECT_TRUE(said_of(torn).starts_with(torn.string() + ": not a valid safetensors file: ")) << said_of(torn);
  const fs::path there = folder_.write("there.safetensors", "");
  EXPECT_EQ(message_of<ConfigError>([&] { (void)convert(case_path("timm_cls"), there, "tessera"); }),
            "--convert: " + there.string() + " exists already");
  EXPECT_EQ(read_file(there), "");
}

TEST_F(Convert, WhatOurTowersCannotDoIsRefusedByItsKey) {
  fs::copy(case_path("clip_gelu"), at("model"));
  const fs::path path = at("model") / "open_clip_config.json";
  const auto original = nlohmann::json::parse(read_file(path));
  const auto said = [&](const std::string& patch) {
    auto json = original;
    json.merge_patch(nlohmann::json::parse(patch));
    write_file_atomically(path, json.dump());
    return said_of(at("model").string());
  };
  const std::string place = path.string() + ": model_cfg.";
  EXPECT_EQ(said(R"({"model_cfg": {"text_cfg": {"no_causal_mask": true}}})"),
            place + "text_cfg.no_causal_mask: expected false, found true");
  EXPECT_EQ(said(R"({"model_cfg": {"vision_cfg": {"norm_kwargs": {"eps": 1e-6}}}})"),
            place + "vision_cfg.norm_kwargs.eps: expected 1e-5, found 1e-06");
  EXPECT_EQ(said(R"({"model_cfg": {"vision_cfg": {"pool_type": "none"}}})"),
            place + "vision_cfg.pool_type: expected tok or avg, found \"none\"");
  EXPECT_EQ(said(R"({"model_cfg": {"embed_dim": 20, "text_cfg": {"heads": "two"}}})"),
            place + "text_cfg.heads: expected a whole number");
  write_file_atomically(at("model") / "config.json", R"({"num_classes": 0})");
  EXPECT_EQ(said(R"({"model_cfg": {"vision_cfg": {"timm_model_name": "local-dir:model"}}})"),
            (at("model") / "config.json").string() + ": architecture: expected a plain vision transformer, found none");
  EXPECT_EQ(said(R"({"model_cfg": {"embed_dim": 20, "text_cfg": {"heads": 1e300}}})"),
            place + "text_cfg.heads: expected a whole number");
  write_file_atomically(path, std::string(100'000, '[') + std::string(100'000, ']'));
  EXPECT_EQ(said_of(at("model").string()), path.string() + ": JSON that nests too deep or is too long");
  write_file_atomically(path, "{");
  EXPECT_EQ(said_of(at("model").string()), path.string() + ": not JSON");
}

TEST(ConvertConfig, AnEncoderAloneIsUsedAndNotTrained) {
  Config config = small_config("encoder");
  EXPECT_NO_THROW(check_config(config));
  EXPECT_EQ(message_of<ConfigError>([&] { check_trainable(config.model); }),
            "model.objective: expected one that can be trained, found encoder: an encoder to be used by finetune, "
            "evaluate and query");
  config.model.objective = ObjectiveName::rils;
  config.model.vision.pool = Pool::cls;
  EXPECT_EQ(message_of<ConfigError>([&] { check_config(config); }),
            "model.vision.pool: expected mean with objective rils, found cls");
  config.model.objective = ObjectiveName::mae;
  EXPECT_NO_THROW(check_config(config));
  config.model.vision.norm = FinalNorm::pooled;
  EXPECT_EQ(message_of<ConfigError>([&] { check_config(config); }),
            "model.vision.norm: expected tokens with objective mae, found pooled");
}

TEST_F(Convert, OtherProgramsSayWhatReadsSuchWeights) {
  const std::string path = case_path("timm_cls/model.safetensors");
  EXPECT_EQ(message_of<IoError>([&] { (void)config_of(nn::SafetensorsFile(path)); }),
            path +
                ": expected a checkpoint of Tessera, found no metadata \"config\"; inspect checkpoint --convert "
                "reads weights of timm, MAE and open_clip");
}

}  // namespace
}  // namespace tessera::rils
