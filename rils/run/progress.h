#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
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
};

/// The line for a log: "step 20/100  loss 1.2345  512 pairs/s  1:05 left".
[[nodiscard]] std::string progress_line(const ProgressState& state);
/// A bar with the same figures in at most `width` columns. To save space the bar shrinks first; then figures are
/// dropped from the right.
[[nodiscard]] std::string progress_bar(const ProgressState& state, int width);

/// Shows the progress of work in stages: on a terminal a bar with the time left, elsewhere one line at the end of each
/// stage. By default it writes to stderr, so that stdout can be redirected to a file. Only one thread may call it.
class StageProgress {
 public:
  explicit StageProgress(std::FILE* stream = stderr);
  /// Reports that `done` of `total` are finished. A stage of unknown size has a total of 0.
  void operator()(std::string_view stage, int64_t done, int64_t total);

 private:
  std::FILE* stream_;
  bool terminal_;
  std::string stage_;
  std::chrono::steady_clock::time_point started_{}, drawn_{};
};

/// The output of a run: lines, and on a terminal a progress bar below them. After tee() the lines are also appended to
/// a file (out.log); the bar is not.
class Console {
 public:
  explicit Console(std::FILE* stream = stdout);
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

 private:
  void append(std::string_view text);
  void clear_bar();

  std::FILE* stream_;
  std::FILE* file_ = nullptr;
  std::string early_;  // lines printed before tee()
  bool terminal_, bar_shown_ = false;
  std::chrono::steady_clock::time_point drawn_{};
};

}  // namespace tessera::rils
