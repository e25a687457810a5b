// The program finetune, as a user runs it: training from a pre-trained encoder, resuming, evaluating, and the messages
// for invalid data and options.
#include <fmt/format.h>

#include <cmath>
#include <csignal>
#include <random>
#include <sstream>

#include "engine/core/atomic_file.h"
#include "nn/io/safetensors.h"
#include "rils/data/encode.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr int64_t kEpochs = 6;
constexpr int64_t kSteps = 4 * kEpochs;  // 60 images in batches of 8: seven an epoch, two a step

class Finetune : public TinyRuns {
 protected:
  void SetUp() override {
    fs::create_directories(root() / "data");
    fs::create_directory_symlink(tiny_data().labelled, root() / "data/train");
    fs::create_directory_symlink(tiny_data().labelled, root() / "data/val");
  }

  /// The command line of a small recipe on the 60 labelled pictures, then `more`.
  [[nodiscard]] Words words(const std::string& name, const Words& more = {}) const {
    Words all = {"--data_path",   (root() / "data").string(),
                 "--name",        name,
                 "--batch-size",  "8",
                 "--accum_iter",  "2",
                 "--epochs",      std::to_string(kEpochs),
                 "--lr",          "4e-3",
                 "--num_workers", "1",
                 "--set",         "run.log_every_n_steps=1"};
    for (const char* key : {"image_size=32", "patch_size=8", "width=32", "layers=2", "heads=2"}) {
      all.insert(all.end(), {"--set", std::string("model.vision.") + key});
    }
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  /// Weights of a pretrain run on the pairs.
  [[nodiscard]] std::string pretrained() const {
    train("pretrained");
    return checkpoint("pretrained", 12).string();
  }

  void finetune(const std::string& name, const Words& more = {}) const {
    const Outcome o = run("finetune", words(name, more));
    EXPECT_EQ(o.code, 0) << o.err << o.out;
  }

  /// Expects one line on stderr that contains this text, and the exit code of an error.
  void expect_refused(const Words& all, const std::string& message, int code = 2) const {
    const Outcome o = run("finetune", all);
    EXPECT_EQ(o.code, code) << o.err;
    EXPECT_NE(o.err.find(message), std::string::npos) << o.err << "expected: " << message;
    EXPECT_EQ(std::ranges::count(o.err, '\n'), 1) << o.err;
  }

  /// Class folders with `counts` pictures each below root/`name`/train, and one each in val.
  [[nodiscard]] std::string folders(const std::string& name, const std::vector<int>& counts) const {
    for (const char* split : {"train", "val"}) {
      for (size_t c = 0; c < counts.size(); ++c) {
        const std::string label = fmt::format("{}/{}/class{}", name, split, c);
        fs::create_directories(root() / label);
        const int count = std::string(split) == "val" ? 1 : counts[c];
        for (int i = 0; i < count; ++i) {
          folder().write(fmt::format("{}/{}.png", label, i), png_text(static_cast<int>(40 * c) + i));
        }
      }
    }
    return (root() / name).string();
  }
};

TEST_F(Finetune, LearnsFromAPretrainedEncoderAndFromScratch) {
  const std::string weights = pretrained();
  finetune("mean", {"--finetune", weights, "--layer_decay", "0.9", "--mixup", "0", "--cutmix", "0", "--aa", "none",
                    "--reprob", "0", "--epochs", "20"});
  finetune("scratch", {"--epochs", "1"});
  EXPECT_GT(lines("mean", "results.jsonl").back().at("acc1").get<double>(), 0.5) << "chance is a sixth";
  EXPECT_EQ(lines("scratch").size(), 4u);
  const auto tensors = tensors_of(checkpoint("mean", 80));
  EXPECT_TRUE(tensors.contains("fc_norm.weight"));
  EXPECT_FALSE(tensors.contains("visual.norm.weight")) << "the pre-trained norm is dropped";
  EXPECT_EQ(tensors.at("head.weight").shape(), (Shape{6, 32}));
  EXPECT_EQ(nn::SafetensorsFile(checkpoint("mean", 80)).metadata().at("classes"),
            "red\ngreen\nblue\nyellow\nwhite\nblack");
  ASSERT_EQ(run("inspect", {"curves", "logs/mean", "logs/scratch", "--out", "c.svg"}).code, 0);
  const std::string curves = read_file(root() / "c.svg");
  for (const char* title : {">train loss of a classifier<", ">val accuracy of a classifier<", ">scratch<"}) {
    EXPECT_NE(curves.find(title), std::string::npos) << title;
  }
}

TEST_F(Finetune, StartsFromTheEncodersBits) {
  const std::string weights = pretrained();
  finetune("frozen", {"--finetune", weights, "--cls_token", "--lr", "1e-300", "--min_lr", "0", "--epochs", "1"});
  const auto before = tensors_of(weights), after = tensors_of(checkpoint("frozen", 4));
  int compared = 0;
  for (const auto& [name, tensor] : after) {
    if (!name.starts_with("visual.")) continue;
    EXPECT_TRUE(same_bits(tensor, before.at(name))) << name;
    ++compared;
  }
  EXPECT_GT(compared, 15);
  EXPECT_TRUE(after.contains("visual.norm.weight")) << "the CLS token passes the final norm";
}

TEST_F(Finetune, AnEpochShorterThanAStepStillSteps) {
  finetune("short", {"--accum-iter", "50", "--epochs", "2"});
  EXPECT_EQ(lines("short").size(), 2u);
  finetune("fraction", {"--train-fraction", "0.4", "--epochs", "1", "--set", "data.workers=0"});
  EXPECT_EQ(lines("fraction").back().at("samples"), 24) << "40 % of 60 in batches of 8";
}

TEST_F(Finetune, KilledSixTimesItEndsWithTheSameBits) {
  const Words more = {"--finetune", pretrained(), "--save-every-steps", "3", "--ema", "0.9", "--keep", "2"};
  finetune("whole", more);
  ASSERT_EQ(lines("whole").size(), static_cast<size_t>(kSteps));
  std::mt19937 random(3);
  std::string name = "killed";
  const auto resumed = [&] {
    Words all = words(name, more);
    if (fs::exists(log_folder(name) / "config.toml")) all.insert(all.end(), {"--resume", "latest"});
    return all;
  };
  for (int life = 0; life < 6;) {
    const int code = interrupt("finetune", resumed(), name, SIGKILL, life == 0 ? 0 : static_cast<int>(random() % 4),
                               std::chrono::microseconds(random() % 8000))
                         .code;
    ASSERT_TRUE(code == -SIGKILL || code == 0) << code;
    if (code != 0) {
      ++life;
      continue;
    }
    expect_same_runs(name, "whole", kSteps,
                     {"", ".ema", ".state"});  // a fast run may finish early; then another one starts
    name += "-again";
  }
  const Outcome last = run("finetune", resumed());
  ASSERT_EQ(last.code, 0) << last.err;
  expect_same_runs(name, "whole", kSteps, {"", ".ema", ".state"});
}

TEST_F(Finetune, CtrlCSavesAndItGoesOnWithoutItsOptions) {
  finetune("whole");
  const Outcome stopped = interrupt("finetune", words("stopped"), "stopped", SIGINT, 3, std::chrono::microseconds(300));
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_NE(stopped.out.find("interrupted: saved after step"), std::string::npos) << stopped.out;
  const Outcome resumed = run("finetune", {"--resume", "logs/stopped"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(timeless("stopped"), timeless("whole"));
  EXPECT_EQ(different_tensors(checkpoint("stopped", kSteps), checkpoint("whole", kSteps)), std::vector<std::string>());
}

TEST_F(Finetune, AKilledProbeCanBeRepeated) {
  const Words probe = words("probe", {"--linear"});
  Process process("finetune", probe, root());
  while (!fs::exists(log_folder("probe") / "out.log") && !process.ended()) {
  }
  process.send(SIGKILL);
  ASSERT_EQ(process.wait(), -SIGKILL);
  EXPECT_EQ(run("finetune", probe).code, 0);
  EXPECT_EQ(lines("probe", "results.jsonl").size(), 1u);
  EXPECT_EQ(run("finetune", probe).code, 2) << "a probe with results is not repeated";
}

TEST_F(Finetune, NeitherThreadsNorWorkersChangeABit) {
  finetune("one", {"--epochs", "2"});
  ::setenv("TESSERA_THREADS", "2", 1);
  finetune("two", {"--epochs", "2", "--num-workers", "3", "--grad-checkpointing"});
  ::unsetenv("TESSERA_THREADS");
  EXPECT_EQ(timeless("one"), timeless("two"));
  EXPECT_EQ(different_tensors(checkpoint("one", 8), checkpoint("two", 8)), std::vector<std::string>());
}

TEST_F(Finetune, EvaluatesWhatItSaved) {
  finetune("run", {"--epochs", "3"});
  const double accuracy = lines("run", "results.jsonl").back().at("acc1").get<double>();
  for (const char* batch : {"7", "22"}) {
    const Outcome o = run("finetune", {"--eval", "--resume", "logs/run", "--batch-size", batch});
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_NE(o.out.find(fmt::format("step 12: top 1 {:.2f} %", 100 * accuracy)), std::string::npos) << o.out;
  }
  // If a run keeps averages, validation and --eval use them.
  finetune("averaged", {"--epochs", "6", "--ema", "0.9"});
  const double averaged = lines("averaged", "results.jsonl").back().at("acc1").get<double>();
  const Outcome o = run("finetune", {"--eval", "--resume", "logs/averaged"});
  EXPECT_NE(o.out.find(fmt::format("step 24, averages: top 1 {:.2f} %", 100 * averaged)), std::string::npos) << o.out;
  const Outcome other = run("finetune", {"--eval", "--resume", "logs/run", "--data-path", folders("other", {3, 3, 3})});
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("expected the classes of the run (number 1: red), found class0"), std::string::npos)
      << other.err;
}

TEST_F(Finetune, AClassifierNamesImages) {
  const std::string data = folders("pictures", {6, 6, 6, 6, 6, 6, 6, 6});
  for (const Words& how :
       {Words{"--epochs", "8", "--lr", "0.01"},
        Words{"--probe", "lars", "--lr", "20", "--warmup-epochs", "0", "--epochs", "40", "--crop-scale", "1,1"}}) {
    Words more = {"--data-path", data};
    more.insert(more.end(), how.begin(), how.end());
    const std::string name = how[0] == "--probe" ? "lars" : "tuned";
    finetune(name, more);
    const auto step = lines(name).back().at("step").get<int64_t>();
    const Words classify = {"classify", data + "/val", "--checkpoint", checkpoint(name, step).string(),
                            "--top",    "8",           "--output",     name + ".jsonl"};
    const Outcome o = run("query", classify);
    ASSERT_EQ(o.code, 0) << o.err;
    std::istringstream answers(read_file(root() / (name + ".jsonl")));
    int right = 0, images = 0;
    for (std::string line; std::getline(answers, line); ++images) {
      const auto answer = nlohmann::json::parse(line);
      double sum = 0;
      for (const auto& label : answer.at("labels")) sum += label.at("probability").get<double>();
      EXPECT_NEAR(sum, 1, 1e-5);
      const auto best = answer.at("labels")[0].at("label").get<std::string>();
      right += answer.at("image").get<std::string>().find("/" + best + "/") != std::string::npos ? 1 : 0;
    }
    EXPECT_EQ(images, 8);
    EXPECT_GT(right, 2) << "chance is one";
    EXPECT_EQ(right, std::lround(8 * lines(name, "results.jsonl").back().at("acc1").get<double>()))
        << "as validation counts";
    Words labelled = classify;
    labelled.insert(labelled.end(), {"--labels", "mine.txt"});
    EXPECT_NE(run("query", labelled).err.find("expected none, as"), std::string::npos);
    const Outcome search = run("query", {"search", "a text", data + "/val", "--checkpoint", checkpoint(name, step)});
    EXPECT_EQ(search.code, 2);
    EXPECT_NE(search.err.find("expected a model of pretrain, found a classifier of finetune"), std::string::npos)
        << search.err;
  }
}

TEST_F(Finetune, ProbesFrozenFeatures) {
  const std::string weights = pretrained();
  const auto probe = [&](const std::string& name, const Words& more) {
    finetune(name, more);
    return lines(name, "results.jsonl");
  };
  const auto all = probe("linear", {"--finetune", weights, "--linear"});
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].at("train_samples"), 60);
  EXPECT_GT(all[0].at("lp_acc1").get<double>(), 0.4) << "chance is a sixth";
  EXPECT_EQ(probe("odd", {"--finetune", weights, "--linear", "--batch-size", "7", "--num-workers", "0"}), all)
      << "features do not depend on the batch";

