// Every op case on a CUDA device against the naive reference: on the emulated device in three thread orders, on a real
// one twice. A test is a case in one type, for example `Device/DeviceCases.MatchTheReference/layer_norm_bf16`.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/device/device.h"
#include "tests/emulation/emulator.h"
#include "tests/op_cases/checks/problem_check.h"

namespace tessera::test {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kOneOrder = true;
#else
constexpr bool kOneOrder = kThreadSanitizer;
#endif

Execution in_order(const char* name, emulation::Order order) {
  return {name, [order]() -> Context& {
            emulation::config().order = order;
            return context(test_device());
          }};
}

/// The device's own table, with the executions that must agree.
Target device_target() {
  Target target{&context(test_device()).backend().kernels(), test_device(), {}};
  if (device_is_emulated()) {
    target.executions = {in_order("threads in order", emulation::Order::forward)};
    if (!kOneOrder) {  // what a sanitizer finds does not depend on it, and the time does
      target.executions.push_back(in_order("threads in reverse", emulation::Order::reverse));
      target.executions.push_back(in_order("threads in random order", emulation::Order::random));
    }
  } else {
    const auto same = []() -> Context& { return context(test_device()); };
    target.executions = {{"the first run", same}, {"the second run", same}};
  }
  return target;
}

int64_t elements_of(const Problem& problem) {
  int64_t total = 0;
  for (const Operand& o : problem.operands) total += o.shape.numel();
  return total;
}

/// The problems of a case that this build has time for. ThreadSanitizer sees every race in one order of threads but
/// takes a hundred times as long: there it is the largest two of those with at most so many elements.
std::vector<Problem> problems_of(const TypedCase& c) {
  std::vector<Problem> problems = c.op->problems(c.dtype);
  if (!kThreadSanitizer) return problems;
  constexpr int64_t kMost = 10'000;
  constexpr size_t kCount = 2;
  std::ranges::stable_sort(problems, std::ranges::greater(), elements_of);
  const auto small = std::ranges::find_if(problems, [](const Problem& p) { return elements_of(p) <= kMost; });
  problems.erase(problems.begin(), std::min(small, problems.end() - 1));
  if (problems.size() > kCount) problems.resize(kCount);
  return problems;
}

class DeviceCases : public testing::TestWithParam<TypedCase> {};

TEST_P(DeviceCases, MatchTheReference) {
  const Target target = device_target();
  int failed = 0;
  for (const Problem& problem : problems_of(GetParam())) {
    check_problem(problem, GetParam().dtype, std::span(&target, 1));
    if (HasFailure() && ++failed == 5) FAIL() << "and so on";
  }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceCases, testing::ValuesIn(typed_cases()),
                         [](const auto& p) { return p.param.name(); });

}  // namespace
}  // namespace tessera::test
