// A model away from where it was trained: its file alone, under another name, without its vocabulary's file.
#include "engine/core/atomic_file.h"
#include "nn/io/safetensors.h"
#include "rils/query/npy.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

class Travel : public TinyRuns {
 protected:
  /// Trains a run whose vocabulary's file, words.txt, is gone afterwards.
  void train_and_lose(const Words& more = {}) const {
    fs::copy_file(tiny_data().vocabulary, root() / "words.txt");
    Words words = {"--vocabulary", "words.txt"};
    words.insert(words.end(), more.begin(), more.end());
    train("model", words);
    fs::remove(root() / "words.txt");
  }
  /// The run's latest weights as the only thing that is left of it.
  [[nodiscard]] std::string moved() const {
    const fs::path file = root() / "elsewhere" / "model.safetensors";
    fs::create_directories(file.parent_path());
    fs::copy_file(checkpoint("model", 12), file);
    fs::remove_all(log_folder("model"));
    return file.string();
  }
  /// The same weights as a version wrote them that kept no vocabulary.
  [[nodiscard]] std::string without_merges(const fs::path& file) const {
    auto metadata = nn::SafetensorsFile(file).metadata();
    EXPECT_EQ(metadata.erase("merges"), 1U);
    metadata.erase("tessera_checksum");
    std::vector<nn::NamedTensor> tensors;
    for (const auto& [name, tensor] : tensors_of(file)) tensors.push_back({name, tensor});
    const fs::path older = root() / "older.safetensors";
    nn::write_safetensors(older, tensors, metadata);
    return older.string();
  }
  /// The vocabulary with its first two merges exchanged.
  [[nodiscard]] std::string other_vocabulary() const {
    std::string merges = read_file(tiny_data().vocabulary);
    const size_t first = merges.find('\n') + 1, second = merges.find('\n', first) + 1,
                 end = merges.find('\n', second) + 1;
    merges = merges.substr(0, first) + merges.substr(second, end - second) + merges.substr(first, second - first) +
             merges.substr(end);
    return folder().write("other.txt", std::string_view(merges)).string();
  }
  void expect_works(const std::string& program, const Words& words) const {
    const Outcome o = run(program, words);
    EXPECT_EQ(o.code, 0) << program << ": " << o.err;
  }
  static void expect_in(const std::string& part, const std::string& text) {
    EXPECT_NE(text.find(part), std::string::npos) << "expected: " << part << "\nfound: " << text;
  }
};

TEST_F(Travel, AMovedFileIsAWholeModel) {
  train_and_lose();
  EXPECT_EQ(read_file(log_folder("model") / "vocabulary.txt"), read_file(tiny_data().vocabulary));
  const std::string weights = moved(), val = tiny_data().val;
  expect_works("evaluate", {"retrieval", "--checkpoint", weights, "--data", val});
  folder().write("a.png", rils::encode_png(flat_image(200, 32, 32)));
  folder().write("labels.txt", "red\nblue\n");
  expect_works("query", {"search", "red", val, "--checkpoint", weights});
  expect_works("query", {"classify", "a.png", "--labels", "labels.txt", "--checkpoint", weights});
  expect_works("inspect", {"heatmap", "--checkpoint", weights, "--image", "a.png", "--sentences", "red", "blue",
                           "--out", "map.svg"});
  const Outcome listed = run("inspect", {"checkpoint", weights});
  expect_in("merges: the vocabulary, ", listed.out);
  EXPECT_EQ(listed.out.find("#version"), std::string::npos);
  // To open_clip and back, and the folder may move too.
  expect_works("inspect", {"checkpoint", weights, "--convert", "theirs", "--to", "open_clip"});
  EXPECT_TRUE(fs::exists(root() / "theirs" / "vocabulary.txt.gz"));
  fs::rename(root() / "theirs", root() / "moved");
  expect_works("inspect", {"checkpoint", "moved", "--convert", "ours.safetensors"});
  fs::remove_all(root() / "moved");
  const auto texts = [&](const std::string& file) {
    expect_works("query", {"embed", val, "--checkpoint", file, "--out", "e"});
    const Tensor all = rils::read_npy(root() / "e.texts.npy");
    return std::vector<float>(all.data<float>().begin(), all.data<float>().end());
  };
  EXPECT_EQ(texts("ours.safetensors"), texts(weights));
  // A run that begins from it, with its vocabulary.
  const Outcome next = run("pretrain", training("next", {"--pretrained", weights, "--vocabulary", ""}));
  EXPECT_EQ(next.code, 0) << next.err;
  expect_in("vocabulary: that of " + weights, next.out);
  EXPECT_EQ(read_file(log_folder("next") / "vocabulary.txt"), read_file(tiny_data().vocabulary));
  const Outcome resumed = run("pretrain", {"--name", "next", "--resume", "latest", "--epochs", "2"});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
}

