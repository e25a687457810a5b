#include "rils/prepare/rasterise.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "engine/runtime/thread_pool.h"

namespace tessera::rils {
namespace {

constexpr auto kTimeLimit = std::chrono::seconds(20);

/// Runs a program without input and output; the reason when it fails, empty otherwise.
std::string run_program(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int spawned = posix_spawnp(&child, arguments.front(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (spawned != 0) return fmt::format("cannot run {}: {}", words.front(), std::strerror(spawned));

  const auto begin = std::chrono::steady_clock::now();
  auto pause = std::chrono::microseconds(500);
  int status = 0;
  for (;;) {
    const pid_t done = waitpid(child, &status, WNOHANG);
    if (done == child) break;
    if (done < 0 && errno != EINTR) return fmt::format("cannot wait for {}", words.front());
    if (std::chrono::steady_clock::now() - begin > kTimeLimit) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return "takes longer than 20 s";
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(8000));
  }
  if (WIFSIGNALED(status)) return fmt::format("{} was ended by signal {}", words.front(), WTERMSIG(status));
  if (WEXITSTATUS(status) == 127) return fmt::format("cannot run {}", words.front());
  if (WEXITSTATUS(status) != 0) return fmt::format("{} left with {}", words.front(), WEXITSTATUS(status));
  return {};
}

}  // namespace

Rasteriser::Rasteriser(std::filesystem::path program, std::filesystem::path cache, int size)
    : program_(std::move(program)), cache_(std::move(cache)), size_(size) {
  if (const std::string reason = run_program({program_.string(), "--version"}); !reason.empty())
    throw IoError(
        fmt::format("rsvg-convert: {}; it draws the clip art and comes with the Debian package librsvg2-bin", reason));
  std::filesystem::create_directories(cache_);
}

std::filesystem::path Rasteriser::one(const std::filesystem::path& svg, std::string& reason) const {
  const std::string bytes = read_file(svg);
  auto png = cache_ / fmt::format("{:016x}-{}.png", fnv1a64(bytes), size_);
  if (std::filesystem::exists(png)) return png;
  static std::atomic<uint64_t> counter{0};  // two equal files may be drawn at the same time
  auto temporary = png;
  temporary += fmt::format(".{}.{}", getpid(), counter++);
  const std::string size = std::to_string(size_);
  reason = run_program({program_.string(), "--keep-aspect-ratio", "--width", size, "--height", size, "--output",
                        temporary.string(), std::filesystem::absolute(svg).string()});
  std::error_code error;
  if (reason.empty()) {
    std::filesystem::rename(temporary, png, error);
    if (!error) return png;
    reason = "no picture was written";
  }
  std::filesystem::remove(temporary, error);
  return {};
}

std::vector<std::filesystem::path> Rasteriser::run(const std::vector<std::filesystem::path>& svgs, ThreadPool& pool,
                                                   std::vector<RasteriseFailure>& failures,
                                                   const std::function<void(int64_t)>& finished) const {
  std::vector<std::filesystem::path> pngs(svgs.size());
  std::vector<std::string> reasons(svgs.size());
  std::atomic<int64_t> done{0};
  const auto total = static_cast<int64_t>(svgs.size());
  pool.run(total, [&](int64_t i, int thread) {
    const auto at = static_cast<size_t>(i);
    try {
      pngs[at] = one(svgs[at], reasons[at]);
    } catch (const IoError& e) {
      reasons[at] = e.what();
    }
    const int64_t count = ++done;
    if (thread == 0 && finished && count < total) finished(count);
  });
  if (finished) finished(total);
  for (size_t i = 0; i < svgs.size(); ++i)
    if (pngs[i].empty()) failures.push_back({svgs[i], reasons[i]});
  return pngs;
}

}  // namespace tessera::rils
