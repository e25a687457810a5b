#include "rils/run/run_folder.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/nesting.h"
#include "rils/config/bytes.h"
#include "rils/config/toml.h"
#include "rils/run/version.h"

namespace tessera::rils {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step_";
constexpr std::string_view kWeights = ".safetensors";
constexpr std::string_view kState = ".state.safetensors";
constexpr std::string_view kEma = ".ema.safetensors";
constexpr std::string_view kVocabulary = "vocabulary.txt";
constexpr std::string_view kConfigStart = "# tessera ";  // of the config.toml that we write

[[noreturn]] void fail(const fs::path& path, std::string_view doing, const std::error_code& error) {
  throw IoError(fmt::format("{}: cannot {}: {}", path.string(), doing, error.message()));
}

/// The last parts of a path, or the whole path if it is shorter.
fs::path tail(const fs::path& path, int parts) {
  fs::path end;
  fs::path rest = path;
  for (int i = 0; i < parts && rest.has_filename(); ++i, rest = rest.parent_path()) {
    end = end.empty() ? rest.filename() : rest.filename() / end;
  }
  return end;
}

std::string weights_name(int64_t step) { return fmt::format("{}{:08}{}", kPrefix, step, kWeights); }

/// The step in the name of a checkpoint file with this ending; nullopt for any other name.
std::optional<int64_t> step_of(std::string_view name, std::string_view ending) {
  if (!name.starts_with(kPrefix) || !name.ends_with(ending)) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size(), name.size() - kPrefix.size() - ending.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return fmt::format("{}{:08}{}", kPrefix, step, ending) == name ? std::optional(step) : std::nullopt;
}

std::optional<int64_t> step_of_weights(std::string_view name) { return step_of(name, kWeights); }

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(it->path());
  }
  if (error) fail(folder, "list", error);
  return entries;
}

void remove_file(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) fail(path, "remove", error);
}

/// The complete lines of a log up to a step.
std::string lines_up_to(std::string_view text, int64_t step) {
  std::string kept;
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string_view::npos; begin = end + 1) {
    const std::string_view line = text.substr(begin, end - begin);
    if (is_json_bomb(line)) continue;
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) continue;
    const auto found = json.find("step");
    if (found == json.end() || !found->is_number_integer() || found->get<int64_t>() > step) continue;
    kept.append(line).push_back('\n');
  }
  return kept;
}

/// Whether a name is that of one of our files while it is written: "NAME.tmp.PROCESS.NUMBER".
bool is_temporary(std::string_view name) {
  const size_t at = name.find(".tmp.");
  if (at == std::string_view::npos) return false;
  const std::string_view numbers = name.substr(at + 5);
  const std::string_view file = name.substr(0, at);
  const bool ours = file == "config.toml" || file == kVocabulary || file.ends_with(".jsonl") || file == "latest" ||
                    file == "best" || file.starts_with(kPrefix);
  return ours && std::ranges::count(numbers, '.') == 1 && numbers.find_first_not_of("0123456789.") == numbers.npos;
}

/// Whether the folder has a configuration that we wrote, and a log. One that stands alone, or a log alone, may have
/// been put there by a person.
bool has_begun_to_log(const fs::path& run) {
  const fs::path config = run / "config.toml";
  return fs::is_regular_file(fs::symlink_status(config)) && read_file(config).starts_with(kConfigStart) &&
         (fs::exists(run / "metrics.jsonl") || fs::exists(run / "out.log"));
}

/// Whether a path is what a run writes before its first step, with its logs or before them.
bool precedes_steps(const fs::path& path, bool logs) {
  const std::string name = path.filename().string();
  const auto all = [&](const auto& test) {
    return fs::is_directory(fs::symlink_status(path)) &&
           std::ranges::all_of(entries_of(path), [&](const fs::path& p) { return test(p.filename().string()); });
  };
  if (name == "checkpoints") return all(is_temporary);
  if (name == "tensorboard") {
    return all([&](const std::string& file) { return logs && file.starts_with("events.out.tfevents."); });
  }
  if (!fs::is_regular_file(fs::symlink_status(path))) return false;
  if (name.ends_with(".jsonl")) return logs && fs::is_empty(path);
  return (logs && (name == "config.toml" || name == kVocabulary || name == "out.log")) || name == kLockFile ||
         is_temporary(name);
}

