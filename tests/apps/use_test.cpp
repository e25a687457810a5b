// A trained model in use: evaluate, query, the drawings of inspect, and its report about data with planted faults.
#include <fmt/format.h>

#include <sstream>

#include "engine/core/atomic_file.h"
#include "rils/data/shard_writer.h"
#include "rils/query/npy.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;

class Use : public TinyRuns {
 protected:
  /// A model that has learned the colours. Each test trains it in a second.
  std::string trained() const {
    train("model", {"--epochs", "8", "--val-data", tiny_data().val, "--picture-frequency", "8"});
    return checkpoint("model", 96).string();
  }
  [[nodiscard]] std::vector<nlohmann::json> json_lines(const fs::path& path) const {
    std::vector<nlohmann::json> result;
    std::istringstream text(read_file(path));
    for (std::string line; std::getline(text, line);) result.push_back(nlohmann::json::parse(line));
    return result;
  }
};

TEST_F(Use, QueryFindsWhatEvaluateCounts) {
  const std::string weights = trained();
  ASSERT_EQ(run("query", {"embed", tiny_data().val, "--checkpoint", weights, "--out", "val"}).code, 0);
  const Tensor images = rils::read_npy(root() / "val.images.npy"), texts = rils::read_npy(root() / "val.texts.npy");
  ASSERT_EQ(images.size(0), 100);
  ASSERT_EQ(texts.size(0), 100);
  // Recall at 1 by hand, from the files alone.
  std::istringstream table(read_file(root() / "val.texts.tsv"));
  const auto width = static_cast<size_t>(images.size(1));
  int hits = 0;
  for (size_t t = 0; t < 100; ++t) {
    std::string line;
    std::getline(table, line);
    const auto text = texts.data<float>().subspan(t * width, width);
    std::pair<double, size_t> best{-2, 0};
    for (size_t i = 0; i < 100; ++i) {
      const auto image = images.data<float>().subspan(i * width, width);
      double cosine = 0;
      for (size_t k = 0; k < width; ++k) cosine += static_cast<double>(text[k]) * static_cast<double>(image[k]);
      if (cosine > best.first) best = {cosine, i};
    }
    hits += best.second == std::stoul(line) ? 1 : 0;
  }
  const std::vector<std::string> evaluate = {"retrieval",     "--checkpoint", weights, "--data",
                                             tiny_data().val, "--output",     "r.json"};
  ASSERT_EQ(run("evaluate", evaluate).code, 0);
  const auto metrics = nlohmann::json::parse(read_file(root() / "r.json")).at("metrics");
  EXPECT_NEAR(metrics.at("image_retrieval_recall@1").get<double>(), hits / 100.0, 1e-9);
  EXPECT_GT(hits, 30) << "chance is 1";

  // The stored embeddings give the same answers as the images.
  const std::vector<std::string> search = {"search", "a text", tiny_data().val, "--checkpoint", weights,
                                           "--top",  "7",      "--output",      "fresh.jsonl"};
  ASSERT_EQ(run("query", search).code, 0);
  std::vector<std::string> stored = search;
  stored[2] = "val.images.npy";
  stored.back() = "stored.jsonl";
  ASSERT_EQ(run("query", stored).code, 0);
  EXPECT_EQ(read_file(root() / "fresh.jsonl"), read_file(root() / "stored.jsonl"));
  EXPECT_EQ(json_lines(root() / "fresh.jsonl").size(), 7U);
}

TEST_F(Use, AVocabularyIsNeededWhereTextsAreRead) {
  fs::copy_file(tiny_data().vocabulary, root() / "words.txt");
  train("model", {"--vocabulary", "words.txt"});
  fs::remove(root() / "words.txt");
  const std::string weights = checkpoint("model", 12).string();
  const Outcome knn = run("evaluate", {"knn", "--checkpoint", weights, "--train-data", tiny_data().labelled, "--data",
                                       tiny_data().labelled});
  EXPECT_EQ(knn.code, 0) << knn.err;
  std::vector<std::string> retrieval = {"retrieval", "--checkpoint", weights, "--data", tiny_data().val};
  const Outcome refused = run("evaluate", retrieval);
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("error: --vocabulary: expected the model's vocabulary, since words.txt ("),
            std::string::npos)
      << refused.err;
  retrieval.insert(retrieval.end(), {"--vocabulary", tiny_data().vocabulary});
  EXPECT_EQ(run("evaluate", retrieval).code, 0);
}

