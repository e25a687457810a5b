#include "rils/data/shard_writer.h"

#include <gtest/gtest.h>

#include "rils/data/dataset.h"
#include "rils/data/decode.h"
#include "tests/rils/data/golden_file.h"
#include "tests/support/temporary_folder.h"

namespace tessera::rils {
namespace {

/// open_clip reads JPEG, PNG and WebP from shards, and nothing else.
TEST(ShardWriter, StoresOtherFormatsAsPng) {
  const test::GoldenFile golden("decode");
  const test::TemporaryFolder folder;
  const std::vector<std::string> kinds = {"jpeg_420", "webp_lossy", "bmp_rgb", "gif", "tiff_lzw", "tga_rle"};
  {
    ShardWriter writer(folder.path() / "shards", 100);
    for (const std::string& kind : kinds) {
      const auto bytes = golden.bytes(kind + ".bytes");
      writer.add({.image = bytes, .captions = {kind}, .label = {}, .source = {}});
    }
    const std::string page = "<html>";
    EXPECT_THROW(writer.add({.image = std::as_bytes(std::span(page)), .captions = {}, .label = {}, .source = {}}),
                 SampleError);
    writer.finish();
  }
  const auto data = open_dataset((folder.path() / "shards").string(), {});
  ASSERT_EQ(data->size(), std::ssize(kinds));
  for (int64_t i = 0; i < data->size(); ++i) {
    const std::string& kind = kinds[static_cast<size_t>(i)];
    const Sample sample = data->load(i, true);
    EXPECT_TRUE(decode_sample(sample).pixels == golden.image(kind + ".pixels").pixels) << kind;
    const bool kept = i < 2;
    EXPECT_EQ(image_format(sample.encoded) == ImageFormat::png, !kept) << kind;
  }
}

}  // namespace
}  // namespace tessera::rils