/// Whether a folder is empty, or holds only the leftovers of a run that ended before its first step.
bool never_begun(const fs::path& folder) {
  if (!fs::is_directory(folder)) return false;
  const bool logs = has_begun_to_log(folder);
  return std::ranges::all_of(entries_of(folder), [&](const fs::path& path) { return precedes_steps(path, logs); });
}

// What cannot be looked into, as another user's folder, is no run.
bool is_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "config.toml", ignored) && fs::is_directory(folder / "checkpoints", ignored);
}

/// The steps whose weights lie in a folder, ascending.
std::vector<int64_t> steps_in(const fs::path& folder) {
  std::vector<int64_t> steps;
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored)) {
    if (const auto step = step_of_weights(it->path().filename().string())) steps.push_back(*step);
  }
  std::ranges::sort(steps);
  return steps;
}

/// The step that a pointer's file names; nothing for any other file.
std::optional<int64_t> read_pointer(const fs::path& path) {
  constexpr uintmax_t kMostBytes = 256;
  std::error_code ignored;
  if (!fs::is_regular_file(fs::symlink_status(path, ignored)) || fs::file_size(path) > kMostBytes) return std::nullopt;
  std::string name = read_file(path);
  if (name.ends_with('\n')) name.pop_back();
  return step_of_weights(name);
}

/// The step whose weights the pointer `latest` of a folder names, or the newest one.
std::optional<int64_t> newest_weights(const fs::path& folder) {
  const auto named = read_pointer(folder / "latest");
  if (named && fs::exists(folder / weights_name(*named))) return named;
  const auto steps = steps_in(folder);
  return steps.empty() ? std::nullopt : std::optional(steps.back());
}

/// "a, b and 3 more": the last names are the newest.
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 8;
  const size_t first = names.size() > kMost ? names.size() - kMost : 0;
  std::string text;
  for (size_t i = first; i < names.size(); ++i) text += (text.empty() ? "" : ", ") + names[i];
  return first > 0 ? fmt::format("{} and {} more", text, first) : text;
}