  const auto shots = probe("shots", {"--finetune", weights, "--shots", "2", "--draws", "4"});
  ASSERT_EQ(shots.size(), 5u);
  double mean = 0, square = 0;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(shots[i].at("train_samples"), 12);
    mean += shots[i].at("lp_acc1").get<double>() / 4;
  }
  for (size_t i = 0; i < 4; ++i) square += std::pow(shots[i].at("lp_acc1").get<double>() - mean, 2) / 3;
  EXPECT_NEAR(shots[4].at("lp_acc1").get<double>(), mean, 1e-12);
  EXPECT_NEAR(shots[4].at("lp_acc1_deviation").get<double>(), std::sqrt(square), 1e-12);
  EXPECT_FALSE(fs::exists(log_folder("shots") / "metrics.jsonl"));
  // Several numbers of shots at once give the same results as one by one.
  const auto several = probe("several", {"--finetune", weights, "--shots", "1,2", "--draws", "4"});
  ASSERT_EQ(several.size(), 10u);
  EXPECT_EQ(several[4].at("shots"), 1);
  EXPECT_EQ(std::vector(several.begin() + 5, several.end()), shots);
  EXPECT_EQ(probe("untrained", {"--shots", "1", "--draws", "1", "--cls-token"}).size(), 1u);
  expect_refused(words("many", {"--shots", "99"}), "finetune.shots: expected at most");
}

