#include "rils/run/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/printable.h"

namespace tessera::rils {
namespace {

constexpr int kWidestBar = 30;
constexpr int kNarrowestBar = 8;
constexpr std::chrono::milliseconds kRedraw{100};

std::string step_text(const ProgressState& s) { return fmt::format("step {}/{}", s.step, s.total); }
std::string loss_text(const ProgressState& s) { return fmt::format("loss {:.4f}", s.loss); }
std::string rate_text(const ProgressState& s) {
  const int digits = s.per_second < 100 ? 1 : 0;
  return fmt::format("{:.{}f} {}/s", s.per_second, digits, s.unit);
}
std::string mean_text(const ProgressState& s) { return s.mean_loss ? fmt::format(" (mean {:.4f})", *s.mean_loss) : ""; }
std::string left_text(const ProgressState& s) {
  return fmt::format("{}{} left", s.at_least ? "at least " : "", duration_text(s.seconds_left));
}
/// The number of usable columns. The last column stays free, because some terminals wrap after it.
int columns(std::FILE* stream) {
  winsize size{};
  const bool known = ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (known ? static_cast<int>(size.ws_col) : 80) - 1;
}

/// Puts a bar before the figures if there is room. The result is at most `width` long.
std::string with_bar(int64_t done, int64_t total, std::string figures, int width) {
  if (static_cast<int>(figures.size()) > width) figures.resize(static_cast<size_t>(std::max(width, 0)));
  const int bar = std::min(kWidestBar, width - static_cast<int>(figures.size()) - 3);
  if (bar < kNarrowestBar) return figures;
  const double share =
      std::clamp(static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1)), 0.0, 1.0);
  return fmt::format("[{:<{}}] {}", std::string(static_cast<size_t>(share * bar), '#'), bar, figures);
}

std::string detail_text(const ProgressState& s) { return s.detail.empty() ? "" : "  " + s.detail; }

}  // namespace

std::string duration_text(double seconds) {
  // A duration of thousands of years has no meaning.
  if (!(seconds >= 0) || seconds > 1e11) return "?";
  const auto s = static_cast<int64_t>(std::llround(seconds));
  const int64_t days = s / 86400, hours = s / 3600 % 24, minutes = s / 60 % 60;
  if (days > 0) return fmt::format("{}d {}:{:02}:{:02}", days, hours, minutes, s % 60);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, s % 60);
  return fmt::format("{}:{:02}", minutes, s % 60);
}

std::string progress_line(const ProgressState& s) {
  return fmt::format("{}  {}{}  {}  {}{}", step_text(s), loss_text(s), mean_text(s), rate_text(s), left_text(s),
                     detail_text(s));
}

std::string progress_bar(const ProgressState& s, int width) {
  std::string figures = step_text(s);
  for (const std::string& figure : {loss_text(s), rate_text(s), left_text(s)}) {
    if (static_cast<int>(figures.size() + 2 + figure.size()) > width) break;
    figures += "  " + figure;
  }
  if (static_cast<int>(figures.size() + detail_text(s).size()) <= width) figures += detail_text(s);
  return with_bar(s.step, s.total, std::move(figures), width);
}

Progress stage_of(const Stages& stages, std::string name) {
  if (!stages) return {};
  return [stages, name = std::move(name)](int64_t done, int64_t total) { stages(name, done, total); };
}

void StageClock::follow(std::string_view stage) {
  if (stage == stage_) return;
  stage_ = stage;
  started_ = told_ = Clock::now();
  drawn_ = {};
}

bool StageClock::redraw() {
  const auto now = Clock::now();
  if (now - drawn_ < kRedraw) return false;
  drawn_ = now;
  return true;
}

bool StageClock::break_silence(std::chrono::milliseconds silence) {
  constexpr int kShare = 8;
  const auto now = Clock::now();
  if (silence.count() > 0 && now - told_ < std::max<Clock::duration>(silence, (now - started_) / kShare)) return false;
  told_ = now;
  return true;
}

double StageClock::seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

