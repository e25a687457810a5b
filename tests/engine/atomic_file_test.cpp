// Files appear whole or not at all.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

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
  EXPECT_EQ(io_error([&] { (void)read_file(folder_); }),
            folder_.string() + ": expected a regular file, found a folder");
}

TEST(Nesting, CountsBracketsOutsideOfStrings) {
  const auto nested = [](int depth) { return std::string(static_cast<size_t>(depth), '['); };
  EXPECT_FALSE(nests_too_deep(nested(64)));
  EXPECT_TRUE(nests_too_deep(nested(65)));
  EXPECT_TRUE(nests_too_deep(nested(32) + R"({"a\\":)" + nested(32)));
  EXPECT_FALSE(nests_too_deep("\"" + nested(100) + "\""));
  EXPECT_FALSE(nests_too_deep(R"("\"[)" + nested(100) + "\"")) << "a quote within a string";
  std::string flat;
  for (int i = 0; i < 1000; ++i) flat += "[{}],";
  EXPECT_FALSE(nests_too_deep(flat));
}

TEST_F(AtomicFiles, RefuseToReplaceAFolder) {
  fs::create_directories(folder_ / "folder" / "inner");
  const std::string message = io_error([&] { write_file_atomically(folder_ / "folder", "x"); });
  EXPECT_NE(message.find("rename"), std::string::npos) << message;
  EXPECT_TRUE(fs::is_directory(folder_ / "folder"));
  EXPECT_EQ(entries(), 1u) << "a temporary file was left behind";
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
