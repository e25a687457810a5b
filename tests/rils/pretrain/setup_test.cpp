// Pre-training step by step: data and masks that go on from step to step and after a stop, and what a validation says.
#include "rils/pretrain/setup.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "rils/pretrain/validation.h"
#include "rils/train/inputs.h"
#include "tests/rils/eval/tiny_space.h"

namespace tessera::rils {
namespace {

/// A console whose output is thrown away.
class Silence {
 public:
  Silence() : file_(std::fopen("/dev/null", "w")), console_(std::make_unique<Console>(file_)) {}
  ~Silence() {
    console_.reset();
    (void)std::fclose(file_);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  Console& operator*() { return *console_; }

 private:
  std::FILE* file_;
  std::unique_ptr<Console> console_;
};

Config made_up(const std::vector<std::string>& assignments = {}) {
  Config c = test::worded_config();
  for (const char* usual : {"data.train_data=made-up", "data.dataset_type=synthetic", "data.train_num_samples=40",
                            "optim.batch_size=8", "optim.epochs=3", "optim.lr=1e-3"}) {
    set_assignment(c, usual);
  }
  for (const std::string& assignment : assignments) set_assignment(c, assignment);
  return c;
}

std::vector<float> joined(const std::vector<MicroBatch>& batches, Tensor MicroBatch::*part) {
  std::vector<float> all;
  for (const MicroBatch& b : batches) {
    const auto values = (b.*part).data<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

TEST(PretrainingSteps, EachHasMasksOfItsOwnWhateverItsParts) {
  Silence console;
  TrainingSetup whole(made_up()), parts(made_up({"optim.batch_size=2", "optim.accum_freq=4"}));
  EXPECT_EQ(whole.global_batch, 8);
  EXPECT_EQ(parts.micro_batches, 4);
  EXPECT_EQ(whole.steps_per_epoch, 5);
  EXPECT_EQ(whole.total_steps, 15);
  std::vector<std::vector<float>> seen;
  for (int64_t step = 0; step < 7; ++step) {
    const auto a = whole.next_micro_batches(*console), b = parts.next_micro_batches(*console);
    const auto noise = joined(a, &MicroBatch::noise);
    EXPECT_EQ(joined(b, &MicroBatch::noise), noise) << step;
    EXPECT_EQ(joined(b, &MicroBatch::images), joined(a, &MicroBatch::images)) << step;
    EXPECT_EQ(std::ranges::count(seen, noise), 0) << "those of no earlier step";
    EXPECT_EQ(test::absolute_error(a[0].noise, mask_noise(0, step, 0, 8, 4)), 0.0) << "those of (seed, step, row)";
    seen.push_back(noise);
    (void)whole.trainer->step(a);
    (void)parts.trainer->step(b);
  }
  TrainingSetup other(made_up({"run.seed=1"}));
  EXPECT_NE(joined(other.next_micro_batches(*console), &MicroBatch::noise), seen[0]);
}

TEST(PretrainingSteps, GoOnAfterAStopAsIfThereWereNone) {
  Silence console;
  const test::TemporaryFolder folder;
  const CheckpointFiles files{folder.path() / "w", folder.path() / "s", folder.path() / "e"};
  TrainingSetup whole(made_up()), stopped(made_up());
  for (int step = 0; step < 7; ++step) {
    (void)whole.trainer->step(whole.next_micro_batches(*console));
    (void)stopped.trainer->step(stopped.next_micro_batches(*console));
  }
  stopped.trainer->save(files, {}, {{"loader", stopped.place().to_json()}});
  TrainingSetup resumed(made_up());
  resumed.restore_data(LoaderState::from_json(resumed.trainer->load(files).at("loader")));
  for (int step = 7; step < 15; ++step) {
    const auto a = whole.next_micro_batches(*console), b = resumed.next_micro_batches(*console);
    EXPECT_EQ(joined(b, &MicroBatch::noise), joined(a, &MicroBatch::noise)) << step;
    EXPECT_EQ(joined(b, &MicroBatch::images), joined(a, &MicroBatch::images)) << step;
    EXPECT_EQ(resumed.place(), whole.place());
    EXPECT_EQ(resumed.epoch(), whole.epoch());
    EXPECT_EQ(whole.trainer->step(a).losses.loss, resumed.trainer->step(b).losses.loss) << step;
  }
}

TEST(PretrainingSteps, TheWarmUpIsAnEpochAndEndsWithTheRun) {
  TrainingSetup setup(made_up({"optim.lr_start=0"}));
  EXPECT_LT(setup.trainer->lr(3), 1e-3);
  EXPECT_DOUBLE_EQ(setup.trainer->lr(4), 1e-3);
  TrainingSetup longer(made_up({"optim.warmup=1000"}));
  EXPECT_DOUBLE_EQ(longer.trainer->lr(14), 1e-3);
}

class Validating : public ::testing::Test {
 protected:
  Validating() {
    std::vector<std::pair<std::string, std::string>> members;
    for (int i = 0; i < 23; ++i) {
      const std::string key = fmt::format("key{}", 10 + i);
      members.emplace_back(key + ".png", test::noise_png(static_cast<uint64_t>(i)));
      members.emplace_back(key + ".txt", fmt::format("thing {}", 7 * i));
      members.emplace_back(key + ".cls", std::to_string(i % 6));
    }
    data_ = test::write_tar(folder_.path() / "00000.tar", members).string();
    folder_.write("classnames.txt", std::string_view("red\ngreen\nblue\nwhite\nblack\ngrey\n"));
    config_ = made_up({"data.dataset_type=auto", "data.val_data=" + data_, "data.zeroshot_data=" + data_});
  }
  [[nodiscard]] ValidationReport report(const Model& model, int64_t batch, bool pairs = true, bool classes = true) {
    return Validation(config_, open_tokenizer(config_), batch).run(model, {}, pairs, classes);
  }
  [[nodiscard]] RetrievalResult pairs(const Model& model) const {
    EmbedOptions o;
    o.transform = eval_transform(config_);
    return run_retrieval(model, *open_dataset(data_, {}), tokenize_with(open_tokenizer(config_)), o);
  }
  static double figure(const ValidationReport& r, const std::string& name) {
    for (const auto& [key, value] : r.record.figures()) {
      if (key == name) return std::get<double>(value);
    }
    ADD_FAILURE() << name;
    return 0;
  }

  test::TemporaryFolder folder_;
  std::string data_;
  Config config_;
};

TEST_F(Validating, ItsLossIsThatOfEveryWholeBatch) {
  const Model model(config_.model, 5);
  const RetrievalResult r = pairs(model);
  const auto loss_of = [&](int64_t first, int64_t count) {
    RetrievalResult part;
    part.images.values = r.images.values.slice(0, first, count);
    part.texts = r.texts.slice(0, first, count);
    for (int64_t i = 0; i < count; ++i) part.image_of_text.push_back(i);
    return validation_loss(part, model.logit_scale().value.item(), count);
  };
  const double first = loss_of(0, 8), second = loss_of(8, 8);
  EXPECT_GT(std::abs(first - second), 1e-3);
  EXPECT_NEAR(figure(report(model, 8), "clip_loss"), 0.5 * (first + second), 1e-5);
  EXPECT_NEAR(figure(report(model, 23), "clip_loss"), loss_of(0, 23), 1e-5);
  EXPECT_NEAR(figure(report(model, 100), "clip_loss"), loss_of(0, 23), 1e-5) << "fewer than a batch are one";
}

TEST_F(Validating, FiguresAndChanceAreThoseOfTheTask) {
  const Model model(config_.model, 5);
  const Retrieval found = pairs(model).figures;
  const ValidationReport r = report(model, 8);
  for (const auto& [name, d] :
       {std::pair{"image_retrieval", found.text_to_image}, std::pair{"text_retrieval", found.image_to_text}}) {
    EXPECT_EQ(figure(r, fmt::format("{}_recall@1", name)), d.recall_1);
    EXPECT_EQ(figure(r, fmt::format("{}_recall@5", name)), d.recall_5);
    EXPECT_EQ(figure(r, fmt::format("{}_recall@10", name)), d.recall_10);
    EXPECT_EQ(figure(r, fmt::format("{}_median_rank", name)), d.median_rank);
  }
  EXPECT_EQ(r.score, found.text_to_image.recall_10) << "where there are pairs";
  ASSERT_EQ(r.lines.size(), 2U);
  EXPECT_NE(r.lines[1].find(fmt::format("ln 8 = {:.4f}", std::log(8.0))), std::string::npos) << r.lines[1];
  EXPECT_NE(r.lines[1].find(fmt::format("chance {:.2f}", 1000.0 / 23)), std::string::npos) << r.lines[1];
  EXPECT_NE(r.lines[0].find(fmt::format("chance {:.2f}", 100.0 / 6)), std::string::npos) << r.lines[0];
  const ValidationReport many = report(model, 64, true, false);
  ASSERT_EQ(many.lines.size(), 1U);
  EXPECT_NE(many.lines[0].find(fmt::format("ln 23 = {:.4f}", std::log(23.0))), std::string::npos) << many.lines[0];
  const ValidationReport classes = report(model, 8, false, true);
  EXPECT_EQ(classes.score, figure(classes, "zeroshot_acc1")) << "where there are none";
}

TEST_F(Validating, TakesTheFirstImagesWhereSoManyAreAskedFor) {
  config_.data.val_num_samples = 9;
  const Model model(config_.model, 5);
  const ValidationReport r = report(model, 8, true, false);
  EXPECT_NE(r.lines[0].find("9 images"), std::string::npos) << r.lines[0];
}

}  // namespace
}  // namespace tessera::rils
