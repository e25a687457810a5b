// What each option of fine-tuning does to a step: the optimisers against their formulas in f64, the random draws
// against themselves.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/finetune/finetune.h"
#include "rils/finetune/labelled_data.h"
#include "rils/finetune/linear_probe.h"
#include "rils/finetune/mixing.h"
#include "rils/finetune/trainer.h"
#include "tests/rils/data/test_files.h"
#include "tests/rils/train/reference_adamw.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

constexpr int64_t kClasses = 5, kSize = 8, kLayers = 3;

void set_vision(Config& c) {
  c.model.vision.image_size = kSize;
  c.model.vision.patch_size = 4;
  c.model.vision.width = 16;
  c.model.vision.layers = kLayers;
  c.model.vision.heads = 2;
}

/// A recipe without anything random, then the assignments.
Config recipe(const std::vector<std::string>& assignments = {}) {
  Config c = finetuning_defaults();
  set_vision(c);
  for (const char* plain : {"finetune.drop_path=0", "finetune.mixup=0", "finetune.cutmix=0", "finetune.smoothing=0",
                            "finetune.warmup_epochs=0", "finetune.layer_decay=1", "optim.lr=1e-2", "optim.epochs=4"}) {
    set_assignment(c, plain);
  }
  for (const std::string& assignment : assignments) set_assignment(c, assignment);
  return c;
}

LabelledBatch images(uint64_t seed, int64_t rows = 8) {
  const Philox random(seed, "images");
  LabelledBatch batch{Tensor::empty({rows, 3, kSize, kSize}), {}, 1.0};
  uint64_t i = 0;
  for (float& x : batch.images.data<float>()) x = static_cast<float>(random.normal(0, 0, i++));
  for (int64_t r = 0; r < rows; ++r) batch.labels.push_back(static_cast<int32_t>(r % kClasses));
  return batch;
}

/// The images as micro-batch `part` of a step.
LabelledBatch mixed(LabelledBatch batch, const Config& c, int64_t step, int64_t part = 0) {
  batch.lambda = mix_part(c.finetune, static_cast<uint64_t>(c.run.seed), step, part, batch.images);
  return batch;
}

/// A trainer whose head looks at the features, so that a loss depends on everything below.
void waken(nn::ParameterStore& store) {
  nn::initialise(store.find("head.weight")->value(), nn::normal(0.3), 1, "head");
  store.mark_written();
}

/// decay^(layers above): MAE's numbers of an entry's layer.
double layer_scale(const std::string& name, double decay) {
  int64_t layer = kLayers + 1;
  if (name.starts_with("visual.")) layer = 0;
  if (const std::string blocks = "visual.blocks."; name.starts_with(blocks)) {
    layer = std::stoll(name.substr(blocks.size())) + 1;
  }
  return std::pow(decay, static_cast<double>(kLayers + 1 - layer));
}

Tensor expect_reference(const Config& c) {
  ClassifierTrainer trainer(c, kClasses, 2);
  const nn::ParameterStore& store = trainer.model().store();
  waken(trainer.model().store());
  test::ReferenceAdamW reference;
  reference.beta1 = c.optim.beta1;
  reference.beta2 = c.optim.beta2;
  reference.eps = c.optim.eps;
  reference.clip = c.optim.grad_clip_norm;
  reference.rule = [&](const nn::Entry& e) {
    const bool exempt = e.shape.rank() < 2 || e.name == "visual.cls_token" || e.name == "visual.pos_embed";
    return test::EntryRule{layer_scale(e.name, c.finetune.layer_decay), exempt ? 0.0 : c.optim.wd};
  };
  for (int64_t step = 0; step < 5; ++step) {
    const Tensor before = clone(store.values());
    const ClassifierFigures f = trainer.step(std::vector{mixed(images(static_cast<uint64_t>(step)), c, step)});
    const auto expected = reference.step(store, before, trainer.plan().lr(step));
    EXPECT_EQ(f.lr, trainer.plan().lr(step));
    EXPECT_LE(test::largest_difference(store, expected), 1e-6) << step;
    EXPECT_NEAR(f.grad_norm, reference.norm, 1e-5 * reference.norm) << "before clipping";
  }
  return clone(store.values());
}

