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
#include "rils/config/toml.h"
#include "rils/run/version.h"

namespace tessera::rils {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step_";
constexpr std::string_view kWeights = ".safetensors";
constexpr std::string_view kState = ".state.safetensors";
constexpr std::string_view kEma = ".ema.safetensors";

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
    if (nests_too_deep(line)) continue;
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) continue;
    const auto found = json.find("step");
    if (found == json.end() || !found->is_number_integer() || found->get<int64_t>() > step) continue;
    kept.append(line).push_back('\n');
  }
  return kept;
}

/// Whether a folder is empty, or holds only the leftovers of a run that was killed before it wrote its configuration.
bool never_begun(const fs::path& folder) {
  return fs::is_directory(folder) && std::ranges::all_of(entries_of(folder), [](const fs::path& path) {
           return path.filename() == "checkpoints" ? fs::is_directory(path) && fs::is_empty(path)
                                                   : path.filename().string().starts_with("config.toml.tmp.");
         });
}

}  // namespace

RunFolder RunFolder::create(const fs::path& folder) {
  if (fs::exists(fs::symlink_status(folder)) && !never_begun(folder)) {
    throw ConfigError(fmt::format(
        "--name: {} exists already; expected a new name, or --resume latest to continue this run", folder.string()));
  }
  std::error_code error;
  fs::create_directories(folder / "checkpoints", error);
  if (error) fail(folder, "create the folder", error);
  for (const fs::path& path : entries_of(folder)) {
    if (path.filename() != "checkpoints") remove_file(path);  // an incomplete configuration
  }
  return RunFolder(folder);
}

RunFolder RunFolder::open(const fs::path& folder) {
  if (!fs::is_regular_file(folder / "config.toml") || !fs::is_directory(folder / "checkpoints")) {
    throw ConfigError(fmt::format("--resume: expected a run's folder with config.toml and checkpoints, found {}",
                                  fs::exists(folder) ? folder.string() : "no folder " + folder.string()));
  }
  return RunFolder(folder);
}

CheckpointFiles RunFolder::checkpoint(int64_t step) const {
  const std::string stem = (checkpoints() / fmt::format("{}{:08}", kPrefix, step)).string();
  return {fs::path(stem).concat(kWeights), fs::path(stem).concat(kState), fs::path(stem).concat(kEma)};
}

void RunFolder::write_config(const Config& config, std::string_view command) const {
  std::string one_line(command);
  std::ranges::replace_if(
      one_line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  write_file_atomically(this->config(), fmt::format("# tessera {}\n# {}\n\n{}", version(), one_line, to_toml(config)));
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
  write_file_atomically(checkpoints() / pointer, weights_name(step) + "\n");
}

std::optional<int64_t> RunFolder::marked(const char* pointer) const {
  const fs::path path = checkpoints() / pointer;
  if (!fs::exists(path)) return std::nullopt;
  std::string name = read_file(path);
  if (name.ends_with('\n')) name.pop_back();
  const auto step = step_of_weights(name);
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
      if (path.filename().string().find(".tmp.") != std::string::npos) remove_file(path);
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

void RunFolder::drop_lines_beyond(int64_t step) const {
  for (const fs::path& path : {metrics(), results()}) {
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

ResumePoint find_resume_point(const std::string& resume, const RunConfig& run) {
  if (resume == "latest") {
    if (run.name.empty()) throw ConfigError("--resume latest: expected --name with the run to continue, found none");
    return {run_path(run), std::nullopt};
  }
  const fs::path path(resume);
  if (fs::is_directory(path)) return {path.filename().empty() ? path.parent_path() : path, std::nullopt};
  const auto step = step_of_weights(path.filename().string());
  const fs::path folder = fs::absolute(path).parent_path();
  if (fs::is_regular_file(path) && step && folder.filename() == "checkpoints") return {folder.parent_path(), step};
  throw ConfigError(fmt::format(
      "--resume: expected latest, a run's folder or its checkpoints/step_NNNNNNNN.safetensors, found {}", resume));
}

}  // namespace tessera::rils
