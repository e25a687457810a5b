#include "rils/run/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "engine/core/error.h"

namespace tessera::rils {
namespace {

/// What the file holds, a word a line.
struct Holder {
  std::string host, process, boot;
};

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

/// A number that a machine draws when it boots; containers on one machine, which have names of their own, share it.
std::string boot_id() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

Holder read_holder(int descriptor) {
  std::array<char, 1024> text{};
  const ssize_t bytes = ::pread(descriptor, text.data(), text.size(), 0);
  std::istringstream words(std::string(text.data(), static_cast<size_t>(bytes > 0 ? bytes : 0)));
  Holder holder;
  words >> holder.host >> holder.process >> holder.boot;
  return holder;
}

bool alive(const std::string& process) {
  pid_t id = 0;
  std::from_chars(process.data(), process.data() + process.size(), id);
  return id > 0 && id != ::getpid() && (::kill(id, 0) == 0 || errno == EPERM);
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& folder) : folder_(folder), path_(folder / kLockFile) {
  Lock lock = Lock::vanished;
  while (lock == Lock::vanished) lock = take();
  try {
    refuse_other_holders(lock);
    write_holder();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

RunLock::~RunLock() {
  ::unlink(path_.c_str());  // while it is locked, so that no other process's file goes
  ::close(descriptor_);
}

RunLock::Lock RunLock::take() {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("open");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) return errno == EWOULDBLOCK ? Lock::refused : Lock::unsupported;
  struct stat opened {
  }, named{};
  if (::fstat(descriptor_, &opened) == 0 && ::stat(path_.c_str(), &named) == 0 && opened.st_ino == named.st_ino) {
    return Lock::taken;
  }
  ::close(descriptor_);  // its holder has removed it since we opened it
  return Lock::vanished;
}

void RunLock::refuse_other_holders(Lock lock) {
  const Holder holder = read_holder(descriptor_);
  const std::string boot = boot_id();
  const bool here = holder.host == host_name() || (!boot.empty() && holder.boot == boot);
  if (lock == Lock::refused || (lock == Lock::unsupported && here && alive(holder.process))) {
    throw ConfigError(fmt::format(
        "{}: expected no other process that writes this run, found {}; wait for its end or use another name",
        folder_.string(),
        holder.process.empty() ? "one" : fmt::format("process {} on {}", holder.process, holder.host)));
  }
  if (!holder.host.empty() && !here) {
    throw ConfigError(
        fmt::format("{}: expected no other process that writes this run, found process {} on {}; if it has ended, "
                    "remove {}",
                    folder_.string(), holder.process, holder.host, path_.string()));
  }
}

void RunLock::write_holder() {
  const std::string text = fmt::format("{}\n{}\n{}\n", host_name(), ::getpid(), boot_id());
  if (::ftruncate(descriptor_, 0) != 0) fail("write");
  if (::pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) fail("write");
}

void RunLock::fail(const char* doing) const {
  throw IoError(fmt::format("{}: cannot {}: {}", path_.string(), doing, std::strerror(errno)));
}

}  // namespace tessera::rils
