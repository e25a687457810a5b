// Every initial value of the published models: std of a normal, bound of a uniform distribution, or a constant.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <regex>
#include <span>
#include <string>
#include <vector>

#include "rils/model/model.h"

namespace tessera::rils {
namespace {

using Kind = nn::Init::Kind;

struct Rule {
  const char* names;  // a regular expression that the whole name matches
  Kind kind;
  double value;  // std, bound or constant
};

/// Names of ViT-B with a text tower of so many layers, as MAE (the vision side), CLIP (the text side and the
/// projections) and PyTorch's defaults (the biases that neither of them draws) have them. The first match counts.
std::vector<Rule> rules_of_vit_b(int64_t text_layers) {
  const double residual = 1 / std::sqrt(512.0 * 2 * static_cast<double>(text_layers));
  return {{R"(visual\.(cls|mask)_token)", Kind::normal, 0.02},
          {R"(visual\.patch_embed\.proj\.weight)", Kind::uniform, 0.0625},
          {R"(visual\.patch_embed\.proj\.bias)", Kind::uniform, 0.036084392},
          {R"(visual\.(decoder_)?blocks\.\d+\.attn\.qkv\.weight)", Kind::uniform, 0.044194174},
          {R"(visual\.(decoder_)?blocks\.\d+\.attn\.proj\.weight)", Kind::uniform, 0.0625},
          {R"(visual\.(decoder_)?blocks\.\d+\.mlp\.fc[12]\.weight)", Kind::uniform, 0.039528471},
          {R"(visual\.(decoder_)?blocks\.\d+\.attn\.[qv]_bias)", Kind::constant, 0},
          {R"(visual\.(decoder_)?blocks\.\d+\.(attn\.proj|mlp\.fc[12])\.bias)", Kind::constant, 0},
          {R"(visual\.(decoder_)?blocks\.\d+\.norm[12]\.weight)", Kind::constant, 1},
          {R"(visual\.(decoder_)?blocks\.\d+\.norm[12]\.bias)", Kind::constant, 0},
          {R"(visual\.(decoder_)?norm\.weight)", Kind::constant, 1},
          {R"(visual\.(decoder_)?norm\.bias)", Kind::constant, 0},
          {R"(visual\.decoder_(embed|pred)\.weight)", Kind::uniform, 0.0625},
          {R"(visual\.decoder_(embed|pred)\.bias)", Kind::constant, 0},
          {R"(token_embedding\.weight)", Kind::normal, 0.02},
          {R"(positional_embedding)", Kind::normal, 0.01},
          {R"(transformer\.resblocks\.\d+\.attn\.in_proj_weight)", Kind::normal, 0.044194174},
          {R"(transformer\.resblocks\.\d+\.(attn\.out_proj|mlp\.c_proj)\.weight)", Kind::normal, residual},
          {R"(transformer\.resblocks\.\d+\.mlp\.c_fc\.weight)", Kind::normal, 0.03125},
          {R"(transformer\.resblocks\.\d+\.attn\.(in_proj_bias|out_proj\.bias))", Kind::constant, 0},
          {R"(transformer\.resblocks\.\d+\.mlp\.c_fc\.bias)", Kind::uniform, 0.044194174},
          {R"(transformer\.resblocks\.\d+\.mlp\.c_proj\.bias)", Kind::uniform, 0.022097087},
          {R"(transformer\.resblocks\.\d+\.ln_[12]\.weight)", Kind::constant, 1},
          {R"(transformer\.resblocks\.\d+\.ln_[12]\.bias)", Kind::constant, 0},
          {R"(ln_final\.weight)", Kind::constant, 1},
          {R"(ln_final\.bias)", Kind::constant, 0},
          {R"(image_projection)", Kind::normal, 0.036084392},
          {R"(text_projection)", Kind::normal, 0.044194174},
          {R"(logit_scale)", Kind::constant, 2.659260037}};
}

/// Calls body(entry, rule) for each entry; each has a rule, and no rule is without an entry.
template <class Body>
void with_rules(const nn::ParameterStore& store, const std::vector<Rule>& rules, const Body& body) {
  std::vector<int> used(rules.size());
  std::vector<std::regex> patterns;
  for (const Rule& rule : rules) patterns.emplace_back(rule.names);
  for (const nn::Entry& entry : store.entries()) {
    size_t i = 0;
    while (i < rules.size() && !std::regex_match(entry.name, patterns[i])) ++i;
    ASSERT_LT(i, rules.size()) << entry.name << " has no expected value";
    ++used[i];
    body(entry, rules[i]);
  }
  for (size_t i = 0; i < rules.size(); ++i) EXPECT_GT(used[i], 0) << "no parameter is named " << rules[i].names;
}

void expect_descriptions(const nn::ParameterStore& store, const std::vector<Rule>& rules) {
  with_rules(store, rules, [](const nn::Entry& entry, const Rule& rule) {
    EXPECT_EQ(entry.init.kind, rule.kind) << entry.name;
    EXPECT_NEAR(entry.init.value, rule.value, 1e-8) << entry.name;
  });
}

struct Statistics {
  double mean = 0, std = 0, least = 0, largest = 0;

