// Times every op at the sizes of ViT-B/16, beside the least time that the device's memory and arithmetic allow.
//
//   benchmark_ops [--device auto|cpu|cuda[:N]] [--dtype f32|bf16] [--batch n] [--filter words] [--small] [--json file]
//     measures the device's rates with a large copy and a large product, then each op; prints ms, GB/s, TFLOP/s, the
//     floor by those rates, its share, and the floor on an H100
//   benchmark_ops --floors [--dtype …] [--batch n] [--small] [--filter …]
//     prints flops, bytes and the floor on an H100 of each op, and measures nothing
//
// The batch is 8 images on the CPU, 256 elsewhere and for --floors. --small takes tiny problems, which an emulated
// device computes in seconds. --filter keeps the cases whose name contains one of the words, which commas divide.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/measure.h"
#include "benchmarks/operands.h"
#include "engine/core/error.h"
#include "engine/runtime/context.h"

namespace tessera::benchmarks {
namespace {

using Json = nlohmann::ordered_json;
using test::BenchmarkSizes;
using test::OpCase;
using test::Problem;

struct Options {
  std::string device = "cpu";
  std::string dtype;  // empty: bf16 on a GPU and for floors, else f32
  int64_t batch = 0;  // 0: by the device
  std::vector<std::string> filter;
  std::string json;
  bool floors = false, small = false;

  [[nodiscard]] bool on_cpu() const { return device == "cpu" && !floors; }
  [[nodiscard]] DType compute() const {
    if (dtype.empty()) return on_cpu() ? DType::f32 : DType::bf16;
    return dtype == "bf16" ? DType::bf16 : DType::f32;
  }
  [[nodiscard]] BenchmarkSizes sizes() const {
    if (small) return BenchmarkSizes::tiny();
    if (!on_cpu()) return BenchmarkSizes::of_a_gpu(batch > 0 ? batch : 256);
    BenchmarkSizes sizes;
    if (batch > 0) sizes.batch = batch;
    return sizes;
  }
  [[nodiscard]] bool keeps(const std::string& name) const {
    return filter.empty() ||
           std::ranges::any_of(filter, [&](const std::string& word) { return name.find(word) != std::string::npos; });
  }
};

/// What a device can do in a second.
struct Rates {
  double bytes = 0;
  std::map<DType, double> flops;

