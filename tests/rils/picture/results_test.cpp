#include "rils/picture/results.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "rils/config/config.h"
#include "rils/run/run_folder.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

/// A folder with pre-training runs "a" and "b", to which tests add results.
class Results : public ::testing::Test {
 protected:
  Results() {
    for (const char* name : {"a", "b"}) RunFolder::create(at(name)).write_config({}, "pretrain");
  }
  [[nodiscard]] fs::path at(const std::string& name) const { return folder_.path() / name; }
  void write(const std::string& name, const std::string& text) const { folder_.write(name, text); }
  void classifier(const std::string& name, const std::string& checkpoint, std::vector<int64_t> shots,
                  const std::string& text) const {
    Config config;
    config.finetune.data_path = "somewhere/clothes/";
    config.finetune.finetune = checkpoint;
    config.finetune.nb_classes = 4;
    config.finetune.shots = std::move(shots);
    RunFolder::create(at(name)).write_config(config, "finetune");
    write(name + "/results.jsonl", text);
  }
  [[nodiscard]] static const ResultsTable::Row& row(const ResultsTable& table, const std::string& what) {
    for (const auto& r : table.rows) {
      if (r.what == what) return r;
    }
    throw std::out_of_range("no row " + what + " in\n" + table_text(table));
  }

  TemporaryFolder folder_;
};

using Values = std::vector<std::optional<double>>;

TEST_F(Results, FiguresGoToTheColumnOfWhoseTheyAre) {
  const std::string knn = R"({"dataset": "d", "task": "knn", "metrics": {"acc1": 0.5}, "chance": {"acc1": 0.25}, )";
  write("a/results/knn-model.json", knn + R"("pretrained": "a/checkpoints/w"})");
  write("b/results/knn-model.json", R"({"dataset": "d", "task": "knn", "metrics": {"acc1": 0.75}, "pretrained": "w"})");
  write("a/results/x.json",
        R"({"dataset": "d", "task": "knn", "metrics": {"acc1": 0.125}, "pretrained": "untrained"})");
  write("a/results/torn.json", "{\"metrics\": {");
  classifier("scratch", "", {}, "{\"acc1\": 0.1}\n{\"acc1\": 0.5}\n{\"acc1\": ");
  classifier("probe", (at("b") / "checkpoints" / "step_1.safetensors").string(), {1, 10},
             R"({"shots": 1, "draw": 0, "lp_acc1": 0.25}
{"shots": 10, "draw": 0, "lp_acc1": 0.75}
{"shots": 10, "draw": 1, "lp_acc1": 0.5}
{"shots": 10, "draws": 2, "lp_acc1": 0.625}
)");
  const ResultsTable table = results_table({at("a") / "", at("b")}, {at("scratch"), at("probe")});
  EXPECT_EQ(table.columns, (std::vector<std::string>{"a", "b", "untrained", "chance"})) << "no raw pixels here";
  EXPECT_EQ(row(table, "nearest neighbours, top 1 (d)").values, (Values{50, 75, 12.5, 25}));
  EXPECT_EQ(row(table, "fine-tuning, top 1 (clothes)").values, (Values{std::nullopt, std::nullopt, 50, 25}));
  EXPECT_EQ(row(table, "1 image a class, probe, top 1 (clothes)").values, (Values{std::nullopt, 25, std::nullopt, 25}));
  EXPECT_EQ(row(table, "10 images a class, probe, top 1 (clothes)").values,
            (Values{std::nullopt, 62.5, std::nullopt, 25}));
  EXPECT_NE(table_text(table).find("nearest neighbours, top 1 (d)"), std::string::npos);
  EXPECT_NE(table_html(table).find("<td class=\"number\">12.5</td>"), std::string::npos);
}

TEST_F(Results, RunsOfOneNameKeepTheirOwnColumns) {
  for (const char* name : {"clip/run", "rils/run", "chance"}) RunFolder::create(at(name)).write_config({}, "pretrain");
  const auto figure = [](double acc1) {
    return fmt::format(R"({{"dataset": "d", "task": "knn", "metrics": {{"acc1": {}}}, "chance": {{"acc1": 0.1}}}})",
                       acc1);
  };
  write("clip/run/results/knn.json", figure(0.25));
  write("rils/run/results/knn.json", figure(0.5));
  write("chance/results/knn.json", figure(0.75));
  classifier("probe", (at("rils/run") / "checkpoints" / "w.safetensors").string(), {}, "{\"acc1\": 0.875}\n");
  const ResultsTable table = results_table({at("clip/run"), at("rils/run"), at("chance")}, {at("probe")});
  EXPECT_EQ(table.columns, (std::vector<std::string>{"clip/run", "rils/run", "chance", "chance"}));
  EXPECT_EQ(row(table, "nearest neighbours, top 1 (d)").values, (Values{25, 50, 75, 10}));
  EXPECT_EQ(row(table, "fine-tuning, top 1 (clothes)").values, (Values{std::nullopt, 87.5, std::nullopt, 25}));
}

TEST_F(Results, WhatIsNobodysIsRefused) {
  classifier("probe", "other/checkpoints/w.safetensors", {10}, "{\"lp_acc1\": 1}\n");
  EXPECT_THROW((void)results_table({at("a")}, {at("probe")}), ConfigError);
  EXPECT_THROW((void)results_table({at("a")}, {at("b")}), ConfigError) << "a pre-training run is no classifier";
  EXPECT_THROW((void)results_table({at("none")}, {}), ConfigError);
  EXPECT_EQ(table_text(results_table({at("a")}, {})), "no results yet\n");
}

}  // namespace
}  // namespace tessera::rils
