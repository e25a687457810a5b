#include "tests/op_cases/checks/problem_check.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>

#include "engine/cpu/host.h"
#include "engine/ops/copy.h"
#include "tests/support/reference.h"

namespace tessera::test {
namespace {

using Bytes = std::vector<std::byte>;
using Numbers = std::vector<double>;

bool is_output(const Operand& o) { return !o.absent && o.role != Role::in; }

/// Entries of a dimension in another order: blocks reversed and rotated, so that ends and middles change places.
Bytes permuted(const Bytes& bytes, const Shape& shape, DType dtype, int dim, int64_t block) {
  const int64_t count = shape[dim] / block;
  size_t chunk = static_cast<size_t>(block) * size_of(dtype);
  for (int d = dim + 1; d < shape.rank(); ++d) chunk *= static_cast<size_t>(shape[d]);
  const size_t group = chunk * static_cast<size_t>(count);
  Bytes result(bytes.size());
  for (size_t start = 0; group > 0 && start < bytes.size(); start += group) {
    for (int64_t i = 0; i < count; ++i) {
      const auto from = static_cast<size_t>((count - i) % count) * chunk;
      std::memcpy(&result[start + static_cast<size_t>(i) * chunk], &bytes[start + from], chunk);
    }
  }
  return result;
}

Tensor from_bytes(const Bytes& bytes, const Shape& shape, DType dtype) {
  Tensor t = Tensor::empty(shape, dtype);
  if (!bytes.empty()) std::memcpy(t.pointer(), bytes.data(), bytes.size());
  return t;
}

/// Guarded memory for some operands of a problem. The places of the others are absent.
class Memory {
 public:
  Memory(const Problem& problem, Device device) : device_(device), blocks_(problem.operands.size()) {}

  Guarded& add(size_t i, const Operand& o) {
    blocks_[i] = std::make_unique<Guarded>(o.shape, o.dtype, o.layout, device_);
    return *blocks_[i];
  }
  [[nodiscard]] const Guarded* at(size_t i) const { return blocks_[i].get(); }

 private:
  Device device_;
  std::vector<std::unique_ptr<Guarded>> blocks_;
};

Memory bind_inputs(const Problem& problem, Device device) {
  Memory memory(problem, device);
  for (size_t i = 0; i < problem.operands.size(); ++i) {
    const Operand& o = problem.operands[i];
    if (!o.absent && o.role == Role::in) memory.add(i, o).assign(o.values);
  }
  return memory;
}

class Check {
 public:
  Check(const Problem& problem, DType dtype)
      : problem_(problem), dtype_(dtype), host_inputs_(bind_inputs(problem, Device::cpu())) {
    for (size_t i = 0; i < problem.operands.size(); ++i) {
      input_bytes_.push_back(host_inputs_.at(i) != nullptr ? host_inputs_.at(i)->content() : Bytes());
      const Operand& o = problem.operands[i];
      const bool sum = is_output(o) && o.role == Role::sum;
      to_add_to_.push_back(sum ? Values("initial").normal(o.shape) : Tensor());
      sums_ = sums_ || sum;
    }
    expected_ = reference(GradMode::overwrite);
    if (sums_) {
      expected_sums_ = reference(GradMode::accumulate);
      check_reference_adds();
    }
  }

  void run(const Target& target) {
    target_ = &target;
    const Memory inputs = bind_inputs(problem_, target.device);
    modes_ = {GradMode::overwrite};
    if (sums_) modes_.push_back(GradMode::accumulate);
    for (const GradMode mode : modes_) {
      where_ = fmt::format("{}, {}, {}", problem_.name, target.table->name,
                           mode == GradMode::overwrite ? "stored" : "added");
      const std::vector<Bytes> one = call(mode, target.executions.front(), inputs, true);
      if (testing::Test::HasFailure()) return;  // the rest would only repeat it
      for (size_t i = 1; i < target.executions.size(); ++i) {
        expect_equal(call(mode, target.executions[i], inputs, false), one, target.executions[i].name);
      }
      if (problem_.op) check_op(mode, one, inputs);
      if (mode == GradMode::overwrite && !problem_.batch.empty()) check_permutation(one);
    }
  }

 private:
  /// The content of an output before the call: its own values, numbers to add to, or nothing here, which means NaN.
  [[nodiscard]] Tensor initial(size_t i, GradMode mode) const {
    const Operand& o = problem_.operands[i];
    if (o.role == Role::inout) return o.values;
    return mode == GradMode::accumulate ? to_add_to_[i] : Tensor();
  }

  [[nodiscard]] Memory bind_outputs(GradMode mode) const {
    Memory memory(problem_, target_->device);
    for (size_t i = 0; i < problem_.operands.size(); ++i) {
      if (!is_output(problem_.operands[i])) continue;
      Guarded& block = memory.add(i, problem_.operands[i]);
      if (const Tensor before = initial(i, mode)) block.assign(before);
    }
    return memory;
  }

