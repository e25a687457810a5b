#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

namespace tessera::rils {

/// "1:05", "2:00:07", "3d 4:05:06"; "?" for what is negative or not finite.
[[nodiscard]] std::string duration_text(double seconds);

/// Where a run stands.
struct ProgressState {
  int64_t step = 0, total = 1;  // of steps
  double loss = 0;
  double per_second = 0;    // of `unit`
  double seconds_left = 0;  // NaN where it is not known yet
  std::string detail;       // further figures; the first to go where a line is too long
  std::string unit = "pairs";
};

/// "step 20/100  loss 1.2345  512 pairs/s  1:05 left": the line of a log.
[[nodiscard]] std::string progress_line(const ProgressState& state);
/// A bar and the same figures in at most `width` columns: the bar shrinks first, then figures are left out from the
/// right.
[[nodiscard]] std::string progress_bar(const ProgressState& state, int width);

/// Progress of work that has stages, on a stream of its own so that results can go to a file: a bar with the time left
/// on a terminal, elsewhere a line at the end of each stage. Called by one thread.
class StageProgress {
 public:
  explicit StageProgress(std::FILE* stream = stderr);
  /// So many of all are done. A stage of unknown size has a total of 0.
  void operator()(std::string_view stage, int64_t done, int64_t total);

 private:
  std::FILE* stream_;
  bool terminal_;
  std::string stage_;
  std::chrono::steady_clock::time_point started_{}, drawn_{};
};

/// What a person sees of a run: lines, and a bar below them that is drawn again and again where the stream is a
/// terminal. Lines also go to a file (out.log) once one is named; the bar does not.
class Console {
 public:
  explicit Console(std::FILE* stream = stdout);
  /// Ends the bar's line.
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// From now on lines are appended to this file too, those said before first. Throws IoError.
  void tee(const std::filesystem::path& path);
  /// Prints a line above the bar.
  void line(std::string_view text);
  /// Draws the bar on a terminal, at most ten times a second but always at the last step. Elsewhere, and in the file,
  /// progress is a plain line when `due`.
  void progress(const ProgressState& state, bool due);

 private:
  void append(std::string_view text);
  void clear_bar();

  std::FILE* stream_;
  std::FILE* file_ = nullptr;
  std::string early_;  // said before there was a file
  bool terminal_, bar_shown_ = false;
  std::chrono::steady_clock::time_point drawn_{};
};

}  // namespace tessera::rils
