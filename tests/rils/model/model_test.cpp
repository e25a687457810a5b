#include "rils/model/model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "rils/method/contrastive.h"
#include "rils/method/gate.h"
#include "rils/model/cost.h"
#include "rils/model/positions.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

using test::golden_path;

ModelConfig small() {
  ModelConfig m;
  m.embed_dim = 12;
  m.vision = {16, 4, 16, 2, 2};
  m.decoder = {8, 1, 2};
  m.text = {10, 40, 12, 2, 2};
  return m;
}

Tensor random_images(int64_t count, int64_t size) {
  Tensor t = Tensor::empty({count, 3, size, size});
  nn::initialise(t, nn::normal(1.0), 3, "images");
  return t;
}

TEST(Cost, CountsTheParametersOfThePublishedSizes) {
  ModelConfig base;
  base.text.vocab_size = 49408;
  EXPECT_EQ(parameter_counts(base).encoder, 85'638'144);
  EXPECT_EQ(parameter_counts(base).decoder, 8'270'592);
  EXPECT_EQ(parameter_counts(base).text, 63'428'096);
  EXPECT_EQ(parameter_counts(base).total(), 157'730'049);
  ModelConfig large;
  large.embed_dim = 768;
  large.vision = {224, 16, 1024, 24, 16};
  large.decoder = {1024, 1, 16};
  large.text = {77, 49408, 768, 12, 12};
  EXPECT_EQ(parameter_counts(large).encoder, 303'075'328);
  EXPECT_EQ(parameter_counts(large).decoder, 14'697'472);
  EXPECT_EQ(parameter_counts(large).total(), 442'209'537);
}

TEST(Cost, AgreesWithTheModelItself) {
  for (const std::string_view objective : kWords<ObjectiveName>) {
    ModelConfig m = small();
    m.objective = *from_word<ObjectiveName>(objective);
    m.image_mlp = {6, 5};
    EXPECT_EQ(Model(m, 0).store().parameter_count(), parameter_counts(m).total()) << objective;
  }
}

TEST(Positions, AgreeWithTheGoldens) {
  const nn::SafetensorsFile file(golden_path("rils/tables.safetensors"));
  for (const auto& [width, grid] : {std::pair{20, 3}, {24, 4}, {4, 1}, {64, 14}}) {
    const Tensor expected = file.load("positions." + std::to_string(width) + "." + std::to_string(grid));
    EXPECT_LE(test::absolute_error(position_table({grid, grid}, width, DType::f32), expected), 6e-8) << width;
  }
  const Tensor table = position_table({14, 14}, 768, DType::f64);
  const auto at = [&](int64_t row, int64_t column, int64_t channel) {
    return table.data<double>()[static_cast<size_t>((1 + row * 14 + column) * 768 + channel)];
  };
  EXPECT_NEAR(at(1, 2, 0), 0.9092974, 5e-8);
  EXPECT_NEAR(at(1, 2, 192), -0.4161468, 5e-8);
  EXPECT_NEAR(at(1, 2, 384), 0.8414710, 5e-8);
  EXPECT_NEAR(at(13, 13, 576), 0.9074468, 5e-8);
  EXPECT_THROW((void)position_table({2, 2}, 6, DType::f32), ConfigError);
}

TEST(Masks, AgreeWithTheGoldens) {
  const nn::SafetensorsFile file(golden_path("rils/tables.safetensors"));
  for (const auto& [patches, percent] : {std::pair{100, 80}, {16, 75}, {196, 75}, {25, 50}, {50, 90}}) {
    const std::string name = "masking." + std::to_string(patches) + "." + std::to_string(percent);
    const Masks masks(file.load(name + ".noise"), percent / 100.0);
    const Tensor kept = file.load(name + ".kept");
    const Tensor removed = file.load(name + ".removed");
    ASSERT_EQ(masks.kept(), kept.size(1)) << name;
    for (int64_t b = 0; b < masks.samples(); ++b) {
      const auto row = kept.data<int32_t>().subspan(static_cast<size_t>(b * masks.kept()));
      for (size_t i = 0; i < masks.visible(b).size(); ++i) EXPECT_EQ(masks.visible(b)[i], row[i]) << name;
      for (const int32_t p : masks.masked(b)) {
        EXPECT_EQ(removed.data<int32_t>()[static_cast<size_t>(b * patches + p)], 1) << name;
      }
    }
  }
  EXPECT_EQ(kept_patches(100, 0.8), 19);
  EXPECT_EQ(kept_patches(50, 0.9), 4);
  EXPECT_EQ(kept_patches(196, 0.75), 49);
}

TEST(Contrastive, AgreesWithTheGoldenOnItsOwnRows) {
  // Queries that are their own keys: the loss of 24 pairs, by hand from the golden's keys.
  const nn::SafetensorsFile file(golden_path("rils/contrastive.safetensors"));
  const Tensor image = file.load("image_keys");
  const Tensor text = file.load("text_keys");
  const double scale = 7.0;
  const auto r = contrastive_loss(image, text, Tensor::full({}, scale), Gather::constant);
  const auto dot = [&](const Tensor& a, int64_t i, const Tensor& b, int64_t j) {
    double s = 0;
    for (int64_t e = 0; e < a.size(1); ++e) {
      s += static_cast<double>(a.data<float>()[static_cast<size_t>(i * a.size(1) + e)]) *
           static_cast<double>(b.data<float>()[static_cast<size_t>(j * a.size(1) + e)]);
    }
    return scale * s;
  };
  double expected = 0;
  for (int64_t i = 0; i < image.size(0); ++i) {
    double rows = 0;
    double columns = 0;
    for (int64_t j = 0; j < image.size(0); ++j) {
      rows += std::exp(dot(image, i, text, j));
      columns += std::exp(dot(text, i, image, j));
    }
    expected += 0.5 * (std::log(rows) + std::log(columns)) - dot(image, i, text, i);
  }
  EXPECT_NEAR(r.loss.value.item(), expected / static_cast<double>(image.size(0)), 1e-5);
}

