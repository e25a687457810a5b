// Results gather themselves in the folder of the run whose weights were used.
#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "engine/core/atomic_file.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

class Gather : public TinyRuns {
 protected:
  [[nodiscard]] std::string must(const std::string& program, const Words& words) const {
    const Outcome o = run(program, words);
    EXPECT_EQ(o.code, 0) << program << ": " << o.err;
    return o.out;
  }
  [[nodiscard]] std::vector<std::string> gathered(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(log_folder(name) / "results")) {
      names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }
  [[nodiscard]] nlohmann::json result(const std::string& name, const std::string& file) const {
    return nlohmann::json::parse(read_file(log_folder(name) / "results" / file));
  }
  static void expect_in(const std::string& part, const std::string& text) {
    EXPECT_NE(text.find(part), std::string::npos) << "expected: " << part << "\nfound: " << text;
  }
  /// The value of a row of `inspect results` for one run.
  static std::string value_of(const std::string& what, const std::string& table) {
    const size_t at = table.find(what);
    if (at == std::string::npos) return "no row " + what + " in\n" + table;
    std::istringstream rest(table.substr(table.find(')', at) + 1));
    std::string value;
    rest >> value;
    return value;
  }
};

TEST_F(Gather, WhatEvaluateFindsLiesInTheRun) {
  train("model", {"--epochs", "2", "--val-data", tiny_data().val});
  const Words retrieval = {"retrieval", "--checkpoint", "logs/model", "--data", tiny_data().val};
  const std::string before = must("inspect", {"results", "logs/model"});
  EXPECT_NE(value_of("text to image, R@10 (", before), "-") << "the run's own validation";
  const std::string file = "logs/model/results/zeroshot_retrieval-";
  expect_in("written: " + file, must("evaluate", retrieval));
  Words untrained = retrieval;
  untrained.insert(untrained.end(), {"--features", "untrained", "--dataset", "colours"});
  expect_in("written: " + file + "colours-untrained.json\n", must("evaluate", untrained));
  (void)must("evaluate", {"knn", "--checkpoint", "logs/model/checkpoints/best", "--train-data", tiny_data().labelled,
                          "--data", tiny_data().labelled, "--dataset", "colours"});
  EXPECT_EQ(gathered("model").size(), 3U);
  const auto knn = result("model", "knn-colours.json");
  EXPECT_EQ(knn.at("dataset"), "colours");
  EXPECT_EQ(knn.at("task"), "knn");
  expect_in("logs/model/checkpoints/step_", knn.at("pretrained"));
  const std::string table = must("inspect", {"results", "logs/model"});
  EXPECT_EQ(value_of("nearest neighbours, top 1 (colours", table),
            fmt::format("{:.1f}", 100 * knn.at("metrics").at("acc1").get<double>()))
      << table;
  (void)must("inspect", {"report", "logs/model"});
  expect_in("knn-colours", read_file(log_folder("model") / "report.html"));

  // An output that is named wins; weights that lie in no run have no folder.
  Words named = retrieval;
  named.insert(named.end(), {"--output", "own.json"});
  expect_in("written: own.json\n", must("evaluate", named));
  fs::copy_file(checkpoint("model", 24), root() / "alone.safetensors");
  Words alone = retrieval;
  alone[2] = "alone.safetensors";
  expect_in("not written: the weights lie in no run's folder; --output names a file\n", must("evaluate", alone));
  EXPECT_EQ(gathered("model").size(), 3U);
  // A folder that cannot be written loses no figures.
  fs::remove_all(log_folder("model") / "results");
  folder().write("logs/model/results", "a file");
  const Outcome o = run("evaluate", retrieval);
  EXPECT_EQ(o.code, 0);
  expect_in("text to image", o.out);
  expect_in("not written: logs/model/results: cannot create the folder", o.err);
}

