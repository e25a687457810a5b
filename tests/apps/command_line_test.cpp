// Command lines as a user types them: parsing, messages and exit codes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>

#include "apps/common/config_options.h"
#include "apps/common/program.h"
#include "engine/core/error.h"
#include "rils/config/schema.h"
#include "rils/run/run_folder.h"
#include "tests/apps/typed.h"
#include "tests/support/temporary_folder.h"

namespace tessera::apps {
namespace {

namespace fs = std::filesystem;

class Files : public ::testing::Test {
 protected:
  std::string put(const char* name, const std::string& text) {
    std::ofstream(root_ / name) << text;
    return (root_ / name).string();
  }
  const test::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST(Options, AreThoseThatPeopleKnow) {
  const Outcome o = train({"--train-data",
                           "a::b",
                           "--val-data=v",
                           "--dataset-type",
                           "csv",
                           "--csv-img-key",
                           "i",
                           "--csv-caption-key",
                           "c",
                           "--csv-separator",
                           ",",
                           "--batch-size",
                           "8",
                           "--accum-freq",
                           "2",
                           "--epochs",
                           "3",
                           "--lr",
                           "1e-3",
                           "--beta1",
                           "0.8",
                           "--beta2",
                           "0.9",
                           "--eps",
                           "1e-6",
                           "--wd",
                           "0.1",
                           "--warmup",
                           "20",
                           "--precision",
                           "bf16",
                           "--workers",
                           "0",
                           "--seed",
                           "5",
                           "--grad-clip-norm",
                           "1",
                           "--grad-checkpointing",
                           "--name",
                           "n",
                           "--logs",
                           "l",
                           "--save-frequency",
                           "2",
                           "--save-every-steps",
                           "7",
                           "--val-frequency",
                           "0",
                           "--zeroshot-frequency",
                           "4",
                           "--report-to",
                           "tensorboard",
                           "--device",
                           "cpu",
                           "--objective",
                           "clip",
                           "--global-batch-size",
                           "16"});
  EXPECT_EQ(o.err, "");
  ASSERT_EQ(o.code, 0);
  rils::Config c;
  c.data.train_data = "a::b";
  c.data.val_data = "v";
  c.data.dataset_type = "csv";
  c.data.csv_img_key = "i";
  c.data.csv_caption_key = "c";
  c.data.csv_separator = ",";
  c.data.workers = 0;
  c.optim = {8, 2, 16, 3, 1e-3, 1e-6, 1e-5, 20, 0.8, 0.9, 1e-6, 0.1, 1, 0};
  c.run = {"n", "l", 5, "amp_bf16", "cpu", 7, 2, 3, 10, 0, 4, 0, true, "tensorboard"};
  c.model.objective = rils::ObjectiveName::clip;
  EXPECT_EQ(differences(*o.config, c).size(), 0U);
  EXPECT_EQ(*o.config, c);
}

TEST(Options, UnderscoresAndAliases) {
  const Outcome o = train(
      {"--batch_size", "8", "--train_data=a_b", "--weight_decay", "0.3", "--num-workers", "1", "--gather-with-grad"});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.config->optim.batch_size, 8);
  EXPECT_EQ(o.config->data.train_data, "a_b") << "values keep their underscores";
  EXPECT_EQ(o.config->optim.wd, 0.3);
  EXPECT_EQ(o.config->data.workers, 1);
  EXPECT_EQ(o.config->loss.gather, rils::Gather::with_gradient);
  EXPECT_EQ(train({"--gather-with-grad", "--local-loss"}).config->loss.gather, rils::Gather::constant);
}

TEST(Options, TheLastOneCounts) {
  EXPECT_EQ(train({"--lr", "1", "--lr", "2"}).config->optim.lr, 2.0);
  EXPECT_EQ(train({"--lr", "1", "--set", "optim.lr=3", "--set", "optim.wd=7"}).config->optim.lr, 3.0);
  EXPECT_EQ(train({"--set", "optim.lr=3", "--set", "optim.wd=7", "--lr", "1"}).config->optim.lr, 1.0);
  EXPECT_EQ(train({"--set", "optim.lr=3", "--set", "optim.wd=7", "--lr", "1"}).config->optim.wd, 7.0);
  EXPECT_TRUE(train({"--grad-checkpointing=false", "--grad-checkpointing"}).config->run.grad_checkpointing);
  EXPECT_FALSE(train({"--grad-checkpointing", "--grad-checkpointing=false"}).config->run.grad_checkpointing);
}

TEST(Options, NegativeNumbersAndLists) {
  const Outcome o = train({"--warmup", "-1", "--crop-scale", "0.2,0.9", "--image-mean=0,0,0"});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.config->optim.warmup, -1);
  EXPECT_EQ(o.config->augment.crop_scale, (std::array{0.2, 0.9}));
  EXPECT_EQ(o.config->augment.image_mean, (std::array{0.0, 0.0, 0.0}));
}

TEST(Errors, AreOneLineAndExitCode2) {
  const auto expect = [](const std::vector<const char*>& words, const std::string& message) {
    const Outcome o = train(words);
    EXPECT_EQ(o.code, 2);
    EXPECT_EQ(o.err, "error: " + message + "\n");
    EXPECT_EQ(o.out, "");
  };
  expect({"--lrr", "1"}, "unknown option --lrr; did you mean --lr?");
  expect({"--batch_sise=1"}, "unknown option --batch-sise; did you mean --batch-size?");
  expect({"--train", "x"}, "unknown option --train; did you mean --train-data?");
  expect({"--foo-bar", "x"}, "unknown option --foo-bar (--help lists the options)");
  expect({"-z"}, "unknown option -z (--help lists the options)");
  expect({"--lr", "fast"}, "--lr: expected a number of at least 0, found \"fast\"");
  expect({"--batch_size", "0"}, "--batch-size: expected an integer in [1, 16777216], found 0");
  expect({"--precision", "fp16"}, "--precision: expected one of fp32, amp_bf16, found \"fp16\"");
  expect({"--set", "lr=1"}, "--set: unknown key lr; did you mean optim.lr?");
  expect({"--config", "/nonexistent.toml"}, "--config: expected a file, found none at /nonexistent.toml");
  expect({"--simulated-ranks", "7"}, "loss.simulated_ranks: expected a divisor of the global batch = 64, found 7");
  expect({"--resume", "latest"}, "--resume latest: expected --name with the run to continue, found none");
  expect({"stray"}, "unexpected argument: stray (--help lists the options)");
  expect({"--lr"}, "--lr: expected a value, found none (--help lists the options)");
}

TEST_F(Files, OptionsOverrideTheFile) {
  const std::string file = put("run.toml", "[optim]\nlr = 0.5\nwd = 0.25\n[model]\nobjective = \"clip\"\n");
  const Outcome o = train({"--lr", "0.75", "--config", file.c_str()});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.config->optim.lr, 0.75);
  EXPECT_EQ(o.config->optim.wd, 0.25);
  EXPECT_EQ(o.config->model.objective, rils::ObjectiveName::clip);
}

