// Times the matrix products of linear layers: forward y = x W^T, input gradient dx = dy W, weight gradient dw = dy^T x.
//
//   benchmark_matmul [--dtype f32|bf16] [--threads n] [--quick]
//     prints a table of GFLOP/s and % of the multiply-add peak
//   benchmark_matmul --serve [--dtype …] [--threads n]
//     for matmul_vs_torch.py: reads lines "operation m n k seconds" and answers each with the seconds that one call
//     took
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "benchmarks/measure.h"
#include "engine/core/error.h"
#include "engine/cpu/host.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"

namespace tessera::benchmarks {
namespace {

struct Options {
  DType dtype = DType::f32;
  int threads = 1;
  bool serve = false;
  bool quick = false;

  [[nodiscard]] Clock clock() const { return threads == 1 ? Clock::processor : Clock::wall; }
};

/// y [m,n] = x [m,k] w [n,k]^T and its gradients.
struct Shape3 {
  const char* name;
  int64_t m, n, k;
};
constexpr Shape3 kShapes[] = {
    {"ViT-B 8x50 qkv", 400, 2304, 768},    {"ViT-B 8x50 fc1", 400, 3072, 768},    {"ViT-B 8x50 fc2", 400, 768, 3072},
    {"ViT-B 8x197 qkv", 1576, 2304, 768},  {"ViT-B 8x197 proj", 1576, 768, 768},  {"ViT-B 8x197 fc1", 1576, 3072, 768},
    {"ViT-B 8x197 fc2", 1576, 768, 3072},  {"ViT-B 32x197 qkv", 6304, 2304, 768}, {"ViT-B 32x197 fc1", 6304, 3072, 768},
    {"ViT-B 32x197 fc2", 6304, 768, 3072}, {"text 32x77 qkv", 2464, 1536, 512},   {"text 32x77 fc1", 2464, 2048, 512},
    {"text 32x77 fc2", 2464, 512, 2048},   {"small 64x50 qkv", 3200, 576, 192},   {"small 64x50 fc1", 3200, 1024, 256},
    {"small 64x50 fc2", 3200, 256, 1024},
};

/// Operands and results of a layer, filled with values in [-1, 1): zeros would draw less power and run faster.
class Layer {
 public:
  Layer(int64_t m, int64_t n, int64_t k, DType dtype)
      : dtype_(dtype),
        x_(random({m, k}, dtype, 1)),
        w_(random({n, k}, DType::f32, 2)),
        dy_(random({m, n}, dtype, 3)),
        y_(Tensor::zeros({m, n}, dtype)),
        dx_(Tensor::zeros({m, k}, dtype)),
        dw_(Tensor::zeros({n, k}, DType::f32)) {
    refresh_packs(w_, dtype, 1, packed_);
  }

  void run(const std::string& operation) {
    Context& context = cpu_context();
    const LinearKernels& kernels = context.kernels().linear;
    if (operation == "forward") {
      kernels.forward(context, {.x = x_, .w = w_, .pack = packed_.forward, .y = y_});
    } else if (operation == "grad_input") {
      kernels.grad_input(context,
                         {.dy = dy_, .w = w_, .pack = packed_.grad_input, .dx = dx_, .mode = GradMode::overwrite});
    } else if (operation == "grad_weight") {
      kernels.grad_weight(context, {.dy = dy_, .x = x_, .dw = dw_, .mode = GradMode::overwrite});
    } else {
      throw ConfigError(fmt::format("operation: expected forward, grad_input or grad_weight, found \"{}\"", operation));
    }
  }

 private:
  static Tensor random(const Shape& shape, DType dtype, uint32_t seed) {
    Tensor t = Tensor::empty(shape, dtype);
    uint32_t state = seed * 2654435761u + 1;
    for (int64_t i = 0; i < t.numel(); ++i) {
      state = state * 1664525u + 1013904223u;
      const float value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
      if (dtype == DType::bf16) {
        t.data<bfloat16>()[i] = bfloat16(value);
      } else {
        t.data<float>()[i] = value;
      }
    }
    return t;
  }

  DType dtype_;
  Tensor x_, w_, dy_, y_, dx_, dw_;
  Packed packed_;
};

constexpr const char* kOperations[] = {"forward", "grad_input", "grad_weight"};

void print_table(const Options& options) {
  const std::string isa(cpu_context().kernels().name);
  fmt::print("{} {} thread(s), {}; GFLOP/s and % of one thread's multiply-add peak: median [low-high]\n",
             name_of(options.dtype), options.threads, isa);
  fmt::print("{:<18}{:>6}{:>6}{:>6}  {:<24}{:<24}{:<24}\n", "layer", "M", "N", "K", kOperations[0], kOperations[1],
             kOperations[2]);
  for (const Shape3& s : kShapes) {
    if (options.quick && s.m > 2000) continue;
    Layer layer(s.m, s.n, s.k, options.dtype);
    fmt::print("{:<18}{:>6}{:>6}{:>6}  ", s.name, s.m, s.n, s.k);
    for (const char* operation : kOperations) {
      const double flops = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
      const Rate r = measure([&] { layer.run(operation); }, flops, isa, options.clock(), options.quick ? 5 : 9);
      fmt::print("{:<24}", fmt::format("{:6.1f} {:3.0f}% [{:.0f}-{:.0f}]", r.gflops.median, 100 * r.share.median,
                                       100 * r.share.low, 100 * r.share.high));
      std::fflush(stdout);
    }
    fmt::print("\n");
  }
}

void serve(const Options& options) {
  std::map<std::vector<int64_t>, std::unique_ptr<Layer>> layers;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string operation;
    int64_t m = 0;
    int64_t n = 0;
    int64_t k = 0;
    double least = 0;
    if (!(words >> operation >> m >> n >> k >> least)) {
      throw ConfigError(fmt::format("request: expected \"operation m n k seconds\", found \"{}\"", line));
    }
    std::unique_ptr<Layer>& layer = layers[{m, n, k}];
    if (!layer) {
      for (auto& other : layers) other.second.reset();
      layer = std::make_unique<Layer>(m, n, k, options.dtype);
    }
    fmt::print("{:.9f}\n", seconds_per_call([&] { layer->run(operation); }, least, options.clock()));
    std::fflush(stdout);
  }
}

Options parse(const std::vector<std::string>& words) {
  Options o;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool more = i + 1 < words.size();
    if (words[i] == "--serve") {
      o.serve = true;
    } else if (words[i] == "--quick") {
      o.quick = true;
    } else if (words[i] == "--threads" && more) {
      o.threads = std::stoi(words[++i]);
    } else if (words[i] == "--dtype" && more && (words[i + 1] == "f32" || words[i + 1] == "bf16")) {
      o.dtype = words[++i] == "bf16" ? DType::bf16 : DType::f32;
    } else {
      throw ConfigError(fmt::format("{}: expected --dtype f32|bf16, --threads n, --quick or --serve", words[i]));
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
    tessera::cpu::host(tessera::cpu_context()).set_threads(options.threads);
    options.serve ? serve(options) : print_table(options);
  } catch (const std::exception& e) {
    fmt::print(stderr, "benchmark_matmul: {}\n", e.what());
    return 1;
  }
  return 0;
}
