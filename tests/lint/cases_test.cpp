// Every slot of the kernel table and every public function of engine/ops has a case.
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "tests/lint/sources.h"
#include "tests/support/op_case.h"

namespace tessera::test {
namespace {

/// Member names of KernelTable by the type of the family: {"NormKernels", "norm"}.
std::map<std::string, std::string> families() {
  std::map<std::string, std::string> result;
  const std::string text = read(source_root() / "engine/ops/kernels.h");
  for (const auto& m : matches(text, R"((\w+Kernels) (\w+);)")) result[m[1]] = m[2];
  return result;
}

/// "norm.layer_norm" for each slot that the families' structs declare.
std::set<std::string> declared_slots() {
  std::set<std::string> slots;
  const auto family_of = families();
  for (const auto& path : sources({"engine/ops"}, {".h"})) {
    const std::string text = read(path);
    for (const auto& family : matches(text, R"(struct (\w+Kernels) \{([^}]*)\};)")) {
      EXPECT_TRUE(family_of.contains(family[1])) << family[1] << " is not in KernelTable";
      for (const auto& slot : matches(family[2], R"(Kernel<\w+> (\w+);)")) {
        slots.insert(family_of.at(family[1]) + "." + slot[1]);
      }
    }
  }
  return slots;
}

TEST(OpCasesLint, EverySlotHasACase) {
  const auto declared = declared_slots();
  ASSERT_GE(declared.size(), 30u) << "the headers were not understood";
  std::set<std::string> covered;
  for (const OpCase& c : op_cases()) covered.insert(c.slots.begin(), c.slots.end());
  for (const std::string& slot : declared) EXPECT_TRUE(covered.contains(slot)) << slot << " has no OpCase";
  for (const std::string& slot : covered) EXPECT_TRUE(declared.contains(slot)) << slot << " is no slot";
}

TEST(OpCasesLint, CasesCallTheirSlotsAndThePublicFunctions) {
  std::string cases;
  for (const auto& path : sources({"tests/op_cases"}, {".cpp"})) cases += read(path);
  for (const OpCase& c : op_cases()) {
    for (const std::string& slot : c.slots) {
      EXPECT_NE(cases.find("t." + slot + "("), std::string::npos) << c.name << " does not call " << slot;
    }
  }
  int functions = 0;
  for (const auto& path : sources({"engine/ops"}, {".h"})) {
    if (path.filename() == "check.h" || path.filename() == "kernels.h") continue;
    // Declarations start a line: [[nodiscard]] Tensor name( or void name(
    for (const auto& m : matches(read(path), R"(\n(?:\[\[nodiscard\]\] )?(?:inline )?(?:\w+) (\w+)\(const)")) {
      ++functions;
      EXPECT_TRUE(std::regex_search(cases, std::regex("\\b" + m[1] + "\\("))) << m[1] << " is in no case";
    }
  }
  EXPECT_GE(functions, 30) << "the headers were not understood";
}

/// `c.kernels().norm.layer_norm(c, {x, gamma, …})` would compile with two views exchanged.
TEST(OpCasesLint, CallsOfKernelsNameEveryField) {
  int calls = 0;
  for (const auto& path :
       sources({"engine", "tests/op_cases", "tests/engine", "tests/device", "benchmarks"}, {".h", ".cpp", ".cu"})) {
    for (const auto& m : matches(read(path), R"(\.\w+\.(\w+)\(\s*(?:c|ctx|context),\s*\{\s*(.))")) {
      EXPECT_EQ(m[2], ".") << name_in_tree(path) << " calls " << m[1] << " with a positional list";
      ++calls;
    }
  }
  EXPECT_GE(calls, 60) << "the calls were not understood";
}

/// Tables of kernels, and the products that device code describes, have as many members of one type.
TEST(OpCasesLint, TablesAndProductsNameEveryField) {
  int tables = 0, products = 0;
  for (const auto& path : sources({"engine/cpu", "engine/cuda"}, {".h", ".cpp", ".cu"})) {
    const std::string text = read(path);
    for (const auto& m : matches(text, R"(\n *(?:static )?const \w*(?:Kernels|KernelTable) (\w+)\{\s*(.))")) {
      EXPECT_EQ(m[2], ".") << name_in_tree(path) << " fills " << m[1] << " by position";
      ++tables;
    }
    if (!name_in_tree(path).starts_with("engine/cuda/")) continue;
    for (const auto& m : matches(text, R"((?:\b\w*compute\(\s*context,\s*|\bProduct \w+)\{\s*(.))")) {
      EXPECT_EQ(m[1], ".") << name_in_tree(path) << " describes a product by position";
      ++products;
    }
  }
  EXPECT_GE(tables, 25) << "the tables were not understood";
  EXPECT_GE(products, 4) << "the products were not understood";
}

TEST(OpCasesLint, EveryCaseChecksSomething) {
  for (const OpCase& c : op_cases()) {
    EXPECT_FALSE(c.dtypes.empty()) << c.name;
    EXPECT_FALSE(c.refusals.empty()) << c.name << " refuses nothing";
    for (const DType dtype : c.dtypes) {
      bool empty_seen = false;
      bool public_seen = false;
      for (const Problem& p : c.problems(dtype)) {
        for (const Operand& o : p.operands) empty_seen = empty_seen || (!o.absent && o.shape.numel() == 0);
        public_seen = public_seen || p.op;
      }
      EXPECT_TRUE(empty_seen) << c.name << " has no empty operand in " << name_of(dtype);
      EXPECT_TRUE(public_seen) << c.name << " never calls its public function in " << name_of(dtype);
    }
  }
}

}  // namespace
}  // namespace tessera::test