TEST(Gate, DenominatorsBelongToTheirRank) {
  LossConfig loss;
  loss.simulated_ranks = 2;
  const std::vector<uint8_t> gate = {1, 0, 0, 1, 1, 1};
  const auto w = make_gate(gate, 3, loss, 1.0);
  EXPECT_EQ(w.images, (std::vector<int64_t>{0, 3, 4, 5}));
  EXPECT_NEAR(w.patch_weight[0], 0.5 / (2 * 3.000001), 1e-12);
  EXPECT_NEAR(w.patch_weight[1], 0.5 / (2 * 9.000001), 1e-12);
  loss.reconstruction_normalizer = Normalizer::all;
  EXPECT_NEAR(make_gate(gate, 3, loss, 1.0).patch_weight[0], 0.5 / (2 * 9.000001), 1e-12);
  EXPECT_TRUE(make_gate(gate, 3, loss, 0.0).closed());
  loss.simulated_ranks = 4;
  EXPECT_THROW((void)make_gate(gate, 3, loss, 1.0), ConfigError);
}

TEST(Model, EmbeddingsDoNotDependOnTheBatch) {
  Model model(small(), 1);
  const Tensor images = random_images(7, 16);
  std::vector<int32_t> ids(70, 0);
  for (size_t b = 0; b < 7; ++b) {
    for (size_t t = 0; t <= b; ++t) ids[b * 10 + t] = static_cast<int32_t>(1 + (b * 5 + t) % 38);
    ids[b * 10 + b + 1] = 39;
  }
  const Tensor tokens = Tensor::from(ids, {7, 10});
  const PassOptions options;
  const Tensor all = model.encode_image(images, options).value;
  const Tensor texts = model.encode_text(tokens, options).value;
  for (int64_t b = 0; b < 7; ++b) {
    const Tensor one = model.encode_image(clone(images.slice(0, b, 1)), options).value;
    EXPECT_EQ(test::absolute_error(one, all.slice(0, b, 1)), 0.0) << b;
    const Tensor text = model.encode_text(clone(tokens.slice(0, b, 1)), options).value;
    EXPECT_EQ(test::absolute_error(text, texts.slice(0, b, 1)), 0.0) << b;
  }
}

TEST(Model, PaddingAfterTheEndOfTextDoesNotMatter) {
  Model model(small(), 1);
  const Tensor a = Tensor::from(std::vector<int32_t>{1, 5, 39, 0, 0, 0, 0, 0, 0, 0}, {1, 10});
  const Tensor b = Tensor::from(std::vector<int32_t>{1, 5, 39, 7, 3, 2, 9, 11, 4, 38}, {1, 10});
  EXPECT_EQ(test::absolute_error(model.encode_text(a, {}).value, model.encode_text(b, {}).value), 0.0);
}

TEST(Model, TheFirstOfEqualLargestIdsEndsTheText) {
  Model model(small(), 1);
  const Tensor once = Tensor::from(std::vector<int32_t>{1, 5, 39, 0, 0, 0, 0, 0, 0, 0}, {1, 10});
  const Tensor again = Tensor::from(std::vector<int32_t>{1, 5, 39, 7, 3, 39, 9, 0, 4, 39}, {1, 10});
  EXPECT_EQ(test::absolute_error(model.encode_text(once, {}).value, model.encode_text(again, {}).value), 0.0);
  // Of a text without EOT, its largest id ends it, and zeros are a text of one token.
  const Tensor largest = Tensor::from(std::vector<int32_t>{1, 9, 4, 9, 9, 0, 0, 0, 0, 0}, {1, 10});
  const Tensor cut = Tensor::from(std::vector<int32_t>{1, 9, 0, 0, 0, 0, 0, 0, 0, 0}, {1, 10});
  EXPECT_EQ(test::absolute_error(model.encode_text(largest, {}).value, model.encode_text(cut, {}).value), 0.0);
  EXPECT_NE(test::absolute_error(model.encode_text(once, {}).value, model.encode_text(cut, {}).value), 0.0);
}

TEST(Model, RefusesWhatDoesNotFit) {
  Model model(small(), 1);
  EXPECT_THROW((void)model.encode_image(random_images(1, 20), {}), ShapeError);
  EXPECT_THROW((void)model.encode_text(Tensor::zeros({1, 9}, DType::i32), {}), ShapeError);
  EXPECT_THROW((void)model.encode_text(Tensor::full({1, 10}, 40, DType::i32), {}), ShapeError);
}

TEST(Model, ClampsTheLogitScale) {
  Model model(small(), 1);
  Tensor scale = model.store().find("logit_scale")->value();
  scale.data<float>()[0] = 7.0f;
  model.clamp_logit_scale(100.0);
  EXPECT_FLOAT_EQ(scale.data<float>()[0], std::log(100.0f));
  scale.data<float>()[0] = -1.0f;
  model.clamp_logit_scale(100.0);
  EXPECT_EQ(scale.data<float>()[0], 0.0f);
}

}  // namespace
}  // namespace tessera::rils