TEST_F(Use, ClassifyNamesEachImage) {
  const std::string weights = trained();
  folder().write("a.png", rils::encode_png(flat_image(200, 32, 32)));
  folder().write("more/b.png", rils::encode_png(flat_image(20, 32, 32)));
  folder().write("labels.txt", "red\ngreen;lime\nblue\n");
  const Outcome o = run("query", {"classify", "a.png", "more", "--labels", "labels.txt", "--checkpoint", weights,
                                  "--top", "2", "--output", "c.jsonl"});
  ASSERT_EQ(o.code, 0) << o.err;
  const auto found = json_lines(root() / "c.jsonl");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].at("image"), "a.png");
  EXPECT_EQ(found[1].at("image"), "more/b.png");
  for (const auto& line : found) {
    ASSERT_EQ(line.at("labels").size(), 2U);
    EXPECT_GE(line.at("labels")[0].at("probability"), line.at("labels")[1].at("probability"));
  }
  const Outcome missing =
      run("query", {"classify", "none.png", "--labels", "labels.txt", "--checkpoint", weights, "--device", "cpu"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.err, "error: none.png: expected an image or a folder of images, found nothing\n");
}

TEST_F(Use, AllPicturesOfAFolderAreSearched) {
  const std::string weights = trained();
  const auto picture = [&](const std::string& path, int grey) {
    folder().write(path, rils::encode_png(flat_image(grey, 32, 32)));
  };
  picture("album/loose.png", 200);
  picture("album/trip/in.png", 100);
  picture("album/trip/day/deep.png", 20);
  const auto found = [&](std::vector<std::string> options) {
    options.insert(options.end(), {"--checkpoint", weights, "--out", "found"});
    const Outcome o = run("query", options);
    EXPECT_EQ(o.code, 0) << o.err;
    return o.code == 0 ? read_file(root() / "found.images.txt") : "";
  };
  const std::string all = "album/loose.png\nalbum/trip/day/deep.png\nalbum/trip/in.png\n";
  EXPECT_EQ(found({"embed", "album"}), all);
  EXPECT_EQ(found({"embed", "album/loose.png"}), "album/loose.png\n");
  std::string joined = "rest.csv";  // several sources; the text is longer than a file name may be
  folder().write("rest.csv", "image,caption\nalbum/loose.png,a text\n");
  for (int i = 0; i < 39; ++i) joined += "::rest.csv";
  EXPECT_EQ(found({"embed", joined}).size(), 40 * std::string("album/loose.png\n").size());
  // A table in the folder is taken for the list of its images, unless the type of the data is given.
  folder().write("album/notes.csv", "image,caption\nloose.png,a text\n");
  EXPECT_EQ(found({"embed", "album", "--dataset-type", "folder"}), all);
  EXPECT_EQ(found({"embed", "album"}), "loose.png\n");
  const Outcome unknown = run("query", {"embed", weights, "--checkpoint", weights, "--out", "found"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_NE(unknown.err.find("cannot detect the type of the data; give it with --dataset-type"), std::string::npos);
}

TEST_F(Use, DrawsWhatItIsAskedFor) {
  const std::string weights = trained();
  folder().write("a.png", rils::encode_png(flat_image(200, 32, 32)));
  const auto draws = [&](std::vector<std::string> words, const std::string& out) {
    words.insert(words.end(), {"--out", out});
    const Outcome o = run("inspect", words);
    EXPECT_EQ(o.code, 0) << o.err;
    return o.code == 0 ? read_file(root() / out) : "";
  };
  const std::string map =
      draws({"heatmap", "--checkpoint", weights, "--image", "a.png", "--sentences", "red", "a <b>"}, "map.svg");
  EXPECT_NE(map.find(">red</text>"), std::string::npos);
  EXPECT_NE(map.find(">a &lt;b&gt;</text>"), std::string::npos);
  const std::string guesses = draws(
      {"reconstruction", "--checkpoint", weights, "--image", "a.png", "--sentences", "red", "blue"}, "guesses.svg");
  EXPECT_NE(guesses.find("% agree"), std::string::npos);
  EXPECT_NE(draws({"retrievals", "--checkpoint", weights, "--data", tiny_data().val}, "r.svg").find("ranks 1 of 100"),
            std::string::npos);
  EXPECT_NE(draws({"curves", "logs/model"}, "c.svg").find("contrastive loss"), std::string::npos);
  const std::string report = draws({"report", "logs/model"}, "report.html");
  EXPECT_NE(report.find("<h2>Pictures</h2>"), std::string::npos) << "pretrain drew at its eighth epoch";
  EXPECT_NE(report.find("image_retrieval_recall@10"), std::string::npos);

  train("plain", {"--objective", "clip"});
  const Outcome no_decoder = run("inspect", {"reconstruction", "--checkpoint", checkpoint("plain", 12).string(),
                                             "--image", "a.png", "--sentences", "a", "b", "--out", "x.svg"});
  EXPECT_EQ(no_decoder.code, 2);
  EXPECT_NE(no_decoder.err.find("expected a model with a decoder"), std::string::npos) << no_decoder.err;
}

TEST_F(Use, TheSheetComesFirstAndRunsStandBesideEachOther) {
  const std::string weights = trained();
  train("plain", {"--objective", "clip", "--val-data", tiny_data().val});
  folder().write("a.png", rils::encode_png(flat_image(200, 32, 32)));
  const auto evaluate = [&](const std::string& checkpoint, const std::string& run_name) {
    const Outcome o = run("evaluate", {"retrieval", "--checkpoint", checkpoint, "--data", tiny_data().val, "--output",
                                       "logs/" + run_name + "/results/retrieval.json"});
    EXPECT_EQ(o.code, 0) << o.err;
  };
  fs::create_directories(log_folder("model") / "results");
  fs::create_directories(log_folder("plain") / "results");
  evaluate(weights, "model");
  evaluate(checkpoint("plain", 12).string(), "plain");

  Outcome o = run("inspect", {"report", "logs/model"});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(read_file(log_folder("model") / "report.html").find("inspect sheet draws"), std::string::npos);
  // Captions of the data have a rank; the user's own sentences have none.
  ASSERT_EQ(run("inspect", {"sheet", "logs/model", "--compare", "logs/plain"}).code, 0);
  const std::string sheet = read_file(log_folder("model") / "pictures/sheet.svg");
  EXPECT_NE(sheet.find("of 100</text>"), std::string::npos);
  EXPECT_NE(sheet.find("the data do not name the objects"), std::string::npos);
  EXPECT_NE(sheet.find("% agree"), std::string::npos);
  EXPECT_NE(sheet.find(">plain</text>"), std::string::npos) << "the other run's curve";
  o = run("inspect", {"sheet", "logs/plain", "--sentences", "red", "--nouns", "a cat", "a dog", "--image", "a.png",
                      "--out", "own.svg"});
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string own = read_file(root() / "own.svg");
  EXPECT_NE(own.find("a sentence of your own"), std::string::npos);
  EXPECT_NE(own.find(">a cat</text>"), std::string::npos);
  EXPECT_NE(own.find("clip has no decoder"), std::string::npos);
  EXPECT_EQ(own.find("reconstruction loss"), std::string::npos) << "clip has none to draw";

  const std::vector<std::string> both = {"logs/model/", "--compare", "logs/plain"};
  std::vector<std::string> words = {"report"};
  words.insert(words.end(), both.begin(), both.end());
  ASSERT_EQ(run("inspect", words).code, 0);
  const std::string report = read_file(log_folder("model") / "report.html");
  EXPECT_LT(report.find("the run at a glance"), report.find("<h2>Results</h2>"));
  EXPECT_LT(report.find("<h2>Results</h2>"), report.find("<h2>Pictures</h2>"));
  EXPECT_LT(report.find("<h2>Pictures</h2>"), report.find("<h2>Configuration</h2>"));
  words[0] = "results";
  const Outcome table = run("inspect", words);
  std::istringstream lines(table.out);
  std::string unit, first, second;
  lines >> unit >> first >> second;
  EXPECT_EQ(unit, "%") << table.out;
  EXPECT_EQ(first + " " + second, "model plain") << table.out;

  o = run("inspect", {"sheet", "logs/model", "--nouns", "one"});
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(o.err, "error: --nouns: expected two, found 1\n");
}

TEST_F(Use, TheSheetFindsASceneOfTwoNamedThings) {
  train("model", {"--epochs", "1"});
  const auto object = [](const char* name, int x0, int x1) {
    return fmt::format(R"({{"name": "{}", "box": [{}, 4, {}, 28]}})", name, x0, x1);
  };
  // The first scene has only one name, the second has a thing that is too small.
  const std::vector<std::string> objects = {object("cat", 0, 12) + "," + object("cat", 16, 30),
                                            object("owl", 0, 12) + "," + object("ant", 16, 17),
                                            object("axe", 0, 16) + "," + object("bus", 16, 32)};
  for (size_t i = 0; i < objects.size(); ++i) {
    const std::string stem = fmt::format("scenes/00000/{:09}", i);
    folder().write(stem + ".png", rils::encode_png(flat_image(static_cast<int>(40 * i), 32, 32)));
    folder().write(stem + ".txt", fmt::format("red {}", i));
    folder().write(stem + ".json", R"({"width": 32, "height": 32, "objects": [)" + objects[i] + "]}");
  }
  const Outcome o = run("inspect", {"sheet", "logs/model", "--data", "scenes", "--out", "s.svg"});
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string sheet = read_file(root() / "s.svg");
  EXPECT_NE(sheet.find(">an axe</text>"), std::string::npos);
  EXPECT_NE(sheet.find(">a bus</text>"), std::string::npos);
  // The frame around the axe, in half of a map of 224 pixels after the gap.
  EXPECT_NE(sheet.find("y=\"44\" width=\"112\" height=\"168\" fill=\"none\""), std::string::npos);
  EXPECT_NE(sheet.find("of 3</text>"), std::string::npos);
}

TEST_F(Use, NeighboursOfFewerTrainingImages) {
  const std::string weights = trained();
  const auto accuracy = [&](const std::string& samples) {
    const Outcome o =
        run("evaluate", {"knn", "--checkpoint", weights, "--data", tiny_data().labelled, "--train-data",
                         tiny_data().labelled, "--k", "1", "--train-samples", samples, "--output", "k.json"});
    EXPECT_EQ(o.code, 0) << o.err;
    return nlohmann::json::parse(read_file(root() / "k.json")).at("metrics").at("acc1").get<double>();
  };
  (void)accuracy("0");
  const auto json = nlohmann::json::parse(read_file(root() / "k.json"));
  EXPECT_NEAR(json.at("chance").at("acc1").get<double>(), 1.0 / 6, 1e-12) << "six colours";
  EXPECT_EQ(accuracy("0"), 1) << "each image is its own nearest";
  EXPECT_EQ(accuracy("1000"), 1);
  EXPECT_LT(accuracy("6"), 1);
}

TEST_F(Use, InspectDataFindsPlantedFaults) {
  rils::ShardWriter train(root() / "train", 100), val(root() / "val", 100);
  for (int i = 0; i < 20; ++i) {
    const auto png = rils::encode_png(flat_image(i == 7 ? 3 : i, 32, 32));  // sample 7 repeats sample 3
    rils::ShardWriter::Sample sample;
    sample.image = png;
    sample.captions = {i == 5 ? "red red red red red red red red red red" : fmt::format("red {}", i)};
    train.add(sample);
    if (i == 2 || i == 11) val.add(sample);
  }
  train.finish();
  val.finish();
  const Outcome o = run("inspect", {"data", "--config", tiny_data().config, "--train-data", "train", "--val-data",
                                    "val", "--batch-size", "4", "--montage", "m.svg"});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("20 samples, none skipped"), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("1 samples with the pixels of an earlier one\n  00000.tar/000000007 = 00000.tar/000000003\n"),
            std::string::npos)
      << o.out;
  EXPECT_NE(o.out.find("1 are too long (first 00000.tar/000000005)"), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("2 images are in both train and val data"), std::string::npos) << o.out;
  EXPECT_TRUE(fs::exists(root() / "m.svg"));
}

/// inspect data skips what pretrain with the same options would, and says so where nothing is left.
TEST_F(Use, InspectDataSaysWhatPretrainWouldSkip) {
  const std::string png = text_of(rils::encode_png(flat_image(9, 32, 32)));
  std::vector<std::pair<std::string, std::string>> members;
  for (const std::string key : {"a", "b", "c"})
    members.insert(members.end(), {{key + ".png", png}, {key + ".txt", key}});
  const std::string whole = read_file(write_tar(root() / "whole.tar", members));
  folder().write("cut.tar", std::string_view(whole).substr(0, whole.find("c.txt")));
  write_tar(root() / "nocap.tar", {{"a.png", png}, {"a.json", "{}"}, {"b.png", png}, {"b.json", "{}"}});
  folder().write("bad/0.jpg", std::string_view("<html>"));
  folder().write("bad/0.txt", std::string_view("a page"));
  folder().write("set/train/red/0.png", std::string_view(png));
  folder().write("set/train/red/1.avif", std::string_view("\0\0\0\x1c\x66typavif", 12));
  folder().write("set/val/red/0.png", std::string_view(png));
  const auto inspected = [&](const std::string& source, int code, const std::string& expected) {
    const Outcome o =
        run("inspect", {"data", "--config", tiny_data().config, "--train-data", source, "--batch-size", "2"});
    EXPECT_EQ(o.code, code) << o.err;
    EXPECT_NE(o.out.find(expected), std::string::npos) << o.out;
  };
  inspected("whole.tar", 0, "global batch 2: 1 steps an epoch, 1 samples left over");
  inspected("cut.tar", 0, "2 samples, 1 skipped (shard cut short: 1");
  inspected("nocap.tar", 0, "cannot use these data: no usable sample; 2 skipped (no caption: 2");
  inspected("bad", 1,
            "1 skipped (unknown image format: 1, first 0: expected an image (JPEG, PNG, WebP, GIF, BMP, TIFF, PNM or "
            "TGA), found an HTML page)");
  inspected("bad", 1, "bad: no sample is usable");
  inspected("set", 0,
            "set: read the split train/\n1 samples, 1 skipped (unknown image format: 1, first red/1.avif: AVIF)");
  inspected("set", 0, "cannot use these data: set/train: expected captions");
}

}  // namespace
}  // namespace tessera::test
