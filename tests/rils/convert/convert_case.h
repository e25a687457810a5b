#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "nn/io/checkpoint.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/convert/convert.h"
#include "rils/eval/loaded_model.h"
#include "tests/rils/data/test_files.h"
#include "tests/support/golden.h"

namespace tessera::rils::test_convert {

namespace fs = std::filesystem;

inline std::string case_path(const std::string& name) { return test::golden_path("convert/" + name); }

inline std::map<std::string, Tensor> tensors_of(const fs::path& path) {
  std::map<std::string, Tensor> all;
  const nn::SafetensorsFile file(path);
  for (const auto& [name, info] : file.tensors()) all.emplace(name, file.load(name));
  return all;
}

/// The message of the error that `action` throws.
template <class E, class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const E& e) {
    return e.what();
  }
  ADD_FAILURE() << "no error of this kind";
  return {};
}

inline std::string said_of(const std::string& path, const WeightsOptions& options = {}) {
  return message_of<Error>([&] { (void)read_weights(path, options); });
}

/// A folder of its own for each test.
class Convert : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path at(const std::string& name) const { return folder_.path() / name; }
  /// Writes a checkpoint of Tessera with initial values.
  [[nodiscard]] std::string ours(const Config& config) const {
    Model model(config.model, 7);
    const fs::path path = at(std::string(word_of(config.model.objective)) + ".safetensors");
    save_weights(path, model.store(), {{"config", to_toml(config)}, {"vocabulary", "unknown"}});
    return path.string();
  }
  /// A copy of a golden file with some tensors changed, without a configuration beside it.
  [[nodiscard]] std::string changed(const std::string& name,
                                    const std::function<void(std::map<std::string, Tensor>&)>& edit) const {
    auto all = tensors_of(case_path(name));
    edit(all);
    std::vector<nn::NamedTensor> list;
    for (const auto& [key, tensor] : all) list.push_back({key, tensor});
    nn::write_safetensors(at("changed.safetensors"), list);
    return at("changed.safetensors").string();
  }
  test::TemporaryFolder folder_;
};

}  // namespace tessera::rils::test_convert
