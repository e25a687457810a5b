// The region of an instruction set (see engine/cpu/README.md). Code that is compiled for a wide target lies in a
// namespace of that target. If a header that baseline code shares were first included inside the region, its inline
// functions would be compiled for the wide target, and the linker might keep that copy for everyone.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/lint/sources.h"

namespace tessera::test {
namespace {

const std::string kBegin = "engine/cpu/simd/isa_begin.h";
const std::string kEnd = "engine/cpu/simd/isa_end.h";
const std::string kFormulas = "engine/ops/functors.h";  // templates that are instantiated for a region's types alone
// Device code takes the scalar formulas of math.h into a namespace of its own, tessera::cpu::device.
const std::string kScalars = "engine/cuda/gpu_math.h";
const std::string kMath = "engine/cpu/simd/math.h";

bool is_bracket(const std::string& name) { return name == kBegin || name == kEnd; }

/// Headers that belong inside the region.
bool belongs_inside(const std::string& name) {
  const bool wide = name.starts_with("engine/cpu/simd/") || name.starts_with("engine/cpu/gemm/");
  return (wide && name.ends_with(".h") && !is_bracket(name)) || name == kFormulas;
}

/// Whether a file outside every region may include a header that belongs inside one.
bool may_take(const std::string& name, const std::string& target) {
  return target == kFormulas || (name == kScalars && target == kMath);
}

/// A message for each include of a file that is on the wrong side of the region's bounds.
std::vector<std::string> misplaced(const std::string& name, const std::string& text) {
  std::vector<std::string> wrong;
  bool inside = belongs_inside(name);  // as a whole
  for (const std::string& target : includes(text)) {
    if (is_bracket(target)) {
      inside = target == kBegin;
    } else if (inside && !belongs_inside(target)) {
      wrong.push_back(name + " includes " + target + " inside the region of an instruction set");
    } else if (!inside && belongs_inside(target) && !may_take(name, target)) {
      wrong.push_back(name + " includes " + target + " outside the region of an instruction set");
    }
  }
  return wrong;
}

TEST(Region, TheRuleSeesWhatItForbids) {
  const std::string begin = "#include \"" + kBegin + "\"\n";
  const std::string end = "#include \"" + kEnd + "\"\n";
  const std::string loops = "#include \"engine/cpu/simd/loops.h\"\n";
  const std::string tables = "#include \"engine/cpu/tables.h\"\n";
  const auto count = [](const std::string& text) { return misplaced("engine/cpu/kernels/x.cpp", text).size(); };
  EXPECT_EQ(count(tables + begin + loops + end + "#include <vector>\n"), 0U);
  EXPECT_EQ(count(begin + loops + tables + end), 1U) << "a shared header inside";
  EXPECT_EQ(count(begin + loops + "  # include <vector>\n" + end), 1U) << "a standard header inside";
  EXPECT_EQ(count(loops + begin + tables), 2U);
  EXPECT_EQ(misplaced("engine/cpu/gemm/x.h", loops + tables).size(), 1U) << "a header of the region brings another in";
  const std::string math = "#include \"" + kMath + "\"\n";
  EXPECT_EQ(misplaced(kScalars, math).size(), 0U);
  EXPECT_EQ(misplaced(kScalars, math + loops).size(), 1U) << "only math.h is for the device";
  EXPECT_EQ(misplaced("engine/cuda/gpu.h", math).size(), 1U) << "only through gpu_math.h";
}

TEST(Region, HoldsNoHeaderThatOthersShare) {
  int kernels = 0;
  for (const auto& path :
       sources({"engine", "autograd", "nn", "rils", "apps", "tests", "benchmarks"}, {".h", ".cpp", ".cu"})) {
    const std::string name = name_in_tree(path);
    if (is_bracket(name)) continue;
    const std::string text = read(path);
    for (const std::string& message : misplaced(name, text)) ADD_FAILURE() << message;
    kernels += name.starts_with("engine/cpu/kernels/") ? 1 : 0;
  }
  EXPECT_GE(kernels, 11);
}

TEST(Region, TheDeviceHasANamespaceOfItsOwn) {
  const std::string text = read(source_root() / kScalars);
  const auto defined = text.find("#define TESSERA_ISA device\n");
  ASSERT_NE(defined, std::string::npos);
  EXPECT_LT(defined, text.find("#include \"" + kMath));
  EXPECT_EQ(matches(text, "\nnamespace tessera::cpu::(?!device \\{)").size(), 0U);
}

TEST(Region, KernelFilesOpenAndCloseIt) {
  for (const auto& path : sources({"engine/cpu/kernels"}, {".cpp"})) {
    const auto all = includes(read(path));
    EXPECT_EQ(std::ranges::count(all, kBegin), 1) << name_in_tree(path);
    ASSERT_FALSE(all.empty()) << name_in_tree(path);
    EXPECT_EQ(all.back(), kEnd) << name_in_tree(path);
  }
}

/// Headers of the region and kernel files put every name into the namespace of the instruction set.
TEST(Region, NamesBearTheInstructionSet) {
  for (const auto& path : sources({"engine/cpu"}, {".h", ".cpp"})) {
    const std::string name = name_in_tree(path);
    if (!belongs_inside(name) && !name.starts_with("engine/cpu/kernels/")) continue;
    int opened = 0;
    for (const auto& m : matches(read(path), "\nnamespace ([A-Za-z_:]+) \\{")) {
      EXPECT_TRUE(m[1].starts_with("tessera::cpu::TESSERA_ISA")) << name << " opens namespace " << m[1];
      ++opened;
    }
    EXPECT_GT(opened, 0) << name << " puts names where two instruction sets would share them";
  }
}

}  // namespace
}  // namespace tessera::test
