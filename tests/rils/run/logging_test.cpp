// Metrics, event files, progress and signals.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/signals.h"
#include "rils/run/tensorboard.h"
#include "rils/run/training_run.h"
#include "tests/support/temporary_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

class LoggingTest : public ::testing::Test {
 protected:
  const test::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST(Record, WritesNumbersThatReadBack) {
  Record record;
  record.add("step", int64_t{9007199254740993}).add("lr", 0.1 + 0.2).add("one", 1.0).add("tiny", 5e-324);
  record.add("nan", std::numeric_limits<double>::quiet_NaN()).add("inf", std::numeric_limits<double>::infinity());
  record.add("name", std::string_view("a\"b\n\xff"));
  EXPECT_EQ(record.json(),
            "{\"step\":9007199254740993,\"lr\":0.30000000000000004,\"one\":1.0,\"tiny\":5e-324,\"nan\":null,"
            "\"inf\":null,\"name\":\"a\\\"b\\n\xEF\xBF\xBD\"}");
}

TEST(Record, OfAStepHasTheDocumentedFields) {
  StepMetrics m;
  m.step = 7;
  m.terms.add("clip_loss", 0.5).add("recon_loss", 0.25).add("clip_acc", 3.0);
  m.logit_scale = 14.0;
  m.flops_of_peak = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(to_record(m).json(),
            "{\"step\":7,\"epoch\":0,\"samples\":0,\"loss\":0.0,\"clip_loss\":0.5,\"recon_loss\":0.25,\"clip_acc\":3.0,"
            "\"logit_scale\":14.0,\"lr\":0.0,\"grad_norm\":0.0,\"samples_per_second\":0.0,\"batch_time\":0.0,"
            "\"data_time\":0.0,\"flops_of_peak\":null,\"memory_peak_bytes\":0}");
}

TEST(FigureMeans, AreOverTheStepsSinceTheyWereCleared) {
  FigureMeans means;
  means.add(Record().add("step", int64_t{1}).add("loss", 1.0).add("lr", 0.1).add("samples_per_second", 5.0));
  means.add(Record().add("step", int64_t{2}).add("loss", 0.2).add("acc", 3.0).add("logit_scale", 14.0));
  EXPECT_EQ(means.means().json(), "{\"loss_mean\":0.6,\"acc_mean\":1.5}");
  EXPECT_EQ(means.mean("loss"), 0.6);
  EXPECT_TRUE(std::isnan(means.mean("lr")));
  const FigureMeans read = FigureMeans::from_json(means.to_json());
  EXPECT_EQ(read.steps(), 2);
  EXPECT_EQ(read.means().json(), means.means().json());
  means.clear();
  EXPECT_EQ(means.means().json(), "{}");
  EXPECT_EQ(FigureMeans::from_json("").steps(), 0) << "a checkpoint of an earlier version";
  for (const char* broken : {"x", "[]", "{\"steps\":1}", "{\"steps\":1,\"sums\":[[1,2]]}"}) {
    EXPECT_THROW((void)FigureMeans::from_json(broken), IoError) << broken;
  }
}

TEST(FigureMeans, SumsReadBackToTheBit) {
  FigureMeans means;
  for (const double value : {0.1, 0.2, 1e-17, 1.0 / 3}) means.add(Record().add("loss", value));
  FigureMeans read = FigureMeans::from_json(means.to_json());
  for (FigureMeans* m : {&means, &read}) m->add(Record().add("loss", 1e-3));
  EXPECT_EQ(means.mean("loss"), read.mean("loss"));
}

TEST(TimesLeft, AreThoseOfCountingStepByStep) {
  const auto counted = [](const Recurrence& r, const TrainingLength& length, int64_t step) {
    int64_t times = 0;
    for (int64_t s = step + 1; s <= length.total; ++s) {
      bool due = s == length.total || (r.steps > 0 && s % r.steps == 0);
      for (const int64_t e : r.epochs) due = due || (e > 0 && s % (e * length.epoch) == 0);
      times += due ? 1 : 0;
    }
    return times;
  };
  const std::vector<Recurrence> all = {{},           {7, {}},     {0, {1}},    {4, {1, 3}},
                                       {10, {2, 5}}, {0, {0, 0}}, {100, {40}}, {3, {1, 1}}};
  for (const TrainingLength& length : {TrainingLength{60, 6}, TrainingLength{61, 6}, TrainingLength{5, 10}}) {
    for (const Recurrence& r : all) {
      for (int64_t step = 0; step <= length.total; ++step) {
        EXPECT_EQ(times_left(r, length, step), counted(r, length, step)) << r.steps << ' ' << step;
      }
    }
  }
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(times_left({most, {most, most - 1}}, {1000, 10}, 0), 1) << "the last step alone";
  EXPECT_EQ(times_left({7, {1}}, {1000, 10}, 1001), 0) << "a run that is longer than it is asked to be";
}

TEST_F(LoggingTest, LogIsAppendedToAndReadableAtOnce) {
  const fs::path path = root_ / "metrics.jsonl";
  {
    RecordLog log(path);
    log.write(Record().add("step", int64_t{1}));
    EXPECT_EQ(read_file(path), "{\"step\":1}\n");
  }
  RecordLog log(path);
  log.write(Record().add("step", int64_t{2}));
  EXPECT_EQ(read_file(path), "{\"step\":1}\n{\"step\":2}\n");
}

TEST_F(LoggingTest, AFullDiskIsAnIoErrorWithThePath) {
  EXPECT_THROW(RecordLog(root_ / "none" / "x"), IoError);
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  RecordLog log("/dev/full");
  try {
    log.write(Record().add("step", int64_t{1}));
    FAIL() << "nothing was thrown";
  } catch (const IoError& e) {
    EXPECT_STREQ(e.what(), "/dev/full: cannot write: No space left on device");
  }
}

uint32_t crc_of(std::string_view text) { return crc32c(std::as_bytes(std::span(text.data(), text.size()))); }

TEST(Crc32c, KnownValues) {
  EXPECT_EQ(crc_of("123456789"), 0xe3069283U);            // the check value of the catalogue of CRCs
  EXPECT_EQ(crc_of(std::string(32, '\0')), 0x8a9136aaU);  // RFC 3720, B.4
  EXPECT_EQ(crc_of(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc_of(""), 0U);
}

template <class T>
T read_at(const std::string& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint32_t masked(std::string_view text) { return std::rotr(crc_of(text), 15) + 0xa282ead8U; }

TEST_F(LoggingTest, EventFilesHoldScalars) {
  {
    TensorboardWriter writer(root_ / "tensorboard");
    writer.write("train", 300,
                 Record().add("step", int64_t{300}).add("loss", 1.5).add("nan", std::nan("")).add("n", int64_t{2}));
  }
  const auto file = fs::directory_iterator(root_ / "tensorboard")->path();
  EXPECT_TRUE(file.filename().string().starts_with("events.out.tfevents.")) << file;
  const std::string bytes = read_file(file);
  std::vector<std::string> events;
  for (size_t at = 0; at < bytes.size();) {
    const auto length = read_at<uint64_t>(bytes, at);
    EXPECT_EQ(read_at<uint32_t>(bytes, at + 8), masked(bytes.substr(at, 8)));
    events.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(read_at<uint32_t>(bytes, at + 12 + length), masked(events.back()));
    at += 16 + length;
  }
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].substr(9),
            "\x1a\x0d"
            "brain.Event:2");
  // Wall time (9 bytes), step 300 as a varint, then the summary with its two values: tag, f32.
  EXPECT_EQ(events[1].substr(9, 3), "\x10\xac\x02");
  using namespace std::string_literals;
  const std::string loss =
      "\x0a\x11"
      "\x0a\x0a"
      "train/loss\x15"
      "\x00\x00\xc0\x3f"s;
  const std::string count =
      "\x0a\x0e"
      "\x0a\x07"
      "train/n\x15"
      "\x00\x00\x00\x40"s;
  EXPECT_EQ(events[1].substr(12),
            "\x2a" + std::string(1, static_cast<char>(loss.size() + count.size())) + loss + count);
}

TEST_F(LoggingTest, TensorboardTakesPicturesAndTexts) {
  using namespace std::string_literals;
  const std::string png = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x07\0\0\0\x05"s;
  {
    TensorboardWriter writer(root_ / "tensorboard");
    writer.write_picture("p", 1, png);
    writer.write_text("t", 2, "hello");
    EXPECT_THROW(writer.write_picture("p", 1, "GIF89a, and some more bytes"), IoError);
  }
  const std::string bytes = read_file(fs::directory_iterator(root_ / "tensorboard")->path());
  // Tag, then the image: height 5, width 7, three channels, the file.
  EXPECT_NE(bytes.find("\x0a\x01p\x22\x20\x08\x05\x10\x07\x18\x03\x22\x18"s + png), std::string::npos);
  // Tag, then a tensor of one string without dimensions, then the name of the plugin.
  EXPECT_NE(bytes.find("\x0a\x01t\x42\x0b\x08\x07\x12\x00\x42\x05hello\x4a\x08\x0a\x06\x0a\x04text"s),
            std::string::npos);
}

TEST(Duration, IsReadable) {
  EXPECT_EQ(duration_text(0), "0:00");
  EXPECT_EQ(duration_text(65.4), "1:05");
  EXPECT_EQ(duration_text(59.6), "1:00");
  EXPECT_EQ(duration_text(3599), "59:59");
  EXPECT_EQ(duration_text(7207), "2:00:07");
  EXPECT_EQ(duration_text(3 * 86400 + 4 * 3600 + 5 * 60 + 6), "3d 4:05:06");
  EXPECT_EQ(duration_text(-1), "?");
  EXPECT_EQ(duration_text(std::nan("")), "?");
  EXPECT_EQ(duration_text(std::numeric_limits<double>::infinity()), "?");
}

const ProgressState kState{20, 100, 1.23456, 512.4, 65, {}};

TEST(Progress, LineOfALog) { EXPECT_EQ(progress_line(kState), "step 20/100  loss 1.2346  512 pairs/s  1:05 left"); }

TEST(Progress, DetailComesLastAndGoesFirst) {
  ProgressState state = kState;
  state.detail = "clip 1.0000";
  EXPECT_EQ(progress_line(state), "step 20/100  loss 1.2346  512 pairs/s  1:05 left  clip 1.0000");
  EXPECT_TRUE(progress_bar(state, 100).ends_with("left  clip 1.0000"));
  EXPECT_EQ(progress_bar(state, 50), "step 20/100  loss 1.2346  512 pairs/s  1:05 left");
}

TEST(Progress, LineTellsTheMeanAndWhatIsNotTimed) {
  ProgressState state = kState;
  state.mean_loss = 2.0;
  state.at_least = true;
  EXPECT_EQ(progress_line(state), "step 20/100  loss 1.2346 (mean 2.0000)  512 pairs/s  at least 1:05 left");
}

TEST(Progress, BarFitsTheTerminal) {
  EXPECT_EQ(progress_bar(kState, 200),
            "[######                        ] step 20/100  loss 1.2346  512 pairs/s  1:05 left");
  EXPECT_EQ(progress_bar(kState, 79),
            "[#####                       ] step 20/100  loss 1.2346  512 pairs/s  1:05 left");
  for (int width = 0; width <= 120; ++width) EXPECT_LE(static_cast<int>(progress_bar(kState, width).size()), width);
  EXPECT_EQ(progress_bar(kState, 30), "step 20/100  loss 1.2346");
  EXPECT_EQ(progress_bar(kState, 5), "step ");
  ProgressState done = kState;
  done.step = 100;
  EXPECT_EQ(progress_bar(done, 200).substr(0, 32), "[##############################]");
}

TEST_F(LoggingTest, ConsoleTeesPlainLines) {
  const fs::path stream_path = root_ / "stream";
  std::FILE* stream = std::fopen(stream_path.c_str(), "w");
  {
    Console console(stream);
    console.line("before there is a file");
    console.tee(root_ / "out.log");
    console.progress(kState, false);
    console.progress(kState, true);
    console.line("after");
  }
  std::fclose(stream);
  const std::string expected = "before there is a file\nstep 20/100  loss 1.2346  512 pairs/s  1:05 left\nafter\n";
  EXPECT_EQ(read_file(stream_path), expected) << "no terminal, so no bar";
  EXPECT_EQ(read_file(root_ / "out.log"), expected);
}

TEST_F(LoggingTest, LongStagesBreakTheSilenceOfALog) {
  using std::chrono::milliseconds;
  const auto lines_of = [&](milliseconds silence) {
    const fs::path path = root_ / "stages";
    std::FILE* stream = std::fopen(path.c_str(), "w");
    {
      StageProgress stages(stream, silence);
      Console console(stream, silence);
      for (const Stages& show : {Stages(std::ref(stages)), console.stages()}) {
        const Progress reading = stage_of(show, "reading");
        for (int64_t i = 1; i <= 4; ++i) reading(i, 4);
      }
    }
    std::fclose(stream);
    return read_file(path);
  };
  EXPECT_EQ(lines_of(milliseconds(10000)), "") << "what is over at once leaves no line";
  const std::string half = "reading 1/4  0:00 left\nreading 2/4  0:00 left\nreading 3/4  0:00 left\n";
  EXPECT_EQ(lines_of(milliseconds(0)), half + half) << "the end is not told: results follow";
  EXPECT_FALSE(stage_of({}, "nothing"));
}

TEST_F(LoggingTest, ATerminalGetsABarThatLinesPush) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0) GTEST_SKIP() << "no pseudo-terminals here";
  ASSERT_EQ(::grantpt(master), 0);
  ASSERT_EQ(::unlockpt(master), 0);
  std::FILE* terminal = std::fopen(::ptsname(master), "w");
  ASSERT_NE(terminal, nullptr);
  {
    Console console(terminal);
    console.tee(root_ / "out.log");
    console.progress(kState, true);
    ProgressState next = kState;
    next.step = 21;
    console.progress(next, false);  // too soon to be drawn
    console.line("said");
  }
  std::fclose(terminal);
  std::string seen;
  std::array<char, 4096> part;
  // The kernel hands the text over in parts, and gives an error after the last one.
  for (ssize_t n = 0; (n = ::read(master, part.data(), part.size())) > 0;)
    seen.append(part.data(), static_cast<size_t>(n));
  ::close(master);
  EXPECT_TRUE(seen.starts_with("\r[")) << seen;
  EXPECT_NE(seen.find("step 20/100"), std::string::npos);
  EXPECT_EQ(seen.find("step 21/100"), std::string::npos);
  EXPECT_NE(seen.find("\r\x1b[Ksaid"), std::string::npos);
  EXPECT_EQ(read_file(root_ / "out.log"), "step 20/100  loss 1.2346  512 pairs/s  1:05 left\nsaid\n");
}

/// Whoever started the tests in the background has some ignored.
void as_in_the_foreground() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) std::signal(signal, SIG_DFL);
}

TEST(StopRequest, TheFirstSignalIsARequest) {
  as_in_the_foreground();
  for (const int signal : {SIGINT, SIGTERM}) {
    const StopRequest stop;
    EXPECT_FALSE(stop.requested());
    std::raise(signal);
    EXPECT_TRUE(stop.requested());
  }
}

TEST(StopRequestDeathTest, TheSecondLeavesAtOnce) {
  as_in_the_foreground();
  EXPECT_EXIT(
      {
        const StopRequest stop;
        std::raise(SIGINT);
        std::raise(SIGTERM);
      },
      testing::ExitedWithCode(130), "");
}

TEST(StopRequestDeathTest, AfterwardsSignalsWorkAsBefore) {
  EXPECT_EXIT(
      {
        { const StopRequest stop; }
        std::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace tessera::rils
