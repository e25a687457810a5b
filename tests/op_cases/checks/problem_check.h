#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/support/op_case.h"

namespace tessera::test {

/// A case in one type, and all of them: the parameters of the tests of every op.
struct TypedCase {
  const OpCase* op;
  DType dtype;

  /// "layer_norm_bf16".
  [[nodiscard]] std::string name() const;
};
void PrintTo(const TypedCase& c, std::ostream* out);
[[nodiscard]] std::vector<TypedCase> typed_cases();

/// The context of the CPU for a number of threads. Its scratch memory holds NaN.
[[nodiscard]] Context& context_with(int threads);

/// Makes a table the one that public functions use on a device, until the scope ends.
class WithKernels {
 public:
  explicit WithKernels(const KernelTable& table, Device device = Device::cpu());
  ~WithKernels();
  WithKernels(const WithKernels&) = delete;
  WithKernels& operator=(const WithKernels&) = delete;

 private:
  Context& context_;
  const KernelTable* previous_;
};

/// One way to run a kernel: on so many threads of the CPU, in some order of threads of the emulated device.
struct Execution {
  std::string name;
  std::function<Context&()> context;
};
/// Where problems are checked: a table of one device, with the executions that must agree bit by bit. The first one is
/// compared with the reference.
struct Target {
  const KernelTable* table;
  Device device;
  std::vector<Execution> executions;
};
/// A table of the CPU, on one, two and three threads.
[[nodiscard]] Target cpu_target(const KernelTable& table);

/// Checks one call on each target: the results agree with the reference, stored and added; the inputs and the memory
/// around the operands do not change; and the bits are equal for every execution, for a permuted batch, and through the
/// public function. A failure is one of gtest and names table, check and element. `dtype` is the type of the case.
void check_problem(const Problem& problem, DType dtype, std::span<const Target> targets);

}  // namespace tessera::test
