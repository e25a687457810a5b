#pragma once

#include <vector>

#include "tests/support/op_case.h"

namespace tessera::test {

// One file per family.
[[nodiscard]] std::vector<OpCase> copy_cases();
[[nodiscard]] std::vector<OpCase> pointwise_cases();
[[nodiscard]] std::vector<OpCase> reduce_cases();
[[nodiscard]] std::vector<OpCase> linear_cases();
[[nodiscard]] std::vector<OpCase> matmul_cases();
[[nodiscard]] std::vector<OpCase> norm_cases();
[[nodiscard]] std::vector<OpCase> batch_norm_cases();
[[nodiscard]] std::vector<OpCase> attention_cases();
[[nodiscard]] std::vector<OpCase> rows_cases();
[[nodiscard]] std::vector<OpCase> patches_cases();
[[nodiscard]] std::vector<OpCase> loss_cases();
[[nodiscard]] std::vector<OpCase> patch_sentence_cases();
[[nodiscard]] std::vector<OpCase> optimizer_cases();

}  // namespace tessera::test
