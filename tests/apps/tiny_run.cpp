#include "tests/apps/tiny_run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "engine/core/atomic_file.h"
#include "nn/io/safetensors.h"
#include "rils/data/encode.h"
#include "rils/data/shard_writer.h"

namespace tessera::test {
namespace fs = std::filesystem;
namespace {

constexpr int kSide = 32;  // pixels
constexpr int kColours = 6, kQuarters = 4;
constexpr std::array<std::array<int, 3>, kColours> kRgb = {
    {{220, 40, 40}, {40, 170, 60}, {50, 70, 220}, {225, 205, 50}, {235, 235, 235}, {20, 20, 25}}};
constexpr std::array<std::array<const char*, kColours>, kQuarters> kWords = {
    {{"red", "green", "blue", "yellow", "white", "black"},
     {"rot", "gruen", "blau", "gelb", "weiss", "schwarz"},
     {"rouge", "vert", "bleu", "jaune", "blanc", "noir"},
     {"rosso", "verde", "blu", "giallo", "bianco", "nero"}}};

/// Which colour each quarter has: a number below kColours to the power of kQuarters.
using Design = std::array<int, kQuarters>;

/// Every design once, in an order that a fixed seed gives.
std::vector<Design> all_designs() {
  std::vector<Design> designs;
  for (int code = 0; code < kColours * kColours * kColours * kColours; ++code) {
    designs.push_back({code % kColours, code / kColours % kColours, code / kColours / kColours % kColours,
                       code / kColours / kColours / kColours});
  }
  std::ranges::shuffle(designs, std::mt19937(1));
  return designs;
}

std::string caption_of(const Design& design) {
  std::string caption;
  for (size_t q = 0; q < design.size(); ++q) {
    caption += fmt::format("{}{}", q == 0 ? "" : " ", kWords[q][static_cast<size_t>(design[q])]);
  }
  return caption;
}

/// The quarters in their colours, with noise that no caption tells of.
rils::Image picture_of(const Design& design, std::mt19937& random) {
  rils::Image image(kSide, kSide);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const size_t quarter = (y < kSide / 2 ? 0U : 2U) + (x < kSide / 2 ? 0U : 1U);
      const auto& rgb = kRgb[static_cast<size_t>(design[quarter])];
      for (size_t c = 0; c < rgb.size(); ++c) {
        const int value = rgb[c] + static_cast<int>(random() % 31) - 15;
        image.pixel(x, y)[c] = static_cast<uint8_t>(std::clamp(value, 0, 255));
      }
    }
  }
  return image;
}

/// Shards of designs; the caption of sample i is that of design captions[i].
std::string write_pairs(const fs::path& folder, const std::vector<Design>& designs, const std::vector<size_t>& captions,
                        bool labels = false) {
  constexpr int64_t kPerShard = 128;
  std::mt19937 random(2);
  rils::ShardWriter writer(folder, kPerShard);
  for (size_t i = 0; i < designs.size(); ++i) {
    const std::vector<std::byte> png = rils::encode_png(picture_of(designs[i], random));
    rils::ShardWriter::Sample sample;
    sample.image = png;
    sample.captions = {caption_of(designs[captions[i]])};
    if (labels) sample.label = designs[i][0];
    writer.add(sample);
  }
  writer.finish();
  return folder.string();
}

std::vector<size_t> in_order(size_t n) {
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = i;
  return order;
}

constexpr const char* kConfig = R"([model]
embed_dim = 32
vision = {{ image_size = 32, patch_size = 8, width = 32, layers = 1, heads = 2 }}
decoder = {{ width = 32, heads = 2 }}
text = {{ context_length = 8, vocab_size = 0, width = 32, layers = 1, heads = 2 }}
[loss]
simulated_ranks = 1
[data]
train_data = "{}"
vocabulary = "{}"
workers = 1
[augment]
crop_scale = [0.8, 1.0]
[optim]
batch_size = 32
epochs = 1
lr = 4e-3
warmup = 4
wd = 0.1
[run]
log_every_n_steps = 1
)";

