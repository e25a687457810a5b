// The whole method against the f64 oracle: losses and every parameter's gradient, in each precision, divided into
// micro-batches and not, with and without checkpointing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "engine/ops/copy.h"
#include "nn/io/safetensors.h"
#include "rils/config/toml.h"
#include "rils/inspect/gradients.h"
#include "rils/method/step.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

using test::golden_path;
using test::relative_error;

constexpr const char* kCases[] = {"basic",       "with_gradient", "two_ranks",      "three_ranks_with_gradient",
                                  "none_pass",   "clip",          "equal_captions", "clip_with_gradient",
                                  "equal_noise", "mae",           "mae_clip",       "simclr",
                                  "slip"};

struct Golden {
  explicit Golden(const std::string& name)
      : config(load_config(golden_path("rils/case_" + name + ".toml"))),
        file(golden_path("rils/case_" + name + ".safetensors")) {}

  [[nodiscard]] Model model(DType dtype) const {
    Model m(config.model, 0, dtype, test::golden_device());
    for (const nn::Entry& entry : m.store().entries()) copy_into(file.load("param." + entry.name), entry.value());
    m.store().mark_written();
    return m;
  }
  [[nodiscard]] int64_t samples() const {
    return file.tensors().at(file.contains("images") ? "images" : "view1").shape[0];
  }
  [[nodiscard]] std::vector<MicroBatch> batches(int64_t parts) const {
    const int64_t rows = samples() / parts;
    const auto part = [&](const char* name, int64_t i) {
      return file.contains(name) ? clone(file.load(name).slice(0, i * rows, rows)) : Tensor();
    };
    std::vector<MicroBatch> result;
    for (int64_t i = 0; i < parts; ++i) {
      const auto up = [&](const char* name) { return part(name, i).to(test::golden_device()); };
      result.push_back({up("images"), part("tokens", i), part("noise", i), up("view1"), up("view2")});
    }
    return result;
  }
  [[nodiscard]] double scalar(const char* name) const { return file.load(name).item(); }
  /// 0 for a term that the objective does not have.
  [[nodiscard]] double term(const char* name) const { return file.contains(name) ? scalar(name) : 0.0; }

  Config config;
  nn::SafetensorsFile file;
};

struct Bounds {
  double loss, gradient;
};

/// Whether only a batch norm reads a bias, which takes constants out: its gradient is 0 but for rounding.
bool is_taken_out(const Golden& golden, const std::string& name) {
  return name == "image_mlp.layer1.bias" || name == "image_mlp.layer2.bias" ||
         (name == "visual.norm.bias" && golden.config.model.objective == ObjectiveName::simclr);
}

/// A gradient's error, of its largest element; where that is 0 by is_taken_out, of its layer's weight's.
double gradient_error(const Golden& golden, const std::string& name, const Tensor& found) {
  const Tensor expected = golden.file.load("grad." + name);
  if (!is_taken_out(golden, name)) return relative_error(found, expected);
  EXPECT_EQ(test::absolute_error(expected, Tensor::zeros(expected.shape())), 0.0);
  const Tensor weight = golden.file.load("grad." + name.substr(0, name.rfind('.')) + ".weight");
  return test::absolute_error(found, expected) / test::absolute_error(weight, Tensor::zeros(weight.shape()));
}

/// The head's running buffers after one step from their initial values; evaluating moves nothing.
void compare_kept_moments(const Golden& golden, const Model& model, double bound) {
  int compared = 0;
  for (const nn::Buffer& buffer : model.store().buffers()) {
    if (buffer.kind != nn::Buffer::Kind::running) continue;
    if (buffer.name.ends_with("num_batches_tracked")) {
      EXPECT_EQ(buffer.tensor.item(), 2.0) << "one batch of each view";
    } else {
      EXPECT_LE(test::absolute_error(buffer.tensor, golden.file.load("kept." + buffer.name)), bound) << buffer.name;
    }
    ++compared;
  }
  EXPECT_EQ(compared, model.image_mlp() == nullptr ? 0 : 6);
}

