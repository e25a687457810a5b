#pragma once

#include <vector>

#include "engine/ops/kernels.h"

namespace tessera::test {

/// The portable table with the products of the AMX table, whose instructions are a model in plain C++.
[[nodiscard]] const KernelTable& amx_model();

/// Every table that this processor can run, and the model; of these the ones in TESSERA_TEST_TABLES=amx,avx2 where it
/// is set.
[[nodiscard]] std::vector<const KernelTable*> tables_under_test();

}  // namespace tessera::test
