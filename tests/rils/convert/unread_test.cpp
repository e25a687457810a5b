// Weights that are known and not read: each is refused in words, with the way out.
#include "rils/convert/unread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "engine/core/atomic_file.h"
#include "tests/rils/convert/convert_case.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using test_convert::Convert;
using test_convert::said_of;

TEST_F(Convert, PicklesAreNotReadAndTheErrorConvertsThem) {
  const fs::path file = folder_.write("mae_pretrain_vit_base.pth", "PK\x03\x04");
  const std::string said = said_of(file);
  EXPECT_TRUE(
      said.starts_with(file.string() + ": a pickle can run programs and is not read; convert it: python3 -c '"));
  EXPECT_TRUE(said.ends_with("' '" + file.string() + "' '" + at("mae_pretrain_vit_base.safetensors").string() + "'"));
  // The program stands between two single quotes of the shell.
  EXPECT_EQ(std::ranges::count(said, '\''), 6) << said;
  EXPECT_NE(said.find("pickle_module="), std::string::npos);
  // The same error for a folder that holds nothing else.
  EXPECT_EQ(said_of(folder_.path()), said);
}

TEST_F(Convert, PicklesAreKnownByTheirContent) {
  using namespace std::string_literals;
  const std::string archive = "PK\x03\x04 archive/data.pkl ...", script = archive + " archive/constants.pkl";
  const std::string alone =
      "\x80\x02\x8a\x0al\xfc\x9c"
      "F\xf9 j\xa8P\x19."s;
  for (const std::string& content : {archive, alone}) {
    const fs::path file = folder_.write("checkpoint_best.pth.tar", content);
    EXPECT_NE(said_of(file).find("torch.load(f"), std::string::npos) << said_of(file);
  }
  EXPECT_NE(said_of(folder_.write("ViT-B-32.pt", script)).find("torch.jit.load(f"), std::string::npos);
  const fs::path pointer = folder_.write("vit.pth", "version https://git-lfs.github.com/spec/v1\n");
  EXPECT_EQ(said_of(pointer), pointer.string() + ": a pointer of Git LFS, not the weights; git lfs pull fetches them");
  // A safetensors file whose header has 640 bytes begins as a pickle does.
  const std::string json = R"({"cls_token":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})";
  const fs::path tensors =
      folder_.write("a.safetensors", "\x80\x02\0\0\0\0\0\0"s + json + std::string(640 - json.size(), ' '));
  EXPECT_NE(said_of(tensors).find("expected the tensor names"), std::string::npos) << said_of(tensors);
  const fs::path other = folder_.write("weights.npz", "PK\x03\x04 a.npy ...");
  EXPECT_EQ(said_of(other),
            other.string() + ": expected a safetensors file, found a ZIP archive or a pickle (torch.save)");
}

TEST_F(Convert, APathStaysOneWordOfTheShell) {
  const auto word = [&](const std::string& name) {
    const std::string said = said_of(folder_.write(name, ""));
    return said.substr(said.find("s.save_file(dict(t), o)' ") + 25);
  };
  const std::string folder = folder_.path().string();
  EXPECT_EQ(word("it's $HOME.pt"), "'" + folder + "/it'\\''s $HOME.pt' '" + folder + "/it'\\''s $HOME.safetensors'");
  EXPECT_EQ(word("a\nb'\\.pt"), "$'" + folder + "/a\\012b\\'\\\\.pt' $'" + folder + "/a\\012b\\'\\\\.safetensors'");
}

TEST_F(Convert, WeightsOfOtherKindsAreRefusedInWords) {
  const auto with = [&](const std::string& golden, const std::string& name) {
    return said_of(changed(golden, [&](auto& all) { all[name] = Tensor::zeros({1, 4, 8}); }));
  };
  const std::string clip = "clip_gelu/open_clip_model.safetensors", timm = "timm_cls/model.safetensors";
  for (const auto& [golden, name, word] :
       {std::tuple{clip, "text_model.embeddings.token_embedding.weight", "Hugging Face's names"},
        std::tuple{timm, "vision_model.embeddings.class_embedding", "Hugging Face's names"},
        std::tuple{timm, "vit.embeddings.cls_token", "Hugging Face's names"},
        std::tuple{timm, "embeddings.cls_token", "Hugging Face's names"},
        std::tuple{timm, "encoder.layer.0.attention.attention.key.weight", "Hugging Face's names"},
        std::tuple{timm, "blocks.0.ls1.gamma", "layer scale"}, std::tuple{timm, "reg_token", "register tokens"},
        std::tuple{clip, "visual.trunk.reg_token", "register tokens"},
        std::tuple{clip, "text.token_embedding.weight", "a text tower of its own"}}) {
    const std::string said = with(golden, name);
    EXPECT_NE(said.find(word), std::string::npos) << said;
    EXPECT_NE(said.find(name), std::string::npos) << said;
  }
  const std::string behind = said_of(changed(timm, [](auto& all) {
    std::map<std::string, Tensor> renamed;
    for (const auto& [name, tensor] : all) renamed["student.net." + name] = tensor;
    all = std::move(renamed);
  }));
  EXPECT_NE(behind.find("names behind the prefix student.net.;"), std::string::npos) << behind;
  // Parts: the folder, its list, one of them.
  const fs::path parts = at("parts");
  fs::create_directories(parts);
  for (const char* file : {"model-00001-of-00002.safetensors", "model.safetensors.index.json"}) {
    write_file_atomically(parts / file, "{}");
    EXPECT_NE(said_of(parts / file).find("weights in parts are not read; join them: python3 -c"), std::string::npos);
  }
  EXPECT_NE(said_of(parts).find("weights in parts are not read; join them: python3 -c"), std::string::npos);
  write_file_atomically(parts / "pytorch_model-00001-of-00002.bin", "PK");
  EXPECT_NE(said_of(parts / "pytorch_model-00001-of-00002.bin").find("weights in parts that are pickles"),
            std::string::npos);
}

}  // namespace
}  // namespace tessera::rils