std::string StageClock::text(int64_t done, int64_t total) const {
  if (total <= 0) return fmt::format("{} {}", stage_, done);
  const double left = seconds() / static_cast<double>(std::max<int64_t>(done, 1)) * static_cast<double>(total - done);
  return fmt::format("{} {}/{}  {} left", stage_, done, total, duration_text(done > 0 ? left : -1));
}

StageProgress::StageProgress(std::FILE* stream, std::chrono::milliseconds silence)
    : stream_(stream), terminal_(::isatty(::fileno(stream)) == 1), silence_(silence) {}

void StageProgress::operator()(std::string_view stage, int64_t done, int64_t total) {
  clock_.follow(stage);
  if (done == total) {
    const std::string amount = total > 0 ? fmt::format(": {} in {}", total, duration_text(clock_.seconds())) : "";
    if (terminal_) fmt::print(stream_, "\r\x1b[K");
    if (clock_.seconds() >= 1) fmt::print(stream_, "{}{}\n", stage, amount);
    clock_.end();
  } else if (terminal_ && clock_.redraw()) {
    fmt::print(stream_, "\r{}\x1b[K", with_bar(done, total, clock_.text(done, total), columns(stream_)));
  } else if (!terminal_ && clock_.break_silence(silence_)) {
    fmt::print(stream_, "{}\n", clock_.text(done, total));
  }
  std::fflush(stream_);
}

namespace {

/// Writes text. A terminal that is gone or a full disk must not end a run, which has its checkpoints to write.
void put(std::FILE* stream, std::string_view text) { std::fwrite(text.data(), 1, text.size(), stream); }

}  // namespace

Console::Console(std::FILE* stream, std::chrono::milliseconds silence)
    : stream_(stream), terminal_(::isatty(::fileno(stream)) == 1), silence_(silence) {}

Console::~Console() {
  if (bar_shown_) put(stream_, "\n");
  std::fflush(stream_);
  if (file_ != nullptr) std::fclose(file_);
}

void Console::tee(const std::filesystem::path& path) {
  std::FILE* file = std::fopen(path.c_str(), "ae");
  if (file == nullptr) throw IoError(fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno)));
  if (file_ != nullptr) std::fclose(file_);
  file_ = file;
  std::fwrite(early_.data(), 1, early_.size(), file_);
  std::fflush(file_);
  early_.clear();
}

void Console::append(std::string_view text) {
  if (file_ == nullptr) {
    early_.append(text).push_back('\n');
    return;
  }
  put(file_, fmt::format("{}\n", text));
  std::fflush(file_);
}

void Console::clear_bar() {
  if (bar_shown_) put(stream_, "\r\x1b[K");
  bar_shown_ = false;
}

void Console::line(std::string_view text) {
  clear_bar();
  const std::string shown = printable_lines(text);  // a name in it must not write over what the terminal shows
  put(stream_, shown + "\n");
  std::fflush(stream_);
  append(shown);
}

void Console::progress(const ProgressState& state, bool due) {
  if (!terminal_) {
    if (due) line(progress_line(state));
    return;
  }
  if (due) append(progress_line(state));
  const auto now = std::chrono::steady_clock::now();
  if (bar_shown_ && now - drawn_ < kRedraw && state.step < state.total) return;
  drawn_ = now;
  draw(progress_bar(state, columns(stream_)));
}

void Console::draw(const std::string& bar) {
  put(stream_, fmt::format("\r{}\x1b[K", bar));
  std::fflush(stream_);
  bar_shown_ = true;
}

void Console::stage(std::string_view stage, int64_t done, int64_t total) {
  clock_.follow(stage);
  if (done == total) {
    clear_bar();
    clock_.end();
    return;
  }
  const std::string text = clock_.text(done, total);
  if (clock_.break_silence(silence_)) {
    terminal_ ? append(text) : line(text);
  }
  if (terminal_ && clock_.redraw()) draw(with_bar(done, total, text, columns(stream_)));
}

Stages Console::stages() {
  return [this](std::string_view name, int64_t done, int64_t total) { stage(name, done, total); };
}

}  // namespace tessera::rils
