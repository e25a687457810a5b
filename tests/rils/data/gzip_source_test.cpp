// Gzipped shards: content at any offset, several members, cuts, damage and bombs.
#include "rils/data/gzip_source.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "engine/core/error.h"
#include "tests/rils/data/archives.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

/// Lines of numbers: they compress, and every part of them is different.
std::string content(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < size) text += std::to_string(random() % 1000) + (random() % 5 == 0 ? "\n" : " ");
  text.resize(size);
  return text;
}

std::string read_all(const GzipSource& source, uint64_t offset, size_t size) {
  std::string out(size, '\0');
  out.resize(source.read_at(offset, std::as_writable_bytes(std::span(out))));
  return out;
}

TEST(Gzip, AnyOffsetInAnyOrder) {
  const std::string text = content(9'000'000, 1);
  const std::string packed = test::gzipped(text);
  const MemorySource file(bytes_of(packed));
  ASSERT_TRUE(is_gzip(file));
  EXPECT_FALSE(is_gzip(MemorySource(bytes_of(text))));
  const GzipIndex index(file);
  EXPECT_EQ(index.damage(), "");
  ASSERT_EQ(index.size(), text.size());
  const GzipSource source(file, index);
  std::mt19937_64 random(2);
  uint64_t offset = 0;
  for (int i = 0; i < 60; ++i) {
    const size_t size = 1 + random() % 100'000;
    ASSERT_EQ(read_all(source, offset, size), text.substr(offset, size)) << offset;
    offset = i % 3 == 0 ? random() % text.size() : std::min<uint64_t>(offset + size + random() % 1000, text.size() - 1);
  }
  EXPECT_EQ(read_all(source, text.size() - 3, 10), text.substr(text.size() - 3));
  EXPECT_EQ(read_all(source, text.size(), 10), "");
  EXPECT_EQ(read_all(source, uint64_t{1} << 40, 10), "");
}

TEST(Gzip, MembersThatFollowEachOtherAreOneContent) {
  const std::string parts[] = {content(5'000'000, 1), content(100, 2), "", content(6'000'000, 3)};
  std::string text, packed;
  for (const std::string& part : parts) text += part, packed += test::gzipped(part);
  const MemorySource file(bytes_of(packed));
  const GzipIndex index(file);
  EXPECT_EQ(index.damage(), "");
  ASSERT_EQ(index.size(), text.size());
  const GzipSource source(file, index);
  for (const uint64_t offset : {10'900'000, 4'999'950, 5'000'000, 5'000'090, 0, 4'500'000})
    EXPECT_EQ(read_all(source, offset, 400), text.substr(offset, 400)) << offset;
  EXPECT_EQ(read_all(source, 1000, text.size()), text.substr(1000));
  const std::string longer = packed + "and more";
  const GzipIndex trailing{MemorySource(bytes_of(longer))};
  EXPECT_EQ(trailing.size(), text.size());
  EXPECT_NE(trailing.damage().find("not gzip"), std::string::npos);
}

TEST(Gzip, CutAndDamagedFilesKeepWhatIsBefore) {
  const std::string text = content(300'000, 1);
  const std::string packed = test::gzipped(text);
  for (size_t length = 2; length < packed.size(); length += packed.size() / 97) {
    const std::string part = packed.substr(0, length);
    const MemorySource file(bytes_of(part));
    const GzipIndex index(file);
    EXPECT_NE(index.damage(), "") << length;
    ASSERT_LE(index.size(), text.size());
    EXPECT_EQ(read_all(GzipSource(file, index), 0, text.size()), text.substr(0, index.size()));
  }
  std::mt19937 random(1);
  int noticed = 0;
  for (int i = 0; i < 100; ++i) {
    std::string damaged = packed;
    damaged[10 + random() % (damaged.size() - 10)] ^= static_cast<char>(1 + random() % 255);
    const MemorySource file(bytes_of(damaged));
    const GzipIndex index(file);
    noticed += index.damage().empty() ? 0 : 1;
    EXPECT_EQ(index.damage().find('\n'), std::string::npos);
    try {
      (void)read_all(GzipSource(file, index), 0, text.size());
    } catch (const IoError&) {
    }
  }
  EXPECT_EQ(noticed, 100) << "of 100 damaged files";
}

/// A file that counts how many of its bytes were asked for.
class CountingSource final : public ByteSource {
 public:
  explicit CountingSource(const std::string& bytes) : bytes_(bytes), source_(bytes_of(bytes_)) {}
  [[nodiscard]] uint64_t size() const override { return source_.size(); }
  [[nodiscard]] size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    const size_t got = source_.read_at(offset, out);
    read += got;
    return got;
  }
  mutable uint64_t read = 0;

 private:
  std::string bytes_;
  MemorySource source_;
};

TEST(Gzip, ManySmallMembersAreReadOnce) {
  std::string packed;
  for (int i = 0; i < 20'000; ++i) packed += test::gzipped(i % 2 == 0 ? "" : "a");
  const CountingSource file(packed);
  const GzipIndex index(file);
  EXPECT_EQ(index.damage(), "");
  EXPECT_EQ(index.size(), 10'000);
  EXPECT_LT(file.read, 2 * packed.size());
}

TEST(Gzip, BombsEndSoon) {
  const std::string packed = test::gzipped(std::string(size_t{100} << 20, '\0'));
  ASSERT_LT(packed.size(), size_t{1} << 20);
  const GzipIndex index{MemorySource(bytes_of(packed))};
  EXPECT_NE(index.damage().find("200 times"), std::string::npos);
  EXPECT_LT(index.size(), uint64_t{95} << 20);
}

}  // namespace
}  // namespace tessera::rils