TEST_F(Files, ErrorsInTheFileNameItsLine) {
  const std::string file = put("run.toml", "[optim]\nlrr = 0.5\n");
  const Outcome o = train({"--config", file.c_str()});
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(o.err, fmt::format("error: {}:2: unknown key optim.lrr; did you mean optim.lr?\n", file));
}

TEST_F(Files, AResumedRunHasItsOwnConfiguration) {
  const rils::RunFolder run = rils::RunFolder::create(root_ / "logs" / "a");
  rils::Config stored;
  stored.optim.lr = 0.125;
  stored.run.name = "a";
  stored.run.logs = "where it was made";
  run.write_config(stored, "train");
  const std::string logs = (root_ / "logs").string();
  const Outcome by_name = train({"--resume", "latest", "--name", "a", "--logs", logs.c_str(), "--workers", "9"});
  ASSERT_EQ(by_name.code, 0) << by_name.err;
  EXPECT_EQ(by_name.config->optim.lr, 0.125);
  EXPECT_EQ(by_name.config->data.workers, 9);
  EXPECT_EQ(by_name.config->run.logs, logs);
  const Outcome by_path = train({"--resume", run.path().c_str()});
  ASSERT_EQ(by_path.code, 0) << by_path.err;
  EXPECT_EQ(by_path.config->run.name, "a");
  EXPECT_EQ(by_path.config->run.logs, logs);
  EXPECT_EQ(by_path.config->optim.lr, 0.125);
}

TEST(Help, FitsTwoScreensAndShowsEveryOptionWithItsDefault) {
  const Outcome o = train({"--help"});
  EXPECT_EQ(o.code, 0);
  EXPECT_LE(std::ranges::count(o.out, '\n'), 100) << o.out;
  std::istringstream lines(o.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 110U) << line;
  for (const rils::Key& key : rils::schema()) {
    if (key.level == rils::Level::set_only || !serves(key, rils::Program::pretrain)) continue;
    std::string name = "  --" + std::string(key.name());
    std::ranges::replace(name, '_', '-');
    EXPECT_NE(o.out.find(name + " "), std::string::npos) << name;
  }
  EXPECT_NE(o.out.find("[0.0005]"), std::string::npos) << "the default of lr";
  EXPECT_LT(o.out.find("\nObjective:"), o.out.find("\nAdvanced:"));
  EXPECT_EQ(o.out.find("\nAdvanced:"), o.out.rfind("\nAdvanced:"));
  EXPECT_LT(o.out.find("\nOptimisation:"), o.out.find("\nAdvanced:")) << "rare options come last";
}