  [[nodiscard]] double floor(double work, double moved, DType dtype) const {
    return std::max(work / flops.at(dtype), moved / bytes);
  }
};
/// What was measured on such cards for copies and bf16 products; f32 and f64 as on the data sheet, less a tenth.
const Rates kH100{3.0e12, {{DType::bf16, 800e12}, {DType::f32, 60e12}, {DType::f64, 30e12}}};

/// Products of bf16 have units of their own. All else in a bf16 case computes in f32.
DType arithmetic_of(const OpCase& c, DType dtype) {
  const std::string& slot = c.slots.front();
  const bool products = slot != "linear.prepare_dy" &&
                        std::ranges::any_of(std::vector{"linear.", "matmul.", "attention.", "patch_sentence."},
                                            [&](const char* family) { return slot.starts_with(family); });
  return products ? dtype : test::wide(dtype);
}

struct Row {
  const OpCase* op;
  std::string problem;
  DType dtype, arithmetic;
  double flops, bytes;
  double seconds = 0, floor = 0;
};

/// Calls body(problem, row) for each problem that the options keep. Only one case's operands exist at a time.
template <class Body>
void for_each_problem(const Options& options, const Body& body) {
  for (const OpCase& c : test::op_cases()) {
    if (!c.benchmarks || !options.keeps(c.name)) continue;
    const DType wanted = options.compute();
    const DType dtype = std::ranges::find(c.dtypes, wanted) != c.dtypes.end() ? wanted : c.dtypes.front();
    for (const Problem& p : c.benchmarks(dtype, options.sizes())) {
      body(p, Row{&c, p.name, dtype, arithmetic_of(c, dtype), p.flops, test::bytes_of(p, GradMode::overwrite)});
    }
  }
}

/// Median seconds of a call, over several rounds that each queue calls for `least` seconds and then wait for them.
double seconds_of(const std::function<void()>& call, Backend& backend, double least) {
  const auto timed = [&](int64_t calls) {
    const double start = now(Clock::wall);
    for (int64_t i = 0; i < calls; ++i) call();
    backend.synchronize();
    return (now(Clock::wall) - start) / static_cast<double>(calls);
  };
  timed(1);
  const auto calls = static_cast<int64_t>(std::clamp(least / timed(1), 1.0, 1e4));
  std::vector<double> rounds;
  for (int i = 0; i < (least > 0 ? 7 : 1); ++i) rounds.push_back(timed(calls));
  return spread_of(std::move(rounds)).median;
}

double time_problem(const Problem& problem, Device device, double least) {
  Context& c = context(device);
  const std::vector<Tensor> operands = operands_of(problem, device);
  const std::vector<View> views(operands.begin(), operands.end());
  const auto call = problem.ready ? problem.ready(c, c.kernels(), views)
                                  : [&] { problem.call(c, c.kernels(), views, GradMode::overwrite); };
  return seconds_of(call, c.backend(), least);
}

/// y [n,n] = a b in a type, or a copy of f32 where no type is given, as a problem.
Problem peak_problem(int64_t n, std::optional<DType> product) {
  test::Values values = test::Values::shortened("peak");
  Problem p;
  if (!product) {
    p.operands = {test::in("x", DType::f32, values.normal({n})), test::out("y", DType::f32, {n}, {})};
    p.call = [](Context& c, const KernelTable& t, test::Views v, GradMode mode) {
      t.copy.copy(c, {.x = v[0], .y = v[1], .mode = mode});
    };
    return p;
  }
  const test::Layout transposed = test::permuted({1, 0});
  p.operands = {test::in("a", *product, values.normal({n, n})),
                test::in("b", *product, values.normal({n, n}), transposed),
                test::out("c", test::wide(*product), {n, n}, {})};
  p.call = [](Context& c, const KernelTable& t, test::Views v, GradMode mode) {
    t.matmul.matmul(c, {.a = v[0], .b = v[1], .c = v[2], .alpha = 1, .mode = mode});
  };
  return p;
}

Rates measured_rates(const Options& options, Device device, double least) {
  const bool host = device == Device::cpu();
  const int64_t elements = options.small ? 1 << 14 : host ? 1 << 25 : 1 << 28;
  const int64_t n = options.small ? 64 : host ? 1536 : 8192;
  Backend& backend = context(device).backend();
  Rates rates;
  rates.bytes = 8.0 * static_cast<double>(elements) / time_problem(peak_problem(elements, {}), device, least);
  fmt::print("{}; copy of {} MB: {:.1f} GB/s\n", backend.description(), 8 * elements / 1'000'000, rates.bytes / 1e9);
  for (const DType dtype : {DType::bf16, DType::f32}) {
    const double seconds = time_problem(peak_problem(n, dtype), device, least);
    rates.flops[dtype] = 2.0 * static_cast<double>(n) * static_cast<double>(n * n) / seconds;
    fmt::print("product of {}^3 in {}: {:.2f} TFLOP/s; nominal {:.2f}\n", n, name_of(dtype), rates.flops[dtype] / 1e12,
               backend.peak_flops(dtype) / 1e12);
  }
  return rates;
}

double h100_floor(const Row& r) { return kH100.floor(r.flops, r.bytes, r.arithmetic); }

void print_floors(const Options& options) {
  fmt::print(
      "batch {}; floor on an H100 = max(flops / rate, bytes / {:.1f} TB/s), rates of {:.0f} (bf16) and {:.0f} "
      "(f32) TFLOP/s\n",
      options.sizes().batch, kH100.bytes / 1e12, kH100.flops.at(DType::bf16) / 1e12, kH100.flops.at(DType::f32) / 1e12);
  fmt::print("{:<20}{:<90}{:>5}{:>11}{:>10}{:>11}  {}\n", "case", "problem", "type", "GFLOP", "MB", "H100, ms", "by");
  for_each_problem(options, [](const Problem& /*problem*/, const Row& r) {
    const bool arithmetic = r.flops / kH100.flops.at(r.arithmetic) > r.bytes / kH100.bytes;
    fmt::print("{:<20}{:<90}{:>5}{:>11.3f}{:>10.1f}{:>11.4f}  {}\n", r.op->name, r.problem, name_of(r.dtype),
               r.flops / 1e9, r.bytes / 1e6, 1e3 * h100_floor(r), arithmetic ? "arithmetic" : "memory");
  });
}

void write_json(const Options& options, Device device, const Rates& rates, const std::vector<Row>& rows) {
  Backend& backend = context(device).backend();
  Json products, ops;
  for (const auto& [dtype, flops] : rates.flops) {
    products[name_of(dtype)] = {{"flops_per_s", flops}, {"nominal", backend.peak_flops(dtype)}};
  }
  for (const Row& r : rows) {
    ops.push_back({{"case", r.op->name},
                   {"problem", r.problem},
                   {"dtype", name_of(r.dtype)},
                   {"ms", 1e3 * r.seconds},
                   {"flops", r.flops},
                   {"bytes", r.bytes},
                   {"floor_ms", 1e3 * r.floor},
                   {"h100_floor_ms", 1e3 * h100_floor(r)}});
  }
  const Json all{{"device", backend.description()},
                 {"batch", options.sizes().batch},
                 {"copy_bytes_per_s", rates.bytes},
                 {"products", products},
                 {"ops", ops}};
  std::ofstream out(options.json);
  out << all.dump(1) << '\n';
  if (!out.flush()) throw IoError(fmt::format("{}: cannot be written", options.json));
}

void measure_ops(Options options) {
  std::string note;
  const Device device = choose_device(options.device, note);
  if (!note.empty()) fmt::print("{}\n", note);
  options.device = to_string(device);
  const double least = options.small ? 0 : 0.02;
  const Rates rates = measured_rates(options, device, least);
  fmt::print("batch {}; floor = max(flops, bytes) at these rates\n", options.sizes().batch);
  fmt::print("{:<20}{:<90}{:>5}{:>11}{:>9}{:>9}{:>11}{:>7}{:>11}\n", "case", "problem", "type", "ms", "GB/s", "TFLOP/s",
             "floor, ms", "share", "H100, ms");
  std::vector<Row> rows;
  for_each_problem(options, [&](const Problem& problem, Row r) {
    r.seconds = time_problem(problem, device, least);
    r.floor = rates.floor(r.flops, r.bytes, r.arithmetic);
    fmt::print("{:<20}{:<90}{:>5}{:>11.4f}{:>9.1f}{:>9.2f}{:>11.4f}{:>6.0f}%{:>11.4f}\n", r.op->name, r.problem,
               name_of(r.dtype), 1e3 * r.seconds, r.bytes / r.seconds / 1e9, r.flops / r.seconds / 1e12, 1e3 * r.floor,
               100 * r.floor / r.seconds, 1e3 * h100_floor(r));
    std::fflush(stdout);
    rows.push_back(std::move(r));
  });
  if (rows.empty()) throw ConfigError("--filter: expected a part of the name of a case that is measured");
  if (!options.json.empty()) write_json(options, device, rates, rows);
}

std::vector<std::string> divided(const std::string& words) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= words.size();) {
    const size_t end = std::min(words.find(',', begin), words.size());
    if (end > begin) parts.push_back(words.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Options parse(const std::vector<std::string>& words) {
  Options o;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool more = i + 1 < words.size();
    if (words[i] == "--floors") {
      o.floors = true;
    } else if (words[i] == "--small") {
      o.small = true;
    } else if (words[i] == "--device" && more) {
      o.device = words[++i];
    } else if (words[i] == "--batch" && more) {
      o.batch = std::stoll(words[++i]);
    } else if (words[i] == "--filter" && more) {
      o.filter = divided(words[++i]);
    } else if (words[i] == "--json" && more) {
      o.json = words[++i];
    } else if (words[i] == "--dtype" && more && (words[i + 1] == "f32" || words[i + 1] == "bf16")) {
      o.dtype = words[++i];
    } else {
      throw ConfigError(
          fmt::format("{}: expected --device auto|cpu|cuda[:N], --dtype f32|bf16, --batch n, --filter words, "
                      "--json file, --small or --floors",
                      words[i]));
    }
  }
  return o;
}

}  // namespace
}  // namespace tessera::benchmarks

int main(int argc, char** argv) {
  using namespace tessera::benchmarks;
  try {
    const Options options = parse(std::vector<std::string>(argv + 1, argv + argc));
    options.floors ? print_floors(options) : measure_ops(options);
  } catch (const std::exception& e) {
    fmt::print(stderr, "benchmark_ops: {}\n", e.what());
    return 1;
  }
  return 0;
}
