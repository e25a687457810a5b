#include "rils/convert/unread.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <string_view>

#include "engine/core/error.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

enum class Found : uint8_t { other, pickle, script, pointer };

/// The last bytes of a file, at most `most`; all of them for a shorter file.
std::string end_of(std::ifstream& file, std::streamoff most) {
  file.seekg(0, std::ios::end);
  const std::streamoff size = std::min<std::streamoff>(file.tellg(), most);
  std::string bytes(static_cast<size_t>(std::max<std::streamoff>(size, 0)), '\0');
  file.seekg(-size, std::ios::end);
  file.read(bytes.data(), size);
  return bytes;
}

/// What the content of a file is. A ZIP archive lists its members at its end.
Found content_of(const fs::path& path) {
  constexpr std::streamoff kMostList = 1 << 22;
  if (!fs::is_regular_file(path)) return Found::other;
  std::ifstream file(path, std::ios::binary);
  std::string head(9, '\0');
  if (!file.read(head.data(), static_cast<std::streamsize>(head.size()))) return Found::other;
  if (head == "version h") return Found::pointer;  // of Git LFS, like safetensors files
  // A safetensors file whose header has 640 bytes begins like a pickle, and has its brace in the ninth byte.
  if (head[0] == '\x80' && head[1] >= 2 && head[1] <= 5 && head[8] != '{') return Found::pickle;
  if (!head.starts_with("PK\x03\x04")) return Found::other;
  const std::string list = end_of(file, kMostList);
  if (list.find("/data.pkl") == std::string::npos) return Found::other;
  return list.find("/constants.pkl") == std::string::npos ? Found::pickle : Found::script;
}

/// A word for a POSIX shell; control characters need bash.
std::string shell_word(std::string_view text) {
  const bool control = std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  std::string word = control ? "$'" : "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      word += fmt::format("\\{:03o}", static_cast<unsigned>(c));
    } else if (c == '\'') {
      word += control ? "\\'" : "'\\''";
    } else {
      if (c == '\\' && control) word += c;
      word += c;
    }
  }
  return word + '\'';
}

/// Reads f with an unpickler that knows tensors and nothing else. Arguments, settings and callbacks become objects of a
/// class that does nothing, so no function that the file names is called.
constexpr std::string_view kReadPickle =
    "E = type(\"E\", (dict,), {\"__hash__\": lambda s: 0, **dict.fromkeys(\"__init__ __setstate__ append extend "
    "add\".split(), "
    "lambda *a, **k: None)}); "
    "K = \"collections.OrderedDict torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2 "
    "torch._utils._rebuild_parameter torch.Size\".split(); "
    "U = type(\"U\", (pickle.Unpickler,), {\"find_class\": lambda u, m, n: pickle.Unpickler.find_class(u, m, n) if m + "
    "\".\" + n in K else E}); "
    "d = torch.load(f, map_location=\"cpu\", weights_only=False, "
    "pickle_module=types.SimpleNamespace(__name__=\"tensors\", Unpickler=U, "
    "load=lambda f, **k: U(f, **k).load()));";
constexpr std::string_view kReadScript = "d = torch.jit.load(f, map_location=\"cpu\").state_dict();";

/// A command of Python that makes `to` of `from`.
std::string command(std::string_view read, const fs::path& from, const fs::path& to) {
  return fmt::format(
      "python3 -c 'import functools, os, pickle, re, sys, torch, types, safetensors.torch as s; f, o = sys.argv[1:]; "
      "os.path.exists(o) and sys.exit(o + \" exists already\"); {} "
      "d = functools.reduce(lambda d, k: d[k] if isinstance(d.get(k), dict) else d, "
      "(\"state_dict_ema model_ema teacher model state_dict student \" * 2).split(), d if isinstance(d, dict) else "
      "{{}}); "
      "t = [(re.sub(r\"^((module|_orig_mod|model|backbone|encoder)[.])+\", \"\", k), v.detach().contiguous().clone()) "
      "for k, v in d.items() if isinstance(v, torch.Tensor)]; "
      "t or sys.exit(f + \": no tensors by name; load the model and save its state_dict()\"); "
      "len(dict(t)) == len(t) or sys.exit(f + \": two tensors of one name behind different prefixes\"); "
      "s.save_file(dict(t), o)' {} {}",
      read, shell_word(from.string()), shell_word(to.string()));
}

/// Names of tensors of an image encoder, in the families that are read.
constexpr std::array<std::string_view, 2> kBlocks = {"blocks.0.attn.qkv.weight",
                                                     "visual.transformer.resblocks.0.attn.in_proj_weight"};

}  // namespace

