// A small training run against PyTorch in f64, and what must hold of any run.
#include "rils/train/trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <vector>

#include "engine/core/error.h"
#include "engine/cpu/host.h"
#include "engine/ops/copy.h"
#include "engine/ops/kernels.h"
#include "rils/config/toml.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

using test::golden_path;

class TrainingGolden {
 public:
  explicit TrainingGolden(const std::string& name)
      : config(load_config(golden_path("rils/" + name + ".toml"))), file(golden_path("rils/" + name + ".safetensors")) {
    steps = file.tensors().at("loss").shape[0];
  }
  void set_initial(Model& model) const {
    for (const nn::Entry& entry : model.store().entries()) copy_into(file.load("param." + entry.name), entry.value());
    model.store().mark_written();
  }
  [[nodiscard]] std::vector<MicroBatch> batch(int64_t step, int64_t parts = 1, Device device = Device::cpu()) const {
    std::vector<MicroBatch> result;
    for (int64_t i = 0; i < parts; ++i) {
      const auto part = [&](const char* name) {
        const Tensor all = file.load(name).slice(0, step, 1);
        Shape rest(all.shape().extents().subspan(1));
        const Tensor one = clone(all).reshape(rest);
        return clone(one.slice(0, i * rest[0] / parts, rest[0] / parts));
      };
      result.push_back({part("images").to(device), part("tokens"), part("noise")});
    }
    return result;
  }
  [[nodiscard]] double value(const char* name, int64_t step) const {
    return file.load(name).data<double>()[static_cast<size_t>(step)];
  }

  Config config;
  nn::SafetensorsFile file;
  int64_t steps = 0;
};

void expect_golden_run(const std::string& name) {
  const TrainingGolden golden(name);
  const Device device = test::golden_device();
  Trainer trainer(golden.config, golden.steps, 0, device);
  golden.set_initial(trainer.model());
  for (int64_t step = 0; step < golden.steps; ++step) {
    const auto batch = golden.batch(step, 1, device);
    const StepFigures figures = trainer.step(batch);
    EXPECT_NEAR(figures.losses.loss, golden.value("loss", step), 1e-5) << step;
    EXPECT_NEAR(figures.losses.clip_loss, golden.value("clip_loss", step), 1e-5) << step;
    EXPECT_NEAR(figures.losses.recon_loss, golden.value("recon_loss", step), 1e-5) << step;
    EXPECT_NEAR(100.0 * figures.losses.clip_accuracy, golden.value("clip_acc", step), 1e-9) << step;
    EXPECT_NEAR(figures.grad_norm, golden.value("grad_norm", step), 2e-5 * golden.value("grad_norm", step)) << step;
    EXPECT_NEAR(figures.lr, golden.value("lr", step), 1e-15) << step;
  }
  for (const nn::Entry& entry : trainer.model().store().entries()) {
    const Tensor expected = golden.file.load("final." + entry.name);
    if (entry.name.ends_with("attn.in_proj_bias")) {
      // A key bias has no gradient in exact arithmetic; AdamW turns its rounding noise into steps.
      const int64_t w = entry.count() / 3;
      for (const int64_t begin : {int64_t{0}, 2 * w}) {
        EXPECT_LE(test::absolute_error(entry.value().slice(0, begin, w), expected.slice(0, begin, w)), 1e-5);
      }
    } else {
      EXPECT_LE(test::absolute_error(entry.value(), expected), 1e-5) << entry.name;
    }
  }
}

TEST(Training, TenStepsAgreeWithPyTorch) { expect_golden_run("training"); }
TEST(Training, TheLogitScaleIsClampedAsInPyTorch) { expect_golden_run("training_clamp"); }

