#include "rils/data/tar.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/core/atomic_file.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

using test::TemporaryFolder;

std::string golden_tar(const std::string& name) {
  return read_file(std::string(TESSERA_SOURCE_DIR) + "/tests/golden/data/" + name + ".tar");
}

struct Found {
  std::vector<TarMember> members, links;
  std::string error;
  bool cut = false, terminated = false;
};

Found walk(std::string_view bytes) {
  const MemorySource source(std::as_bytes(std::span(bytes.data(), bytes.size())));
  TarReader reader(source);
  Found found;
  try {
    while (const auto member = reader.next()) (member->link ? found.links : found.members).push_back(*member);
    found.terminated = reader.terminated();
  } catch (const TarCutError& error) {
    found.error = error.what();
    found.cut = true;
  } catch (const IoError& error) {
    found.error = error.what();
  }
  return found;
}

/// Reads the three formats of Python's tarfile, with long names, links and folders.
TEST(Tar, ReadsGnuPaxAndUstar) {
  for (const std::string format : {"gnu", "pax", "ustar"}) {
    SCOPED_TRACE(format);
    const std::string bytes = golden_tar(format);
    const Found found = walk(bytes);
    EXPECT_EQ(found.error, "");
    EXPECT_TRUE(found.terminated);
    std::string long_name = "folder/";
    for (int i = 0; i < 9; ++i) long_name += "long-name-";
    long_name += "/" + std::string(60, 'x') + ".txt";
    std::vector<std::pair<std::string, uint64_t>> expected = {
        {"folder/empty.txt", 0}, {"folder/one.txt", 1}, {"folder/block.jpg", 512}, {long_name, 513}};
    if (format != "ustar") {
      std::string deep;
      for (int i = 0; i < 60; ++i) deep += "deep/";
      expected.emplace_back(deep + "file.json", 30);
      expected.emplace_back("folder/größe.txt", 5);
    }
    expected.emplace_back("last.txt", 700);
    ASSERT_EQ(found.members.size(), expected.size());
    EXPECT_EQ(found.links.size(), 2u);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(found.members[i].name, expected[i].first);
      ASSERT_EQ(found.members[i].size, expected[i].second);
      for (size_t b = 0; b < expected[i].second; ++b)
        ASSERT_EQ(static_cast<uint8_t>(bytes[found.members[i].offset + b]), (b * 7 + expected[i].second) % 256);
    }
  }
}

/// The archive is cut at every byte. The members before the cut are found with all their data, and missing data or
/// headers give an error.
TEST(Tar, CutAtEveryByteIsNoticed) {
  const std::string whole = golden_tar("pax");
  const Found all = walk(whole);
  const uint64_t end = all.members.back().offset + all.members.back().size;
  int cuts = 0;
  for (size_t length = 0; length < end; ++length) {
    const Found found = walk(std::string_view(whole).substr(0, length));
    for (const auto& member : found.members) ASSERT_LE(member.offset + member.size, length);
    EXPECT_FALSE(found.terminated);
    EXPECT_TRUE(found.error.empty() || found.cut) << found.error;
    // Without an error the cut is between two members, or within the padding of the last one.
    if (found.error.empty() && length % 512 != 0) {
      ASSERT_FALSE(found.members.empty());
      EXPECT_LT(length, (found.members.back().offset + found.members.back().size + 511) / 512 * 512);
    }
    cuts += found.cut ? 1 : 0;
  }
  EXPECT_GT(cuts, static_cast<int>(end * 3 / 4));
}

/// Any bytes give members within the file or an error of one line.
TEST(Tar, DamagedArchivesNeverCrash) {
  uint32_t state = 99;
  const auto next = [&state] { return (state = state * 1664525u + 1013904223u) >> 8; };
  int errors = 0;
  for (const std::string format : {"gnu", "pax", "ustar"}) {
    const std::string whole = golden_tar(format);
    for (int trial = 0; trial < 3000; ++trial) {
      std::string bytes = whole;
      for (int flips = 0; flips < 1 + trial % 3; ++flips) bytes[next() % bytes.size()] = static_cast<char>(next());
      const Found found = walk(bytes);
      EXPECT_EQ(found.error.find('\n'), std::string::npos);
      for (const auto& member : found.members) ASSERT_LE(member.offset + member.size, bytes.size());
      errors += found.error.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(errors, 1000);
}

void set_octal(std::string& block, size_t at, size_t width, uint64_t value) {
  for (size_t i = width - 1; i-- > 0; value >>= 3) block[at + i] = static_cast<char>('0' + (value & 7));
}
void set_check_sum(std::string& bytes, size_t header) {
  for (size_t i = 0; i < 8; ++i) bytes[header + 148 + i] = ' ';
  uint64_t sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<uint8_t>(bytes[header + i]);
  set_octal(bytes, header + 148, 7, sum);
}

/// Headers with a valid form and false sizes: beyond the file, near 2^64, in GNU's binary form.
TEST(Tar, LyingSizesAreRefused) {
  TemporaryFolder folder;
  test::write_tar(folder.path() / "a.tar", {{"a.txt", "hello"}, {"b.txt", "world"}});
  const std::string whole = read_file(folder.path() / "a.tar");
  std::string huge = whole;
  set_octal(huge, 124, 12, 0777777777777ull >> 3);
  set_check_sum(huge, 0);
  EXPECT_TRUE(walk(huge).cut);
  for (const int first : {0x80, 0xff, 0xc0}) {
    std::string binary = whole;
    binary[124] = static_cast<char>(first);
    for (size_t i = 125; i < 136; ++i) binary[i] = static_cast<char>(0xff);
    set_check_sum(binary, 0);
    const Found found = walk(binary);
    EXPECT_TRUE(found.members.empty());
    EXPECT_NE(found.error, "");
  }
  std::string zero_binary = whole;  // 5 in binary form is fine
  zero_binary[124] = static_cast<char>(0x80);
  for (size_t i = 125; i < 136; ++i) zero_binary[i] = i == 135 ? '\5' : '\0';
  set_check_sum(zero_binary, 0);
  EXPECT_EQ(walk(zero_binary).members.size(), 2u);
}

TEST(Tar, CompressedArchivesAreNamed) {
  std::string gzip(1024, '\1');
  gzip[0] = '\x1f';
  gzip[1] = '\x8b';
  EXPECT_NE(walk(gzip).error.find("compressed"), std::string::npos);
}

TEST(Tar, WriterRoundTripsLongNames) {
  TemporaryFolder folder;
  std::vector<std::pair<std::string, std::string>> members;
  for (size_t length : {1, 99, 100, 101, 980, 990, 2000})
    members.emplace_back(std::string(length, 'n'), std::string(length * 3, 'd'));
  test::write_tar(folder.path() / "a.tar", members);
  const std::string bytes = read_file(folder.path() / "a.tar");
  const Found found = walk(bytes);
  EXPECT_TRUE(found.terminated);
  ASSERT_EQ(found.members.size(), members.size());
  for (size_t i = 0; i < members.size(); ++i) {
    EXPECT_EQ(found.members[i].name, members[i].first);
    EXPECT_EQ(bytes.substr(found.members[i].offset, found.members[i].size), members[i].second);
  }
}

TEST(Tar, WriterLeavesNothingWithoutCommit) {
  TemporaryFolder folder;
  {
    TarWriter writer(folder.path() / "a.tar");
    writer.add("a", "b");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace tessera::rils
