#include "rils/prepare/run_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

namespace tessera::rils {

std::string run_program(const std::vector<std::string>& words, std::chrono::seconds limit,
                        const std::filesystem::path& errors) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
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
    if (std::chrono::steady_clock::now() - begin > limit) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return fmt::format("{} took longer than {} s", words.front(), limit.count());
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(8000));
  }
  if (WIFSIGNALED(status)) return fmt::format("{} was ended by signal {}", words.front(), WTERMSIG(status));
  if (WEXITSTATUS(status) == 127) return fmt::format("cannot run {}", words.front());
  if (WEXITSTATUS(status) != 0) return fmt::format("{} failed with exit code {}", words.front(), WEXITSTATUS(status));
  return {};
}

}  // namespace tessera::rils
