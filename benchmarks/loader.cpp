// Times the loader of training batches: images read, decoded, transformed and put into a batch in a second.
//
//   benchmark_loader DATA [--transform decode|eval|train|finetune] [--size 224] [--batch 64] [--workers 0]
//                    [--seconds 2] [--rounds 7]
//   benchmark_loader DATA --serve [--size 224] [--batch 64] [--workers 0]
//
// DATA is any source of pretrain, such as shards or a folder of images. `decode` decodes images and throws them away,
// `eval` is the transform of evaluations, `train` that of pretrain, and `finetune` that of finetune, each with its
// default configuration. Without --transform the table has all four.
//
// The rate per core is the number of images divided by the processor time of all threads. Without workers the calling
// thread loads, as with PyTorch's num_workers=0. With workers the rate by the wall clock is that of all of them.
//
// With --serve it reads lines "TRANSFORM SECONDS" and answers each with images a second by the wall clock, and per
// core. loader_vs_torch.py alternates between this program and PyTorch.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/measure.h"
#include "rils/config/schema.h"
#include "rils/data/loader.h"
#include "rils/finetune/labelled_data.h"
#include "rils/train/inputs.h"

namespace tessera::benchmarks {
namespace {

using namespace rils;

struct Options {
  std::string data;
  std::vector<std::string> transforms = {"decode", "eval", "train", "finetune"};
  int size = 224, workers = 0, rounds = 7;
  int64_t batch = 64;
  double seconds = 2;
  bool serve = false;
};

ImageTransform transform_of(const std::string& name, int size) {
  Config config = name == "finetune" ? finetuning_defaults() : Config();
  config.model.vision.image_size = size;
  if (name == "train") return train_transform(config);
  if (name == "finetune") return classify_transform(config);
  if (name == "eval") return eval_transform(config);
  if (name == "decode") return [](const Image&, AugmentStream, std::span<float> out) { std::ranges::fill(out, 0.0f); };
  throw std::runtime_error(fmt::format("transform: expected decode, eval, train or finetune, found {}", name));
}

/// Images a second.
struct Rates {
  double wall = 0;
  double per_core = 0;
};

/// An endless stream of batches.
class Stream {
 public:
  Stream(std::shared_ptr<const Dataset> data, const Options& options, const std::string& transform)
      : loader_(std::move(data), loader_options(options, transform)) {
    (void)next();  // the first batch also allocates its memory
  }

  /// The rate over at least so many seconds. Batches that the workers had made before are not counted.
  [[nodiscard]] Rates timed(double least) {
    for (int64_t i = 0; i < kAhead; ++i) (void)next();
    const double start = now(Clock::wall), before = now(Clock::processor);
    int64_t images = 0;
    double seconds = 0;
    do {
      images += next();
      seconds = now(Clock::wall) - start;
    } while (seconds < least);
    const auto count = static_cast<double>(images);
    return {count / seconds, count / (now(Clock::processor) - before)};
  }

 private:
  static constexpr int64_t kAhead = 2;

  static LoaderOptions loader_options(const Options& options, const std::string& transform) {
    LoaderOptions o;
    o.batch_size = options.batch;
    o.image_size = transform == "decode" ? 1 : options.size;
    o.transform = transform_of(transform, options.size);
    o.drop_last = false;
    o.workers = options.workers;
    o.prefetch_batches = kAhead;
    return o;
  }
  int64_t next() {
    while (!loader_.next(batch_)) {
    }
    return batch_.size;
  }

  Loader loader_;
  Batch batch_;
};

void print_table(const Options& o, const std::shared_ptr<const Dataset>& data) {
  fmt::print("{} images, {} pixels, batch {}, {} worker(s); images a second: median [low-high]\n", data->size(), o.size,
             o.batch, o.workers);
  fmt::print("{:<12}{:<28}{}\n", "transform", "wall clock", "per core");
  for (const std::string& transform : o.transforms) {
    Stream stream(data, o, transform);
    std::vector<double> wall, per_core;
    for (int i = 0; i < o.rounds; ++i) {
      const Rates r = stream.timed(o.seconds);
      wall.push_back(r.wall);
      per_core.push_back(r.per_core);
    }
    const auto cell = [](const std::vector<double>& values) {
      const Spread s = spread_of(values);
      return fmt::format("{:.0f} [{:.0f}-{:.0f}]", s.median, s.low, s.high);
    };
    fmt::print("{:<12}{:<28}{}\n", transform, cell(wall), cell(per_core));
    std::fflush(stdout);
  }
}

void serve(const Options& options, const std::shared_ptr<const Dataset>& data) {
  std::unique_ptr<Stream> stream;
  std::string current, transform;
  for (double least = 0; std::cin >> transform >> least;) {
    if (transform != current) {
      stream.reset();
      stream = std::make_unique<Stream>(data, options, transform);
      current = transform;
    }
    const Rates r = stream->timed(least);
    fmt::print("{:.3f} {:.3f}\n", r.wall, r.per_core);
    std::fflush(stdout);
  }
}

Options parse(const std::vector<std::string>& words) {
  Options o;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const auto value = [&] {
      if (i + 1 == words.size()) throw std::runtime_error(fmt::format("{}: expected a value", word));
      return words[++i];
    };
    if (word == "--serve") {
      o.serve = true;
    } else if (word == "--transform") {
      o.transforms = {value()};
    } else if (word == "--size") {
      o.size = std::stoi(value());
    } else if (word == "--batch") {
      o.batch = std::stoll(value());
    } else if (word == "--workers") {
      o.workers = std::stoi(value());
    } else if (word == "--seconds") {
      o.seconds = std::stod(value());
    } else if (word == "--rounds") {
      o.rounds = std::stoi(value());
    } else if (o.data.empty() && !word.starts_with('-')) {
      o.data = word;
    } else {
      throw std::runtime_error(fmt::format(
          "{}: expected --transform, --size, --batch, --workers, --seconds, --rounds, --serve or one source", word));
    }
  }
  if (o.data.empty()) throw std::runtime_error("expected a source of images");
  return o;
}

void run(const Options& options) {
  DatasetOptions images;
  images.need_caption = false;
  const std::shared_ptr<const Dataset> data = open_dataset(options.data, images);
  options.serve ? serve(options, data) : print_table(options, data);
}

}  // namespace
}  // namespace tessera::benchmarks

int main(int argc, char** argv) {
  using namespace tessera::benchmarks;
  try {
    run(parse(std::vector<std::string>(argv + 1, argv + argc)));
  } catch (const std::exception& e) {
    fmt::print(stderr, "benchmark_loader: {}\n", e.what());
    return 1;
  }
  return 0;
}