TEST_F(Travel, AnotherVocabularyIsNoticed) {
  train("model");
  const std::string weights = checkpoint("model", 12).string(), other = other_vocabulary();
  const Words retrieval = {"retrieval", "--checkpoint", weights, "--data", tiny_data().val, "--vocabulary"};
  const auto with = [&](const std::string& vocabulary) {
    Words words = retrieval;
    words.push_back(vocabulary);
    return run("evaluate", words);
  };
  EXPECT_EQ(with(tiny_data().vocabulary).code, 0);
  const Outcome refused = with(other);
  EXPECT_EQ(refused.code, 2);
  expect_in("error: --vocabulary: expected the vocabulary ", refused.err);
  const Outcome missing = with("none.txt");
  EXPECT_NE(missing.code, 0) << "what is typed counts";
  const Outcome convert =
      run("inspect", {"checkpoint", weights, "--convert", "out", "--to", "open_clip", "--vocabulary", other});
  EXPECT_EQ(convert.code, 2);
  expect_in("error: --vocabulary: expected the model's vocabulary ", convert.err);
  const Outcome started = run("pretrain", training("next", {"--pretrained", weights, "--vocabulary", other}));
  EXPECT_EQ(started.code, 0) << started.err;
  expect_in("warning: " + weights + " has another vocabulary (", started.out);
}

TEST_F(Travel, ACheckpointOfAnEarlierVersionNamesItsVocabulary) {
  fs::copy_file(tiny_data().vocabulary, root() / "words.txt");
  train("model", {"--vocabulary", "words.txt"});
  const std::string older = without_merges(checkpoint("model", 12));
  Words retrieval = {"retrieval", "--checkpoint", older, "--data", tiny_data().val};
  expect_works("evaluate", retrieval);
  expect_works("inspect", {"checkpoint", older, "--convert", "theirs", "--to", "open_clip"});
  EXPECT_TRUE(fs::exists(root() / "theirs" / "vocabulary.txt.gz"));
  fs::remove(root() / "words.txt");
  expect_works("evaluate",
               {"knn", "--checkpoint", older, "--train-data", tiny_data().labelled, "--data", tiny_data().labelled});
  const Outcome refused = run("evaluate", retrieval);
  EXPECT_EQ(refused.code, 2);
  expect_in("error: --vocabulary: expected the model's vocabulary, since words.txt (", refused.err);
  retrieval.insert(retrieval.end(), {"--vocabulary", tiny_data().vocabulary});
  expect_works("evaluate", retrieval);
}

TEST_F(Travel, ARunGoesOnWithItsOwnCopy) {
  train("kept");
  EXPECT_EQ(run("pretrain", {"--name", "kept", "--resume", "latest", "--epochs", "2"}).code, 0);
  train_and_lose();
  const Outcome resumed = run("pretrain", {"--name", "model", "--resume", "latest", "--epochs", "2"});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  expect_in("vocabulary: logs/model/vocabulary.txt, since words.txt does not exist", resumed.out);
  EXPECT_TRUE(different_tensors(checkpoint("kept", 24), checkpoint("model", 24)).empty());
}

}  // namespace
}  // namespace tessera::test
