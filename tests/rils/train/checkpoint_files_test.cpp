// Only files that were written together are taken for a checkpoint.
#include "rils/train/checkpoint_files.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/train/trainer.h"
#include "tests/rils/train/tiny_model.h"
#include "tests/support/temporary_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

class CheckpointFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Config config = test::tiny_config("clip");
    config.optim.ema = 0.5;
    Trainer trainer(config, 10);
    const std::vector<MicroBatch> batch = {test::random_rows(1, 4)};
    for (int64_t step = 1; step <= 2; ++step) {
      (void)trainer.step(batch);
      trainer.save(files(step), {{"step", std::to_string(step)}}, {{"best", "0.5"}});
    }
  }
  [[nodiscard]] CheckpointFiles files(int64_t step) const {
    const std::string stem = (folder_.path() / fmt::format("step_{:08}", step)).string();
    return {stem + ".safetensors", stem + ".state.safetensors", stem + ".ema.safetensors"};
  }
  /// The message of the refusal, or the remark.
  [[nodiscard]] std::string said(int64_t step) const {
    try {
      return check_checkpoint(files(step));
    } catch (const IoError& e) {
      return std::string("refused: ") + e.what();
    }
  }
  void expect_refused(const std::string& what, const std::string& why) const {
    const std::string text = said(2);
    EXPECT_TRUE(text.starts_with("refused: ") && text.find(why) != std::string::npos) << what << ": " << text;
  }
  static void copy(const fs::path& from, const fs::path& to) {
    fs::copy_file(from, to, fs::copy_options::overwrite_existing);
  }
  /// Writes a file again with other metadata, as a program without checksums would.
  static void edit(const fs::path& path, const std::function<void(nn::Metadata&)>& change) {
    const nn::SafetensorsFile file(path);
    nn::Metadata metadata = file.metadata();
    change(metadata);
    std::vector<nn::NamedTensor> tensors;
    for (const auto& [name, info] : file.tensors()) tensors.push_back({name, file.load(name)});
    nn::write_safetensors(path, tensors, metadata);
  }

  const test::TemporaryFolder folder_;
};

TEST_F(CheckpointFilesTest, AreTakenAsTheyWereWritten) {
  EXPECT_EQ(said(1), "");
  EXPECT_EQ(said(2), "");
}

TEST_F(CheckpointFilesTest, OfAnotherStepAreRefused) {
  for (const auto part : {&CheckpointFiles::state, &CheckpointFiles::ema}) {
    const fs::path path = files(2).*part;
    copy(path, folder_.path() / "kept");
    copy(files(1).*part, path);
    expect_refused(path.string(), "expected what was saved with step_00000002.safetensors");
    copy(folder_.path() / "kept", path);
    EXPECT_EQ(said(2), "");
  }
  copy(files(1).weights, files(2).weights);
  expect_refused("weights", "expected what was saved with");
  copy(files(1).state, files(2).state);
  copy(files(1).ema, files(2).ema);
  expect_refused("all three", "expected the weights of its name, found step_00000001.safetensors");
}

TEST_F(CheckpointFilesTest, WithAFlippedBitAreRefused) {
  for (const auto part : {&CheckpointFiles::weights, &CheckpointFiles::state, &CheckpointFiles::ema}) {
    const fs::path path = files(2).*part;
    const std::string whole = read_file(path);
    for (const size_t at : {size_t{100}, whole.size() / 2, whole.size() - 1}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 4);
      write_file_atomically(path, changed);
      expect_refused(path.string(), path.filename().string());
    }
    write_file_atomically(path, whole);
  }
  EXPECT_EQ(said(2), "");
}

TEST_F(CheckpointFilesTest, WithAChangedHeaderAreRefused) {
  edit(files(2).state, [](nn::Metadata& m) { m["best"] = "1"; });
  expect_refused("state", "checksum");
  edit(files(2).state, [](nn::Metadata& m) { m.erase("tessera_checksum"); });
  expect_refused("state without its checksum", "found a file without a checksum");
}

TEST_F(CheckpointFilesTest, WithoutTheAveragesAreRefused) {
  fs::remove(files(2).ema);
  expect_refused("averages", "expected the averages of this step, found no file");
}

TEST_F(CheckpointFilesTest, OfAnEarlierVersionAreTakenWithARemark) {
  const auto older = [](nn::Metadata& m) {
    for (const char* key : {"tessera_checksum", "state_checksum", "ema_checksum"}) m.erase(key);
  };
  const CheckpointFiles second = files(2);
  for (const fs::path& path : {second.weights, second.state, second.ema}) edit(path, older);
  EXPECT_EQ(said(2), fmt::format("{}: not verified: it has no checksums (an earlier version wrote it)",
                                 second.weights.string()));
  edit(files(1).state, older);
  copy(files(1).state, second.state);
  expect_refused("state", "expected the state after step 2, as the weights, found that after step 1");
}

TEST_F(CheckpointFilesTest, WordsOfAStateAreChecked) {
  const nn::Metadata state = {{"best", "0.5"}, {"bad", "0.5x"}};
  EXPECT_EQ(number_of_state(state, "best"), 0.5);
  EXPECT_THROW((void)number_of_state(state, "bad"), IoError);
  EXPECT_THROW((void)number_of_state(state, "absent"), IoError);
  EXPECT_THROW((void)word_of_state(state, "absent"), IoError);
}

}  // namespace
}  // namespace tessera::rils
