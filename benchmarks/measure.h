#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace tessera::benchmarks {

/// The clock that counts the seconds. The processor time of this process leaves out the time that a shared machine gave
/// to others, so it is the better measure for one thread. Several threads need the wall clock.
enum class Clock { wall, processor };
[[nodiscard]] double now(Clock clock);

/// Median and range of repeated measurements.
struct Spread {
  double median = 0;
  double low = 0;
  double high = 0;
};
[[nodiscard]] Spread spread_of(std::vector<double> values);

/// Seconds per call of `body`, over as many calls as fill `least` seconds.
[[nodiscard]] double seconds_per_call(const std::function<void()>& body, double least, Clock clock);

struct Rate {
  Spread gflops;
  Spread share;  // fraction of cpu::fma_peak, which is measured before and after each repetition
};
/// Rate of `body`, which does `flops` operations, over several repetitions of `least` seconds.
[[nodiscard]] Rate measure(const std::function<void()>& body, double flops, std::string_view isa, Clock clock,
                           int repetitions = 9, double least = 0.02);

}  // namespace tessera::benchmarks