TEST(ClassifierOptions, EachChangesTheStepsAsItsFormulaSays) {
  const Tensor usual = expect_reference(recipe());
  for (const char* changed :
       {"optim.beta1=0.5", "optim.beta2=0.7", "optim.eps=0.05", "optim.wd=2", "optim.grad_clip_norm=0.05",
        "optim.lr=2e-3", "optim.lr_end=5e-3", "optim.epochs=3", "finetune.warmup_epochs=2", "finetune.layer_decay=0.5",
        "finetune.smoothing=0.3", "finetune.mixup=0.8", "finetune.cutmix=1", "finetune.drop_path=0.5", "run.seed=1"}) {
    SCOPED_TRACE(changed);
    EXPECT_GT(test::absolute_error(expect_reference(recipe({changed})), usual), 1e-6);
  }
  for (const char* same : {"optim.grad_clip_norm=1e9", "optim.ema=0.9", "run.grad_checkpointing=true",
                           "finetune.mixup_prob=0.5", "finetune.blr=1"}) {
    SCOPED_TRACE(same);
    EXPECT_EQ(test::absolute_error(expect_reference(recipe({same})), usual), 0.0);
  }
}

/// The losses and the images as they were used of some steps at rate 0, which change no weight.
struct Still {
  std::vector<double> losses;
  std::vector<Tensor> used;
};
Still still_steps(const std::vector<std::string>& assignments, int64_t parts = 1) {
  Config c = recipe(assignments);
  c.optim.lr = c.optim.lr_end = 0;
  c.optim.accum_freq = parts;
  ClassifierTrainer trainer(c, kClasses, parts);
  waken(trainer.model().store());
  Still result;
  for (int64_t step = 0; step < 3; ++step) {
    std::vector<LabelledBatch> batches;
    for (int64_t i = 0; i < parts; ++i) batches.push_back(mixed(images(7), c, step, i));
    result.losses.push_back(trainer.step(batches).loss);
    for (const LabelledBatch& b : batches) result.used.push_back(b.images);
  }
  return result;
}

TEST(ClassifierDraws, MixesDifferFromStepToStepAndRepeatWhenRecomputed) {
  const Still plain = still_steps({});
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(plain.losses[i], plain.losses[0]) << "nothing is random";
    EXPECT_EQ(test::absolute_error(plain.used[i], images(7).images), 0.0);
  }
  for (const char* mixing : {"finetune.mixup=0.8", "finetune.cutmix=1"}) {
    SCOPED_TRACE(mixing);
    // Three steps of two micro-batches: six mixes of the same images.
    const Still mixed = still_steps({mixing}, 2), again = still_steps({mixing}, 2);
    EXPECT_EQ(mixed.losses, again.losses);
    for (size_t i = 0; i < mixed.used.size(); ++i) {
      EXPECT_EQ(test::absolute_error(mixed.used[i], again.used[i]), 0.0);
      for (size_t j = 0; j < i; ++j) EXPECT_GT(test::absolute_error(mixed.used[i], mixed.used[j]), 0.0) << i << j;
    }
    EXPECT_NE(still_steps({mixing, "run.seed=1"}, 2).losses, mixed.losses);
    EXPECT_EQ(still_steps({mixing, "finetune.mixup_prob=0"}).losses, plain.losses);
  }
}

TEST(ClassifierDraws, DropPathDiffersFromStepToStepAndRepeatsWhenRecomputed) {
  const Still dropped = still_steps({"finetune.drop_path=0.5"});
  EXPECT_EQ(still_steps({"finetune.drop_path=0.5"}).losses, dropped.losses);
  EXPECT_NE(dropped.losses[0], dropped.losses[1]);
  EXPECT_NE(dropped.losses[1], dropped.losses[2]);
  EXPECT_NE(still_steps({"finetune.drop_path=0.5", "run.seed=1"}).losses, dropped.losses);
}

