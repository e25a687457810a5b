#include "rils/data/idx.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "rils/data/byte_source.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

std::string idx_bytes(std::vector<uint32_t> dims, size_t count) {
  std::string bytes = {'\0', '\0', '\x08', static_cast<char>(dims.size())};
  for (const uint32_t d : dims)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(d >> shift & 0xff);
  for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(i % 251);
  return bytes;
}

void write_gzip(const std::filesystem::path& path, const std::string& content) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, content.data(), static_cast<unsigned>(content.size())), static_cast<int>(content.size()));
  gzclose(file);
}

TEST(Idx, PlainAndCompressedGiveTheSame) {
  const test::TemporaryFolder folder;
  const std::string images = idx_bytes({4, 3, 5}, 60), labels = idx_bytes({4}, 4);
  folder.write("train-images-idx3-ubyte", images);
  folder.write("train-labels-idx1-ubyte", labels);
  write_gzip(folder.path() / "t10k-images-idx3-ubyte.gz", images);
  write_gzip(folder.path() / "t10k-labels-idx1-ubyte.gz", labels);
  DatasetOptions options;
  options.need_caption = false;
  for (const std::string split : {"train", "test"}) {
    SCOPED_TRACE(split);
    options.split = split;
    const auto dataset = open_dataset(folder.path().string(), options);
    ASSERT_EQ(dataset->size(), 4);
    EXPECT_EQ(dataset->name(2), split == "train" ? "train-images-idx3-ubyte[2]" : "t10k-images-idx3-ubyte.gz[2]");
    const Sample sample = dataset->load(2);
    EXPECT_EQ(sample.label, 2);
    ASSERT_TRUE(sample.decoded);
    EXPECT_EQ(sample.decoded->width, 5);
    EXPECT_EQ(sample.decoded->height, 3);
    EXPECT_EQ(sample.decoded->pixels[3 * 7], 37);
    EXPECT_EQ(sample.decoded->pixels[3 * 7 + 2], 37);
  }
}

std::string refusal(const std::filesystem::path& path) {
  try {
    (void)read_idx(path);
  } catch (const IoError& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "accepted";
}

TEST(Idx, BadFilesAreRefusedInOneLine) {
  const test::TemporaryFolder folder;
  const std::string good = idx_bytes({4, 3, 5}, 60);
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_NE(refusal(folder.write("short", good.substr(0, length))), "accepted") << length;
  EXPECT_EQ(refusal(folder.write("good", good)), "accepted");
  EXPECT_NE(refusal(folder.write("long", good + "x")).find("longer"), std::string::npos);
  EXPECT_NE(refusal(folder.write("magic", "PK\3\4" + good)).find("not an IDX file"), std::string::npos);
  EXPECT_NE(refusal(folder.write("floats", std::string("\0\0\x0d\1", 4) + good)).find("not an IDX file"),
            std::string::npos);
  // Headers that announce 2^60 bytes, and four billion bytes that are missing.
  EXPECT_NE(refusal(folder.write("huge", idx_bytes({1u << 20, 1u << 20, 1u << 20}, 10))).find("announces"),
            std::string::npos);
  EXPECT_NE(refusal(folder.write("lies", idx_bytes({0xffffffffu}, 10))).find("cut short"), std::string::npos);
  EXPECT_NE(refusal(folder.path() / "absent").find("cannot open"), std::string::npos);
  write_gzip(folder.path() / "z.gz", good);
  const std::string packed = test::text_of(read_bytes(folder.path() / "z.gz"));
  for (size_t length = 1; length < packed.size(); ++length)
    EXPECT_NE(refusal(folder.write("cut.gz", packed.substr(0, length))), "accepted") << length;
}

TEST(Idx, NothingIsReadForAHeaderThatTheFileCannotHold) {
  const test::TemporaryFolder folder;
  // 70 MiB of zeros take 70 KB: more than 64 MiB, and more than 200 times the file.
  write_gzip(folder.path() / "bomb.gz", idx_bytes({70, 1024, 1024}, 0) + std::string(70 << 20, '\0'));
  EXPECT_NE(refusal(folder.path() / "bomb.gz").find("holds at most 67108864 values"), std::string::npos);
  const auto images = folder.write("wide-images-idx3-ubyte", idx_bytes({0, 0xffffffffu, 0xffffffffu}, 0));
  folder.write("wide-labels-idx1-ubyte", idx_bytes({0}, 0));
  EXPECT_THROW(IdxDataset{images}, IoError);
}

TEST(Idx, LabelsMustBelongToTheImages) {
  const test::TemporaryFolder folder;
  const auto images = folder.write("a-images-idx3-ubyte", idx_bytes({4, 3, 5}, 60));
  EXPECT_THROW(IdxDataset{images}, IoError);
  folder.write("a-labels-idx1-ubyte", idx_bytes({5}, 5));
  EXPECT_THROW(IdxDataset{images}, IoError);
  folder.write("a-labels-idx1-ubyte", idx_bytes({4}, 4));
  EXPECT_EQ(IdxDataset(images).size(), 4);
}

}  // namespace
}  // namespace tessera::rils