void compare_losses(const Golden& golden, const StepResult& result, double bound) {
  EXPECT_NEAR(result.loss, golden.scalar("loss"), bound);
  EXPECT_NEAR(result.clip_loss, golden.term("clip_loss"), bound);
  EXPECT_NEAR(result.recon_loss, golden.term("recon_loss"), bound);
  EXPECT_NEAR(result.mae_loss, golden.term("mae_loss"), bound);
  EXPECT_NEAR(result.ssl_loss, golden.term("ssl_loss"), bound);
  EXPECT_NEAR(100.0 * result.clip_accuracy, golden.term("clip_acc"), 1e-9);
  EXPECT_NEAR(100.0 * result.ssl_accuracy, golden.term("ssl_acc"), 1e-9);
}

/// Runs one case and compares losses (absolute) and gradients (of each tensor's largest element).
void compare(const Golden& golden, nn::Precision precision, int64_t parts, bool checkpointing, Bounds bounds) {
  Model model = golden.model(precision.param);
  const auto batches = golden.batches(parts);
  StepOptions options;
  options.pass = {precision, checkpointing};
  const StepResult result = compute_gradients(model, golden.config.loss, batches, options);
  compare_losses(golden, result, bounds.loss);
  size_t compared = 0;
  for (const nn::Entry& entry : model.store().entries()) {
    EXPECT_LE(gradient_error(golden, entry.name, entry.grad()), bounds.gradient) << entry.name;
    ++compared;
  }
  size_t expected = 0;
  for (const auto& [name, info] : golden.file.tensors()) expected += name.starts_with("grad.") ? 1 : 0;
  EXPECT_EQ(compared, expected);
  compare_losses(golden, compute_losses(model, golden.config.loss, batches, options), bounds.loss);
  compare_kept_moments(golden, model, bounds.loss);
}

class Gradients : public testing::TestWithParam<const char*> {};

TEST_P(Gradients, F64) { compare(Golden(GetParam()), nn::kFp64, 1, false, {1e-9, 2e-7}); }
TEST_P(Gradients, F32) { compare(Golden(GetParam()), nn::kFp32, 1, false, {2e-6, 1e-5}); }
TEST_P(Gradients, F32Checkpointed) { compare(Golden(GetParam()), nn::kFp32, 1, true, {2e-6, 1e-5}); }
TEST_P(Gradients, F32InThreeParts) { compare(Golden(GetParam()), nn::kFp32, 3, false, {2e-6, 1e-5}); }

TEST_P(Gradients, F64InPartsWithCheckpoints) {
  const Golden golden(GetParam());
  if (golden.samples() % 2 == 0) compare(golden, nn::kFp64, 2, true, {1e-9, 2e-7});
  compare(golden, nn::kFp64, 3, true, {1e-9, 2e-7});
}

/// Rounding an operand to bf16 errs by 2⁻⁹ relative. A gradient passes through about six rounded products a block, on
/// the way forward and back; errors add like a random walk over L blocks, √(12 L) · 2⁻⁹ ≈ 2 % for these sizes, and a
/// tensor whose largest element is small against what cancelled in it may see a few times that: 10 %.
TEST_P(Gradients, AmpBf16WithinItsBound) {
  const Golden golden(GetParam());
  Model model = golden.model(DType::f32);
  const auto batches = golden.batches(1);
  StepOptions options;
  options.pass = {nn::kAmpBf16, false};
  const StepResult result = compute_gradients(model, golden.config.loss, batches, options);
  EXPECT_NEAR(result.loss, golden.scalar("loss"), 0.01 * golden.scalar("loss"));
  double difference = 0;
  double magnitude = 0;
  for (const nn::Entry& entry : model.store().entries()) {
    const Tensor expected = cast(golden.file.load("grad." + entry.name), DType::f64);
    const Tensor found = cast(entry.grad().to(Device::cpu()), DType::f64);
    EXPECT_LE(gradient_error(golden, entry.name, found), 0.1) << entry.name;
    for (size_t i = 0; i < expected.data<double>().size(); ++i) {
      const double e = expected.data<double>()[i];
      const double f = found.data<double>()[i];
      difference += (f - e) * (f - e);
      magnitude += e * e;
    }
  }
  EXPECT_LE(std::sqrt(difference / magnitude), 0.04);
}

