// Configurations: TOML, assignments, command lines, paths of any bytes.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>

#include "apps/common/config_options.h"
#include "apps/common/program.h"
#include "engine/core/atomic_file.h"
#include "engine/runtime/context.h"
#include "rils/config/bytes.h"
#include "rils/config/config.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/model/cost.h"
#include "rils/model/memory.h"
#include "rils/text/ascii.h"
#include "rils/text/encoding.h"
#include "tests/fuzz/harness.h"

/// Of the sanitizers; absent without them.
extern "C" [[gnu::weak]] void __sanitizer_set_report_fd(void* descriptor);

namespace tessera::fuzz {
namespace {

using namespace rils;

void check_round_trip(const Config& config) {
  Config read;
  merge_toml(read, to_toml(config), "written.toml");
  expect(differences(config, read).empty(), "a configuration that is read as it was written");
}

/// What programs do with a configuration before they open anything.
void use(const Config& config) {
  check_round_trip(config);
  if (!accepts<ConfigError>([&] { check_config(config); })) return;
  (void)accepts<ConfigError>([&] { check_trainable(config.model); });
  (void)accepts<ConfigError>([&] { (void)plan_batch(config, 1); });
  expect(parameter_counts(config.model).total() > 0, "parameters");
  expect(forward_cost(config.model, config.loss, 10, 64).total(1) > 0, "a cost");
  const StepShape step{.caption_tokens = 10, .micro_batch = config.optim.batch_size, .global_batch = 64};
  expect(training_memory(config.model, config.loss, step, cpu_context().kernels()).total() > 0, "memory");
}

TESSERA_FUZZ(toml) {
  Config config;
  if (!accepts<ConfigError>([&] { merge_toml(config, input, "run.toml"); })) throw ConfigError("no configuration");
  use(config);
}

TESSERA_FUZZ(assignments) {
  Config config;
  for (const std::string_view line : split(input, '\n')) {
    (void)accepts<ConfigError>([&] { set_assignment(config, line); });
  }
  use(config);
}

TESSERA_FUZZ(path_bytes) {
  const std::string text = as_utf8(input);
  expect(is_utf8(text) && raw_bytes(text) == input, "a path of any bytes, in UTF-8 and back");
  (void)raw_bytes(input);
  Config config;
  config.data.train_data = input;
  if (input.find('\0') == std::string_view::npos) check_round_trip(config);
}

/// Sends standard output and error to files while it exists; a sanitizer's report goes where it went before.
class Quiet {
 public:
  Quiet() {
    for (int i : {0, 1}) {
      saved_[static_cast<size_t>(i)] = ::dup(i + 1);
      const int to = ::open(path(i).c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      ::dup2(to, i + 1);
      ::close(to);
    }
    report_to(saved_[1]);
  }
  ~Quiet() { end(); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
  /// Ends it and returns what was written to standard error.
  std::string end() {
    if (ended_) return "";
    ended_ = true;
    std::fflush(nullptr);
    for (int i : {0, 1}) {
      ::dup2(saved_[static_cast<size_t>(i)], i + 1);
      ::close(saved_[static_cast<size_t>(i)]);
    }
    report_to(2);
    return read_file(path(1));
  }

 private:
  static void report_to(long descriptor) {
    if (__sanitizer_set_report_fd != nullptr) __sanitizer_set_report_fd(reinterpret_cast<void*>(descriptor));
  }
  static std::filesystem::path path(int i) {
    static const std::array paths = {file("out.txt", ""), file("error.txt", "")};
    return paths[static_cast<size_t>(i)];
  }
  std::array<int, 2> saved_{};
  bool ended_ = false;
};

TESSERA_FUZZ(command_line) {
  const auto program = (take_choice(input) & 1) != 0 ? Program::finetune : Program::pretrain;
  std::vector<std::string> words{"program"};
  for (const std::string_view word : split(input, '\0')) words.emplace_back(word);
  std::vector<const char*> arguments;
  for (const std::string& word : words) arguments.push_back(word.c_str());
  CLI::App app("A program");
  apps::set_up(app);
  const apps::ConfigOptions options(app, program);
  bool done = false;
  Quiet quiet;
  const int code = apps::run(app, static_cast<int>(arguments.size()), arguments.data(), [&] {
    (void)options.resolve();
    done = true;
    return 0;
  });
  const std::string error = quiet.end();
  expect(code == 0 || code == 2, "the exit code of wrong usage");
  expect(code != 0 || done || error.empty(), "an error for what was not done");
  expect(code == 0 || (error.starts_with("error: ") && std::ranges::count(error, '\n') == 1 && error.ends_with('\n')),
         "an error of one line");
  if (code != 0) throw ConfigError(error);
}

}  // namespace
}  // namespace tessera::fuzz