TEST_F(Finetune, ProbesByLarsAndGoesOn) {
  const Words more = {"--probe", "lars", "--finetune", pretrained(), "--lr", "20", "--warmup-epochs", "0"};
  finetune("whole", more);
  EXPECT_GT(lines("whole", "results.jsonl").back().at("acc1").get<double>(), 0.25) << "chance is a sixth";
  const std::string config = read_file(log_folder("whole") / "config.toml");
  for (const char* line : {"mixup = 0.0", "aa = \"none\"", "blr = 0.1", "wd = 0.0", "lr_end = 0.0"}) {
    EXPECT_NE(config.find(line), std::string::npos) << line;
  }
  const Outcome stopped =
      interrupt("finetune", words("stopped", more), "stopped", SIGINT, 3, std::chrono::microseconds(300));
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  ASSERT_EQ(run("finetune", {"--resume", "logs/stopped"}).code, 0);
  EXPECT_EQ(timeless("stopped"), timeless("whole"));
  EXPECT_EQ(different_tensors(checkpoint("stopped", kSteps), checkpoint("whole", kSteps)), Words());
  EXPECT_EQ(different_tensors(checkpoint("stopped", kSteps, ".state"), checkpoint("whole", kSteps, ".state")), Words());
  const Outcome judged = run("finetune", {"--eval", "--resume", "logs/whole"});
  const double accuracy = lines("whole", "results.jsonl").back().at("acc1").get<double>();
  EXPECT_NE(judged.out.find(fmt::format("step 24: top 1 {:.2f} %", 100 * accuracy)), std::string::npos) << judged.out;
  expect_refused(words("x", {"--probe", "lars", "--mixup", "0.8"}),
                 "finetune.mixup: expected 0 with finetune.probe = lars, found 0.8");
  expect_refused(words("x", {"--probe", "lars", "--batch-size", "1"}), "expected at least 2 (batch norm), found 1");
}

