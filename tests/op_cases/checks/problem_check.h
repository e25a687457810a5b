#pragma once

#include "tests/support/op_case.h"

namespace tessera::test {

/// A context of its own for each number of threads, with scratch memory that holds NaN.
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

/// Everything a case promises about one call, for each table: agreement with the reference, stored and added; memory
/// around the operands and the inputs untouched; equal bits for any number of threads, for a permuted batch, and
/// through the public function. Failures are gtest's, each naming table, check and element. `dtype` is the type of the
/// case.
void check_problem(const Problem& problem, DType dtype, std::span<const KernelTable* const> tables);

}  // namespace tessera::test