/// The loss of each step, and the share of its images that pass the gate.
struct Course {
  std::vector<double> losses, passed;
};
Course rounds_of(const TrainingGolden& golden, const Config& config, int64_t steps) {
  Trainer trainer(config, steps);
  golden.set_initial(trainer.model());
  Course course;
  for (int64_t step = 0; step < steps; ++step) {
    const StepFigures figures = trainer.step(golden.batch(step % golden.steps));
    course.losses.push_back(figures.losses.loss);
    course.passed.push_back(figures.losses.clip_accuracy);
  }
  return course;
}

/// Sums of |losses − exact| over rounds of ten steps, and last over all. Rounds leave out the steps in `but`.
std::vector<double> distances(std::span<const double> losses, std::span<const double> exact,
                              const std::vector<bool>& but) {
  constexpr size_t kSteps = 10;
  const size_t rounds = exact.size() / kSteps;
  std::vector<double> sums(rounds + 1, 0.0);
  for (size_t step = 0; step < exact.size(); ++step) {
    const double distance = std::abs(losses[step] - exact[step]);
    if (!but[step]) sums[step / kSteps] += distance;
    sums[rounds] += distance;
  }
  return sums;
}

/// Ten rounds of ten batches. Twelve runs of PyTorch, from starts that differ by less than bf16 resolves, say how far
/// rounding alone takes the losses from those in f64. Rounding also decides now and then whether an image passes the
/// gate, which moves that step's loss by far more: such a step counts in the sum of all, and not in that of its round.
TEST(Training, AHundredStepsInBf16StayWithinPyTorchsSpread) {
  constexpr int64_t kRuns = 12, kSteps = 100;
  const nn::SafetensorsFile expected(golden_path("rils/training_bf16.safetensors"));
  const Tensor exact_losses = expected.load("loss"), autocast = expected.load("autocast");
  const std::span<const double> exact = exact_losses.data<double>();
  const TrainingGolden golden("training");
  std::vector<double> most(11, 0.0);
  for (int64_t run = 0; run < kRuns; ++run) {
    const auto theirs =
        distances(autocast.slice(0, run, 1).data<double>(), exact, std::vector<bool>(exact.size(), false));
    for (size_t i = 0; i < most.size(); ++i) most[i] = std::max(most[i], theirs[i]);
  }
  Config bf16 = golden.config;
  bf16.run.precision = "amp_bf16";
  const KernelTable& before = cpu_context().kernels();
  for (const KernelTable* table : cpu_kernel_tables()) {
    cpu_context().set_kernels(*table);
    const Course wide = rounds_of(golden, golden.config, kSteps), narrow = rounds_of(golden, bf16, kSteps);
    std::vector<bool> other_gate;
    for (size_t step = 0; step < exact.size(); ++step) {
      EXPECT_NEAR(wide.losses[step], exact[step], 1e-3) << table->name << ", f32, step " << step;
      other_gate.push_back(narrow.passed[step] != wide.passed[step]);
    }
    EXPECT_LE(std::ranges::count(other_gate, true), kSteps / 20) << table->name;
    const auto ours = distances(narrow.losses, exact, other_gate);
    for (size_t i = 0; i < most.size(); ++i) EXPECT_LE(ours[i], most[i]) << table->name << ", round " << i;
  }
  cpu_context().set_kernels(before);
}

TEST(Training, MicroBatchesGiveTheUndividedRun) {
  const TrainingGolden golden("training");
  Trainer whole(golden.config, golden.steps);
  Trainer parts(golden.config, golden.steps);
  golden.set_initial(whole.model());
  golden.set_initial(parts.model());
  for (int64_t step = 0; step < 3; ++step) {
    const double a = whole.step(golden.batch(step)).losses.loss;
    const double b = parts.step(golden.batch(step, 4)).losses.loss;
    EXPECT_NEAR(a, b, 2e-6) << step;
  }
}

TEST(Training, LearningRateZeroLeavesEveryBit) {
  TrainingGolden golden("training");
  golden.config.optim.lr = golden.config.optim.lr_start = golden.config.optim.lr_end = 0;
  Trainer trainer(golden.config, golden.steps);
  const Tensor before = clone(trainer.model().store().values());
  for (int64_t step = 0; step < 3; ++step) (void)trainer.step(golden.batch(step));
  EXPECT_EQ(test::absolute_error(trainer.model().store().values(), before), 0.0);
}