TEST_F(Gather, ProbesAndClassifiersGoToTheRunOfTheirEncoder) {
  train("model");
  for (const char* split : {"train", "val"}) {
    fs::create_directories(root() / "data" / "colours");
    fs::create_directory_symlink(tiny_data().labelled, root() / "data" / "colours" / split);
  }
  const auto finetune = [&](const std::string& name, Words more) {
    more.insert(more.end(), {"--finetune", "logs/model", "--data-path", "data/colours", "--name", name});
    return must("finetune", more);
  };
  expect_in("written: logs/model/results/linear_probe-colours.json\n", finetune("linear", {"--linear"}));
  expect_in("written: logs/model/results/linear_probe-colours-2-shots.json\n",
            finetune("shots", {"--shots", "1,2", "--draws", "3"}));
  expect_in("written: logs/model/results/linear_probe-colours-lars.json\n",
            finetune("lars", {"--probe", "lars", "--linear", "--epochs", "1", "--batch-size", "8"}));
  expect_in("written: logs/model/results/finetuning-colours.json\n",
            finetune("whole", {"--epochs", "1", "--batch-size", "8"}));
  EXPECT_EQ(gathered("model"),
            (Words{"finetuning-colours.json", "linear_probe-colours-1-shot.json", "linear_probe-colours-2-shots.json",
                   "linear_probe-colours-lars.json", "linear_probe-colours.json"}));
  for (const std::string& file : gathered("model")) {
    const auto json = result("model", file);
    EXPECT_EQ(json.at("dataset"), "colours") << file;
    EXPECT_TRUE(json.at("model").is_string() && json.at("pretrained").is_string()) << file;
  }
  const auto shots = result("model", "linear_probe-colours-2-shots.json").at("metrics");
  EXPECT_EQ(shots.at("fewshot_k"), 2);
  EXPECT_EQ(shots.at("lp_acc1"), lines("shots", "results.jsonl").back().at("lp_acc1"));
  EXPECT_EQ(result("model", "linear_probe-colours.json").at("metrics").at("fewshot_k"), -1);
  EXPECT_EQ(result("model", "finetuning-colours.json").at("metrics").at("acc1"),
            lines("whole", "results.jsonl").back().at("acc1"));
  // The run alone tells what --classifiers would add.
  const std::string alone = must("inspect", {"results", "logs/model"});
  const Words all = {"results", "logs/model", "--classifiers", "logs/linear", "logs/shots", "logs/lars", "logs/whole"};
  EXPECT_EQ(must("inspect", all), alone);
  for (const char* what : {"linear probe, top 1 (colours)", "2 images a class, probe, top 1 (colours)",
                           "linear probe by LARS, top 1 (colours)", "fine-tuning, top 1 (colours)"}) {
    expect_in(what, alone);
  }
  // A classifier's folder has its own figures.
  expect_in("fine-tuning, top 1 (colours)", must("inspect", {"results", "logs/whole"}));
  // From scratch there is no other run.
  (void)must("finetune",
             {"--config", tiny_data().config, "--data-path", "data/colours", "--name", "scratch", "--linear"});
  EXPECT_EQ(result("scratch", "linear_probe-colours.json").at("pretrained"), "untrained");
}

TEST_F(Gather, MessagesFitTheProgram) {
  train("model");
  const Outcome curves = run("inspect", {"curves", "logs/modle", "--out", "c.svg"});
  EXPECT_EQ(curves.code, 2);
  EXPECT_EQ(curves.err,
            "error: expected a run's folder with config.toml and checkpoints, found no folder logs/modle; logs has the "
            "runs model\n");
  const Outcome knn =
      run("evaluate", {"knn", "--checkpoint", "logs/model/checkpoints/step_00000013.safetensors", "--train-data",
                       tiny_data().labelled, "--data", tiny_data().labelled, "--device", "cpu"});
  EXPECT_EQ(knn.code, 1);
  EXPECT_EQ(knn.err,
            "error: logs/model/checkpoints/step_00000013.safetensors: cannot open: No such file or directory; "
            "logs/model/checkpoints has step_00000012.safetensors, latest\n");
}

}  // namespace
}  // namespace tessera::test
