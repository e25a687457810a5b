#pragma once

// What a test asks the cuBLASLt double beside the library's own interface.
#include <cublasLt.h>

#include <cstdint>
#include <string>

namespace tessera::test::lt_double {

/// Objects that were created and not destroyed yet.
struct Live {
  int64_t handles = 0, descriptors = 0;  // a descriptor: of an operation, a layout or a preference
};
[[nodiscard]] Live live();

/// Calls that reached the double so far.
struct Calls {
  int64_t heuristics = 0, checks = 0, products = 0;
};
[[nodiscard]] Calls calls();

/// Why the double last returned something else than success, in one line.
[[nodiscard]] std::string last_refusal();

/// The algorithm that the last product ran with.
struct Ran {
  bool wide = false;  // needs operands aligned to 16 bytes
  int splits = 1;     // of the reduction
  size_t workspace = 0;
};
[[nodiscard]] Ran last_product();

/// The next call of this function returns this status and does nothing.
void fail_next(const char* function, cublasStatus_t status);

}  // namespace tessera::test::lt_double
