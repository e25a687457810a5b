// The files that evaluate writes: measures and chance of a model on data with several captions an image.
#include "rils/eval/evaluate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "rils/config/toml.h"
#include "rils/eval/loaded_model.h"
#include "rils/eval/pointing.h"
#include "rils/eval/scenes.h"
#include "rils/eval/tasks.h"
#include "rils/train/inputs.h"
#include "tests/rils/eval/tiny_space.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

/// So many ways to choose k of n.
double choose(int64_t n, int64_t k) {
  double ways = 1;
  for (int64_t i = 0; i < k; ++i) ways *= static_cast<double>(n - i) / static_cast<double>(k - i);
  return n < k ? 0 : ways;
}

class Evaluate : public ::testing::Test {
 protected:
  Evaluate() {
    // 14 images; image i has 1 + i % 4 captions, 33 in all.
    std::vector<std::pair<std::string, std::string>> members;
    for (int i = 0; i < 14; ++i) {
      const std::string key = fmt::format("key{}", 10 + i);
      nlohmann::json json = {{"captions", nlohmann::json::array()}};
      for (int c = 0; c <= i % 4; ++c) json["captions"].push_back(fmt::format("thing {} of {}", c, 7 * i));
      captions_ += 1 + i % 4;
      json["width"] = json["height"] = 8;
      json["objects"] = {{{"name", i % 3 == 0 ? "sun" : "tree"}, {"box", {i % 5, 1, i % 5 + 3, 6}}}};
      members.emplace_back(key + ".png", test::noise_png(static_cast<uint64_t>(i)));
      members.emplace_back(key + ".json", json.dump());
      members.emplace_back(key + ".cls", std::to_string(i % 7));
    }
    test::write_tar(folder_.path() / "00000.tar", members);
    options_.data = (folder_.path() / "00000.tar").string();
    options_.checkpoint = test::write_checkpoint(folder_.path() / "w.safetensors", test::worded_config(), 4);
    options_.output = (folder_.path() / "result.json").string();
    options_.batch_size = 5;
  }
  [[nodiscard]] nlohmann::json result() const { return nlohmann::json::parse(read_file(options_.output)); }
  [[nodiscard]] LoadedModel model() const { return load_model(options_.checkpoint, "", 5, "fp32"); }
  [[nodiscard]] std::unique_ptr<Dataset> data(bool metadata = false) const {
    DatasetOptions o;
    o.need_caption = !metadata;
    o.need_metadata = metadata;
    return open_dataset(options_.data, o);
  }

  test::TemporaryFolder folder_;
  EvaluateOptions options_;
  int64_t captions_ = 0;
};

TEST_F(Evaluate, CaptionsAreReadInTheEncodingThatIsNamed) {
  const std::string tar =
      test::write_tar(
          folder_.path() / "words.tar",
          {{"a.png", test::noise_png(1)}, {"a.txt", "caf\xe9"}, {"b.png", test::noise_png(2)}, {"b.txt", "tea"}})
          .string();
  options_.data = tar;
  ASSERT_EQ(evaluate_retrieval(options_), 0);
  EXPECT_EQ(result().at("samples"), 1) << "the other caption is skipped";
  options_.text_encoding = "windows-1252";
  ASSERT_EQ(evaluate_retrieval(options_), 0);
  EXPECT_EQ(result().at("samples"), 2);
}

/// A file of a few bytes must not make the model take memory for what its configuration claims.
TEST_F(Evaluate, AConfigurationThatClaimsMoreThanItsFileHoldsIsRefused) {
  Config config = test::worded_config();
  config.model.vision.layers = config.model.text.layers = 60'000;
  const std::string path = (folder_.path() / "claims.safetensors").string();
  nn::write_safetensors(path, {}, {{"config", to_toml(config)}});
  try {
    (void)load_model(path, "", 5, "fp32");
    FAIL();
  } catch (const IoError& e) {
    const std::string m = e.what();
    EXPECT_EQ(m.find(path + ": expected the "), 0u) << m;
    EXPECT_TRUE(m.ends_with("parameters of its configuration, found 0")) << m;
  }
}

TEST_F(Evaluate, RetrievalAndItsChance) {
  ASSERT_EQ(evaluate_retrieval(options_), 0);
  const nlohmann::json json = result();
  const LoadedModel m = model();
  const RetrievalResult r = run_retrieval(*m.model, *data(), tokenize_with(m.tokenizer), m.embed);
  ASSERT_EQ(r.texts.size(0), captions_);
  for (const auto& [name, d] : std::map<std::string, RetrievalDirection>{{"image_retrieval", r.figures.text_to_image},
                                                                         {"text_retrieval", r.figures.image_to_text}}) {
    const std::map<std::string, double> expected = {{"recall@1", d.recall_1},
                                                    {"recall@5", d.recall_5},
                                                    {"recall@10", d.recall_10},
                                                    {"mean_rank", d.mean_rank},
                                                    {"median_rank", d.median_rank}};
    for (const auto& [figure, value] : expected) {
      EXPECT_DOUBLE_EQ(json.at("metrics").at(name + "_" + figure).get<double>(), value) << name << figure;
    }
  }
  // k of the 14 images are drawn and one is right; k of the captions are drawn and 1 + i % 4 are right.
  for (const int64_t k : {1, 5, 10}) {
    double texts = 0;
    for (int64_t i = 0; i < 14; ++i) texts += 1 - choose(captions_ - 1 - i % 4, k) / choose(captions_, k);
    const auto chance = [&](const char* name) {
      return json.at("chance").at(fmt::format("{}_recall@{}", name, k)).get<double>();
    };
    EXPECT_NEAR(chance("image_retrieval"), static_cast<double>(k) / 14, 1e-12) << k;
    EXPECT_NEAR(chance("text_retrieval"), texts / 14, 1e-12) << k;
  }
  EXPECT_EQ(json.at("samples"), 14);
  EXPECT_EQ(json.at("task"), "zeroshot_retrieval");
}