INSTANTIATE_TEST_SUITE_P(Cases, Gradients, testing::ValuesIn(kCases),
                         [](const testing::TestParamInfo<const char*>& p) { return std::string(p.param); });

/// inspect gradients on files that hold the parameters and the batch alone.
TEST_P(Gradients, ThroughFiles) {
  const Golden golden(GetParam());
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / (std::to_string(::getpid()) + "-gradients-" + GetParam());
  std::filesystem::create_directories(folder);
  const GradientFiles files{folder / "weights", folder / "batch", folder / "out"};
  std::vector<nn::NamedTensor> parameters, batch;
  for (const auto& [name, info] : golden.file.tensors()) {
    if (name.starts_with("param.")) parameters.push_back({name.substr(6), golden.file.load(name)});
    for (const char* part : {"images", "tokens", "noise", "view1", "view2"}) {
      if (name == part) batch.push_back({name, golden.file.load(name)});
    }
  }
  nn::write_safetensors(files.checkpoint, parameters, {});
  nn::write_safetensors(files.batch, batch, {});
  (void)write_gradients(golden.config.model, golden.config.loss, files, nn::kFp32, test::golden_device());
  const nn::SafetensorsFile out(files.out);
  size_t compared = 0;
  for (const auto& [name, info] : golden.file.tensors()) {
    if (name == "loss" || name.ends_with("_loss") || name.ends_with("_acc")) {
      // Values in % are stored in f32.
      EXPECT_NEAR(out.load(name).item(), golden.scalar(name.c_str()), name.ends_with("_acc") ? 1e-5 : 2e-6) << name;
    } else if (name.starts_with("grad.")) {
      EXPECT_LE(gradient_error(golden, name.substr(5), out.load(name)), 1e-5) << name;
      ++compared;
    }
  }
  EXPECT_EQ(compared, parameters.size());
  EXPECT_TRUE(out.contains("loss"));
  std::filesystem::remove_all(folder);
}

TEST(Objectives, WeightZeroGivesTheGradientsOfClip) {
  const Golden golden("basic");
  Config plain = golden.config;
  plain.model.objective = ObjectiveName::clip;
  LossConfig loss = golden.config.loss;
  loss.reconstruction_weight = 0;
  Model rils = golden.model(DType::f32);
  Model clip(plain.model, 0);
  for (const nn::Entry& entry : clip.store().entries())
    copy_into(golden.file.load("param." + entry.name), entry.value());
  StepOptions options;
  const auto batches = golden.batches(1);
  const StepResult a = compute_gradients(rils, loss, batches, options);
  const StepResult b = compute_gradients(clip, loss, batches, options);
  EXPECT_EQ(a.clip_loss, b.clip_loss);
  EXPECT_EQ(a.recon_loss, 0.0);
  for (const nn::Entry& entry : clip.store().entries()) {
    EXPECT_EQ(test::absolute_error(rils.store().find(entry.name)->grad(), entry.grad()), 0.0) << entry.name;
  }
}

TEST(Objectives, InitialValuesAreSharedByName) {
  Config config = Golden("basic").config;
  Model rils(config.model, 5);
  config.model.objective = ObjectiveName::clip;
  Model clip(config.model, 5);
  for (const nn::Entry& entry : clip.store().entries()) {
    EXPECT_EQ(test::absolute_error(rils.store().find(entry.name)->value(), entry.value()), 0.0) << entry.name;
  }
}

}  // namespace
}  // namespace tessera::rils
