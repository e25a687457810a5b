#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::rils {

/// "1:05", "2:00:07" or "3d 4:05:06"; "?" for a number that is negative or not finite.
[[nodiscard]] std::string duration_text(double seconds);

/// How far a run has come.
struct ProgressState {
  int64_t step = 0, total = 1;  // in steps
  double loss = 0;
  double per_second = 0;    // speed in `unit`
  double seconds_left = 0;  // NaN when it is not known yet
  std::string detail;       // further figures; dropped first when a line is too long
  std::string unit = "pairs";
  std::optional<double> mean_loss = {};  // over the steps since the line before
  bool at_least = false;                 // something that is still to come has not been timed yet
};

/// The line for a log: "step 20/100  loss 1.2345 (mean 1.3456)  512 pairs/s  1:05 left".
[[nodiscard]] std::string progress_line(const ProgressState& state);
/// A bar with the same figures but the mean in at most `width` columns. To save space the bar shrinks first; then
/// figures are dropped from the right.
[[nodiscard]] std::string progress_bar(const ProgressState& state, int width);

/// Is called with the number of items done so far and the number of all items.
using Progress = std::function<void(int64_t done, int64_t total)>;
/// The same with the name of the work's stage. A stage of unknown size has a total of 0; it ends with done == total.
using Stages = std::function<void(std::string_view stage, int64_t done, int64_t total)>;
/// One stage of them; does nothing where there are none.
[[nodiscard]] Progress stage_of(const Stages& stages, std::string name);

/// How long work may last before a log gets a line about it. The lines grow rarer: an eighth of the time so far lies
/// between them.
inline constexpr std::chrono::milliseconds kSilence{10000};

/// When a stage began and was last shown.
class StageClock {
 public:
  /// Begins anew if the stage is another one than before.
  void follow(std::string_view stage);
  /// Whether a bar should be drawn again.
  [[nodiscard]] bool redraw();
  /// Whether a log should get another line: always if `silence` is 0.
  [[nodiscard]] bool break_silence(std::chrono::milliseconds silence);
  [[nodiscard]] double seconds() const;
  /// "reading images 20/100  1:05 left", or "reading images 20" where the total is not known.
  [[nodiscard]] std::string text(int64_t done, int64_t total) const;
  void end() { stage_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  std::string stage_;
  Clock::time_point started_{}, drawn_{}, told_{};
};

/// Shows the progress of work in stages: on a terminal a bar with the time left, elsewhere a line now and then while a
/// stage lasts, and one at its end unless it took less than a second. By default it writes to stderr, so that stdout
/// can be redirected to a file. Only one thread may call it.
class StageProgress {
 public:
  explicit StageProgress(std::FILE* stream = stderr, std::chrono::milliseconds silence = kSilence);
  /// Reports that `done` of `total` are finished; see Stages.
  void operator()(std::string_view stage, int64_t done, int64_t total);

 private:
  std::FILE* stream_;
  bool terminal_;
  std::chrono::milliseconds silence_;
  StageClock clock_;
};

/// The output of a run: lines, and on a terminal a progress bar below them. After tee() the lines are also appended to
/// a file (out.log); the bar is not.
class Console {
 public:
  explicit Console(std::FILE* stream = stdout, std::chrono::milliseconds silence = kSilence);
  /// Ends the line of the bar.
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// Appends the lines to this file too, first those that were printed before the call. Throws IoError.
  void tee(const std::filesystem::path& path);
  /// Prints a line above the bar.
  void line(std::string_view text);
  /// Draws the bar on a terminal, at most ten times a second and always at the last step. Elsewhere, and in the file,
  /// it writes a line when `due`.
  void progress(const ProgressState& state, bool due);
  /// Shows a stage of work between steps, such as a validation: a bar on a terminal, elsewhere and in the file a line
  /// now and then if it lasts. At its end the bar is removed; the results speak for themselves.
  void stage(std::string_view stage, int64_t done, int64_t total);
  [[nodiscard]] Stages stages();

 private:
  void append(std::string_view text);
  void clear_bar();
  void draw(const std::string& bar);

  std::FILE* stream_;
  std::FILE* file_ = nullptr;
  std::string early_;  // lines printed before tee()
  bool terminal_, bar_shown_ = false;
  std::chrono::steady_clock::time_point drawn_{};
  std::chrono::milliseconds silence_;
  StageClock clock_;
};

}  // namespace tessera::rils