TEST_F(Evaluate, ChanceIsCertainWhereEverythingIsDrawn) {
  std::vector<std::pair<std::string, std::string>> members;
  for (int i = 0; i < 3; ++i) {
    members.emplace_back(fmt::format("key{}.png", i), test::noise_png(static_cast<uint64_t>(i)));
    members.emplace_back(fmt::format("key{}.txt", i), fmt::format("thing {}", i));
  }
  options_.data = test::write_tar(folder_.path() / "few.tar", members).string();
  ASSERT_EQ(evaluate_retrieval(options_), 0);
  for (const char* name : {"image_retrieval", "text_retrieval"}) {
    EXPECT_NEAR(result().at("chance").at(std::string(name) + "_recall@1").get<double>(), 1.0 / 3, 1e-12);
    EXPECT_EQ(result().at("chance").at(std::string(name) + "_recall@5"), 1.0);
    EXPECT_EQ(result().at("metrics").at(std::string(name) + "_recall@5"), 1.0);
  }
}

TEST_F(Evaluate, ZeroShotAndItsChance) {
  folder_.write("classes.txt", std::string_view("red\ngreen;lime\nblue\nwhite\nblack\ngrey\npink\n"));
  folder_.write("templates.txt", std::string_view("a {c}.\nthe {c} one\n"));
  options_.classnames = (folder_.path() / "classes.txt").string();
  options_.templates = (folder_.path() / "templates.txt").string();
  ASSERT_EQ(evaluate_zero_shot(options_), 0);
  const LoadedModel m = model();
  const ClassPrompts prompts{{"red", "green;lime", "blue", "white", "black", "grey", "pink"},
                             {"a {c}.", "the {c} one"}};
  DatasetOptions o;
  o.need_caption = false;
  o.need_label = true;
  const auto found =
      run_zero_shot(*m.model, *open_dataset(options_.data, o), prompts, tokenize_with(m.tokenizer), m.embed).figures;
  const nlohmann::json metrics = result().at("metrics");
  EXPECT_DOUBLE_EQ(metrics.at("acc1").get<double>(), found.acc1);
  EXPECT_DOUBLE_EQ(metrics.at("acc5").get<double>(), found.acc5);
  EXPECT_DOUBLE_EQ(metrics.at("mean_per_class_recall").get<double>(), found.mean_per_class_recall);
  EXPECT_DOUBLE_EQ(result().at("chance").at("acc1").get<double>(), 1.0 / 7);
}

/// Class folders are matched with a list of names by name: another order or further names change no figure but chance.
TEST_F(Evaluate, ClassFoldersAreMatchedByName) {
  for (int i = 0; i < 12; ++i) {
    folder_.write(fmt::format("val/{}/{}.png", std::vector{"sun", "tree", "cup"}[static_cast<size_t>(i % 3)], i),
                  std::string_view(test::noise_png(static_cast<uint64_t>(i))));
  }
  options_.data = (folder_.path() / "val").string();
  const auto accuracy = [&](const std::string& names) {
    if (!names.empty()) options_.classnames = folder_.write("names.txt", std::string_view(names)).string();
    EXPECT_EQ(evaluate_zero_shot(options_), 0);
    return result().at("metrics").at("acc1").get<double>();
  };
  const double own = accuracy("");
  EXPECT_GT(own, 0) << "else the test shows nothing";
  EXPECT_LT(own, 1);
  EXPECT_EQ(accuracy("tree\nsun\ncup\n"), own);
  EXPECT_EQ(accuracy("sun\ncup\ntree\n"), own);
  EXPECT_LE(accuracy("house\ntree\nsun\ncup\n"), own) << "one more answer that is wrong";
  EXPECT_DOUBLE_EQ(result().at("chance").at("acc1").get<double>(), 1.0 / 4);
  EXPECT_THROW((void)accuracy("tree\nsun\nplate\n"), ConfigError);
}

