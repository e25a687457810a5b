#pragma once

// What the emulator's tests share.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/cuda/gpu_mma.h"
#include "engine/cuda/gpu_rows.h"
#include "tests/emulation/emulator.h"

namespace tessera::emulation {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kRaceBuild = true;
#else
inline constexpr bool kRaceBuild = false;
#endif
/// For bugs that ThreadSanitizer reports, which makes the whole program fail; races_test.cpp expects that.
#define SKIP_WHERE_RACES_ARE_REPORTED() \
  if (kRaceBuild) GTEST_SKIP() << "a race: see races_test.cpp"

inline constexpr Order kOrders[] = {Order::forward, Order::reverse, Order::random};

/// Runs the function in an order, and then in the one that was set.
template <class F>
void in_order(Order order, F&& f) {
  const Config before = config();
  config().order = order;
  f();
  config() = before;
}
template <class F>
void in_each_order(F&& f) {
  for (const Order order : kOrders) in_order(order, f);
}

/// The message with which a kernel ends; empty if it runs to its end.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const KernelError& e) {
    return e.what();
  }
  return "";
}

/// The kernel fails with these words in every order, and the message is one line that names kernel and block.
template <class F>
void expect_failure(const std::string& words, F&& f) {
  in_each_order([&] {
    const std::string message = error_of(f);
    EXPECT_NE(message.find(words), std::string::npos) << "expected '" << words << "' in '" << message << "'";
    EXPECT_EQ(message.find("kernel "), 0U) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  });
}

}  // namespace tessera::emulation
