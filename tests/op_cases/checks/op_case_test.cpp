// Every check of every case. A test is a case in one type, for example
// `Kernels/OpCases.MatchTheReference/layer_norm_bf16`.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "autograd/gradcheck.h"
#include "autograd/tape.h"
#include "engine/ops/copy.h"
#include "engine/runtime/context.h"
#include "tests/op_cases/checks/problem_check.h"
#include "tests/support/amx_model.h"
#include "tests/support/reference.h"

namespace tessera::test {
namespace {

class OpCases : public testing::TestWithParam<TypedCase> {};

TEST_P(OpCases, MatchTheReference) {
  std::vector<Target> targets;
  for (const KernelTable* table : tables_under_test()) targets.push_back(cpu_target(*table));
  const auto problems = GetParam().op->problems(GetParam().dtype);
  ASSERT_FALSE(problems.empty());
  int failed = 0;
  for (const Problem& problem : problems) {
    check_problem(problem, GetParam().dtype, targets);
    if (HasFailure() && ++failed == 5) FAIL() << "and so on";
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, OpCases, testing::ValuesIn(typed_cases()),
                         [](const auto& p) { return p.param.name(); });

/// The same memory under the name of another device. Nothing may touch it there.
Tensor elsewhere(const Tensor& t) {
  return {std::make_shared<Storage>(Device::cuda(7), cpu_context().allocator(), t.bytes() + 1), t.shape(), t.dtype()};
}

/// Every operand of a public function on the wrong device is refused by name: on a GPU its address would crash a
/// kernel.
TEST_P(OpCases, RefuseAnOperandOfAnotherDevice) {
  if (GetParam().op->name == "copy") GTEST_SKIP() << "copies run between devices";
  for (const Problem& problem : GetParam().op->problems(GetParam().dtype)) {
    if (!problem.op) continue;
    for (const GradMode mode : {GradMode::overwrite, GradMode::accumulate}) {
      std::vector<Tensor> tensors;
      size_t present = 0;
      for (const Operand& o : problem.operands) {
        tensors.push_back(o.absent ? Tensor() : Tensor::zeros(o.shape, o.dtype));
        present += o.absent ? 0 : 1;
      }
      for (size_t i = 0; present > 1 && i < tensors.size(); ++i) {
        if (!tensors[i]) continue;
        const Operand& o = problem.operands[i];
        auto mixed = tensors;
        mixed[i] = elsewhere(tensors[i]);
        try {
          (void)problem.op(mixed, mode);
          // The function makes an output itself, and a RowIndex brings index sets to the device.
          EXPECT_TRUE(o.role != Role::in || o.name == "index" || o.name == "order" || o.name == "table_index")
              << problem.name << ": " << o.name << " on cuda:7 is not refused";
        } catch (const DeviceError& e) {
          // The first operand says where the op runs; the device of that name does not exist.
          const bool named = std::string(e.what()).find(" is on c") != std::string::npos;
          EXPECT_TRUE(named || i == 0) << problem.name << ": " << e.what();
        }
      }
    }
    if (HasFailure()) return;
  }
}

class OpGradients : public testing::TestWithParam<const OpCase*> {};

std::vector<const OpCase*> differentiable_cases() {
  std::vector<const OpCase*> result;
  for (const OpCase& c : op_cases()) {
    if (!c.gradients.empty()) result.push_back(&c);
  }
  return result;
}

TEST_P(OpGradients, AreThoseOfCentralDifferences) {
  auto tables = tables_under_test();
  tables.push_back(&reference_kernels());
  for (const Gradient& g : GetParam()->gradients) {
    std::vector<Tensor> inputs;
    for (const auto& input : g.inputs) inputs.push_back(input.values);
    for (const KernelTable* table : tables) {
      const WithKernels scope(*table);
      const auto f = [&](const std::vector<autograd::Var>& v) { return g.forward(v, DType::f64); };
      const auto result = autograd::gradcheck(f, inputs);
      EXPECT_TRUE(result.passed) << g.name << ", " << table->name << ": " << result.message;
    }
  }
}

/// Returns the value and then the gradient of each input, in f64. `inputs` are f64 numbers that the type can represent.
std::vector<Tensor> differentiate(const Gradient& g, const std::vector<Tensor>& inputs, DType compute) {
  autograd::Tape tape;
  std::vector<autograd::Var> vars;
  autograd::Var value;
  {
    const autograd::TapeScope scope(tape);
    for (size_t i = 0; i < inputs.size(); ++i) {
      vars.push_back(tape.input(cast(inputs[i], g.inputs[i].wide ? wide(compute) : compute)));
    }
    value = g.forward(vars, compute);
  }
  const Tensor direction = cast(cast(Values("direction").normal(value.shape()), DType::bf16), value.dtype());
  tape.backward(value, direction);
  std::vector<Tensor> results{cast(value.value, DType::f64)};
  for (const auto& v : vars) {
    Tensor gradient = tape.take(v.slot);
    results.push_back(gradient ? cast(gradient, DType::f64) : Tensor::zeros(v.shape(), DType::f64));
  }
  return results;
}

TEST_P(OpGradients, InNarrowTypesAreThoseOfF64) {
  for (const Gradient& g : GetParam()->gradients) {
    for (const DType dtype : g.dtypes) {
      std::vector<Tensor> inputs;
      for (const auto& input : g.inputs) {
        inputs.push_back(cast(cast(input.values, input.wide ? wide(dtype) : dtype), DType::f64));
      }
      std::vector<Tensor> expected;
      {
        const WithKernels scope(reference_kernels());
        expected = differentiate(g, inputs, DType::f64);
      }
      for (const KernelTable* table : tables_under_test()) {
        const WithKernels scope(*table);
        const auto found = differentiate(g, inputs, dtype);
        for (size_t i = 0; i < found.size(); ++i) {
          double largest = 1e-2;
          for (const double x : expected[i].data<double>()) largest = std::max(largest, std::abs(x));
          const double allowed = g.c * unit_roundoff(dtype) * std::sqrt(g.k) * largest;
          for (size_t e = 0; e < found[i].data<double>().size(); ++e) {
            ASSERT_NEAR(found[i].data<double>()[e], expected[i].data<double>()[e], allowed)
                << g.name << ", " << table->name << ", " << name_of(dtype) << ": "
                << (i == 0 ? std::string("value") : fmt::format("gradient of input {}", i - 1)) << "[" << e << "]";
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Autograd, OpGradients, testing::ValuesIn(differentiable_cases()),
                         [](const auto& p) { return p.param->name; });

class OpRefusals : public testing::TestWithParam<const OpCase*> {};

std::vector<const OpCase*> all_cases() {
  std::vector<const OpCase*> result;
  for (const OpCase& c : op_cases()) result.push_back(&c);
  return result;
}

std::string kind_of(const std::exception& e) {
  if (dynamic_cast<const ShapeError*>(&e) != nullptr) return "ShapeError";
  if (dynamic_cast<const DTypeError*>(&e) != nullptr) return "DTypeError";
  if (dynamic_cast<const DeviceError*>(&e) != nullptr) return "DeviceError";
  return "another error";
}

TEST_P(OpRefusals, AreTypedErrorsOfOneLine) {
  constexpr const char* kNames[] = {"ShapeError", "DTypeError", "DeviceError"};
  ASSERT_FALSE(GetParam()->refusals.empty());
  for (const Refusal& refusal : GetParam()->refusals) {
    const char* expected = kNames[static_cast<size_t>(refusal.kind)];
    try {
      refusal.call();
      ADD_FAILURE() << refusal.name << ": nothing thrown, expected a " << expected;
    } catch (const std::exception& e) {
      const std::string message = e.what();
      EXPECT_EQ(kind_of(e), expected) << refusal.name << ": " << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << refusal.name << ": " << message;
      EXPECT_NE(message.find(": "), std::string::npos) << refusal.name << " does not say where: " << message;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, OpRefusals, testing::ValuesIn(all_cases()), [](const auto& p) { return p.param->name; });

}  // namespace
}  // namespace tessera::test
