// Files appear whole or not at all.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/nesting.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

class AtomicFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("tessera_atomic_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  fs::path folder_;
};

TEST_F(AtomicFiles, ReplaceWhatStoodThere) {
  const fs::path path = folder_ / "file";
  write_file_atomically(path, "old");
  write_file_atomically(path, "the new content");
  EXPECT_EQ(read_file(path), "the new content");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFiles, AreInvisibleBeforeCommit) {
  const fs::path path = folder_ / "file";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write("half of the new con");
    EXPECT_EQ(read_file(path), "old");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(entries(), 1u) << "a temporary file was left behind";
}

TEST_F(AtomicFiles, HoldBinaryData) {
  const std::string bytes("a\0b\n\xff", 5);
  write_file_atomically(folder_ / "file", bytes);
  EXPECT_EQ(read_file(folder_ / "file"), bytes);
  write_file_atomically(folder_ / "empty", "");
  EXPECT_EQ(read_file(folder_ / "empty"), "");
}

template <class F>
std::string io_error(F&& f) {
  try {
    f();
  } catch (const IoError& e) {
    return e.what();
  }
  return "nothing thrown";
}

TEST_F(AtomicFiles, NameThePathAndTheReason) {
  const fs::path missing = folder_ / "no" / "file";
  const std::string create = io_error([&] { write_file_atomically(missing, "x"); });
  EXPECT_NE(create.find(missing.string()), std::string::npos) << create;
  EXPECT_NE(create.find("No such file or directory"), std::string::npos) << create;
  const std::string read = io_error([&] { (void)read_file(missing); });
  EXPECT_NE(read.find(missing.string()), std::string::npos) << read;
  EXPECT_THROW((void)read_file(folder_), IoError);
}

TEST_F(AtomicFiles, AreNotReadFromPipesAndDevices) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const fs::path& path : {pipe, fs::path("/dev/zero")}) {
    EXPECT_EQ(io_error([&] { (void)read_file(path); }),
              path.string() + ": expected a regular file, found a device or a pipe");
  }
  // A file with a hole takes no room on the disk, and would take all memory.
  write_file_atomically(folder_ / "hole", "x");
  fs::resize_file(folder_ / "hole", kMostFileBytes + 1);
  EXPECT_EQ(io_error([&] { (void)read_file(folder_ / "hole"); }),
            (folder_ / "hole").string() + ": expected at most 1073741824 bytes, found 1073741825");
  fs::resize_file(folder_ / "hole", 4);
  EXPECT_EQ(read_file(folder_ / "hole", 4).size(), 4);
  EXPECT_NE(io_error([&] { (void)read_file(folder_ / "hole", 3); }), "");
  EXPECT_EQ(io_error([&] { (void)read_file(folder_); }),
            folder_.string() + ": expected a regular file, found a folder");
}

/// A process that is killed while it moves several things leaves none of them to the next one.
TEST_F(AtomicFiles, SeveralPartsAppearTogether) {
  const fs::path scratch = folder_ / "work";
  {
    ScratchFolder work(scratch);
    write_file_atomically(work.path() / "a", "1");
    write_file_atomically(work.path() / "b", "2");
    work.move_out({"a", "b"});
  }
  EXPECT_EQ(read_file(folder_ / "a") + read_file(folder_ / "b"), "12");
  EXPECT_FALSE(fs::exists(scratch));
  {
    ScratchFolder work(scratch);
    write_file_atomically(work.path() / "c", "3");
    write_file_atomically(work.path() / "b", "4");
    EXPECT_EQ(io_error([&] { work.move_out({"c", "b"}); }), (folder_ / "b").string() + ": exists already");
    EXPECT_FALSE(fs::exists(folder_ / "c"));
    // One that is not there stops the moving: what was moved goes too.
    EXPECT_NE(io_error([&] { work.move_out({"c", "d"}); }), "");
  }
  EXPECT_FALSE(fs::exists(folder_ / "c"));
  EXPECT_EQ(read_file(folder_ / "b"), "2");
  // As a kill leaves it: "a" was moved, "c" was not yet. A name that leads elsewhere is passed over.
  fs::create_directories(scratch);
  write_file_atomically(scratch / ".tessera-unfinished", "a\n../b\nc\n");
  write_file_atomically(scratch / "c", "5");
  write_file_atomically(folder_ / "c", "of somebody else");
  { const ScratchFolder again(scratch); }
  EXPECT_FALSE(fs::exists(folder_ / "a"));
  EXPECT_EQ(read_file(folder_ / "b"), "2");
  EXPECT_EQ(read_file(folder_ / "c"), "of somebody else");
}

TEST(Nesting, CountsBracketsOutsideOfStrings) {
  const auto nested = [](int depth) { return std::string(static_cast<size_t>(depth), '['); };
  EXPECT_FALSE(is_json_bomb(nested(64)));
  EXPECT_TRUE(is_json_bomb(nested(65)));
  EXPECT_TRUE(is_json_bomb(nested(32) + R"({"a\\":)" + nested(32)));
  EXPECT_FALSE(is_json_bomb("\"" + nested(100) + "\""));
  EXPECT_FALSE(is_json_bomb(R"("\"[)" + nested(100) + "\"")) << "a quote within a string";
  std::string flat;
  for (int i = 0; i < 1000; ++i) flat += "[{}],";
  EXPECT_FALSE(is_json_bomb(flat));
}

