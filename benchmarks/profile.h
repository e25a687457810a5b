#pragma once

#include <array>
#include <string>

#include "engine/ops/kernels.h"

namespace tessera::benchmarks {

/// What the kernels of a step are for. Everything outside of them (tape, allocation, copies on the host) is the rest.
enum class Part { products, attention, packing, normalisation, pointwise, sums, rows, losses, optimiser, count };

/// Seconds and calls of each part, and the operations of products and attention.
struct PartTimes {
  struct One {
    double seconds = 0, flops = 0;
    long calls = 0;
  };
  std::array<One, static_cast<size_t>(Part::count)> parts;
};

/// Kernels of `inner` that also count their time in what times_of_parts() returns. For kernels of the host, which are
/// done when they return. One such table exists at a time.
[[nodiscard]] const KernelTable& timed_kernels(const KernelTable& inner);
[[nodiscard]] PartTimes& times_of_parts();

/// A table of parts: seconds a step, share of the step, and share of the peak where operations are known. `seconds` is
/// that of the whole step.
[[nodiscard]] std::string describe(const PartTimes& times, double steps, double seconds, double peak_flops);

}  // namespace tessera::benchmarks
