#include "rils/eval/result_file.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "tests/support/temporary_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

class ResultFile : public ::testing::Test {
 protected:
  [[nodiscard]] Result result(double acc1) const {
    Result r;
    r.task = "knn";
    r.dataset = "pets/val";
    r.data = (root_ / "pets" / "val").string();
    r.model = "clip-64x2";
    r.pretrained = "logs/a/checkpoints/step_00000001.safetensors";
    r.metrics.add("acc1", acc1).add("acc5", std::numeric_limits<double>::quiet_NaN());
    r.chance.add("acc1", 0.25);
    return r;
  }
  [[nodiscard]] std::string gather(const Result& r) const { return gather_result(r, root_).filename().string(); }
  [[nodiscard]] nlohmann::json read(const std::string& name) const {
    return nlohmann::json::parse(read_file(root_ / "results" / name));
  }

  const test::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST_F(ResultFile, HasTheKeysOfClipBenchmark) {
  EXPECT_EQ(gather(result(0.5)), "knn-pets_val.json");
  const auto json = read("knn-pets_val.json");
  // What `clip_benchmark build` reads: an object of metrics, and texts that it joins and puts into columns.
  for (const char* key : {"dataset", "model", "pretrained", "task", "language"}) {
    EXPECT_TRUE(json.at(key).is_string()) << key;
  }
  EXPECT_EQ(json.at("metrics"), (nlohmann::json{{"acc1", 0.5}, {"acc5", nullptr}}));
}

TEST_F(ResultFile, OnlyTheSameResultIsReplaced) {
  const auto acc1 = [&](const std::string& name) { return read(name).at("metrics").at("acc1").get<double>(); };
  (void)gather(result(0.5));
  EXPECT_EQ(gather(result(0.75)), "knn-pets_val.json");
  EXPECT_EQ(acc1("knn-pets_val.json"), 0.75);
  Result other = result(0.125);
  other.data = (root_ / "other" / "pets" / "val").string();
  EXPECT_EQ(gather(other), "knn-pets_val-2.json");
  other.metrics = Record().add("acc1", 0.25);
  EXPECT_EQ(gather(other), "knn-pets_val-2.json");
  Result untrained = result(0.0625);
  untrained.setting = "untrained";
  EXPECT_EQ(gather(untrained), "knn-pets_val-untrained.json");
  EXPECT_EQ(acc1("knn-pets_val.json"), 0.75);
  EXPECT_EQ(acc1("knn-pets_val-2.json"), 0.25);
  // What we did not write stays: other programs' results, files that are no result, links.
  folder_.write("results/zeroshot_retrieval-pets_val.json",
                "{\"task\": \"zeroshot_retrieval\", \"dataset\": \"pets/val\"}");
  folder_.write("results/zeroshot_retrieval-pets_val-2.json", "[");
  fs::create_symlink("elsewhere", root_ / "results" / "zeroshot_retrieval-pets_val-3.json");
  Result retrieval = result(1);
  retrieval.task = "zeroshot_retrieval";
  EXPECT_EQ(gather(retrieval), "zeroshot_retrieval-pets_val-4.json");
  EXPECT_EQ(read_file(root_ / "results" / "zeroshot_retrieval-pets_val-2.json"), "[");
}

TEST_F(ResultFile, PathsOfOneFolderAreTheSameData) {
  fs::create_directories(root_ / "pets" / "val");
  (void)gather(result(0.5));
  Result again = result(0.75);
  again.data = (root_ / "pets" / "." / "val").string() + "/";
  EXPECT_EQ(gather(again), "knn-pets_val.json");
}

TEST_F(ResultFile, AnyNameBecomesAFile) {
  Result r = result(0.5);
  r.dataset = std::string("../caf\xe9 $(x)\n") + std::string(500, 'a');
  const std::string name = gather(r);
  EXPECT_EQ(name.substr(0, 23), "knn-.._caf____x__aaaaaa");
  EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz._-"), std::string::npos) << name;
  EXPECT_LT(name.size(), 160U);
  EXPECT_EQ(gather(r), name);
  fs::remove_all(root_ / "results");
  folder_.write("results", "a file");
  EXPECT_THROW((void)gather(r), IoError);
}

TEST_F(ResultFile, DataAreNamedByTheirPath) {
  EXPECT_EQ(dataset_label("data/pets"), "pets");
  EXPECT_EQ(dataset_label("data/pets/"), "pets");
  EXPECT_EQ(dataset_label("data/pets/val"), "pets/val");
  EXPECT_EQ(dataset_label("test"), "test");
  EXPECT_EQ(dataset_label("../test"), "test");
  EXPECT_EQ(dataset_label("coco/{00000..00059}.tar"), "coco");
  EXPECT_EQ(dataset_label("coco/val/*.tar"), "coco/val");
  EXPECT_EQ(dataset_label("a.tsv::pets/val"), "a.tsv+pets/val");
}

}  // namespace
}  // namespace tessera::rils
