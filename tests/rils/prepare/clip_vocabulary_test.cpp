#include "rils/prepare/clip_vocabulary.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <vector>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/prepare/vocabulary_command.h"
#include "rils/prepare/zip.h"

namespace tessera::rils {
namespace {

void number(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

std::string deflated(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(text.size() + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

struct Member {
  std::string path, content;
  bool packed;
};

std::string archive_of(const std::vector<Member>& members) {
  std::string out, directory;
  for (const Member& m : members) {
    const std::string data = m.packed ? deflated(m.content) : m.content;
    std::string common;  // the common fields of both headers, from the flags to the length of the extra field
    number(common, 0, 2);
    number(common, m.packed ? 8 : 0, 2);
    number(common, 0, 4);
    number(common, crc32(0, reinterpret_cast<const Bytef*>(m.content.data()), static_cast<uInt>(m.content.size())), 4);
    number(common, data.size(), 4);
    number(common, m.content.size(), 4);
    number(common, m.path.size(), 2);
    number(common, 0, 2);
    number(directory, 0x02014b50, 4);
    number(directory, 20, 2);
    number(directory, 20, 2);
    directory += common;
    directory.append(10, '\0');  // comment, disk, attributes
    number(directory, out.size(), 4);
    directory += m.path;
    number(out, 0x04034b50, 4);
    number(out, 20, 2);
    out += common + m.path + data;
  }
  const size_t begin = out.size();
  out += directory;
  number(out, 0x06054b50, 4);
  number(out, 0, 4);
  number(out, members.size(), 2);
  number(out, members.size(), 2);
  number(out, directory.size(), 4);
  number(out, begin, 4);
  number(out, 0, 2);
  return out;
}

TEST(Zip, ReadsStoredAndDeflatedMembers) {
  const std::string text = "a vocabulary, a vocabulary, a vocabulary";
  const std::string archive =
      archive_of({{"p/other.txt", "x", false}, {"p/stored.txt", text, false}, {"p/packed.txt", text, true}});
  EXPECT_EQ(read_zip_member(archive, "stored.txt", "z"), text);
  EXPECT_EQ(read_zip_member(archive, "packed.txt", "z"), text);
  EXPECT_EQ(read_zip_member(archive, "other.txt", "z"), "x");
  EXPECT_THROW((void)read_zip_member(archive, "none.txt", "z"), IoError);
  EXPECT_THROW((void)read_zip_member("PK", "none.txt", "z"), IoError);
}

TEST(Zip, DamageIsAnErrorOrDoesNotMatter) {
  const std::string text(300, 'v');
  const std::string archive = archive_of({{"p/first.txt", "x", false}, {"p/v.txt", text, true}});
  for (size_t n = 0; n < archive.size(); ++n) {
    EXPECT_THROW((void)read_zip_member(archive.substr(0, n), "v.txt", "z"), IoError) << n;
  }
  for (size_t at = 0; at < archive.size(); ++at) {
    for (const int mask : {0x01, 0x80, 0xff}) {
      std::string damaged = archive;
      damaged[at] = static_cast<char>(damaged[at] ^ mask);
      try {
        EXPECT_EQ(read_zip_member(damaged, "v.txt", "z"), text) << at;
      } catch (const IoError& e) {
        EXPECT_TRUE(std::string(e.what()).starts_with("z: ")) << e.what();
      }
    }
  }
}

TEST(ClipVocabulary, AnotherFileIsRefusedAndNothingIsWritten) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("clip_" + std::to_string(::getpid()));
  const auto package = folder / "open_clip";
  std::filesystem::create_directories(package);
  const auto out = folder / "out.gz";
  const auto expect_error = [&](const std::filesystem::path& source, const std::string& part) {
    try {
      (void)write_clip_vocabulary(source, out);
      FAIL() << part;
    } catch (const IoError& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
    EXPECT_FALSE(std::filesystem::exists(out));
  };
  expect_error(folder, "found none");
  expect_error(folder / "nothing", "nothing");
  const auto file = package / "bpe_simple_vocab_16e6.txt.gz";
  std::filesystem::copy_file(std::string(TESSERA_SOURCE_DIR) + "/tests/golden/text/merges.txt", file);
  expect_error(folder, "found 651 ids");  // a valid vocabulary in open_clip/, but not CLIP's
  expect_error(file, "found 651 ids");
  write_file_atomically(folder / "w.whl",
                        archive_of({{"open_clip/" + file.filename().string(), read_file(file), true}}));
  expect_error(folder / "w.whl", "found 651 ids");
  write_file_atomically(folder / "w.whl", archive_of({{"open_clip/tokenizer.py", "", false}}));
  expect_error(folder / "w.whl", "the archive has no file bpe");
  write_file_atomically(file, "#version\nonly-one\n");
  expect_error(file, "another file (2: expected two symbols");
  std::filesystem::remove_all(folder);
}

TEST(ClipVocabulary, CaptionsOrClipNotBoth) {
  PrepareVocabularyOptions o;
  EXPECT_THROW((void)prepare_vocabulary(o), ConfigError);
  o.package = "x";
  o.captions = "captions.txt";
  EXPECT_THROW((void)prepare_vocabulary(o), ConfigError);
  o.clip = true;
  EXPECT_THROW((void)prepare_vocabulary(o), ConfigError);
}

}  // namespace
}  // namespace tessera::rils
