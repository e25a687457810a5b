// Weights of other projects in the programs, and our weights for them: inspect checkpoint --convert, and the programs
// that read its results.
#include "engine/core/atomic_file.h"
#include "rils/query/npy.h"
#include "tests/apps/tiny_run.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;

class Converted : public TinyRuns {
 protected:
  /// Runs inspect checkpoint and returns its output. An error is a failed expectation.
  [[nodiscard]] std::string convert(const std::string& in, const std::string& out,
                                    const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"checkpoint", in, "--convert", out};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run("inspect", words);
    EXPECT_EQ(o.code, 0) << o.err;
    return o.out;
  }
  [[nodiscard]] std::vector<float> embedded(const std::string& source, const std::string& weights,
                                            const std::string& kind) const {
    const Outcome o = run("query", {"embed", source, "--checkpoint", weights, "--out", "embedded"});
    EXPECT_EQ(o.code, 0) << o.err;
    const Tensor all = rils::read_npy(root() / ("embedded." + kind + ".npy"));
    const auto values = all.data<float>();
    return {values.begin(), values.end()};
  }
  [[nodiscard]] static std::string golden(const std::string& name) {
    return std::string(TESSERA_SOURCE_DIR) + "/tests/golden/convert/" + name;
  }
};

TEST_F(Converted, AModelComesBackFromOpenClipWithItsVocabulary) {
  train("model", {"--epochs", "1"});
  const std::string weights = checkpoint("model", 12).string();
  const std::string said = convert(weights, "theirs", {"--to", "open_clip"});
  EXPECT_NE(said.find("left out: visual.mask_token, visual.decoder_embed"), std::string::npos) << said;
  for (const char* file :
       {"open_clip_model.safetensors", "open_clip_config.json", "config.json", "vocabulary.txt.gz"}) {
    EXPECT_TRUE(fs::is_regular_file(root() / "theirs" / file)) << file;
  }
  EXPECT_FALSE(fs::exists(root() / "theirs.partial"));
  (void)convert("theirs", "ours.safetensors");
  for (const char* kind : {"images", "texts"}) {
    const auto before = embedded(tiny_data().val, weights, kind);
    EXPECT_FALSE(before.empty());
    EXPECT_EQ(before, embedded(tiny_data().val, "ours.safetensors", kind)) << kind;
  }
  const Outcome again = run("inspect", {"checkpoint", weights, "--convert", "theirs", "--to", "open_clip"});
  EXPECT_EQ(again.code, 2);
  EXPECT_EQ(again.err, "error: --convert: theirs exists already\n");
}

TEST_F(Converted, AnEncoderOfTimmIsFineTunedAndProbed) {
  const std::string raw = golden("timm_avg/model.safetensors");
  fs::create_directories(root() / "data");
  for (const char* split : {"data/train", "data/val"}) {
    fs::create_directory_symlink(tiny_data().labelled, root() / split);
  }
  const std::vector<std::string> words = {"--data-path", "data", "--epochs", "1", "--batch-size", "8"};
  const auto finetune = [&](const std::string& weights, std::vector<std::string> more) {
    more.insert(more.end(), words.begin(), words.end());
    more.insert(more.end(), {"--finetune", weights});
    return run("finetune", more);
  };
  const Outcome refused = finetune(raw, {"--name", "raw"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("inspect checkpoint --convert reads weights of timm, MAE and open_clip"),
            std::string::npos)
      << refused.err;

  (void)convert(golden("timm_avg"), "timm.safetensors");
  EXPECT_EQ(finetune("timm.safetensors", {"--name", "mean"}).code, 0);
  EXPECT_EQ(finetune("timm.safetensors", {"--name", "cls", "--cls-token", "--input-size", "48"}).code, 0);
  EXPECT_EQ(finetune("timm.safetensors", {"--name", "linear", "--linear"}).code, 0);
  EXPECT_FALSE(lines("linear", "results.jsonl").empty());
  // Models with a text encoder, through their image encoder.
  (void)convert(golden("clip_quick"), "clip.safetensors");
  const Outcome follows = finetune("clip.safetensors", {"--name", "clip", "--cls-token"});
  EXPECT_EQ(follows.code, 0);
  const Outcome departs = finetune("clip.safetensors", {"--name", "patches"});
  EXPECT_EQ(departs.code, 0);
  const std::string note =
      "note: the checkpoint's encoder pools by its CLS token, this run by the mean of the patch tokens";
  EXPECT_EQ(follows.out.find(note), std::string::npos);
  EXPECT_NE(departs.out.find(note), std::string::npos) << departs.out;

  const Outcome trained = run("pretrain", training("encoder", {"--objective", "encoder"}));
  EXPECT_EQ(trained.code, 2);
  EXPECT_EQ(trained.err,
            "error: model.objective: expected one that can be trained, found encoder: an encoder to be used by "
            "finetune, evaluate and query\n");
  EXPECT_EQ(embedded(tiny_data().val, "timm.safetensors", "images").size(), size_t{100} * 24);
}

}  // namespace
}  // namespace tessera::test
