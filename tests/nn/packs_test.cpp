// The bf16 packs that a parameter keeps follow every writer of its value.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>

#include "autograd/ops/linear.h"
#include "autograd/tape.h"
#include "engine/ops/copy.h"
#include "nn/io/checkpoint.h"
#include "nn/optim/adamw.h"
#include "nn/optim/lars.h"
#include "tests/support/golden.h"

namespace tessera::nn {
namespace {

Tensor random_tensor(const Shape& shape, const char* purpose) {
  Tensor t = Tensor::empty(shape);
  initialise(t, normal(1.0), 5, purpose);
  return t;
}

/// Two weights of a store, each used in both directions.
class Layers {
 public:
  explicit Layers(uint64_t seed) {
    for (const char* name : {"first", "second"}) weights_.push_back(&store.add(name, {33, 40}, normal(0.3)));
    store.allocate(DType::f32);
    store.initialise(seed);
    store.clear_grads();
    fill(store.grads(), 0.5);
  }

  /// y = x Wᵀ and dx of each weight in bf16: through the packs that the parameter keeps, or from its value alone.
  [[nodiscard]] std::vector<Tensor> products(bool kept) const {
    const Tensor x = cast(random_tensor({3, 40}, "x"), DType::bf16);
    const Tensor dy = random_tensor({3, 33}, "dy");
    std::vector<Tensor> results;
    for (Parameter* w : weights_) {
      autograd::Tape tape;
      const autograd::TapeScope scope(tape);
      const autograd::Var input = tape.input(x);
      const autograd::Var y = autograd::linear(input, kept ? autograd::use(*w) : autograd::Var(clone(w->value)));
      tape.backward(y, dy);
      results.push_back(y.value);
      results.push_back(cast(tape.take(input.slot), DType::f32));
    }
    return results;
  }

  ParameterStore store;

 private:
  std::vector<Parameter*> weights_;
};

/// A file with the weights of another seed.
class OtherWeights {
 public:
  OtherWeights() : path_(std::filesystem::path(testing::TempDir()) / ("packs_" + std::to_string(::getpid()))) {
    save_weights(path_, Layers(2).store, {});
  }
  ~OtherWeights() { std::filesystem::remove(path_); }
  OtherWeights(const OtherWeights&) = delete;
  OtherWeights& operator=(const OtherWeights&) = delete;
  [[nodiscard]] SafetensorsFile file() const { return SafetensorsFile(path_); }

 private:
  std::filesystem::path path_;
};

struct Writer {
  const char* name;
  std::function<void(ParameterStore&)> write;
};
void PrintTo(const Writer& w, std::ostream* out) { *out << w.name; }

std::vector<Writer> writers() {
  return {{"initialise", [](ParameterStore& s) { s.initialise(2); }},
          {"adamw", [](ParameterStore& s) { AdamW(s, {}, slip_decay(0.1)).step(0.1); }},
          {"lars", [](ParameterStore& s) { Lars(s, {.trust = 1}).step(0.1); }},
          {"swap_values",
           [](ParameterStore& s) {
             Tensor other = clone(Layers(2).store.values());
             s.swap_values(other);
           }},
          {"load_matching", [](ParameterStore& s) { (void)load_matching(OtherWeights().file(), s); }},
          {"load_weights", [](ParameterStore& s) { load_weights(OtherWeights().file(), s); }},
          {"load_parameters", [](ParameterStore& s) { load_parameters(OtherWeights().file(), s); }}};
}

class PackWriters : public testing::TestWithParam<Writer> {};

TEST_P(PackWriters, LeaveNoStalePack) {
  Layers layers(1);
  const auto before = layers.products(true);
  GetParam().write(layers.store);
  const auto found = layers.products(true);
  const auto expected = layers.products(false);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_GT(test::absolute_error(expected[i], before[i]), 0.0) << "result " << i << " does not depend on the values";
    EXPECT_EQ(test::absolute_error(found[i], expected[i]), 0.0) << "result " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Packs, PackWriters, testing::ValuesIn(writers()), [](const auto& p) { return p.param.name; });

}  // namespace
}  // namespace tessera::nn
