// Keys of foreign encoders also change parameter counts, gradients and the start of fine-tuning.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "engine/ops/copy.h"
#include "nn/io/checkpoint.h"
#include "rils/finetune/classifier.h"
#include "rils/model/cost.h"
#include "rils/model/model.h"
#include "rils/model/positions.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

/// CLIP's encoder, or an encoder with a norm after the mean. Both learn their positions.
ModelConfig model_of(bool clip) {
  ModelConfig m;
  m.objective = ObjectiveName::clip;
  m.embed_dim = 6;
  m.vision = {.image_size = 8, .patch_size = 4, .width = 8, .layers = 2, .heads = 2, .positions = Positions::learned};
  m.text = {.context_length = 5, .vocab_size = 20, .width = 8, .layers = 1, .heads = 2};
  m.vision.pool = clip ? Pool::cls : Pool::mean;
  m.vision.norm = clip ? FinalNorm::tokens : FinalNorm::pooled;
  m.vision.act = clip ? Activation::quick_gelu : Activation::gelu;
  m.vision.pre_norm = clip;
  m.text.act = clip ? Activation::quick_gelu : Activation::gelu;
  return m;
}

/// Fills a tensor with irregular values, the same in every run.
void scatter(const Tensor& t, double scale) {
  double next = 0.37;
  for (double& x : t.data<double>()) x += scale * std::sin(next += 1.7);
}

TEST(Towers, CountsAreThoseOfTheStore) {
  for (const bool clip : {true, false}) {
    const Model model(model_of(clip), 1);
    EXPECT_EQ(parameter_counts(model.config()).total(), model.store().parameter_count()) << clip;
  }
}

TEST(Towers, GradientsAreTheSlopes) {
  for (const bool clip : {true, false}) {
    Model model(model_of(clip), 1, DType::f64);
    PassOptions pass;
    pass.precision = nn::kFp64;
    const Tensor images = Tensor::zeros({2, 3, 8, 8}, DType::f64), weights = Tensor::zeros({2, 6}, DType::f64);
    scatter(images, 1);
    scatter(weights, 1);
    for (const nn::Entry& e : model.store().entries()) scatter(e.value(), 0.2);
    model.store().mark_written();
    const auto loss = [&] { return autograd::sum(autograd::mul(model.encode_image(images, pass), Var(weights))); };
    autograd::Tape tape;
    model.store().clear_grads();
    {
      const autograd::TapeScope scope(tape);
      tape.backward(loss());
    }
    int64_t compared = 0;
    for (const nn::Entry& e : model.store().entries()) {
      if (!e.name.starts_with("visual.")) continue;
      const auto values = e.value().data<double>();
      for (size_t i = 0; i < values.size(); i += 1 + values.size() / 3) {
        constexpr double kStep = 1e-5;
        const double at = values[i];
        const auto moved = [&](double to) {
          values[i] = to;
          model.store().mark_written();
          return loss().value.item();
        };
        const double slope = (moved(at + kStep) - moved(at - kStep)) / (2 * kStep);
        (void)moved(at);
        EXPECT_NEAR(e.grad().data<double>()[i], slope, 1e-7) << e.name << " " << i;
        ++compared;
      }
    }
    EXPECT_GT(compared, 80);
  }
}

TEST(Towers, FineTuningStartsFromTheNormAfterPoolingAndFromLearnedPositions) {
  const test::TemporaryFolder folder;
  const Model from(model_of(false), 4);
  fill(from.store().find("visual.fc_norm.weight")->value(), 1.5);
  const auto path = folder.path() / "from.safetensors";
  save_weights(path, from.store(), {});
  const nn::SafetensorsFile file(path);
  VisionConfig larger = from.config().vision;
  larger.image_size = 16;
  Classifier classifier(larger, Pool::mean, 3, 1);
  load_encoder(file, classifier.store());
  EXPECT_EQ(classifier.store().find("fc_norm.weight")->value().data<float>()[3], 1.5f);
  FrozenEncoder frozen(larger, Pool::mean, 1);
  load_encoder(file, frozen.store());
  const Tensor wanted = resize_positions(from.store().find("visual.pos_embed")->value(), {4, 4});
  for (const ParameterStore* store : {&classifier.store(), &frozen.store()}) {
    EXPECT_TRUE(std::ranges::equal(store->find("visual.pos_embed")->value().data<float>(), wanted.data<float>()));
  }
  EXPECT_FALSE(is_sine_cosine(wanted));
}

}  // namespace
}  // namespace tessera::rils
