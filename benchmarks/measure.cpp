#include "benchmarks/measure.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "engine/cpu/peak.h"

namespace tessera::benchmarks {

double now(Clock clock) {
  if (clock == Clock::processor) {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

double seconds_per_call(const std::function<void()>& body, double least, Clock clock) {
  const double start = now(clock);
  double seconds = 0;
  int calls = 0;
  do {
    body();
    ++calls;
    seconds = now(clock) - start;
  } while (seconds < least);
  return seconds / calls;
}

Rate measure(const std::function<void()>& body, double flops, std::string_view isa, Clock clock, int repetitions,
             double least) {
  std::vector<double> gflops;
  std::vector<double> share;
  body();
  double before = cpu::fma_peak(isa);
  for (int i = 0; i < repetitions; ++i) {
    const double rate = flops / seconds_per_call(body, least, clock);
    const double after = cpu::fma_peak(isa);
    gflops.push_back(rate / 1e9);
    share.push_back(rate / (0.5 * (before + after)));
    before = after;
  }
  return {spread_of(gflops), spread_of(share)};
}

}  // namespace tessera::benchmarks
