#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/runtime/context.h"
#include "tests/device/device.h"
#include "tests/emulation/runtime.h"
#include "tests/rils/train/feeding.h"
#include "tests/support/golden.h"

namespace tessera::test {

class FeedOnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    (void)context(test_device());
    // Copies that nobody waits for do not come.
    if (device_is_emulated()) emulation::delay_copies(true);
  }
  void TearDown() override {
    if (device_is_emulated()) emulation::delay_copies(false);
  }
  rils::Console& console() { return *console_; }
  [[nodiscard]] std::string told() const { return console_.told(); }

 private:
  RememberingConsole console_;
};

/// Calls to a system for memory, so far.
inline std::vector<int64_t> asked_for_memory(Backend& backend) {
  return {backend.pool().statistics().system_allocations, backend.pinned().statistics().system_allocations,
          emulation::memory_statistics().mallocs, emulation::memory_statistics().host_mallocs};
}

inline void expect_equal(const Tensor& found, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(static_cast<bool>(found), static_cast<bool>(expected)) << what;
  if (!found) return;
  EXPECT_EQ(absolute_error(found.to(Device::cpu()), expected), 0.0) << what;
}

}  // namespace tessera::test