TEST(ClassifierDraws, DropPathBelongsToStepRowBlockAndBranch) {
  constexpr int64_t kRows = 400;
  const auto whole = drop_path_scales(0.4, kLayers, 1, 9, 0, kRows);
  ASSERT_EQ(whole.size(), 3u);
  const auto part = drop_path_scales(0.4, kLayers, 1, 9, 100, 50),
             later = drop_path_scales(0.4, kLayers, 1, 10, 0, kRows);
  const auto differ = [](const Tensor& a, const Tensor& b) { return test::absolute_error(a, b) > 0; };
  for (size_t block = 1; block < 3; ++block) {
    const double drop = 0.4 * static_cast<double>(block) / 2;
    const auto& scales = whole[block];
    for (const Tensor* branch : {&scales.attention, &scales.mlp}) {
      double dropped = 0;
      for (const float f : branch->data<float>()) {
        dropped += f == 0 ? 1.0 / kRows : 0;
        if (f != 0) {
          EXPECT_FLOAT_EQ(f, static_cast<float>(1 / (1 - drop)));
        }
      }
      EXPECT_NEAR(dropped, drop, 0.09) << block;
    }
    EXPECT_FALSE(differ(part[block].attention, scales.attention.slice(0, 100, 50)));
    EXPECT_TRUE(differ(later[block].attention, scales.attention));
    EXPECT_TRUE(differ(later[block].mlp, scales.mlp));
    EXPECT_TRUE(differ(scales.mlp, scales.attention));
  }
  EXPECT_TRUE(differ(drop_path_scales(0.4, kLayers, 2, 9, 0, kRows)[2].mlp, whole[2].mlp)) << "the seed counts";
}

TEST(ClassifierLoss, IsTheCrossEntropyWithSmoothedAndMixedLabels) {
  for (const auto& [smoothing, lambda] : {std::pair{0.0, 1.0}, {0.1, 1.0}, {0.6, 1.0}, {0.1, 0.7}}) {
    Config c = recipe();
    c.finetune.smoothing = smoothing;
    ClassifierTrainer trainer(c, kClasses, 1);
    waken(trainer.model().store());
    LabelledBatch batch = images(2);
    batch.lambda = lambda;
    const Tensor logits = trainer.model().logits(batch.images, {}).value;
    double expected = 0;
    for (size_t r = 0; r < 8; ++r) {
      const auto row = logits.data<float>().subspan(r * kClasses, kClasses);
      double total = 0;
      for (const float x : row) total += std::exp(static_cast<double>(x));
      for (size_t k = 0; k < kClasses; ++k) {
        const auto is_label = [&](size_t row_of_it) { return batch.labels[row_of_it] == static_cast<int32_t>(k); };
        const double hit = (is_label(r) ? lambda : 0) + (is_label(7 - r) ? 1 - lambda : 0);
        const double target = smoothing / kClasses + (1 - smoothing) * hit;
        expected -= target * (static_cast<double>(row[k]) - std::log(total)) / 8;
      }
    }
    EXPECT_NEAR(trainer.step(std::vector{batch}).loss, expected, 2e-6) << smoothing << ", " << lambda;
  }
}

/// LARS as MAE has it, on the head, which has momentum of its own.
TEST(ProbeOptions, LarsFollowsItsFormula) {
  std::vector<Tensor> finals;
  for (const double wd : {0.0, 0.5}) {
    Config c = probing_defaults();
    set_vision(c);
    for (const char* a : {"optim.lr=0.5", "optim.epochs=6", "finetune.warmup_epochs=0"}) set_assignment(c, a);
    c.optim.wd = wd;
    LinearProbeTrainer trainer(c, kClasses, 1);
    std::map<std::string, std::vector<double>> momentum;
    for (int64_t step = 0; step < 4; ++step) {
      const Tensor before = clone(trainer.model().store().values());
      const ClassifierFigures f = trainer.step(std::vector{images(static_cast<uint64_t>(step))});
      for (const nn::Entry& e : trainer.model().store().entries()) {
        if (!e.name.starts_with("head.")) continue;
        const auto count = static_cast<size_t>(e.count());
        const auto old = before.data<float>().subspan(static_cast<size_t>(e.offset), count);
        const Tensor gradient = e.grad(), value = e.value();
        std::vector<double> g(count);
        double w2 = 0, g2 = 0;
        for (size_t i = 0; i < count; ++i) {
          const auto w = static_cast<double>(old[i]);
          g[i] = static_cast<double>(gradient.data<float>()[i]) + (e.shape.rank() > 1 ? wd * w : 0);
          w2 += w * w;
          g2 += g[i] * g[i];
        }
        const double trust = e.shape.rank() > 1 && w2 > 0 && g2 > 0 ? 0.001 * std::sqrt(w2 / g2) : 1.0;
        std::vector<double>& m = momentum[e.name];
        m.resize(count);
        for (size_t i = 0; i < count; ++i) {
          m[i] = 0.9 * m[i] + trust * g[i];
          EXPECT_NEAR(value.data<float>()[i], static_cast<double>(old[i]) - f.lr * m[i], 1e-7) << e.name << step;
        }
      }
    }
    finals.push_back(clone(trainer.model().store().find("head.weight")->value()));
  }
  EXPECT_GT(test::absolute_error(finals[0], finals[1]), 1e-6) << "weight decay counts";
}

