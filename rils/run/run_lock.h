#pragma once

#include <filesystem>

namespace tessera::rils {

/// The right to write into a run's folder, which one process has at a time. The file `lock` in the folder names its
/// holder: host, process and boot of the machine. The system's lock on this file goes when the process ends in any way,
/// so what a killed process leaves behind does not block. Only where the file names another machine, whose locks a
/// shared file system may not show, it must be removed by hand.
class RunLock {
 public:
  /// Throws ConfigError that names the holder when another process has the folder, IoError when the file cannot be
  /// written.
  explicit RunLock(const std::filesystem::path& folder);
  /// Removes the file.
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  /// `vanished`: the file that was locked has no name any more. `unsupported`: the file system has no locks.
  enum class Lock { taken, refused, vanished, unsupported };
  [[nodiscard]] Lock take();
  void refuse_other_holders(Lock lock);
  void write_holder();
  [[noreturn]] void fail(const char* doing) const;

  std::filesystem::path folder_, path_;
  int descriptor_ = -1;
};

/// The name of the file in a run's folder.
inline constexpr const char* kLockFile = "lock";

}  // namespace tessera::rils
