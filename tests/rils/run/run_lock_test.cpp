// One process at a time writes a run.
#include "rils/run/run_lock.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/run/run_folder.h"
#include "tests/support/temporary_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

class RunLocks : public ::testing::Test {
 protected:
  [[nodiscard]] std::string refusal() const {
    try {
      const RunLock lock(folder_.path());
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "no error";
  }
  static std::string host() {
    std::array<char, 256> name{};
    gethostname(name.data(), name.size() - 1);
    return name.data();
  }
  void put(const std::string& text) const { std::ofstream(file_) << text; }

  const test::TemporaryFolder folder_;
  const fs::path file_ = folder_.path() / "lock";
};

TEST_F(RunLocks, RefuseASecondHolderAndNameTheFirst) {
  {
    const RunLock lock(folder_.path());
    EXPECT_EQ(refusal(), fmt::format("{}: expected no other process that writes this run, found process {} on {}; wait "
                                     "for its end or use another name",
                                     folder_.path().string(), getpid(), host()));
    EXPECT_TRUE(fs::exists(file_)) << "a refusal leaves the lock as it is";
  }
  EXPECT_FALSE(fs::exists(file_));
  EXPECT_EQ(refusal(), "no error");
}

TEST_F(RunLocks, OfAKilledProcessDoNotBlock) {
  const pid_t child = fork();
  if (child == 0) {
    const RunLock lock(folder_.path());
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(fs::exists(file_)) << "it could not remove the file";
  EXPECT_EQ(refusal(), "no error");
  put(fmt::format("{}\n{}\nan earlier boot\n", host(), 1));
  EXPECT_EQ(refusal(), "no error") << "the machine has been started anew; its number belongs to another process";
}

TEST_F(RunLocks, OfAnotherMachineBlockUntilTheyAreRemoved) {
  put("elsewhere\n12\nits boot\n");
  EXPECT_EQ(refusal(), fmt::format("{}: expected no other process that writes this run, found process 12 on elsewhere; "
                                   "if it has ended, remove {}",
                                   folder_.path().string(), file_.string()));
  EXPECT_TRUE(fs::exists(file_));
  fs::remove(file_);
  EXPECT_EQ(refusal(), "no error");
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  put(fmt::format("container\n12\n{}\n", boot));
  EXPECT_EQ(refusal(), "no error") << "another name of this machine";
}

TEST_F(RunLocks, KeepASecondRunFromBeginningInTheSameFolder) {
  const RunFolder first = RunFolder::create(folder_.path() / "run");
  try {
    (void)RunFolder::create(folder_.path() / "run");
    ADD_FAILURE() << "nothing thrown";
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("found process"), std::string::npos) << e.what();
  }
  RunFolder same = RunFolder(first);
  EXPECT_TRUE(fs::exists(first.path() / "lock"));
}

}  // namespace
}  // namespace tessera::rils
