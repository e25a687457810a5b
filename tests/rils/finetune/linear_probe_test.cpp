// MAE's linear probe against PyTorch: losses, head and kept moments of four steps of LARS.
#include "rils/finetune/linear_probe.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops/loss.h"
#include "engine/ops/copy.h"
#include "rils/config/schema.h"
#include "rils/data/transform.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

const VisionConfig kVision{.image_size = 12, .patch_size = 4, .width = 16, .layers = 2, .heads = 2};
constexpr int64_t kClasses = 5;

nn::SafetensorsFile golden() { return nn::SafetensorsFile(test::golden_path("finetune/probe.safetensors")); }

void set_initial(LinearProbe& model) {
  const nn::SafetensorsFile file = golden();
  for (const nn::Entry& e : model.store().entries()) {
    if (e.name.starts_with("visual.")) copy_into(file.load("param." + e.name), e.value());
  }
  copy_into(file.load("weight"), model.store().find("head.weight")->value());
  copy_into(file.load("bias"), model.store().find("head.bias")->value());
  model.store().mark_written();
}

LabelledBatch batch(int64_t step) {
  const nn::SafetensorsFile file = golden();
  const Tensor images = file.load("images"), labels = file.load("labels");
  const auto own =
      labels.data<int32_t>().subspan(static_cast<size_t>(step * labels.size(1)), static_cast<size_t>(labels.size(1)));
  return {clone(images.slice(0, step, 1)).reshape({images.size(1), 3, 12, 12}), {own.begin(), own.end()}, 1.0};
}

TEST(LinearProbe, FourStepsOfLarsAgreeWithPyTorch) {
  const nn::SafetensorsFile file = golden();
  LinearProbe model(kVision, Pool::mean, kClasses, 1);
  set_initial(model);
  nn::Lars lars(model.store(), {.weight_decay = 0.01});
  const PassOptions pass;
  for (int64_t step = 0; step < 4; ++step) {
    const LabelledBatch b = batch(step);
    const auto rows = static_cast<int64_t>(b.labels.size());
    model.store().clear_grads();
    autograd::Tape tape;
    Var loss;
    {
      const autograd::TapeScope scope(tape);
      loss = autograd::cross_entropy(model.training_logits(b.images, pass), Tensor::from(b.labels, {rows}),
                                     1.0 / static_cast<double>(rows))
                 .loss;
    }
    EXPECT_LE(tape.nodes(), 3u) << "nothing of the encoder is recorded";
    EXPECT_NEAR(loss.value.item(), file.load("losses").data<double>()[static_cast<size_t>(step)], 2e-6) << step;
    tape.backward(loss);
    lars.step(file.load("rates").data<double>()[static_cast<size_t>(step)]);
  }
  const auto expect = [&](const char* name, const char* expected) {
    EXPECT_LE(test::relative_error(model.store().find(name)->value(), file.load(expected)), 1e-5) << name;
  };
  expect("head.weight", "final.weight");
  expect("head.bias", "final.bias");
  expect("probe_norm.running_mean", "final.mean");
  expect("probe_norm.running_var", "final.variance");
  for (const nn::Entry& e : model.store().entries()) {
    if (e.name.starts_with("visual.")) {
      EXPECT_EQ(test::absolute_error(e.value(), file.load("param." + e.name)), 0.0) << e.name << " is frozen";
    }
  }
  EXPECT_LE(test::relative_error(model.logits(batch(0).images, pass).value, file.load("final.logits")), 1e-5);
}

TEST(LinearProbe, TheTrainerIsTheRecipe) {
  Config c = probing_defaults();
  c.model.vision = kVision;
  c.optim.lr = 0.5;
  c.optim.epochs = 20;
  LinearProbeTrainer trainer(c, kClasses, 1);
  set_initial(trainer.model());
  EXPECT_EQ(trainer.trained_parameters(), 16 * kClasses + kClasses);
  EXPECT_EQ(trainer.plan().lr(0), 0.0);
  EXPECT_DOUBLE_EQ(trainer.plan().lr(5), 0.25) << "ten epochs of warm-up";
  EXPECT_NEAR(trainer.plan().lr(15), 0.25, 1e-12) << "half of the cosine to 0";
  const Tensor before = clone(trainer.model().store().find("head.weight")->value());
  EXPECT_NEAR(trainer.step(std::vector{batch(0)}).loss, golden().load("losses").data<double>()[0], 2e-6);
  EXPECT_EQ(test::absolute_error(trainer.model().store().find("head.weight")->value(), before), 0.0) << "at rate 0";
  (void)trainer.step(std::vector{batch(1)});
  EXPECT_GT(test::absolute_error(trainer.model().store().find("head.weight")->value(), before), 0.0);
}

TEST(LinearProbe, TheClsTokenIsAnotherFeature) {
  LinearProbe mean(kVision, Pool::mean, kClasses, 1), cls(kVision, Pool::cls, kClasses, 1);
  set_initial(mean);
  set_initial(cls);
  EXPECT_GT(test::absolute_error(mean.logits(batch(0).images, {}).value, cls.logits(batch(0).images, {}).value), 1e-3);
}

TEST(ClippedCrop, IsOneDrawCutToTheImage) {
  CropTry draw{.area = 0.5, .log_ratio = 0.0, .top = 0.999, .left = 0.0};
  EXPECT_EQ(clipped_crop_box(100, 100, draw), (Box{29, 0, 71, 71}));
  draw.log_ratio = std::log(4.0 / 3.0);
  draw.area = 1.0;
  EXPECT_EQ(clipped_crop_box(100, 100, draw), (Box{13, 0, 87, 100})) << "too wide: cut to the width";
  EXPECT_EQ(clipped_crop_box(10, 300, draw), (Box{0, 0, 10, 63}));
}

}  // namespace
}  // namespace tessera::rils
