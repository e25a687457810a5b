// The problems that are measured state what they cost, and what a step keeps does not change their results.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "engine/runtime/context.h"
#include "tests/support/op_case.h"

namespace tessera::test {
namespace {

/// Slots that only move numbers.
bool only_moves(const std::string& slot) {
  return slot == "copy.copy" || slot == "copy.fill" || slot == "rows.gather" || slot == "patches.patchify";
}

/// Calls body(case, problem) for each problem of each case, in the case's first type or in all.
template <class Body>
void for_each_problem(const BenchmarkSizes& sizes, bool all_types, const Body& body) {
  for (const OpCase& c : op_cases()) {
    if (!c.benchmarks) continue;
    for (size_t i = 0; i < (all_types ? c.dtypes.size() : 1); ++i) {
      for (const Problem& p : c.benchmarks(c.dtypes[i], sizes)) body(c, p);
    }
  }
}

TEST(Benchmarks, StateBytesAndFlops) {
  const auto states_both = [](const OpCase& c, const Problem& p) {
    EXPECT_GT(bytes_of(p, GradMode::overwrite), 0) << c.name << " " << p.name;
    EXPECT_EQ(p.flops > 0, !only_moves(c.slots.front())) << c.name << " " << p.name << ": " << p.flops << " flops";
    for (const auto& [operand, share] : p.moved) {
      ASSERT_LT(operand, p.operands.size()) << c.name << " " << p.name;
      EXPECT_TRUE(share > 0 && share <= 2) << c.name << " " << p.name << ": " << share;
    }
  };
  for_each_problem(BenchmarkSizes::tiny(), true, states_both);
  for_each_problem(BenchmarkSizes::of_a_gpu(256), false, states_both);
}

TEST(Benchmarks, EverySlotOfAStepIsMeasured) {
  for (const OpCase& c : op_cases()) {
    // Of single numbers and of a matrix of the batch: a launch each, whatever they move.
    const bool small = c.name == "clamp" || c.name == "add_diagonal";
    EXPECT_EQ(static_cast<bool>(c.benchmarks), !small) << c.name;
  }
}

/// The bytes of every output after a call.
std::vector<std::vector<std::byte>> outputs(const Problem& problem, bool ready) {
  std::vector<std::unique_ptr<Guarded>> blocks;
  std::vector<View> views;
  for (const Operand& o : problem.operands) {
    blocks.push_back(o.absent ? nullptr : std::make_unique<Guarded>(o.shape, o.dtype, o.layout));
    if (blocks.back() && o.values) blocks.back()->assign(o.values);
    views.push_back(blocks.back() ? View(blocks.back()->tensor()) : View());
  }
  Context& c = cpu_context();
  ready ? problem.ready(c, c.kernels(), views)() : problem.call(c, c.kernels(), views, GradMode::overwrite);
  std::vector<std::vector<std::byte>> results;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i] && problem.operands[i].role != Role::in) results.push_back(blocks[i]->content());
  }
  return results;
}

TEST(Benchmarks, KeptPacksGiveTheBitsOfTheCall) {
  int seen = 0;
  for_each_problem(BenchmarkSizes::tiny(), true, [&](const OpCase& c, const Problem& p) {
    if (!p.ready) return;
    ++seen;
    EXPECT_EQ(outputs(p, true), outputs(p, false)) << c.name << " " << p.name;
  });
  EXPECT_GT(seen, 10);
}

TEST(Benchmarks, LongOperandsDrawWholeRowsOnly) {
  Values values = Values::shortened("long");
  const Shape shape{1 << 12, 768};
  const Tensor x = values.unit_rows(shape);
  const int64_t drawn = Values::short_count(shape);
  EXPECT_EQ(drawn % 768, 0);
  EXPECT_TRUE(drawn <= Values::kShort && drawn > Values::kShort - 768);
  const auto elements = x.data<double>();
  EXPECT_TRUE(
      std::ranges::any_of(elements.first(static_cast<size_t>(drawn)).last(768), [](double v) { return v != 0; }));
  EXPECT_EQ(Values::short_count({3, 5}), 15);
  EXPECT_EQ(Values::short_count({}), 1);
  EXPECT_EQ(Values::short_count({1 << 20}), Values::kShort);
}

}  // namespace
}  // namespace tessera::test
