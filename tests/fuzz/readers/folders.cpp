// Folders of images, texts, tables and classes, with names of any bytes.
#include <algorithm>
#include <array>
#include <fstream>
#include <system_error>

#include "rils/data/detect.h"
#include "rils/data/folder_walk.h"
#include "rils/text/ascii.h"
#include "rils/text/encoding.h"
#include "tests/fuzz/harness.h"
#include "tests/rils/data/test_files.h"

namespace tessera::fuzz {
namespace {

using namespace rils;
namespace fs = std::filesystem;

/// Makes files of lines "PATH<tab>CONTENT"; the content "p" stands for a picture.
fs::path folder_of(std::string_view input) {
  constexpr size_t kMostFiles = 24;
  static const std::string picture = test::png_text(3);
  const fs::path root = empty_folder("data");
  size_t files = 0;
  for (const std::string_view line : split(input, '\n')) {
    const size_t tab = std::min(line.find('\t'), line.size());
    const std::string name(line.substr(0, tab));
    const std::string_view content = line.substr(std::min(tab + 1, line.size()));
    const auto parts = split(name, '/');
    const bool inside = std::ranges::none_of(parts, [](auto part) { return part == ".." || part.size() > 100; });
    if (++files > kMostFiles || !inside || parts.size() > 5 || name.find('\0') != std::string::npos) continue;
    std::error_code ignored;
    const fs::path path = root / fs::path("./" + name);
    fs::create_directories(path.parent_path(), ignored);
    std::ofstream(path, std::ios::binary) << (content == "p" ? picture : content);
  }
  return root;
}

/// The files below a folder with the usual extensions of images.
int64_t images_below(const fs::path& folder) {
  constexpr std::array kExtensions = {".jpg", ".jpeg", ".png", ".webp"};
  int64_t images = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = lower_extension(entry.path());
    images += entry.is_regular_file() && std::ranges::find(kExtensions, extension) != kExtensions.end() ? 1 : 0;
  }
  return images;
}

TESSERA_FUZZ(folders) {
  const unsigned choice = take_choice(input);
  DatasetOptions options;
  options.need_label = (choice & 1) != 0;
  options.need_caption = !options.need_label && (choice & 2) == 0;
  options.split = std::array{"train", "val"}[(choice >> 2) & 1];
  options.type = std::array{DatasetType::automatic, DatasetType::files, DatasetType::folder,
                            DatasetType::images}[(choice >> 3) & 3];
  const fs::path root = folder_of(input);
  const Found found = find_data(root, options);
  const auto data = open_dataset(root.string(), options);
  for (int64_t i = 0; i < data->size(); ++i) {
    Sample sample;
    if (!accepts<SampleError>([&] { sample = data->load(i); })) continue;
    expect(!options.need_label || sample.label >= 0, "a label where one is needed");
    expect(!options.need_caption || !sample.captions.empty(), "a caption where one is needed");
    expect(std::ranges::all_of(sample.captions, is_utf8), "captions in UTF-8");
  }
  const bool walked =
      found.type == DatasetType::files || found.type == DatasetType::folder || found.type == DatasetType::images;
  expect(!walked || data->total() >= images_below(found.path), "every image in a sample or counted as skipped");
}

}  // namespace
}  // namespace tessera::fuzz