/// Class folders of pictures, train and val.
class FinetuneRun : public ::testing::Test {
 protected:
  FinetuneRun() {
    for (int i = 0; i < 24; ++i) {
      Image image = test::flat_image(0, 10 + i % 3, 10 + i % 3);
      for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(13 * p + 37 * i);
      for (const char* split : {"train", "val"}) {
        folder_.write(fmt::format("data/{}/class{}/{}.png", split, i % 3, i), encode_png(image));
      }
    }
    data_ = (folder_.path() / "data").string();
  }
  [[nodiscard]] Config config(const std::vector<std::string>& assignments = {}) const {
    Config c = recipe({"optim.epochs=1", "optim.batch_size=4", "run.log_every_n_steps=1", "data.workers=1"});
    c.finetune.data_path = data_;
    c.run.logs = (folder_.path() / "logs").string();
    for (const std::string& assignment : assignments) set_assignment(c, assignment);
    return c;
  }
  /// The images of two epochs.
  [[nodiscard]] std::vector<std::vector<float>> epochs(const std::vector<std::string>& assignments) const {
    const Config c = config(assignments);
    const auto loader = training_loader(c, open_labelled(c).train, {});
    Batch batch;
    std::vector<std::vector<float>> all(2);
    for (auto& epoch : all) {
      std::map<int64_t, std::vector<float>> by_sample;
      constexpr size_t kValues = 3 * kSize * kSize;
      while (loader->next(batch)) {
        for (size_t i = 0; i < batch.sample_ids.size(); ++i) {
          const auto begin = batch.images.begin() + static_cast<ptrdiff_t>(i * kValues);
          by_sample[batch.sample_ids[i]] = {begin, begin + kValues};
        }
      }
      for (const auto& [id, values] : by_sample) epoch.insert(epoch.end(), values.begin(), values.end());
    }
    return all;
  }

  test::TemporaryFolder folder_;
  std::string data_;
};

TEST_F(FinetuneRun, TheBaseRateIsThatOf256ImagesAStep) {
  for (const auto& [batch, accum] : std::vector<std::pair<int64_t, int64_t>>{{4, 1}, {4, 3}, {8, 2}}) {
    const std::string name = fmt::format("run{}x{}", batch, accum);
    Config c = config({"run.name=" + name, "finetune.blr=0.16", "optim.lr=0"});
    c.optim.batch_size = batch;
    c.optim.accum_freq = accum;
    ASSERT_EQ(run_finetuning(c, {}), 0);
    const double expected = 0.16 * static_cast<double>(batch * accum) / 256;
    EXPECT_DOUBLE_EQ(load_config(folder_.path() / "logs" / name / "config.toml").optim.lr, expected);
    const std::string lines = read_file(folder_.path() / "logs" / name / "metrics.jsonl");
    EXPECT_NE(lines.find(fmt::format("\"lr\":{},", expected)), std::string::npos) << lines << "the first step's";
  }
  Config c = config({"run.name=own", "finetune.blr=0.16", "optim.lr=0.25"});
  ASSERT_EQ(run_finetuning(c, {}), 0);
  EXPECT_EQ(load_config(folder_.path() / "logs/own/config.toml").optim.lr, 0.25);
}

