#pragma once

#include <span>

#include "engine/cpu/host.h"
#include "engine/tensor/view.h"

namespace tessera::cpu {

/// An operand of an element-wise kernel. The operands of a call have equal shapes and any strides and element types.
struct StridedOperand {
  View view;
  bool read = false;
  bool write = false;
};
inline constexpr int kMaxStridedOperands = 4;

/// Calls body(pointers, count) for runs that cover every element once, in parallel; pointers[i] leads to `count`
/// adjacent elements of operand i. An operand whose run is not adjacent in memory goes through a buffer: it is copied
/// there before the call if it is read, and back after the call if it is written. The last operand, the result, sets
/// the order of the runs. Runs depend on the layouts alone, never on the number of threads.
void for_each_run(Context& context, std::span<const StridedOperand> operands,
                  FunctionRef<void(void* const* pointers, int64_t count)> body);

}  // namespace tessera::cpu