TEST(Training, ResumedRunsAreEqualToTheBit) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("trainer_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  TrainingGolden golden("training");
  golden.config.optim.ema = 0.9;
  const CheckpointFiles files{folder / "w", folder / "s", folder / "e"};
  Trainer whole(golden.config, golden.steps);
  Trainer first(golden.config, golden.steps);
  for (int64_t step = 0; step < 4; ++step) {
    (void)whole.step(golden.batch(step));
    (void)first.step(golden.batch(step));
  }
  first.save(files, {}, {{"epoch", "0"}});
  Trainer resumed(golden.config, golden.steps);
  EXPECT_EQ(resumed.load(files).at("epoch"), "0");
  EXPECT_EQ(resumed.steps(), 4);
  for (int64_t step = 4; step < golden.steps; ++step) {
    EXPECT_EQ(whole.step(golden.batch(step)).losses.loss, resumed.step(golden.batch(step)).losses.loss) << step;
  }
  EXPECT_EQ(test::absolute_error(whole.model().store().values(), resumed.model().store().values()), 0.0);
  whole.swap_ema();
  resumed.swap_ema();
  EXPECT_EQ(test::absolute_error(whole.model().store().values(), resumed.model().store().values()), 0.0);
  std::filesystem::remove_all(folder);
}

TEST(Training, ThreadsDoNotChangeABit) {
  const TrainingGolden golden("training");
  cpu::Host& host = cpu::host(cpu_context());
  const int kept = host.threads().threads();
  std::vector<Tensor> results;
  for (const int threads : {1, 2, 3}) {
    host.set_threads(threads);
    Trainer trainer(golden.config, golden.steps);
    for (int64_t step = 0; step < 3; ++step) (void)trainer.step(golden.batch(step));
    results.push_back(clone(trainer.model().store().values()));
  }
  host.set_threads(kept);
  EXPECT_EQ(test::absolute_error(results[1], results[0]), 0.0);
  EXPECT_EQ(test::absolute_error(results[2], results[0]), 0.0);
}

TEST(Training, AWarmStepAsksTheSystemForNoMemory) {
  TrainingGolden golden("training");
  golden.config.optim.lr = golden.config.optim.lr_start = golden.config.optim.lr_end = 0;  // the gate stays as it is
  Trainer trainer(golden.config, golden.steps);
  const auto batch = golden.batch(0);
  for (int i = 0; i < 3; ++i) (void)trainer.step(batch);
  const int64_t before = cpu_context().allocator().statistics().system_allocations;
  for (int i = 0; i < 3; ++i) (void)trainer.step(batch);
  EXPECT_EQ(cpu_context().allocator().statistics().system_allocations, before);
}

TEST(Training, ALossThatIsNotFiniteStopsBeforeAnyWeightChanges) {
  const TrainingGolden golden("training");
  Trainer trainer(golden.config, golden.steps);
  auto batch = golden.batch(0);
  batch[0].images.data<float>()[5] = std::nanf("");
  const Tensor before = clone(trainer.model().store().values());
  EXPECT_THROW((void)trainer.step(batch), Error);
  EXPECT_EQ(test::absolute_error(trainer.model().store().values(), before), 0.0);
}

TEST(MaskNoise, BelongsToTheRowWhateverTheSplit) {
  const Tensor all = mask_noise(3, 17, 0, 8, 5);
  const Tensor part = mask_noise(3, 17, 5, 3, 5);
  EXPECT_EQ(test::absolute_error(part, all.slice(0, 5, 3)), 0.0);
  EXPECT_NE(test::absolute_error(mask_noise(3, 18, 0, 8, 5), all), 0.0);
}

}  // namespace
}  // namespace tessera::rils
