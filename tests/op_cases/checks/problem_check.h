#pragma once

#include "tests/support/op_case.h"

namespace tessera::test {

/// The context for a number of threads. Its scratch memory holds NaN.
[[nodiscard]] Context& context_with(int threads);

/// Makes a table the one that public functions use, until the scope ends.
class WithKernels {
 public:
  explicit WithKernels(const KernelTable& table);
  ~WithKernels();
  WithKernels(const WithKernels&) = delete;
  WithKernels& operator=(const WithKernels&) = delete;

 private:
  const KernelTable* previous_;
};

/// Checks one call with each table: the results agree with the reference, stored and added; the inputs and the memory
/// around the operands do not change; and the bits are equal for any number of threads, for a permuted batch, and
/// through the public function. A failure is one of gtest and names table, check and element. `dtype` is the type of
/// the case.
void check_problem(const Problem& problem, DType dtype, std::span<const KernelTable* const> tables);

}  // namespace tessera::test