TEST(Nesting, CountsValuesOutsideOfStrings) {
  std::string flat = "[";
  for (int i = 0; i < 1000; ++i) flat += R"("a,b:[c",)";
  EXPECT_FALSE(is_json_bomb(flat, 1001));
  EXPECT_TRUE(is_json_bomb(flat, 1000));
  std::string pairs = "{";
  for (int i = 0; i < 500; ++i) pairs += R"("a":1,)";
  EXPECT_FALSE(is_json_bomb(pairs, 1001));
  EXPECT_TRUE(is_json_bomb(pairs, 1000));
}

TEST_F(AtomicFiles, RefuseToReplaceAFolder) {
  fs::create_directories(folder_ / "folder" / "inner");
  const std::string message = io_error([&] { write_file_atomically(folder_ / "folder", "x"); });
  EXPECT_NE(message.find("rename"), std::string::npos) << message;
  EXPECT_TRUE(fs::is_directory(folder_ / "folder"));
  EXPECT_EQ(entries(), 1u) << "a temporary file was left behind";
}

TEST_F(AtomicFiles, WriteWhereALinkPoints) {
  fs::create_directories(folder_ / "else");
  fs::create_symlink("else/target", folder_ / "link");
  fs::create_symlink(folder_ / "link", folder_ / "link2");
  write_file_atomically(folder_ / "link2", "first");  // nothing is there yet
  EXPECT_EQ(read_file(folder_ / "else" / "target"), "first");
  write_file_atomically(folder_ / "link", "second");
  EXPECT_EQ(read_file(folder_ / "else" / "target"), "second");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link") && fs::is_symlink(folder_ / "link2"));
  EXPECT_FALSE(fs::is_symlink(folder_ / "else" / "target"));
  EXPECT_EQ(entries(), 3u) << "a temporary file was left behind";
  fs::create_symlink("circle", folder_ / "circle");
  EXPECT_NE(io_error([&] { write_file_atomically(folder_ / "circle", "x"); }).find("circle: cannot"),
            std::string::npos);
}

TEST_F(AtomicFiles, NeverReplaceADevice) {
  fs::create_symlink("/dev/null", folder_ / "null");
  for (const fs::path& path : {fs::path("/dev/null"), folder_ / "null"}) {
    write_file_atomically(path, "x");
    EXPECT_TRUE(fs::is_character_file(path));
  }
  EXPECT_TRUE(fs::is_symlink(folder_ / "null"));
  const fs::path full = "/dev/full";
  EXPECT_EQ(io_error([&] { write_file_atomically(full, "x"); }), "/dev/full: cannot write: No space left on device");
}

TEST_F(AtomicFiles, WriteIntoAPipe) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string found;
  std::jthread reader([&] { std::getline(std::ifstream(pipe), found); });
  write_file_atomically(pipe, "through");
  reader.join();
  EXPECT_EQ(found, "through");
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST_F(AtomicFiles, WriteIntoTheFileThatIsOpen) {
  const int out = ::open((folder_ / "out").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ASSERT_GE(out, 0);
  ASSERT_EQ(::write(out, "before ", 7), 7);
  for (const char* name : {"/dev/fd", "/proc/self/fd"})
    write_file_atomically(fs::path(name) / std::to_string(out), "x");
  ASSERT_EQ(::write(out, " after", 6), 6);
  ::close(out);
  EXPECT_EQ(read_file(folder_ / "out"), "before xx after");
}

TEST_F(AtomicFiles, DoNotFollowALinkThatAwaitsTheirTemporaryName) {
  write_file_atomically(folder_ / "precious", "precious");
  // The names that come next, of which somebody has guessed a thousand.
  const fs::path path = folder_ / "file";
  for (int i = 0; i < 1000; ++i) {
    fs::create_symlink("precious", folder_ / ("file.tmp." + std::to_string(getpid()) + "." + std::to_string(i)));
  }
  write_file_atomically(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_FALSE(fs::is_symlink(path));
  EXPECT_EQ(read_file(folder_ / "precious"), "precious");
}

TEST_F(AtomicFiles, ScratchFoldersAreOurs) {
  const fs::path scratch = folder_ / "a.partial";
  const auto put = [](const fs::path& path) { write_file_atomically(path, "x"); };
  {
    const ScratchFolder unfinished(scratch);
    put(scratch / "file");
  }
  EXPECT_EQ(entries(), 0u);
  {
    ScratchFolder finished(scratch);
    put(scratch / "file");
    fs::copy(scratch, folder_ / "killed", fs::copy_options::recursive);
    finished.rename_to(folder_ / "a");
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "a"), fs::directory_iterator()), 1) << "no mark is left";
  fs::rename(folder_ / "killed", scratch);
  { const ScratchFolder again(scratch); }
  EXPECT_FALSE(fs::exists(scratch)) << "what a killed process left is replaced";
  fs::create_directories(scratch);
  put(scratch / ".tessera-unfinished.tmp.1.2");
  { const ScratchFolder again(scratch); }
  EXPECT_FALSE(fs::exists(scratch)) << "so is one that has not got its mark yet";
  fs::create_directories(scratch);
  put(scratch / "of a user");
  fs::create_directory_symlink("a", folder_ / "link.partial");
  put(folder_ / "file.partial");
  for (const char* name : {"a.partial", "link.partial", "file.partial"}) {
    EXPECT_NE(io_error([&] { const ScratchFolder refused(folder_ / name); }).find("not ours"), std::string::npos);
  }
  EXPECT_TRUE(fs::exists(scratch / "of a user"));
  EXPECT_TRUE(fs::exists(folder_ / "a" / "file"));
}

/// A limit on the size of files stands for a full disk.
TEST_F(AtomicFiles, AFullDiskLeavesTheOldFileIntact) {
  const fs::path path = folder_ / "file";
  write_file_atomically(path, "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = io_error([&] { write_file_atomically(path, std::string(5000, 'x')); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("cannot write"), std::string::npos) << message;
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(entries(), 1u) << "a temporary file was left behind";
}

}  // namespace
}  // namespace tessera