/// A test set without one of the classes: neighbours vote for classes by name.
TEST_F(Evaluate, KnnMatchesClassFoldersByName) {
  for (int i = 0; i < 12; ++i) {
    const std::string name = std::vector{"cup", "sun", "tree"}[static_cast<size_t>(i % 3)];
    const std::string png = test::noise_png(static_cast<uint64_t>(i));
    folder_.write(fmt::format("train/{}/{}.png", name, i), std::string_view(png));
    if (name != "cup") folder_.write(fmt::format("test/{}/{}.png", name, i), std::string_view(png));
  }
  options_.train_data = (folder_.path() / "train").string();
  options_.data = (folder_.path() / "test").string();
  options_.k = 1;
  ASSERT_EQ(evaluate_knn(options_), 0);
  EXPECT_EQ(result().at("metrics").at("acc1"), 1.0) << "each image is its own nearest";
  std::swap(options_.train_data, options_.data);
  EXPECT_THROW((void)evaluate_knn(options_), ConfigError) << "no neighbour is a cup";
}

TEST_F(Evaluate, ASplitIsTakenFromTheWholeSet) {
  fs::create_directories(folder_.path() / "set/test");
  fs::copy_file(options_.data, folder_.path() / "set/test/0.tar");
  fs::create_directories(folder_.path() / "set/train");
  test::write_tar(folder_.path() / "set/train/0.tar", {{"a.png", test::noise_png(1)}, {"a.txt", "x"}, {"a.cls", "0"}});
  options_.data = (folder_.path() / "set").string();
  ASSERT_EQ(evaluate_retrieval(options_), 0);
  EXPECT_EQ(result().at("samples"), 14);
}

TEST_F(Evaluate, KnnIsTheVoteOverBackboneFeatures) {
  options_.train_data = options_.data;
  for (const int64_t k : {1, 4}) {
    options_.k = k;
    options_.temperature = 0.2;
    ASSERT_EQ(evaluate_knn(options_), 0);
    const LoadedModel m = model();
    const ImageEmbeddings e = embed_images(*data(), m.embed, backbone_features(*m.model, {}));
    std::vector<int32_t> labels;
    for (int32_t i = 0; i < 14; ++i) labels.push_back(i % 7);
    const Classification c = classification(knn_scores(e.values, labels, e.values, 7, {k, 0.2}), labels);
    EXPECT_DOUBLE_EQ(result().at("metrics").at("acc1").get<double>(), c.acc1);
    EXPECT_DOUBLE_EQ(result().at("metrics").at("acc5").get<double>(), c.acc5);
    EXPECT_DOUBLE_EQ(result().at("chance").at("acc1").get<double>(), 1.0 / 7);
    if (k == 1) {
      EXPECT_EQ(c.acc1, 1.0) << "each image is its own nearest";
    }
  }
}

TEST_F(Evaluate, PointingIsTheMeanOverObjects) {
  ASSERT_EQ(evaluate_pointing(options_), 0);
  const LoadedModel m = model();
  const auto tokenize = tokenize_with(m.tokenizer);
  const Tensor sentences = embed_texts(*m.model, std::vector<std::string>{"a sun", "a tree"}, tokenize, m.embed);
  const auto scenes = data(true);
  double share = 0, hit = 0, chance = 0;
  for (int64_t i = 0; i < 14; ++i) {
    std::vector<float> pixels(3 * 8 * 8);
    m.embed.transform(decode_sample(scenes->load(i)), pixels);
    const Tensor map = sentence_probabilities(patch_embeddings(*m.model, Tensor::from(pixels, {1, 3, 8, 8}), {}),
                                              sentences, m.config.loss.teacher_temperature);
    const double x = static_cast<double>(i % 5) / 8;
    const PointingScore s = pointing_score(map, 2, {i % 3 == 0 ? 0 : 1, x, 1.0 / 8, x + 3.0 / 8, 6.0 / 8});
    share += s.energy / 14;
    hit += s.hit / 14;
    chance += s.chance / 14;
  }
  const nlohmann::json metrics = result().at("metrics");
  EXPECT_NEAR(metrics.at("share").get<double>(), share, 1e-6);
  EXPECT_NEAR(metrics.at("hit").get<double>(), hit, 1e-6);
  EXPECT_NEAR(metrics.at("chance").get<double>(), chance, 1e-9);
  EXPECT_NEAR(chance, 15.0 / 64, 1e-9);
  EXPECT_EQ(result().at("samples"), 14);
}

TEST_F(Evaluate, TheVocabularyMustBeTheModelsOwn) {
  // The same number of merges, two of them exchanged.
  std::string merges = read_file(test::golden_path("text/merges.txt"));
  const size_t at = merges.find("r e\na l\n");
  ASSERT_NE(at, std::string::npos);
  merges.replace(at, 8, "a l\nr e\n");
  options_.vocabulary = folder_.write("other.txt", std::string_view(merges)).string();
  EXPECT_THROW((void)evaluate_retrieval(options_), ConfigError);
  EXPECT_THROW((void)evaluate_zero_shot(options_), ConfigError);
  options_.vocabulary =
      folder_.write("copy.txt", std::string_view(read_file(test::golden_path("text/merges.txt")))).string();
  EXPECT_EQ(evaluate_retrieval(options_), 0) << "the same vocabulary elsewhere";
}

}  // namespace
}  // namespace tessera::rils