TEST_F(FinetuneRun, AugmentationsDifferFromEpochToEpochAndRepeatWhenRecomputed) {
  const std::vector<std::string> plain = {"augment.crop_scale=1,1", "augment.crop_ratio=1,1", "augment.flip=0",
                                          "finetune.aa=none", "finetune.reprob=0"};
  const auto with = [&](const std::string& assignment) {
    std::vector<std::string> all = plain;
    all.push_back(assignment);
    return epochs(all);
  };
  const auto usual = epochs(plain);
  EXPECT_EQ(usual[0], usual[1]) << "nothing is random";
  for (const char* changed :
       {"augment.crop_scale=0.2,0.9", "augment.flip=0.5", "finetune.aa=rand-m9-mstd0.5-inc1", "finetune.reprob=1"}) {
    SCOPED_TRACE(changed);
    const auto found = with(changed), again = with(changed);
    EXPECT_EQ(found, again);
    EXPECT_NE(found[0], usual[0]);
    EXPECT_NE(found[0], found[1]) << "from epoch to epoch";
  }
  std::vector<std::string> half = plain;
  half.emplace_back("augment.crop_scale=0.5,0.5");
  const auto square = epochs(half);
  half.emplace_back("augment.crop_ratio=0.5,2");
  EXPECT_NE(epochs(half)[0], square[0]);
  EXPECT_NE(with("augment.image_interpolation=bilinear")[0], usual[0]);
  EXPECT_NE(with("augment.image_mean=0,0,0")[0], usual[0]);
}

TEST_F(FinetuneRun, ImagesWithTooManyPixelsAreSkippedInTraining) {
  // 100, 121 and 144 pixels, eight of each.
  for (const auto& [most, seen] : std::vector<std::pair<int, int>>{{144, 24}, {143, 16}, {121, 16}, {120, 8}}) {
    const Config c = config({fmt::format("data.max_image_pixels={}", most)});
    const auto loader = training_loader(c, open_labelled(c).train, {});
    Batch batch;
    while (loader->next(batch)) {
    }
    EXPECT_EQ(loader->stats().seen, seen) << most;
    EXPECT_EQ(loader->stats().skipped.count(skip::kTooManyPixels), 24 - seen);
  }
}

TEST_F(FinetuneRun, ValidationCountsEveryImage) {
  const Config c = config();
  const LabelledData data = open_labelled(c);
  // Logits from the pixels alone, so that the figures can be written out.
  const auto logits_of = [](const Tensor& images) {
    Tensor logits = Tensor::empty({images.size(0), 3});
    for (int64_t i = 0; i < images.size(0); ++i) {
      for (int64_t k = 0; k < 3; ++k) {
        logits.data<float>()[static_cast<size_t>(3 * i + k)] = images.data<float>()[static_cast<size_t>(192 * i + k)];
      }
    }
    return logits;
  };
  EmbedOptions options = evaluation_options(c, {});
  double loss = 0, right = 0;
  for (int64_t i = 0; i < data.val->size(); ++i) {
    std::vector<float> pixels(192);
    options.transform(decode_sample(data.val->load(i)), pixels);
    const auto label = static_cast<size_t>(data.val->load(i).label);
    double total = 0;
    for (size_t k = 0; k < 3; ++k) total += std::exp(static_cast<double>(pixels[k]));
    loss += (std::log(total) - static_cast<double>(pixels[label])) / 24;
    const auto best = static_cast<size_t>(std::max_element(pixels.begin(), pixels.begin() + 3) - pixels.begin());
    right += best == label ? 1 : 0;
  }
  for (const int64_t batch : {1, 5, 24, 100}) {
    options.batch_size = batch;
    const ClassifierReport r = evaluate_classifier(logits_of, *data.val, options);
    EXPECT_NEAR(r.loss, loss, 1e-5) << batch;
    EXPECT_DOUBLE_EQ(r.figures.acc1, right / 24);
    EXPECT_EQ(r.figures.samples, 24);
  }
}

TEST_F(FinetuneRun, MustAgreeWhenItGoesOn) {
  ASSERT_EQ(run_finetuning(config({"run.name=a"}), {}), 0);
  FinetuningOptions resume;
  resume.resume = "latest";
  for (const char* changed :
       {"finetune.layer_decay=0.5", "finetune.drop_path=0.2", "finetune.mixup=0.3", "finetune.cutmix=0.3",
        "finetune.smoothing=0.2", "finetune.reprob=0.9", "finetune.aa=none", "finetune.train_fraction=0.5",
        "optim.lr=0.3", "optim.wd=0.3", "optim.ema=0.5", "optim.batch_size=8", "run.seed=2"}) {
    EXPECT_THROW((void)run_finetuning(config({"run.name=a", changed}), resume), ConfigError) << changed;
  }
  EXPECT_EQ(run_finetuning(config({"run.name=a", "data.workers=0"}), resume), 0);
}

}  // namespace
}  // namespace tessera::rils
