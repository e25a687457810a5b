#include <cstdio>
#include <vector>

#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"

int main() {
  using namespace tessera;
  autograd::Tape tape;
  const autograd::TapeScope scope(tape);
  const autograd::Var x = tape.input(Tensor::from(std::vector<float>{2, 3}, {2}));
  tape.backward(autograd::sum(autograd::mul(x, x)));
  const Tensor gradient = tape.take(x.slot);
  std::printf("gradient %g %g\n", gradient.data<float>()[0], gradient.data<float>()[1]);
}
