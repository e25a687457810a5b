// The classifier and its recipe against PyTorch and timm.
#include "rils/finetune/classifier.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "autograd/ops/loss.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "nn/optim/schedule.h"
#include "rils/config/toml.h"
#include "rils/finetune/loaded_classifier.h"
#include "rils/model/positions.h"
#include "tests/rils/data/test_files.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

using test::golden_path;

const VisionConfig kVision{.image_size = 12, .patch_size = 4, .width = 16, .layers = 3, .heads = 2};

Tensor as(const Tensor& t, DType dtype) { return t.dtype() == dtype ? t : cast(t, dtype); }

/// The golden's drop path factors [layers, 2, rows].
std::vector<nn::BranchScales> scales_of(const nn::SafetensorsFile& golden, DType dtype) {
  const Tensor all = as(golden.load("scales"), dtype);
  std::vector<nn::BranchScales> scales;
  for (int64_t i = 0; i < all.size(0); ++i) {
    const auto branch = [&](int64_t b) { return clone(all.slice(0, i, 1).slice(1, b, 1)).reshape({all.size(2)}); };
    scales.push_back({branch(0), branch(1)});
  }
  return scales;
}

void expect_golden(Pool pool, nn::Precision precision, bool checkpointing, double tolerance) {
  const nn::SafetensorsFile golden(golden_path(fmt::format("finetune/classifier_{}.safetensors", word_of(pool))));
  Classifier model(kVision, pool, 5, 1, precision.param);
  for (const nn::Entry& e : model.store().entries()) copy_into(golden.load("param." + e.name), e.value());
  model.store().mark_written();
  const auto scales = scales_of(golden, precision.param);
  PassOptions pass;
  pass.precision = precision;
  pass.checkpointing = checkpointing;
  pass.drop_path = scales;
  autograd::Tape tape;
  Var logits, loss;
  {
    const autograd::TapeScope scope(tape);
    logits = model.logits(golden.load("images"), pass);
    loss = autograd::cross_entropy(logits, as(golden.load("targets"), precision.param), 0.25).loss;
  }
  EXPECT_LE(test::relative_error(logits.value, golden.load("logits")), tolerance);
  EXPECT_NEAR(loss.value.item(), golden.load("loss").item(), tolerance);
  model.store().clear_grads();
  tape.backward(loss);
  model.store().complete_grads();
  int64_t compared = 0;
  for (const nn::Entry& e : model.store().entries()) {
    EXPECT_LE(test::relative_error(e.grad(), golden.load("grad." + e.name)), tolerance) << e.name;
    ++compared;
  }
  int64_t expected = 0;
  for (const auto& [name, info] : golden.tensors()) expected += name.starts_with("param.") ? 1 : 0;
  EXPECT_EQ(compared, expected);
}

TEST(ClassifierGolden, LogitsLossAndEveryGradientAgreeWithPyTorch) {
  for (const Pool pool : {Pool::mean, Pool::cls}) {
    expect_golden(pool, nn::kFp64, false, 2e-7);  // the golden's gradients are rounded inputs carried in f64
    expect_golden(pool, nn::kFp32, false, 2e-5);
    expect_golden(pool, nn::kFp32, true, 2e-5);
  }
}

TEST(LayerDecay, ScalesAndDecaysAsTimmDoes) {
  const nn::SafetensorsFile golden(golden_path("finetune/rates.safetensors"));
  const nn::GroupRule rule = layer_decay(2, 0.65, 0.05);
  int64_t compared = 0;
  for (const auto& [name, info] : golden.tensors()) {
    if (!name.starts_with("scale.")) continue;
    nn::Entry entry;
    entry.name = name.substr(6);
    const bool flat = entry.name.ends_with("bias") || entry.name.find("norm") != std::string::npos;
    const bool token = entry.name.ends_with("cls_token") || entry.name.ends_with("pos_embed");
    entry.shape = flat ? Shape{4} : token ? Shape{1, 1, 4} : Shape{4, 4};
    const nn::Group group = rule(entry);
    EXPECT_DOUBLE_EQ(group.lr_scale, golden.load(name).item()) << entry.name;
    EXPECT_DOUBLE_EQ(group.weight_decay, golden.load("decay." + entry.name).item()) << entry.name;
    EXPECT_FALSE(group.frozen);
    ++compared;
  }
  EXPECT_GE(compared, 30);
}

