// Tensors, checkpoints and what model hubs put beside them.
#include <cstring>
#include <sstream>

#include "engine/core/shape.h"
#include "nn/io/safetensors.h"
#include "rils/convert/hub_config.h"
#include "rils/convert/weights.h"
#include "rils/eval/loaded_model.h"
#include "rils/finetune/loaded_classifier.h"
#include "rils/inspect/inspect.h"
#include "rils/query/npy.h"
#include "rils/train/checkpoint_files.h"
#include "tests/fuzz/harness.h"

namespace tessera::fuzz {
namespace {

using namespace rils;

/// A file of safetensors. An input that begins with a brace is a header up to the line's end, and data; any other is
/// the file itself.
std::filesystem::path tensors_file(const std::string& name, std::string_view input) {
  if (!input.starts_with('{')) return file(name, input);
  const size_t end = std::min(input.find('\n'), input.size());
  const uint64_t size = end;
  std::string content(reinterpret_cast<const char*>(&size), sizeof size);
  content.append(input.substr(0, end)).append(input.substr(std::min(end + 1, input.size())));
  return file(name, content);
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.pointer(), b.pointer(), a.bytes()) == 0);
}

TESSERA_FUZZ(safetensors) {
  const nn::SafetensorsFile read(tensors_file("a.safetensors", input));
  (void)accepts<IoError>([&] { read.check_content(); });
  std::vector<nn::NamedTensor> tensors;
  for (const auto& [name, info] : read.tensors()) {
    tensors.push_back({name, read.load(name)});
    expect(tensors.back().tensor.shape() == info.shape && tensors.back().tensor.dtype() == info.dtype, "its shape");
  }
  const auto path = file("written.safetensors", "");
  (void)nn::write_checked_safetensors(path, tensors, read.metadata());
  const nn::SafetensorsFile again(path);
  again.check_content();
  for (const auto& [name, tensor] : tensors)
    expect(same_bytes(again.load(name), tensor), "tensors as they were written");
}

TESSERA_FUZZ(checkpoint) {
  const auto path = tensors_file("step_00000003.safetensors", input);
  const nn::SafetensorsFile weights(path);
  std::ostringstream listing;
  inspect_checkpoint(path.string(), "", listing);
  bool used = false;
  const auto attempt = [&](const auto& function) { used = accepts<Error>(function) || used; };
  attempt([&] { (void)load_model(path.string(), "", 1, "fp32", Texts::unused); });
  attempt([&] { (void)load_classifier(weights, "fp32"); });
  attempt([&] { (void)read_weights(path, {}); });
  attempt([&] { (void)check_checkpoint({path, path, path.parent_path() / "none"}); });
  attempt([&] { (void)number_of_state(weights.metadata(), "loader"); });
  if (!used) throw IoError("no checkpoint");
}

TESSERA_FUZZ(hub_config) {
  const auto parts = parts_of(input, 2);
  (void)file("hub/config.json", parts[1]);
  const auto path = file("hub/open_clip_config.json", parts[0]);
  const bool open_clip = accepts<Error>([&] { (void)read_open_clip_config(path); });
  const bool timm = accepts<Error>([&] { (void)read_timm_config(path); });
  if (!open_clip && !timm) throw IoError("no configuration of a hub");
}

TESSERA_FUZZ(npy) {
  const Tensor values = read_npy(file("a.npy", input));
  const auto path = file("written.npy", "");
  write_npy(path, values);
  expect(same_bytes(read_npy(path), values), "values that are read as they were written");
}

}  // namespace
}  // namespace tessera::fuzz