TinyData make_data(const fs::path& folder) {
  TinyData data;
  data.folder = folder;
  const std::vector<Design> designs = all_designs();
  const auto train_end = designs.begin() + data.train_pairs, val_end = train_end + data.val_pairs;
  const std::vector<Design> train(designs.begin(), train_end), val(train_end, val_end);
  const std::vector<Design> labelled(val_end, val_end + 60);
  std::vector<size_t> shuffled = in_order(train.size());
  std::ranges::shuffle(shuffled, std::mt19937(3));
  data.train = write_pairs(folder / "train", train, in_order(train.size()));
  data.permuted = write_pairs(folder / "permuted", train, shuffled);
  data.val = write_pairs(folder / "val", val, in_order(val.size()));
  data.labelled = write_pairs(folder / "labelled", labelled, in_order(labelled.size()), true);
  std::string classes;
  for (const char* name : kWords[0]) classes += fmt::format("{}\n", name);
  write_file_atomically(folder / "labelled/classnames.txt", classes);
  data.vocabulary = (folder / "vocabulary.txt").string();
  const Process::Words words = {"vocabulary", "--captions", data.train, "--size", "640", "--out", data.vocabulary};
  const Outcome made = Process("prepare", words, folder).finish();
  if (made.code != 0) throw IoError("prepare vocabulary: " + made.err);
  data.config = (folder / "tiny.toml").string();
  write_file_atomically(data.config, fmt::format(kConfig, data.train, data.vocabulary));
  return data;
}

}  // namespace

fs::path tested_build() {
  const char* other = std::getenv("TESSERA_TEST_BUILD");
  return other != nullptr ? fs::path(other) : fs::path(TESSERA_BIN_DIR).parent_path();
}

Process::Process(const std::string& program, Words words, const fs::path& folder,
                 const std::function<bool()>& prepare) {
  static std::atomic<int> count{0};
  const fs::path prints = fs::temp_directory_path() / fmt::format("tessera-prints-{}-{}", ::getpid(), count++);
  out_ = fs::path(prints).concat(".out");
  err_ = fs::path(prints).concat(".err");
  words.insert(words.begin(), (tested_build() / "apps" / program).string());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Created before the child starts, because the child may be killed before its first step.
  const int out = ::open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const int err = ::open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  pid_ = ::fork();
  if (pid_ < 0) throw IoError(fmt::format("{}: cannot start: {}", program, std::strerror(errno)));
  if (pid_ > 0) {
    ::close(out);
    ::close(err);
    return;
  }
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  // Whoever started the tests in the background has some ignored.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_DFL);
  if (::chdir(folder.c_str()) == 0 && (!prepare || prepare())) ::execv(argv[0], argv.data());
  ::_exit(127);
}

Process::~Process() {
  if (!done_) {
    send(SIGKILL);
    wait();
  }
  std::error_code ignored;
  fs::remove(out_, ignored);
  fs::remove(err_, ignored);
}

void Process::send(int signal) const { ::kill(pid_, signal); }

bool Process::ended() { return done_ || collect(WNOHANG); }

int Process::wait() {
  while (!done_) collect(0);
  return code_;
}

bool Process::collect(int how) {
  int status = 0;
  if (::waitpid(pid_, &status, how) != pid_) return false;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return done_ = true;
}

Outcome Process::finish() {
  Outcome outcome;
  outcome.code = wait();
  outcome.out = read_file(out_);
  outcome.err = read_file(err_);
  return outcome;
}

const TinyData& tiny_data() {
  static const TemporaryFolder folder;
  static const TinyData data = make_data(folder.path());
  return data;
}

Outcome TinyRuns::run(const std::string& program, const std::vector<std::string>& words,
                      const std::function<bool()>& prepare) const {
  return Process(program, words, root(), prepare).finish();
}