TEST(LayerDecay, TwelveBlocksHaveFourteenRates) {
  const nn::GroupRule rule = layer_decay(12, 0.65, 0.05);
  const auto scale = [&](const char* name) {
    nn::Entry entry;
    entry.name = name;
    entry.shape = {4, 4};
    return rule(entry).lr_scale;
  };
  EXPECT_NEAR(scale("visual.patch_embed.proj.weight"), std::pow(0.65, 13), 1e-15);
  EXPECT_NEAR(scale("visual.blocks.9.mlp.fc1.weight"), std::pow(0.65, 3), 1e-15);
  EXPECT_NEAR(scale("visual.blocks.11.mlp.fc1.weight"), 0.65, 1e-15);
  EXPECT_EQ(scale("head.weight"), 1.0);
  EXPECT_EQ(scale("visual.norm.weight"), 1.0);
}

TEST(EpochSchedule, IsMaesArithmetic) {
  const nn::SafetensorsFile golden(golden_path("finetune/rates.safetensors"));
  const nn::EpochSchedule schedule{.base = 2e-3, .end = 1e-6, .warmup = 5, .total = 100};
  const Tensor epochs = golden.load("epochs"), rates = golden.load("rate");
  for (size_t i = 0; i < epochs.data<double>().size(); ++i) {
    EXPECT_NEAR(schedule(epochs.data<double>()[i]), rates.data<double>()[i], 1e-17) << epochs.data<double>()[i];
  }
}

TEST(Positions, AreResizedAsPyTorchDoes) {
  const nn::SafetensorsFile golden(golden_path("finetune/positions.safetensors"));
  for (const int64_t grid : {2, 3, 5, 7}) {
    const Tensor expected = golden.load("grid." + std::to_string(grid));
    EXPECT_LE(test::absolute_error(resize_positions(golden.load("table"), {grid, grid}), expected), 3e-7) << grid;
  }
  EXPECT_EQ(test::absolute_error(resize_positions(golden.load("table"), {4, 4}), golden.load("table")), 0.0);
  EXPECT_THROW((void)resize_positions(Tensor::zeros({1, 4, 6}), {2, 2}), ShapeError);
}

TEST(DropPath, RisesLinearlyAndBelongsToTheRow) {
  const int64_t rows = 20000, layers = 5;
  const auto all = drop_path_scales(0.4, layers, 3, 7, 0, rows);
  ASSERT_EQ(std::ssize(all), layers);
  EXPECT_FALSE(all[0].attention) << "the first block drops nothing";
  for (int64_t block = 1; block < layers; ++block) {
    const double rate = 0.4 * static_cast<double>(block) / 4;
    for (const Tensor& scale : {all[static_cast<size_t>(block)].attention, all[static_cast<size_t>(block)].mlp}) {
      double dropped = 0, sum = 0;
      for (const float f : scale.data<float>()) {
        EXPECT_TRUE(f == 0.0f || f == static_cast<float>(1 / (1 - rate)));
        dropped += f == 0.0f ? 1 : 0;
        sum += static_cast<double>(f);
      }
      EXPECT_NEAR(dropped / static_cast<double>(rows), rate, 4 * std::sqrt(0.25 / static_cast<double>(rows)));
      EXPECT_NEAR(sum / static_cast<double>(rows), 1.0, 0.03);
    }
    EXPECT_NE(test::absolute_error(all[static_cast<size_t>(block)].attention, all[static_cast<size_t>(block)].mlp), 0);
  }
  const auto part = drop_path_scales(0.4, layers, 3, 7, 50, 10);
  EXPECT_EQ(test::absolute_error(part[4].mlp, clone(all[4].mlp.slice(0, 50, 10))), 0.0);
  EXPECT_TRUE(drop_path_scales(0.0, layers, 3, 7, 0, 4).empty());
}

/// Weights of an encoder in a file, as pre-training leaves them.
std::string stored_encoder(const test::TemporaryFolder& folder, FrozenEncoder& encoder) {
  std::string path = (folder.path() / "weights.safetensors").string();
  std::vector<nn::NamedTensor> tensors;
  for (const nn::Entry& e : encoder.store().entries()) tensors.push_back({e.name, e.value()});
  for (const nn::Buffer& b : encoder.store().buffers()) tensors.push_back({b.name, b.tensor});
  tensors.push_back({"logit_scale", Tensor::zeros({})});
  nn::write_safetensors(path, tensors);
  return path;
}

