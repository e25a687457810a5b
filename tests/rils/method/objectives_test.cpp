// What the objectives beside RILS are made of: parts of the model, targets, and the loss between views.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <set>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "rils/config/toml.h"
#include "rils/method/contrastive.h"
#include "rils/method/pixels.h"
#include "rils/method/simclr.h"
#include "rils/method/step.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

using test::golden_path;

ModelConfig tiny(ObjectiveName objective) {
  ModelConfig m;
  m.objective = objective;
  m.embed_dim = 6;
  m.vision = {8, 4, 8, 1, 2};
  m.decoder = {8, 1, 2};
  m.text = {6, 20, 8, 1, 2};
  m.image_mlp = {5, 4};
  return m;
}

/// "visual.decoder_*", "image_mlp.*" and so on that a model has.
std::set<std::string> parts_of(const Model& model) {
  std::set<std::string> parts;
  for (const nn::Entry& entry : model.store().entries()) {
    for (const char* part : {"visual.blocks", "visual.decoder", "visual.mask_token", "transformer", "token_embedding",
                             "image_projection", "text_projection", "logit_scale", "image_mlp"}) {
      if (entry.name.starts_with(part)) parts.insert(part);
    }
  }
  return parts;
}

TEST(Objectives, OwnOnlyWhatTheyUse) {
  const std::set<std::string> image{"visual.blocks"}, decoder{"visual.decoder", "visual.mask_token"},
      text{"transformer", "token_embedding", "image_projection", "text_projection", "logit_scale"}, head{"image_mlp"};
  const auto with = [&](std::initializer_list<const std::set<std::string>*> more) {
    std::set<std::string> all = image;
    for (const auto* parts : more) all.insert(parts->begin(), parts->end());
    return all;
  };
  const auto parts = [](ObjectiveName objective) { return parts_of(Model(tiny(objective), 0)); };
  EXPECT_EQ(parts(ObjectiveName::rils), with({&decoder, &text}));
  EXPECT_EQ(parts(ObjectiveName::clip), with({&text}));
  EXPECT_EQ(parts(ObjectiveName::slip), with({&text, &head}));
  EXPECT_EQ(parts(ObjectiveName::simclr), with({&head}));
  EXPECT_EQ(parts(ObjectiveName::mae), with({&decoder}));
  EXPECT_EQ(parts(ObjectiveName::mae_clip), with({&decoder, &text}));
}

TEST(Objectives, WithoutTextSayThatThereIsNone) {
  const Model model(tiny(ObjectiveName::mae), 0);
  const Tensor images = Tensor::zeros({1, 3, 8, 8});
  EXPECT_EQ(model.vision().features(images, {}).value.size(1), 8);
  EXPECT_THROW((void)model.encode_image(images, {}), ConfigError);
  EXPECT_THROW((void)model.encode_text(Tensor::zeros({1, 6}, DType::i32), {}), ConfigError);
  EXPECT_THROW((void)model.logit_scale(), ConfigError);
}

TEST(Pixels, TargetsAreThoseOfTheOracle) {
  for (const char* name : {"mae", "mae_clip"}) {
    const std::string path = std::string("rils/case_") + name;
    const Config config = load_config(golden_path(path + ".toml"));
    const nn::SafetensorsFile file(golden_path(path + ".safetensors"));
    const Masks masks(file.load("noise"), config.loss.mask_ratio);
    std::vector<int64_t> all;
    for (int64_t b = 0; b < masks.samples(); ++b) all.push_back(b);
    const Tensor images = file.load("images");
    const int64_t patch = config.model.vision.patch_size;
    const Tensor wide = pixel_targets(cast(images, DType::f64), patch, masks, all);
    EXPECT_LE(test::relative_error(wide, file.load("target")), 1e-12) << name;
    const Tensor narrow = pixel_targets(images, patch, masks, all);
    EXPECT_LE(test::relative_error(narrow, file.load("target")), 1e-6) << name;
  }
}

TEST(Pixels, MomentsUndoTheTarget) {
  const nn::SafetensorsFile file(golden_path("rils/case_mae.safetensors"));
  const Masks masks(file.load("noise"), 0.75);
  const int64_t only[] = {2};
  const Tensor images = file.load("images"), target = pixel_targets(images, 4, masks, only);
  const Tensor pixels = patch_pixels(images, 4);
  const size_t width = 48;
  for (size_t i = 0; i < masks.masked(2).size(); ++i) {
    const auto row = static_cast<size_t>(2 * masks.patches() + masks.masked(2)[i]);
    const auto own = pixels.data<float>().subspan(row * width, width);
    const PatchMoments m = patch_moments(own);
    for (size_t e = 0; e < width; ++e) {
      EXPECT_NEAR(m.mean + m.std * static_cast<double>(target.data<float>()[i * width + e]),
                  static_cast<double>(own[e]), 1e-5);
    }
  }
}