TEST_F(Finetune, OutputDirNamesTheRun) {
  const Outcome o = run("finetune", words("ignored", {"--output_dir", "runs/here/", "--epochs", "1"}));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(fs::exists(root() / "runs/here/checkpoints/step_00000004.safetensors"));
}

/// An IDX file of bytes.
std::string idx(const std::vector<uint32_t>& dims, std::string_view values) {
  std::string text = {0, 0, 8, static_cast<char>(dims.size())};
  for (const uint32_t d : dims) {
    for (const int shift : {24, 16, 8, 0}) text += static_cast<char>(d >> static_cast<unsigned>(shift) & 0xffU);
  }
  return text.append(values);
}

TEST_F(Finetune, ReadsFashionMnistsFiles) {
  // Dark and light pictures of 28 x 28.
  for (const auto& [split, count] : {std::pair{"train", 40U}, std::pair{"t10k", 10U}}) {
    std::string pixels, labels;
    for (uint32_t i = 0; i < count; ++i) {
      pixels.append(size_t{28} * 28, static_cast<char>(i % 2 == 0 ? 20 + i : 200 + i));
      labels += static_cast<char>(i % 2);
    }
    folder().write(fmt::format("idx/{}-images-idx3-ubyte", split), idx({count, 28, 28}, pixels));
    folder().write(fmt::format("idx/{}-labels-idx1-ubyte", split), idx({count}, labels));
  }
  const Words more = {
      "--data-path", (root() / "idx").string(), "--aa", "none", "--mixup", "0", "--cutmix", "0", "--epochs",
      "8",           "--warmup-epochs",         "1"};
  finetune("idx", more);
  const auto last = lines("idx", "results.jsonl").back();
  EXPECT_EQ(last.at("samples"), 10);
  EXPECT_EQ(last.at("acc1"), 1.0);
}