/// The names of the runs in a folder, in order.
std::vector<std::string> runs_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored)) {
    if (is_run(it->path())) names.push_back(it->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

/// For the message about a path that names no checkpoint or run: "; FOLDER has …", the checkpoints or runs in it or, if
/// it does not exist, in the nearest folder above that does. Empty if there are none.
std::string what_is_there(const fs::path& path) {
  fs::path nearest = path;
  std::error_code ignored;
  while (!fs::is_directory(nearest, ignored) && nearest.has_relative_path()) nearest = nearest.parent_path();
  if (nearest.empty()) nearest = ".";
  for (const fs::path& folder : {nearest / "checkpoints", nearest}) {
    std::vector<std::string> names;
    for (const int64_t step : steps_in(folder)) names.push_back(weights_name(step));
    for (const char* pointer : {"best", "latest"}) {
      if (!names.empty() && read_pointer(folder / pointer)) names.emplace_back(pointer);
    }
    if (!names.empty()) return fmt::format("; {} has {}", folder.string(), listed(names));
    if (const auto runs = runs_in(folder); !runs.empty()) {
      return fmt::format("; {} has the runs {}", folder.string(), listed(runs));
    }
  }
  return "";
}

/// A path without a slash at its end.
fs::path without_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

/// Whether a log has a complete line.
bool has_lines(const fs::path& log) { return fs::exists(log) && read_file(log).find('\n') != std::string::npos; }

}  // namespace

RunFolder RunFolder::create(const fs::path& folder) {
  const auto check = [&] {
    if (!fs::exists(fs::symlink_status(folder)) || never_begun(folder)) return;
    throw ConfigError(fmt::format(
        "--name: {} exists already; expected a new name, or --resume latest to continue this run", folder.string()));
  };
  check();
  std::error_code error;
  fs::create_directories(folder / "checkpoints", error);
  if (error) fail(folder, "create the folder", error);
  RunFolder run(folder);
  run.lock();
  check();  // a process that had the lock until now may have begun a run
  for (const fs::path& path : entries_of(folder)) {
    if (path.filename() == "checkpoints" || path.filename() == "tensorboard") {
      for (const fs::path& file : entries_of(path)) remove_file(file);
    } else if (path.filename() != kLockFile) {
      remove_file(path);
    }
  }
  return run;
}

void RunFolder::lock() { lock_ = std::make_shared<const RunLock>(folder_); }

RunFolder RunFolder::open(const fs::path& folder, const std::string& option) {
  if (!is_run(folder)) {
    throw ConfigError(fmt::format(
        "{}expected a run's folder with config.toml and checkpoints, found {}{}", option.empty() ? "" : option + ": ",
        fs::exists(folder) ? folder.string() : "no folder " + folder.string(), what_is_there(folder)));
  }
  return RunFolder(folder);
}

fs::path RunFolder::vocabulary() const { return folder_ / kVocabulary; }

CheckpointFiles RunFolder::checkpoint(int64_t step) const {
  const std::string stem = (checkpoints() / fmt::format("{}{:08}", kPrefix, step)).string();
  return {fs::path(stem).concat(kWeights), fs::path(stem).concat(kState), fs::path(stem).concat(kEma)};
}

void RunFolder::write_config(const Config& config, std::string_view command) const {
  std::string one_line = as_utf8(command);
  std::ranges::replace_if(
      one_line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  write_file_atomically(this->config(),
                        fmt::format("{}{}\n# {}\n\n{}", kConfigStart, version(), one_line, to_toml(config)));
}

std::vector<int64_t> RunFolder::complete() const {
  std::vector<int64_t> steps;
  for (const fs::path& path : entries_of(checkpoints())) {
    const auto step = step_of_weights(path.filename().string());
    if (step && fs::exists(checkpoint(*step).state)) steps.push_back(*step);
  }
  std::ranges::sort(steps);
  return steps;
}

void RunFolder::mark(const char* pointer, int64_t step) const {
  const fs::path path = checkpoints() / pointer;
  // What it points to may be a checkpoint, which must not be overwritten.
  if (fs::is_symlink(path)) throw IoError(fmt::format("{}: expected a file of ours, found a link", path.string()));
  write_file_atomically(path, weights_name(step) + "\n");
}

std::optional<int64_t> RunFolder::marked(const char* pointer) const {
  const auto step = read_pointer(checkpoints() / pointer);
  if (!step) return std::nullopt;
  const CheckpointFiles files = checkpoint(*step);
  return fs::exists(files.weights) && fs::exists(files.state) ? step : std::nullopt;
}

std::optional<int64_t> RunFolder::latest() const {
  if (const auto step = marked("latest")) return step;
  const auto steps = complete();
  return steps.empty() ? std::nullopt : std::optional(steps.back());
}

std::optional<int64_t> RunFolder::best() const { return marked("best"); }

void RunFolder::remove_unfinished() const {
  for (const fs::path& folder : {folder_, checkpoints()}) {
    for (const fs::path& path : entries_of(folder)) {
      if (is_temporary(path.filename().string())) remove_file(path);
    }
  }
  // A run that was killed while it pruned or saved leaves files without weights.
  const int64_t newest = latest().value_or(-1);
  for (const fs::path& path : entries_of(checkpoints())) {
    for (const std::string_view ending : {kState, kEma}) {
      const auto step = step_of(path.filename().string(), ending);
      if (step && *step <= newest && !fs::exists(checkpoint(*step).weights)) remove_file(path);
    }
  }
}

void RunFolder::prune(int64_t keep) const {
  remove_unfinished();
  const auto newest = latest();
  if (keep <= 0 || !newest) return;
  auto steps = complete();
  std::erase_if(steps, [&](int64_t step) { return step > *newest; });
  const auto protected_step = best();
  for (int64_t i = 0; i < static_cast<int64_t>(steps.size()) - keep; ++i) {
    const int64_t step = steps[static_cast<size_t>(i)];
    if (protected_step == step) continue;
    // The weights go first, so that the rest does not count as a checkpoint after a kill.
    const CheckpointFiles files = checkpoint(step);
    for (const fs::path& path : {files.weights, files.state, files.ema}) remove_file(path);
  }
}

bool RunFolder::has_history() const {
  // Runs of earlier versions have no list of checkpoints: their figures count.
  return fs::exists(saves()) ? has_lines(saves()) : has_lines(metrics()) || has_lines(results());
}

void RunFolder::drop_lines_beyond(int64_t step) const {
  for (const fs::path& path : {metrics(), results(), saves()}) {
    if (!fs::exists(path)) continue;
    const std::string text = read_file(path);
    const std::string kept = lines_up_to(text, step);
    if (kept != text) write_file_atomically(path, kept);
  }
}

fs::path one_path(const fs::path& folder) {
  const fs::path whole = fs::weakly_canonical(fs::absolute(folder));
  return whole.has_filename() ? whole : whole.parent_path();
}

std::vector<std::string> run_labels(const std::vector<fs::path>& folders) {
  std::vector<fs::path> paths;
  for (const fs::path& folder : folders) paths.push_back(one_path(folder));
  std::vector<std::string> labels;
  for (const fs::path& path : paths) {
    int parts = 1;
    const auto alike = [&](const fs::path& other) { return other != path && tail(other, parts) == tail(path, parts); };
    while (std::ranges::any_of(paths, alike)) ++parts;
    labels.push_back(tail(path, parts).string());
  }
  return labels;
}

fs::path run_path(const RunConfig& run) { return fs::path(run.logs) / run.name; }

std::string automatic_name(const ModelConfig& model) {
  return fmt::format("{:%Y_%m_%d-%H_%M_%S}-{}-{}x{}p{}", fmt::localtime(std::time(nullptr)), word_of(model.objective),
                     model.vision.width, model.vision.layers, model.vision.patch_size);
}

namespace {

/// The folder that holds the checkpoints/ in which a file lies, in the words of its path where they name it.
std::optional<fs::path> owner_of(const fs::path& file) {
  const fs::path folder = fs::absolute(file).parent_path();
  if (folder.filename() != "checkpoints") return std::nullopt;
  const fs::path given = file.parent_path().parent_path();
  return given.empty() ? folder.parent_path() : given;
}

}  // namespace

std::optional<fs::path> run_of(const fs::path& weights) {
  const auto owner = owner_of(weights);
  return owner && fs::is_regular_file(*owner / "config.toml") ? owner : std::nullopt;
}

ResumePoint find_resume_point(const std::string& resume, const RunConfig& run) {
  if (resume == "latest") {
    if (run.name.empty()) throw ConfigError("--resume latest: expected --name with the run to continue, found none");
    return {run_path(run), std::nullopt};
  }
  const fs::path path = without_slash(resume);
  if (fs::is_directory(path)) return {run_of(path / "file").value_or(path), std::nullopt};
  if (const auto folder = owner_of(path)) {
    const auto step = step_of_weights(path.filename().string());
    if (step && fs::is_regular_file(path)) return {*folder, step};
    const bool best = path.filename() == "best";
    if ((best || path.filename() == "latest") && is_run(*folder)) {
      const RunFolder opened = RunFolder::open(*folder);
      if (const auto pointed = best ? opened.best() : opened.latest()) return {*folder, pointed};
    }
  }
  throw ConfigError(
      fmt::format("--resume: expected latest, a run's folder or its checkpoints/step_NNNNNNNN.safetensors, found {}{}",
                  resume, what_is_there(path)));
}

std::string weights_file(const std::string& given) {
  const fs::path path = without_slash(given), beside = path.parent_path();
  std::error_code error;
  if (fs::is_directory(path, error)) {
    for (const fs::path& folder : {path / "checkpoints", path}) {
      if (const auto step = newest_weights(folder)) return (folder / weights_name(*step)).string();
    }
    if (fs::is_directory(path / "checkpoints")) {
      throw ConfigError(fmt::format("{}: expected a run with a checkpoint, found none", given));
    }
    if (const auto runs = runs_in(path); !runs.empty()) {
      throw ConfigError(
          fmt::format("{}: expected a checkpoint or the folder of one run, found the runs {}", given, listed(runs)));
    }
    return given;
  }
  if (path.filename() == "best" || path.filename() == "latest") {
    const auto step = path.filename() == "best" ? read_pointer(path) : newest_weights(beside);
    if (step && fs::exists(beside / weights_name(*step))) return (beside / weights_name(*step)).string();
  }
  if (const auto step = read_pointer(path)) {
    throw IoError(
        fmt::format("{}: expected weights, found the name {}, which is what a run's latest and best hold; copy the "
                    "file of that name",
                    given, weights_name(*step)));
  }
  if (fs::exists(path, error) || error) return given;  // whoever opens it has the reason
  throw IoError(fmt::format("{}: cannot open: No such file or directory{}", given, what_is_there(path)));
}

}  // namespace tessera::rils