  explicit Statistics(std::span<const float> values) : least(values[0]), largest(values[0]) {
    double squares = 0;
    for (const float value : values) {
      const double x = value;
      mean += x;
      squares += x * x;
      least = std::min(least, x);
      largest = std::max(largest, x);
    }
    const auto n = static_cast<double>(values.size());
    mean /= n;
    std = std::sqrt(squares / n - mean * mean);
  }
};

/// Within five standard errors, which a right draw misses once in a million.
void expect_drawn(const nn::Entry& entry, const Rule& rule) {
  const Tensor tensor = entry.value();
  const std::span<const float> values = tensor.data<float>();
  if (rule.kind == Kind::constant) {
    for (const float x : values) ASSERT_EQ(x, static_cast<float>(rule.value)) << entry.name;
    return;
  }
  const Statistics s(values);
  const auto n = static_cast<double>(values.size());
  const bool normal = rule.kind == Kind::normal;
  const double std = normal ? rule.value : rule.value / std::sqrt(3.0);
  EXPECT_NEAR(s.mean, 0, 5 * std / std::sqrt(n)) << entry.name;
  EXPECT_NEAR(s.std / std, 1, 5 * (normal ? std::sqrt(0.5) : std::sqrt(0.2)) / std::sqrt(n)) << entry.name;
  // The ends: of n uniform values the last lies within 20 / n of the bound but for a chance of e⁻¹⁰.
  const double beyond = normal ? 7 * std : rule.value * (1 + 1e-7);
  const double before = normal ? 2.5 * std : rule.value * (1 - 20 / n);
  for (const double end : {-s.least, s.largest}) {
    EXPECT_LE(end, beyond) << entry.name;
    EXPECT_GE(end, before) << entry.name;
  }
}

TEST(InitialValues, OfVitBAreDescribedAsPublished) {
  ModelConfig config;
  config.text.vocab_size = 49408;
  nn::ParameterStore store;
  const VisionTower vision(store, config.vision, DType::f32);
  const Decoder decoder(store, config.vision, config.decoder, config.vision.width, DType::f32);
  const TextTower text(store, config.text);
  std::vector<Rule> rules = rules_of_vit_b(12);
  rules.resize(rules.size() - 3);  // the projections and the scale belong to the model
  expect_descriptions(store, rules);
  const auto* proj = store.find("transformer.resblocks.11.mlp.c_proj.weight");
  EXPECT_NEAR(proj->init.value, 0.009021098, 1e-8) << "std of width 512 and 12 layers";
}

TEST(InitialValues, AreDrawnFromTheirDistributions) {
  ModelConfig config;
  config.vision.layers = 1;
  config.text.layers = 2;
  config.text.vocab_size = 1000;
  const Model model(config, 7);
  expect_descriptions(model.store(), rules_of_vit_b(2));
  std::map<double, std::string> first;
  with_rules(model.store(), rules_of_vit_b(2), [&](const nn::Entry& entry, const Rule& rule) {
    expect_drawn(entry, rule);
    if (rule.kind == Kind::constant) return;
    const double unit = static_cast<double>(entry.value().data<float>()[0]) / rule.value;
    const auto [other, fresh] = first.try_emplace(std::round(unit * 1e6), entry.name);
    EXPECT_TRUE(fresh) << entry.name << " begins as " << other->second << " does";
  });
}

TEST(InitialValues, OfTheSimclrProjectionHeadArePyTorchs) {
  nn::ParameterStore store;
  const ImageMlp mlp(store, 768, {.hidden = 4096, .output = 256}, DType::f32);
  expect_descriptions(store, {{R"(image_mlp\.layer1\.(weight|bias))", Kind::uniform, 0.036084392},
                              {R"(image_mlp\.layer[23]\.(weight|bias))", Kind::uniform, 0.015625},
                              {R"(image_mlp\.bn[12]\.weight)", Kind::constant, 1},
                              {R"(image_mlp\.bn[12]\.bias)", Kind::constant, 0}});
}

TEST(InitialValues, OfTheDecoderOfPixelsAreXaviers) {
  nn::ParameterStore store;
  const Decoder decoder(store, {}, {.width = 512, .layers = 8, .heads = 16}, 768, DType::f32);
  expect_descriptions(store, {{R"(visual\.mask_token)", Kind::normal, 0.02},
                              {R"(visual\.decoder_(embed|pred)\.weight)", Kind::uniform, 0.068465320},
                              {R"(visual\.decoder_blocks\.\d\.attn\.qkv\.weight)", Kind::uniform, 0.054126588},
                              {R"(visual\.decoder_blocks\.\d\.attn\.proj\.weight)", Kind::uniform, 0.076546554},
                              {R"(visual\.decoder_blocks\.\d\.mlp\.fc[12]\.weight)", Kind::uniform, 0.048412292},
                              {R"(visual\.decoder_(blocks\.\d\.norm[12]|norm)\.weight)", Kind::constant, 1},
                              {R"(visual\.decoder_.*bias)", Kind::constant, 0}});
}

}  // namespace
}  // namespace tessera::rils