  /// The reference's results in f64, on the inputs as they were rounded.
  std::vector<Numbers> reference(GradMode mode) {
    std::vector<Tensor> results(problem_.operands.size());
    std::vector<View> views;
    for (size_t i = 0; i < results.size(); ++i) {
      const Operand& o = problem_.operands[i];
      if (is_output(o)) {
        results[i] = Tensor::empty(o.shape, is_floating(o.dtype) ? DType::f64 : o.dtype);
        if (const Tensor before = initial(i, mode)) {
          const View to = results[i];
          for (int64_t e = 0; e < o.shape.numel(); ++e) store(to, e, rounded(load(before, e), o.dtype));
        }
        views.push_back(results[i]);
      } else {
        views.push_back(host_inputs_.at(i) != nullptr ? View(host_inputs_.at(i)->tensor()) : View());
      }
    }
    problem_.call(context_with(1), reference_kernels(), views, mode);
    std::vector<Numbers> numbers(results.size());
    for (size_t i = 0; i < results.size(); ++i) {
      for (int64_t e = 0; results[i] && e < results[i].numel(); ++e) numbers[i].push_back(load(results[i], e));
    }
    return numbers;
  }

  void check_reference_adds() {
    for (size_t i = 0; i < problem_.operands.size(); ++i) {
      const Operand& o = problem_.operands[i];
      if (!is_output(o) || o.role != Role::sum) continue;
      const Tensor before = initial(i, GradMode::accumulate);
      for (size_t e = 0; e < expected_[i].size(); ++e) {
        const double sum = rounded(load(before, static_cast<int64_t>(e)), o.dtype) + expected_[i][e];
        ASSERT_NEAR(expected_sums_[i][e], sum, 1e-12 * (1 + std::abs(sum)))
            << problem_.name << ": the reference does not add to " << o.name << "[" << e << "]";
      }
    }
  }

  /// Calls the kernels and returns the bytes of each output.
  std::vector<Bytes> call(GradMode mode, const Execution& execution, const Memory& inputs, bool compare) {
    const Memory outputs = bind_outputs(mode);
    std::vector<View> views;
    for (size_t i = 0; i < problem_.operands.size(); ++i) {
      const Guarded* block = outputs.at(i) != nullptr ? outputs.at(i) : inputs.at(i);
      views.push_back(block != nullptr ? View(block->tensor()) : View());
    }
    Context& context = execution.context();
    context.set_kernels(*target_->table);
    problem_.call(context, *target_->table, views, mode);
    std::vector<Bytes> results;
    for (size_t i = 0; i < problem_.operands.size(); ++i) {
      const Guarded* output = outputs.at(i);
      results.push_back(output != nullptr ? output->content() : Bytes());
      if (!compare) continue;
      const Operand& o = problem_.operands[i];
      if (output != nullptr) {
        EXPECT_TRUE(output->guards_intact()) << where_ << ": writes outside " << o.name;
        compare_values(o, output->values(), mode == GradMode::overwrite ? expected_[i] : expected_sums_[i]);
      } else if (inputs.at(i) != nullptr) {
        EXPECT_TRUE(inputs.at(i)->guards_intact() && inputs.at(i)->content() == input_bytes_[i])
            << where_ << ": changes its input " << o.name;
      }
    }
    return results;
  }

  void compare_values(const Operand& o, const Numbers& found, const Numbers& expected) const {
    const Tolerance& t = o.tolerance;
    double largest = t.floor;
    for (const double x : expected) largest = std::isfinite(x) ? std::max(largest, std::abs(x)) : largest;
    const double scale = t.c * unit_roundoff(t.precision.value_or(wide(dtype_))) * std::sqrt(t.k);
    for (size_t e = 0; e < expected.size(); ++e) {
      const double x = expected[e];
      const double magnitude = t.elementwise ? std::max(t.floor, std::abs(x)) : largest;
      const double allowed = scale * magnitude + (t.c > 0 ? unit_roundoff(o.dtype) * std::abs(x) : 0);
      const double target = t.c > 0 ? x : rounded(x, o.dtype);
      if (found[e] == target || std::abs(found[e] - target) <= allowed) continue;
      ADD_FAILURE() << where_ << ": " << o.name << "[" << e << "] of " << to_string(o.shape) << " is "
                    << fmt::format("{:.9g}, expected {:.9g}, difference {:.3g}, allowed {:.3g}", found[e], target,
                                   std::abs(found[e] - target), allowed);
      return;
    }
  }

