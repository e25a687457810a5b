// What no op case can ask, because the public function refuses such labels on the host.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/cuda/tables.h"
#include "engine/ops/copy.h"
#include "tests/op_cases/checks/problem_check.h"

namespace tessera::test {
namespace {

TEST(CudaCrossEntropy, ALabelOutsideTheClassesGivesNanForItsRowAlone) {
  for (const int64_t classes : {5, 8, 1030}) {  // one by one, 16 bytes at a time, and a block for each row
    const auto beyond = static_cast<int32_t>(classes);
    const Tensor logits = cast(Values("labels").normal({4, classes}), DType::f32);
    const Tensor labels = Tensor::from(std::vector<int32_t>{-1, beyond - 1, beyond, 2147483647}, {4});
    const Tensor loss = Tensor::zeros({4}), lse = Tensor::zeros({4}), argmax = Tensor::zeros({4}, DType::i32);
    Context& context = context_with(1);
    cuda::kLossKernels.cross_entropy(context,
                                     {.logits = logits, .targets = labels, .loss = loss, .lse = lse, .argmax = argmax});
    const Tensor dlogits = Tensor::zeros({4, classes}), dloss = Tensor::full({}, 1);
    cuda::kLossKernels.cross_entropy_grad(context, {.logits = logits,
                                                    .targets = labels,
                                                    .lse = lse,
                                                    .dloss = dloss,
                                                    .factor = 1,
                                                    .dlogits = dlogits,
                                                    .mode = GradMode::overwrite});
    for (size_t r = 0; r < 4; ++r) {
      const bool known = r == 1;
      EXPECT_EQ(std::isnan(loss.data<float>()[r]), !known) << classes << " classes, row " << r;
      EXPECT_TRUE(std::isfinite(lse.data<float>()[r])) << classes << " classes, row " << r;
      for (int64_t c = 0; c < classes; ++c) {
        const float slope = dlogits.data<float>()[r * static_cast<size_t>(classes) + static_cast<size_t>(c)];
        ASSERT_EQ(std::isnan(slope), !known) << classes << " classes, row " << r << ", column " << c;
      }
    }
  }
}

}  // namespace
}  // namespace tessera::test
