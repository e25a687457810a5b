#include "rils/eval/scenes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

class Scenes : public ::testing::Test {
 protected:
  Scenes() : root_(fs::path(testing::TempDir()) / ("tessera_scenes_" + std::to_string(::getpid()))) {
    fs::create_directories(root_ / "00000");
  }
  ~Scenes() override { fs::remove_all(root_); }

  void add(const std::string& key, const std::string& json) {
    write_file_atomically(root_ / "00000" / (key + ".jpg"), "read by nobody");
    write_file_atomically(root_ / "00000" / (key + ".json"), json);
  }
  [[nodiscard]] std::vector<std::vector<SceneObject>> read() const {
    DatasetOptions options;
    options.type = DatasetType::files;
    options.need_caption = false;
    options.need_metadata = true;
    return scene_objects(*open_dataset(root_.string(), options));
  }

  fs::path root_;
};

TEST_F(Scenes, BoxesAreFractionsOfTheCentreCrop) {
  // 200 x 100: the crop is the middle 100 columns.
  add("a", R"({"width": 200, "height": 100, "objects": [
    {"name": "dog", "box": [60, 20, 100, 70]}, {"name": "cut", "box": [0, 0, 75, 100]},
    {"name": "outside", "box": [0, 0, 50, 100]}]})");
  add("b", R"({"width": 10, "height": 10, "objects": []})");
  const auto scenes = read();
  ASSERT_EQ(scenes.size(), 2U);
  ASSERT_EQ(scenes[0].size(), 2U) << "what the crop leaves out is no target";
  const SceneObject& dog = scenes[0][0];
  EXPECT_EQ(dog.name, "dog");
  EXPECT_DOUBLE_EQ(dog.x0, 0.1);
  EXPECT_DOUBLE_EQ(dog.y0, 0.2);
  EXPECT_DOUBLE_EQ(dog.x1, 0.5);
  EXPECT_DOUBLE_EQ(dog.y1, 0.7);
  EXPECT_DOUBLE_EQ(scenes[0][1].x0, 0.0);
  EXPECT_DOUBLE_EQ(scenes[0][1].x1, 0.25);
  EXPECT_TRUE(scenes[1].empty());
}

TEST_F(Scenes, OtherMetadataIsAnErrorThatNamesTheSample) {
  for (const char* bad : {"{}", "no JSON", R"({"width": 1, "height": 1, "objects": [{"name": "x"}]})",
                          R"({"width": 1, "height": 1, "objects": [{"name": "x", "box": [1, 2]}]})"}) {
    add("c", bad);
    try {
      (void)read();
      FAIL() << bad;
    } catch (const IoError& error) {
      EXPECT_NE(std::string(error.what()).find("/c"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace tessera::rils