std::vector<std::string> TinyRuns::training(const std::string& name, const std::vector<std::string>& more) {
  std::vector<std::string> words = {"--config", tiny_data().config, "--name", name};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Outcome TinyRuns::train(const std::string& name, const std::vector<std::string>& more) const {
  const Outcome outcome = run("pretrain", training(name, more));
  EXPECT_EQ(outcome.code, 0) << name << ": " << outcome.err << outcome.out;
  return outcome;
}

fs::path TinyRuns::checkpoint(const std::string& name, int64_t step, const std::string& kind) const {
  return log_folder(name) / "checkpoints" / fmt::format("step_{:08}{}.safetensors", step, kind);
}

std::vector<nlohmann::json> TinyRuns::lines(const std::string& name, const std::string& file) const {
  std::vector<nlohmann::json> found;
  if (!fs::exists(log_folder(name) / file)) return found;
  const std::string text = read_file(log_folder(name) / file);
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    found.push_back(nlohmann::json::parse(text.substr(begin, end - begin)));
  }
  return found;
}

std::vector<nlohmann::json> TinyRuns::timeless(const std::string& name, const std::string& file) const {
  std::vector<nlohmann::json> found = lines(name, file);
  for (nlohmann::json& line : found) {
    for (const char* figure : {"samples_per_second", "batch_time", "data_time", "flops_of_peak", "memory_peak_bytes",
                               "batch_time_mean", "data_time_mean"}) {
      line.erase(figure);
    }
  }
  return found;
}

std::vector<double> TinyRuns::column(const std::string& name, const std::string& figure) const {
  std::vector<double> values;
  for (const nlohmann::json& line : lines(name)) values.push_back(line.at(figure).get<double>());
  return values;
}

int64_t TinyRuns::logged(const std::string& name) const {
  const auto file = log_folder(name) / "metrics.jsonl";
  return fs::exists(file) ? std::ranges::count(read_file(file), '\n') : 0;
}

Outcome TinyRuns::interrupt(const std::string& program, const std::vector<std::string>& words, const std::string& name,
                            int signal, int64_t more, std::chrono::microseconds delay) const {
  // A resumed run first drops the lines after its checkpoint, so only growth of the file counts as new lines.
  int64_t seen = logged(name), fresh = 0;
  Process process(program, words, root());
  const auto start = std::chrono::steady_clock::now();
  while (fresh < more && !process.ended() && std::chrono::steady_clock::now() - start < std::chrono::minutes(2)) {
    const int64_t now = logged(name);
    fresh += std::max<int64_t>(now - seen, 0);
    seen = now;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  std::this_thread::sleep_for(delay);
  process.send(signal);
  return process.finish();
}

void TinyRuns::expect_same_runs(const std::string& name, const std::string& other, int64_t last_step,
                                const std::vector<std::string>& kinds) const {
  EXPECT_EQ(timeless(name), timeless(other)) << "no step is missing, twice or different";
  EXPECT_EQ(lines(name, "results.jsonl"), lines(other, "results.jsonl"));
  for (const std::string& kind : kinds) {
    EXPECT_EQ(different_tensors(checkpoint(name, last_step, kind), checkpoint(other, last_step, kind)),
              std::vector<std::string>())
        << kind;
  }
  for (const char* pointer : {"latest", "best"}) {
    EXPECT_EQ(read_file(log_folder(name) / "checkpoints" / pointer),
              read_file(log_folder(other) / "checkpoints" / pointer));
  }
  const auto files_of = [&](const std::string& run) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(log_folder(run))) {
      files.push_back(entry.path().lexically_relative(log_folder(run)).string());
    }
    std::ranges::sort(files);
    return files;
  };
  EXPECT_EQ(files_of(name), files_of(other)) << "nothing unfinished is left behind";
}

std::map<std::string, Tensor> tensors_of(const fs::path& file) {
  const nn::SafetensorsFile stored(file);
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, info] : stored.tensors()) tensors.emplace(name, stored.load(name));
  return tensors;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.pointer(), b.pointer(), a.bytes()) == 0;
}

std::vector<std::string> different_tensors(const fs::path& a, const fs::path& b) {
  const std::map<std::string, Tensor> first = tensors_of(a), second = tensors_of(b);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : first) {
    const auto other = second.find(name);
    if (other == second.end() || !same_bits(tensor, other->second)) names.push_back(name);
  }
  for (const auto& [name, tensor] : second) {
    if (!first.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace tessera::test