void refuse_pickle(const fs::path& path) {
  constexpr std::array kEndings = {".pth", ".pt", ".bin", ".ckpt", ".pkl"};
  const Found found = content_of(path);
  const bool named = std::ranges::find(kEndings, path.extension().string()) != kEndings.end();
  if (found == Found::other && !named) return;
  if (found == Found::pointer) {
    throw IoError(fmt::format("{}: a pointer of Git LFS, not the weights; git lfs pull fetches them", path.string()));
  }
  const std::string_view read = found == Found::script ? kReadScript : kReadPickle;
  throw IoError(fmt::format("{}: a pickle can run programs and is not read; convert it: {}", path.string(),
                            command(read, path, fs::path(path).replace_extension(".safetensors"))));
}

void refuse_parts(const fs::path& path) {
  const std::string name = path.filename().string();
  const bool part = name.find("-of-") != std::string::npos;
  const bool pickles = name.ends_with(".bin.index.json") || (part && path.extension() == ".bin");
  if (!pickles && !name.ends_with(".index.json") && !(part && path.extension() == ".safetensors")) return;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (pickles) {
    throw IoError(
        fmt::format("{}: weights in parts that are pickles are not read; load the model with the program "
                    "that made it and save its state_dict() as one safetensors file",
                    path.string()));
  }
  throw IoError(fmt::format(
      "{}: weights in parts are not read; join them: python3 -c 'import glob, os, sys, safetensors.torch as s; "
      "p = glob.escape(sys.argv[1]); o = os.path.join(sys.argv[1], \"model.safetensors\"); "
      "os.path.exists(o) and sys.exit(o + \" exists already\"); "
      "s.save_file({{k: v for f in glob.glob(p + \"/*-of-*.safetensors\") for k, v in s.load_file(f).items()}}, o)' {}",
      path.string(), shell_word(folder.string())));
}

void refuse_known(const nn::SafetensorsFile& file) {
  struct Kind {
    std::string_view start, what;
  };
  constexpr std::string_view kHub =
      "Hugging Face's names of tensors (CLIPModel, ViTModel); load the model with open_clip or timm, which rename "
      "them, and save its state_dict()";
  constexpr std::string_view kScale =
      "a model with layer scale, which this encoder does not have; use one without (DINO instead of DINOv2)";
  constexpr std::array kKinds = {
      Kind{"text_model.", kHub},
      Kind{"vision_model.", kHub},
      Kind{"vit.", kHub},
      Kind{"embeddings.", kHub},
      Kind{"encoder.layer.", kHub},
      Kind{"reg_token",
           "a model with register tokens, which this encoder does not have; use one without (no _reg in its "
           "name)"},
      Kind{"register_tokens",
           "a model with register tokens, which this encoder does not have; use one without (no _reg in its "
           "name)"},
      Kind{"visual.trunk.reg_token", "an image encoder with register tokens, which this one does not have"},
      Kind{"blocks.0.ls1.", kScale},
      Kind{"blocks.0.0.ls1.", kScale},
      Kind{"visual.trunk.blocks.0.ls1.", kScale},
      Kind{"visual.transformer.resblocks.0.ls_1.", kScale},
      Kind{"visual.attnpool.", "an image encoder with attention pooling (a ResNet of CLIP), which is not read"},
      Kind{"text.",
           "a text tower of its own (custom_text of open_clip); if it is CLIP's transformer, save the weights "
           "again without the prefix text."},
  };
  const auto refuse = [&](std::string_view what, const std::string& tensor) {
    throw IoError(fmt::format("{}: expected weights of timm, MAE, SLIP or open_clip, found {} (the tensor {})",
                              file.path().string(), what, tensor));
  };
  for (const Kind& kind : kKinds) {
    const auto named = file.tensors().lower_bound(std::string(kind.start));
    if (named != file.tensors().end() && named->first.starts_with(kind.start)) refuse(kind.what, named->first);
  }
  for (const std::string_view block : kBlocks) {
    if (file.contains(std::string(block))) continue;
    for (const auto& [name, info] : file.tensors()) {
      if (!name.ends_with(block) || name.size() == block.size()) continue;
      const std::string prefix = name.substr(0, name.size() - block.size());
      if (prefix == "visual." || prefix == "visual.trunk." || !prefix.ends_with('.')) continue;
      refuse(fmt::format("names behind the prefix {}; save the weights again without it", prefix), name);
    }
  }
}

}  // namespace tessera::rils
