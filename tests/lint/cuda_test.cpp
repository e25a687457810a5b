// Rules of device code (see engine/cuda/README.md), by the names that a file holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <string>
#include <vector>

#include "tests/lint/sources.h"

namespace tessera::test {
namespace {

struct Forbidden {
  const char* pattern;
  std::vector<std::string> except;  // files, or folders with a slash at their end, that are the place for it
  const char* why;
};

/// What no kernel file and no header of engine/cuda may hold.
const std::vector<Forbidden>& forbidden() {
  static const std::vector<Forbidden> all{
      {R"(<<<|\b__shared__\b)",
       {"engine/cuda/gpu.h"},
       "launches and shared memory have macros, which the emulator understands"},
      {R"(\basm\b)",
       {"engine/cuda/gpu_mma.h", "engine/cuda/kernels/attention_fragments.h"},
       "instructions that the emulator has to know stand in few places"},
      {R"(\batomic[A-Z]\w*)", {}, "sums have one order"},
      {R"(\bcuda(?:Malloc|Free|HostAlloc|Memcpy|MemPrefetch)\w*)",
       {},
       "memory comes from Scratch, transfers from Backend"},
      {R"(\bcuda\w*Synchronize\b|\.(?:synchronize|download)\()", {}, "a kernel's host code never waits for the device"},
      {R"(\bstd::(?:vector|string|map|unordered_map|function)\b)",
       {"engine/cuda/device.h", "engine/cuda/dnn.h", "engine/cuda/dnn/"},
       "a call of a kernel allocates nothing on the host"}};
  return all;
}

/// Code without its comments.
std::string without_comments(const std::string& text) { return std::regex_replace(text, std::regex("//[^\n]*"), ""); }

/// A message for each breach in a header or a kernel file of engine/cuda.
std::vector<std::string> breaches(const std::string& name, const std::string& text) {
  std::vector<std::string> found;
  const std::string code = without_comments(text);
  for (const auto& [pattern, except, why] : forbidden()) {
    const auto is_place = [&](const std::string& place) {
      return place.ends_with('/') ? name.starts_with(place) : name == place;
    };
    if (std::ranges::any_of(except, is_place)) continue;
    for (const auto& m : matches(code, pattern)) found.push_back(name + " has " + m[0] + ": " + why);
  }
  for (const std::string& target : includes(text)) {
    const bool ours = target.starts_with("engine/");
    if (!ours && !is_standard(target) && !is_for_device(target)) found.push_back(name + " includes " + target);
  }
  return found;
}

TEST(Cuda, TheRuleSeesWhatItForbids) {
  const auto count = [](const std::string& text) { return breaches("engine/cuda/kernels/x.cu", text).size(); };
  EXPECT_EQ(count("#include <cmath>\n#include \"engine/cuda/gpu.h\"\nGPU_LAUNCH(k, grid, block, 0, stream, x);\n"), 0U);
  EXPECT_EQ(count("// cudaMalloc would wait\n"), 0U);
  EXPECT_EQ(count("k<<<grid, block>>>(x);\n"), 1U);
  EXPECT_EQ(count("__shared__ float x[32];\n"), 1U);
  EXPECT_EQ(count("atomicAdd(y, x);\n"), 1U);
  EXPECT_EQ(count("cudaMallocAsync(&p, n, s);\ncudaMemcpyAsync(a, b, n, k, s);\n"), 2U);
  EXPECT_EQ(count("cudaStreamSynchronize(s);\ncudaDeviceSynchronize();\nbackend.download(a, b, n);\n"), 3U);
  EXPECT_EQ(count("asm(\"nop;\");\n"), 1U);
  EXPECT_EQ(count("std::vector<int> x;\n"), 1U);
  EXPECT_EQ(count("#include <cub/cub.cuh>\n#include <cublasLt.h>\n"), 2U);
  EXPECT_EQ(breaches("engine/cuda/gpu.h", "k<<<grid, block>>>(x);\n").size(), 0U);
  EXPECT_EQ(breaches("engine/cuda/dnn/plan.h", "std::vector<int> x;\n").size(), 0U);
  EXPECT_EQ(breaches("engine/cuda/dnn_kernels.h", "std::vector<int> x;\n").size(), 1U);
}

TEST(Cuda, KernelsAreLaunchesAndNothingElse) {
  int kernels = 0;
  for (const auto& path : sources({"engine/cuda"}, {".h", ".cu"})) {
    const std::string text = read(path);
    for (const std::string& message : breaches(name_in_tree(path), text)) ADD_FAILURE() << message;
    kernels += static_cast<int>(matches(text, R"(\bGPU_LAUNCH\()").size());
  }
  EXPECT_GE(kernels, 50) << "the launches were not understood";
}

/// Of the CPU's backend, device code takes the scalar formulas alone.
TEST(Cuda, SharesFormulasWithTheCpuAndNothingElse) {
  for (const auto& path : sources({"engine/cuda"}, {".h", ".cpp", ".cu"})) {
    for (const std::string& target : includes_of_ours(read(path))) {
      EXPECT_TRUE(!target.starts_with("engine/cpu/") || target == "engine/cpu/simd/math.h")
          << name_in_tree(path) << " includes " << target;
    }
  }
}

/// The table of kernels/README.md has a row for every file.
TEST(Cuda, EveryKernelFileIsDescribed) {
  const std::string table = read(source_root() / "engine/cuda/kernels/README.md");
  for (const auto& path : sources({"engine/cuda/kernels"}, {".h", ".cu"})) {
    EXPECT_NE(table.find("`" + path.filename().string() + "`"), std::string::npos) << name_in_tree(path);
  }
}

}  // namespace
}  // namespace tessera::test
