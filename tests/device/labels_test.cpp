// Labels on a device are not read back, so that the kernel is what meets one out of range.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/ops/copy.h"
#include "engine/ops/loss.h"
#include "tests/device/device.h"
#include "tests/support/op_case.h"

namespace tessera::test {
namespace {

TEST(DeviceCrossEntropy, ALabelOutsideTheClassesGivesNanForItsRowAlone) {
  const Device device = test_device();
  for (const int64_t classes : {5, 8, 1030}) {  // one by one, 16 bytes at a time, and a block for each row
    const auto beyond = static_cast<int32_t>(classes);
    const Tensor logits = cast(Values("labels").normal({4, classes}), DType::f32).to(device);
    const Tensor labels = Tensor::from(std::vector<int32_t>{-1, beyond - 1, beyond, 2147483647}, {4}, device);
    const CrossEntropyResult r = cross_entropy(logits, labels);
    const Tensor slopes = Tensor::empty({4, classes}, DType::f32, device);
    cross_entropy_grad(logits, labels, r.lse, filled({}, 1.0, DType::f32, device), 1.0, {slopes});
    const Tensor loss = r.loss.to(Device::cpu()), lse = r.lse.to(Device::cpu()), dlogits = slopes.to(Device::cpu());
    for (size_t row = 0; row < 4; ++row) {
      const bool known = row == 1;
      EXPECT_EQ(std::isnan(loss.data<float>()[row]), !known) << classes << " classes, row " << row;
      EXPECT_TRUE(std::isfinite(lse.data<float>()[row])) << classes << " classes, row " << row;
      for (int64_t c = 0; c < classes; ++c) {
        const float slope = dlogits.data<float>()[row * static_cast<size_t>(classes) + static_cast<size_t>(c)];
        ASSERT_EQ(std::isnan(slope), !known) << classes << " classes, row " << row << ", column " << c;
      }
    }
  }
}

}  // namespace
}  // namespace tessera::test
