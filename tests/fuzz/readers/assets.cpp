// What `prepare default` and `evaluate` read beside images: metadata of drawings, fonts, lists of emoji, scenes.
#include <algorithm>

#include "rils/eval/scenes.h"
#include "rils/eval/tasks.h"
#include "rils/prepare/clipart.h"
#include "rils/prepare/concepts.h"
#include "rils/prepare/emoji.h"
#include "rils/prepare/ligatures.h"
#include "tests/fuzz/harness.h"

namespace tessera::fuzz {
namespace {

using namespace rils;

TESSERA_FUZZ(svg_metadata) {
  const SvgMetadata metadata = parse_svg_metadata(input);
  const PictureWords words = picture_words("animals/dog_01.svg", metadata);
  (void)is_unwanted("animals/dog_01.svg", metadata);
  (void)ConceptTable::standard().find_picture(words);
}

TESSERA_FUZZ(concepts) {
  const ConceptTable table = ConceptTable::parse(input);
  for (size_t i = 0; i < table.concepts().size(); ++i) (void)table.group_of(static_cast<int>(i));
  (void)table.find_emoji("dog");
}

TESSERA_FUZZ(emoji_list) {
  for (const Emoji& emoji : parse_emoji_test(input)) expect(!emoji.code_points.empty(), "code points");
}

TESSERA_FUZZ(ligatures) {
  const Ligatures ligatures(bytes_of(input));
  expect(ligatures.size() <= input.size(), "no more ligatures than fit");
  (void)ligatures.find({1, 2});
}

/// One sample with these metadata.
class OneScene final : public Dataset {
 public:
  explicit OneScene(std::string_view metadata) : metadata_(metadata) {}
  [[nodiscard]] int64_t size() const override { return 1; }
  [[nodiscard]] std::string name(int64_t /*index*/) const override { return "scene"; }
  [[nodiscard]] Sample load(int64_t /*index*/, bool /*with_image*/) const override {
    Sample sample;
    sample.metadata = metadata_;
    return sample;
  }

 private:
  std::string metadata_;
};

TESSERA_FUZZ(scene) {
  const auto scenes = scene_objects(OneScene(input));
  for (const SceneObject& o : scenes.at(0)) {
    expect(o.x0 >= 0 && o.x1 <= 1 && o.y0 >= 0 && o.y1 <= 1 && o.x0 < o.x1 && o.y0 < o.y1, "a box in the crop");
  }
}

TESSERA_FUZZ(class_prompts) {
  const auto parts = parts_of(input, 2);
  const OneScene data("");
  const auto names = file("names.txt", parts[0]), templates = file("templates.txt", parts[1]);
  const ClassPrompts prompts = class_prompts(names.string(), templates.string(), "", data);
  expect(!prompts.names.empty() && !prompts.templates.empty(), "names and templates");
  for (const std::string& sentence : prompts.templates) (void)fill_template(sentence, prompts.names.front());
}

}  // namespace
}  // namespace tessera::fuzz