  void expect_equal(const std::vector<Bytes>& found, const std::vector<Bytes>& expected,
                    const std::string& what) const {
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_TRUE(found[i] == expected[i])
          << where_ << ": other bits of " << problem_.operands[i].name << " for " << what;
    }
  }

  void check_op(GradMode mode, const std::vector<Bytes>& expected, const Memory& inputs) {
    const WithKernels scope(*target_->table, target_->device);
    const Memory outputs = bind_outputs(mode);
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < problem_.operands.size(); ++i) {
      const Guarded* block = outputs.at(i) != nullptr ? outputs.at(i) : inputs.at(i);
      tensors.push_back(block != nullptr ? block->tensor() : Tensor());
    }
    const std::vector<Tensor> returned = problem_.op(tensors, mode);
    size_t next = 0;
    for (size_t i = 0; i < problem_.operands.size(); ++i) {
      const Operand& o = problem_.operands[i];
      if (!is_output(o)) continue;
      const Tensor result = next < returned.size() ? returned[next++] : tensors[i];
      ASSERT_TRUE(result.shape() == o.shape && result.dtype() == o.dtype)
          << where_ << ": the public function returns " << describe(result) << " for " << o.name;
      Guarded copy(o.shape, o.dtype, {});
      copy.assign(contiguous(result));
      EXPECT_TRUE(copy.content() == expected[i])
          << where_ << ": other bits of " << o.name << " from the public function";
    }
  }

  void check_permutation(const std::vector<Bytes>& straight) {
    Memory inputs(problem_, target_->device);
    std::vector<Bytes> expected = straight;
    std::map<size_t, int> dims;
    for (const BatchDim& b : problem_.batch) dims[b.operand] = b.dim;
    for (size_t i = 0; i < problem_.operands.size(); ++i) {
      const Operand& o = problem_.operands[i];
      const auto permute = [&](const Bytes& bytes) {
        return dims.contains(i) ? permuted(bytes, o.shape, o.dtype, dims[i], problem_.batch_block) : bytes;
      };
      if (host_inputs_.at(i) != nullptr) {
        inputs.add(i, o).assign(from_bytes(permute(input_bytes_[i]), o.shape, o.dtype));
      } else {
        expected[i] = permute(straight[i]);
      }
    }
    expect_equal(call(GradMode::overwrite, target_->executions.front(), inputs, false), expected, "a permuted batch");
  }

  const Problem& problem_;
  DType dtype_;
  Memory host_inputs_;
  const Target* target_ = nullptr;
  std::vector<Bytes> input_bytes_;
  std::vector<Tensor> to_add_to_;  // of the outputs that are sums
  bool sums_ = false;
  std::vector<Numbers> expected_, expected_sums_;
  std::vector<GradMode> modes_;
  std::string where_;
};

/// Leaves blocks full of NaN in the pool of a context, so that a kernel that does not initialise its scratch is found.
void spoil_pool(Context& context) {
  for (size_t bytes = 64; bytes <= size_t{1} << 22; bytes += bytes / 4) {
    const Scratch first(context, bytes);
    const Scratch second(context, bytes);
    std::memset(first.as<std::byte>(), 0xff, bytes);
    std::memset(second.as<std::byte>(), 0xff, bytes);
  }
}

}  // namespace

std::string TypedCase::name() const { return fmt::format("{}_{}", op->name, name_of(dtype)); }

void PrintTo(const TypedCase& c, std::ostream* out) { *out << c.name(); }

std::vector<TypedCase> typed_cases() {
  std::vector<TypedCase> result;
  for (const OpCase& c : op_cases()) {
    for (const DType dtype : c.dtypes) result.push_back({&c, dtype});
  }
  return result;
}

Context& context_with(int threads) {
  static std::map<int, std::unique_ptr<Context>> contexts;
  auto& context = contexts[threads];
  if (!context) {
    context = std::make_unique<Context>(Device::cpu());
    cpu::host(*context).set_threads(threads);
    spoil_pool(*context);
  }
  return *context;
}

WithKernels::WithKernels(const KernelTable& table, Device device)
    : context_(context(device)), previous_(&context_.kernels()) {
  context_.set_kernels(table);
}
WithKernels::~WithKernels() { context_.set_kernels(*previous_); }

Target cpu_target(const KernelTable& table) {
  Target target{&table, Device::cpu(), {}};
  for (const int threads : {1, 2, 3}) {
    target.executions.push_back(
        {fmt::format("{} threads", threads), [threads]() -> Context& { return context_with(threads); }});
  }
  return target;
}

void check_problem(const Problem& problem, DType dtype, std::span<const Target> targets) {
  Check check(problem, dtype);
  for (const Target& target : targets) {
    if (testing::Test::HasFatalFailure()) return;
    check.run(target);
  }
}

}  // namespace tessera::test