TEST(Pixels, OfAPatchAreRowByRowWithChannelsLast) {
  std::vector<float> values;  // channel · 100 + row · 10 + column
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 4; ++y) {
      for (int x = 0; x < 4; ++x) values.push_back(static_cast<float>(100 * c + 10 * y + x));
    }
  }
  const Tensor patches = patch_pixels(Tensor::from(values, {1, 3, 4, 4}), 2);
  // The second patch of the first row: pixels (0,2), (0,3), (1,2), (1,3).
  const auto second = patches.data<float>().subspan(12, 12);
  EXPECT_EQ(std::vector<float>(second.begin(), second.end()),
            (std::vector<float>{2, 102, 202, 3, 103, 203, 12, 112, 212, 13, 113, 213}));
}

/// A patch of one colour has no variance; its target is 0, not NaN.
TEST(Pixels, OfAFlatPatchHaveTargetZero) {
  const Tensor noise = Tensor::from(std::vector<float>{0.1F, 0.2F, 0.3F, 0.4F}, {1, 4});
  const int64_t only[] = {0};
  const Tensor target = pixel_targets(Tensor::full({1, 3, 8, 8}, 0.3), 4, Masks(noise, 0.75), only);
  ASSERT_EQ(target.size(0), 3);
  EXPECT_LE(test::absolute_error(target, Tensor::zeros(target.shape())), 1e-3);
}

TEST(SimclrLoss, LossOfEqualRowsIsThatOfChance) {
  const Tensor rows = Tensor::full({5, 3}, 2.0);
  const SimclrLoss r = simclr_loss(rows, rows, 0.1);
  EXPECT_NEAR(r.loss.value.item(), std::log(9.0), 1e-6) << "each of nine others is as near";
  EXPECT_NEAR(share_of(own_is_best(r.best)), 0.2, 1e-12) << "the first of equals";
}

TEST(SimclrLoss, LossOfFarRowsVanishes) {
  Tensor rows = Tensor::zeros({4, 4});
  for (size_t i = 0; i < 4; ++i) rows.data<float>()[i * 4 + i] = 3.0F;
  const SimclrLoss r = simclr_loss(rows, rows, 0.05);
  EXPECT_NEAR(r.loss.value.item(), std::log(1 + 6 * std::exp(-20.0)), 1e-6);
  EXPECT_EQ(share_of(own_is_best(r.best)), 1.0);
}

TEST(SimclrLoss, ABatchOfOneIsRefused) {
  Model model(tiny(ObjectiveName::simclr), 0);
  MicroBatch batch;
  batch.view1 = batch.view2 = Tensor::zeros({1, 3, 8, 8});
  EXPECT_THROW((void)compute_gradients(model, {}, std::span(&batch, 1), {}), ShapeError);
}

/// A weight of 0 is no work: the masked pass of mae+clip leaves no trace, and the rest is plain CLIP to the bit.
TEST(Pixels, AWeightOfZeroLeavesClip) {
  const nn::SafetensorsFile file(golden_path("rils/case_mae_clip.safetensors"));
  Config config = load_config(golden_path("rils/case_mae_clip.toml"));
  config.loss.mae_weight = 0;
  const MicroBatch batch{file.load("images"), file.load("tokens"), file.load("noise")};
  const auto gradients = [&](ObjectiveName objective) {
    config.model.objective = objective;
    auto model = std::make_unique<Model>(config.model, 0);
    for (const nn::Entry& e : model->store().entries()) copy_into(file.load("param." + e.name), e.value());
    EXPECT_EQ(compute_gradients(*model, config.loss, std::span(&batch, 1), {}).mae_loss, 0.0);
    return model;
  };
  const auto both = gradients(ObjectiveName::mae_clip), clip = gradients(ObjectiveName::clip);
  for (const nn::Entry& e : clip->store().entries()) {
    EXPECT_EQ(test::absolute_error(both->store().find(e.name)->grad(), e.grad()), 0.0) << e.name;
  }
}

}  // namespace
}  // namespace tessera::rils
