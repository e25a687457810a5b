// Every op case on the CUDA kernels, run by the emulator on host memory in three thread orders.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/cuda/device.h"
#include "engine/cuda/tables.h"
#include "tests/op_cases/checks/problem_check.h"

namespace tessera::cuda {
cudaStream_t stream_of(Context&) { return nullptr; }
void launched(const char*, cudaStream_t) {}
}  // namespace tessera::cuda

namespace tessera::test {
namespace {

/// The families that exist, in the portable table.
const KernelTable& table() {
  static const KernelTable result = [] {
    KernelTable t = *cpu_kernel_tables().front();
    t.name = "cuda";
    t.patches = cuda::kPatchKernels;
    return t;
  }();
  return result;
}

/// The families whose cases run.
bool exists(const OpCase& op) {
  const std::string& slot = op.slots.front();
  for (const char* family : {"patches."}) {
    if (slot.starts_with(family)) return true;
  }
  return false;
}

struct TypedCase {
  const OpCase* op;
  DType dtype;
};
std::vector<TypedCase> typed_cases() {
  std::vector<TypedCase> result;
  for (const OpCase& c : op_cases()) {
    if (!exists(c)) continue;
    for (const DType dtype : c.dtypes) result.push_back({&c, dtype});
  }
  return result;
}

class CudaKernels : public testing::TestWithParam<TypedCase> {};

TEST_P(CudaKernels, MatchTheReference) {
  const KernelTable* const tables[] = {&table()};
  int failed = 0;
  using emulation::Order;
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    emulation::config().order = order;
    for (const Problem& problem : GetParam().op->problems(GetParam().dtype)) {
      check_problem(problem, GetParam().dtype, tables);
      if (HasFailure() && ++failed == 5) FAIL() << "and so on";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, CudaKernels, testing::ValuesIn(typed_cases()),
                         [](const auto& p) { return fmt::format("{}_{}", p.param.op->name, name_of(p.param.dtype)); });

}  // namespace
}  // namespace tessera::test