TEST(FinetuneOptions, AreMaes) {
  const Outcome o = train({"--finetune",
                           "w",
                           "--data_path",
                           "d",
                           "--nb_classes",
                           "7",
                           "--input_size",
                           "96",
                           "--batch_size",
                           "32",
                           "--accum_iter",
                           "4",
                           "--epochs",
                           "9",
                           "--warmup_epochs",
                           "2.5",
                           "--blr",
                           "1e-3",
                           "--lr",
                           "2e-3",
                           "--min_lr",
                           "1e-5",
                           "--weight_decay",
                           "0.1",
                           "--layer_decay",
                           "0.75",
                           "--drop_path",
                           "0.2",
                           "--clip_grad",
                           "3",
                           "--mixup",
                           "0.3",
                           "--cutmix",
                           "0.4",
                           "--mixup_prob",
                           "0.5",
                           "--smoothing",
                           "0.2",
                           "--mixup_switch_prob",
                           "0.6",
                           "--aa",
                           "none",
                           "--reprob",
                           "0.1",
                           "--cls_token",
                           "--seed",
                           "5",
                           "--num_workers",
                           "3",
                           "--shots",
                           "2",
                           "--draws",
                           "6",
                           "--output_dir",
                           "a/b/"},
                          rils::Program::finetune);
  ASSERT_EQ(o.code, 0) << o.err;
  rils::Config c = rils::finetuning_defaults();
  c.finetune = {"d", "w",    7,   96,    rils::Pool::cls,           1e-3, 2.5, 0.75, 0.2, 0.3, 0.4, 0.5, 0.6,
                0.2, "none", 0.1, false, rils::ProbeKind::logistic, {2},  6,   1.0};
  c.optim.batch_size = 32;
  c.optim.accum_freq = 4;
  c.optim.epochs = 9;
  c.optim.lr = 2e-3;
  c.optim.lr_end = 1e-5;
  c.optim.wd = 0.1;
  c.optim.grad_clip_norm = 3;
  c.run.seed = 5;
  c.data.workers = 3;
  c.run.name = "b";
  c.run.logs = "a";
  EXPECT_TRUE(*o.config == c);
  EXPECT_EQ(train({"--cls-token", "--global-pool"}, rils::Program::finetune).config->finetune.pool, rils::Pool::mean);
}

TEST(FinetuneOptions, HelpShowsEachAndNamesMaesFirst) {
  const Outcome o = train({"--help"}, rils::Program::finetune);
  EXPECT_EQ(o.code, 0);
  EXPECT_LE(std::ranges::count(o.out, '\n'), 100) << o.out;
  for (const rils::Key& key : rils::schema()) {
    if (key.section() != "finetune") continue;
    std::string name = "  --" + std::string(key.name());
    std::ranges::replace(name, '_', '-');
    EXPECT_NE(o.out.find(name + " "), std::string::npos) << name;
  }
  for (const char* name : {"  --min-lr ", "  --weight-decay ", "  --accum-iter ", "  --clip-grad "}) {
    EXPECT_NE(o.out.find(name), std::string::npos) << name;
  }
  for (const char* absent : {"--mask-ratio", "--vocabulary", "--gather"}) {
    EXPECT_EQ(o.out.find(absent), std::string::npos) << absent;
  }
  EXPECT_EQ(train({"--layer-decay", "0.5"}).code, 2) << "no option of pretrain";
}

TEST(Version, IsPrinted) {
  const Outcome o = train({"--version"});
  EXPECT_EQ(o.code, 0);
  EXPECT_TRUE(o.out.starts_with("tessera 0.")) << o.out;
}

/// What an action throws, and the exit code that comes of it.
template <class E>
Outcome throwing(const E& error) {
  CLI::App app("Fails.");
  set_up(app);
  return typed({}, app, [&](Outcome&) -> int { throw error; });
}

TEST(ExitCodes, SayWhoseFaultItWas) {
  EXPECT_EQ(throwing(ConfigError("c")).code, 2);
  EXPECT_EQ(throwing(IoError("x.tar: cannot open\nsecond line")).code, 1);
  EXPECT_EQ(throwing(IoError("x.tar: cannot open\nsecond line")).err, "error: x.tar: cannot open second line\n");
  EXPECT_EQ(throwing(std::runtime_error("r")).code, 1);
  EXPECT_EQ(throwing(IoError("a\x1b[2Jb\tc")).err, "error: a [2Jb c\n") << "nothing steers the terminal";
  const std::error_code too_long = std::make_error_code(std::errc::filename_too_long);
  EXPECT_EQ(throwing(fs::filesystem_error("status", "a/b", too_long)).err, "error: a/b: File name too long\n");
  EXPECT_EQ(throwing(fs::filesystem_error("status", "", too_long)).err,
            "error: expected a path, found an empty word\n");
  EXPECT_EQ(throwing(std::out_of_range("map::at")).err,
            "error: a fault of this program, please report it with the command: map::at\n");
  EXPECT_EQ(throwing(std::bad_alloc()).err, "error: the machine's memory is exhausted\n");
  CLI::App app("Runs.");
  set_up(app);
  EXPECT_EQ(typed({}, app, [](Outcome&) { return 130; }).code, 130);
}

TEST(CommandLine, IsOneLine) {
  const char* words[] = {"train", "--name", "a\nb"};
  EXPECT_EQ(command_line(3, words), "train --name a b");
}

}  // namespace
}  // namespace tessera::apps