TEST_F(Finetune, BadDataAreOneLine) {
  const auto with = [&](const std::string& data) { return words("x", {"--data-path", data}); };
  expect_refused(with(""), "finetune.data_path: expected a folder of labelled images, found none");
  expect_refused(with("nowhere"), "found no folder nowhere");
  fs::create_directories(root() / "half/train/a");
  expect_refused(with("half"), "expected val or test beside half/train, found neither");
  expect_refused(with(folders("single", {4})), "train: expected at least 2 classes, found 1");
  const std::string hollow = folders("hollow", {4, 0, 4});
  expect_refused(with(hollow), "train: expected images of every class, found none of class1");
  const std::string other = folders("other", {4, 4});
  fs::rename(root() / "other/val/class1", root() / "other/val/klass1");
  expect_refused(with(other), "found class1 only in");
  const std::string good = folders("good", {8, 8, 8});
  expect_refused(words("x", {"--data-path", good, "--nb_classes", "2"}),
                 "finetune.nb_classes: expected at least 3, the classes of");
  EXPECT_FALSE(fs::exists(root() / "logs/x")) << "nothing is left of a run that could not begin";
}

TEST_F(Finetune, BadOptionsAreOneLine) {
  expect_refused(words("x", {"--layer-decai", "0.5"}), "unknown option --layer-decai; did you mean --layer-decay?");
  expect_refused(words("x", {"--input-size", "4"}),
                 "model.vision.patch_size: expected a divisor of model.vision.image_size = 4, found 8");
  expect_refused(words("x", {"--aa", "rand-m9"}), "finetune.aa: expected none or rand-mM");
  expect_refused(words("x", {"--drop-path", "1"}), "--drop-path: expected a number in [0, 1), found");
  expect_refused(words("x", {"--batch-size", "9"}), "optim.batch_size: expected an even number");
  expect_refused(words("x", {"--eval"}), "--eval: expected --resume with the run to evaluate, found none");
  expect_refused(words("x", {"--finetune", "no.safetensors"}), "no.safetensors: cannot open", 1);
  expect_refused(words("x", {"--finetune", tiny_data().vocabulary}), "vocabulary.txt", 1);
  finetune("run", {"--epochs", "1"});
  expect_refused(words("run"), "--name: logs/run exists already");
  expect_refused(words("run", {"--resume", "latest", "--mixup", "0.5"}),
                 "--resume: finetune.mixup: expected the run's own 0.8, found 0.5");
  expect_refused({"--resume", "logs/run", "--set", "model.vision.width=64"},
                 "--resume: model.vision.width: expected the run's own 32, found 64");
  train("pairs");
  expect_refused({"--resume", "logs/pairs"}, "--resume: expected a run of finetune, found one of pretrain");
}

}  // namespace
}  // namespace tessera::test