TEST(LoadEncoder, TakesTheTowerAndBuildsSineCosinePositionsOfAnotherGrid) {
  const test::TemporaryFolder folder;
  FrozenEncoder encoder(kVision, Pool::mean, 9);
  const nn::SafetensorsFile file(stored_encoder(folder, encoder));
  VisionConfig larger = kVision;
  larger.image_size = 20;
  Classifier model(larger, Pool::mean, 3, 1);
  load_encoder(file, model.store());
  for (const nn::Entry& e : encoder.store().entries()) {
    if (e.name.starts_with("visual.norm")) continue;
    EXPECT_EQ(test::absolute_error(model.store().find(e.name)->value(), e.value()), 0.0) << e.name;
  }
  EXPECT_EQ(model.store().find("visual.norm.weight"), nullptr) << "the final norm is dropped";
  EXPECT_EQ(
      test::absolute_error(model.store().find("visual.pos_embed")->value(), position_table({5, 5}, 16, DType::f32)),
      0.0);
}

TEST(LoadEncoder, ResizesTrainedPositions) {
  const test::TemporaryFolder folder;
  FrozenEncoder encoder(kVision, Pool::mean, 9);
  const Tensor& table = encoder.store().buffers().front().tensor;
  table.data<float>()[40] += 0.5f;
  const nn::SafetensorsFile file(stored_encoder(folder, encoder));
  VisionConfig larger = kVision;
  larger.image_size = 20;
  Classifier model(larger, Pool::cls, 3, 1);
  load_encoder(file, model.store());
  EXPECT_EQ(test::absolute_error(model.store().find("visual.pos_embed")->value(), resize_positions(table, {5, 5})),
            0.0);
}

TEST(LoadEncoder, RefusesAnotherSizeInOneLine) {
  const test::TemporaryFolder folder;
  FrozenEncoder encoder(kVision, Pool::mean, 9);
  const nn::SafetensorsFile file(stored_encoder(folder, encoder));
  VisionConfig other = kVision;
  other.layers = 4;
  Classifier deeper(other, Pool::mean, 3, 1);
  try {
    load_encoder(file, deeper.store());
    FAIL() << "a block too many";
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("visual.blocks.3.norm1.weight: expected the shape [16], found none"),
              std::string::npos)
        << e.what();
  }
}

/// Initial values must not pass for trained positions.
TEST(LoadEncoder, RefusesAFileWithoutThePositionsThatTheModelTrains) {
  const test::TemporaryFolder folder;
  const FrozenEncoder encoder(kVision, Pool::mean, 9);
  std::vector<nn::NamedTensor> tensors;
  for (const nn::Entry& e : encoder.store().entries()) tensors.push_back({e.name, e.value()});
  const std::string path = (folder.path() / "weights.safetensors").string();
  nn::write_safetensors(path, tensors);
  const nn::SafetensorsFile file(path);
  FrozenEncoder fixed(kVision, Pool::mean, std::nullopt);
  load_encoder(file, fixed.store());  // its positions are a table that needs no file
  Classifier trained(kVision, Pool::mean, 3, 1);
  try {
    load_encoder(file, trained.store());
    FAIL() << "no positions";
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("visual.pos_embed: expected the shape [1,"), std::string::npos) << e.what();
  }
}

/// A head without elements could claim any number of classes.
TEST(LoadedClassifier, HasTheClassesOfAHeadOfItsWidth) {
  const test::TemporaryFolder folder;
  Config config;
  config.model.vision = kVision;
  config.finetune.data_path = "somewhere";
  const Classifier model(kVision, config.finetune.pool, 2, 1);
  const auto loaded = [&](const Shape& head) {
    std::vector<nn::NamedTensor> tensors;
    for (const nn::Entry& e : model.store().entries()) {
      tensors.push_back({e.name, e.name == "head.weight" ? Tensor::zeros(head) : clone(e.value())});
    }
    const auto path = folder.path() / "a.safetensors";
    nn::write_safetensors(path, tensors, {{"config", to_toml(config)}, {"classes", "cat\ndog\n"}});
    return load_classifier(nn::SafetensorsFile(path), "fp32").classes;
  };
  EXPECT_EQ(loaded({2, 16}), (std::vector<std::string>{"cat", "dog"}));
  for (const Shape& head : {Shape{int64_t{1} << 40, 0}, Shape{int64_t{1} << 40, 16, 0}, Shape{2, 15}, Shape{2}}) {
    EXPECT_THROW((void)loaded(head), IoError) << to_string(head);
  }
}

}  // namespace
}  // namespace tessera::rils
