// The graphs that models build are finalised by the real library for devices that are not there.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "engine/core/error.h"
#include "engine/cuda/dnn/plan.h"
#include "tests/cudnn/backend.h"

namespace tessera::test {
namespace {

using cuda::Product;
using cuda::dnn::Plan;
using cuda::dnn::Planner;
using cuda::dnn::request_of;

/// Loaded before cuDNN looks for a driver.
void* const driver_double = dlopen(TESSERA_DRIVER_DOUBLE, RTLD_NOW | RTLD_GLOBAL);

Planner planner_for(const std::string& device) {
  std::ifstream file(std::string(TESSERA_SOURCE_DIR) + "/tests/cudnn/devices/" + device + ".json");
  return Planner(cuda::dnn::described_device({std::istreambuf_iterator<char>(file), {}}));
}

struct Width {
  int64_t n, k;
};
void* const kVector = reinterpret_cast<void*>(uintptr_t{0x30000});

Product forward(Width width, DType out, Act act = Act::none, bool pre = false) {
  Product p = linear_product(1, width.n, width.k);
  p.bias = kVector;
  p.act = act;
  p.y.dtype = out;
  if (pre) p.pre = matrix(DType::bf16, width.n);
  return p;
}
Product added(Width width, bool scaled) {
  Product p = forward(width, DType::f32);
  p.residual = matrix(DType::f32, width.n);
  if (scaled) p.row_scale = kVector;
  return p;
}
Product sloped(Width width, Act act) {
  Product p = linear_product(1, width.n, width.k);
  p.right.line_stride = 1;
  p.right.step_stride = width.n;
  p.act = act;
  p.slope = true;
  p.pre = matrix(DType::bf16, width.n);
  return p;
}

/// ViT-B/16 and the text tower, a batch of 256: all patches, the visible ones, a ragged count, and a single row.
constexpr int64_t kRows[] = {256 * 197, 256 * 50, 12749, 1};
constexpr Width kQkv{2304, 768}, kProjection{768, 768}, kUp{3072, 768}, kDown{768, 3072};
constexpr Width kTextUp{2048, 512}, kTextDown{512, 2048}, kNarrow{96, 200};

std::vector<Product> products() {
  std::vector<Product> all{forward(kQkv, DType::bf16), forward({512, 768}, DType::f32)};
  for (const Act act : {Act::gelu_erf, Act::quick_gelu}) {
    for (const Width width : {kUp, kTextUp, kNarrow}) {
      for (const bool pre : {false, true}) all.push_back(forward(width, DType::bf16, act, pre));
      all.push_back(sloped(width, act));
    }
  }
  for (const Width width : {kProjection, kDown, kTextDown, kNarrow}) {
    for (const bool scaled : {false, true}) all.push_back(added(width, scaled));
  }
  return all;
}

class CudnnPlans : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { ASSERT_NE(driver_double, nullptr) << dlerror(); }
};

TEST_P(CudnnPlans, ExistForEveryGraphAndNumberOfRows) {
  Planner planner = planner_for(GetParam());
  for (const Product& p : products()) {
    const auto request = request_of(p);
    ASSERT_TRUE(request);
    std::string kernel;
    for (const int64_t rows : kRows) {
      SCOPED_TRACE(describe(*request, rows));
      const Plan* plan = planner.plan_of(*request, rows);
      ASSERT_NE(plan, nullptr);
      EXPECT_EQ(plan->workspace, 0U);
      // A row's result does not depend on the number of rows.
      if (kernel.empty()) kernel = plan->kernel;
      EXPECT_EQ(plan->kernel, kernel);
      EXPECT_EQ(planner.plan_of(*request, rows), plan) << "made twice";
    }
  }
  EXPECT_EQ(planner.size(), products().size() * std::size(kRows));
}

TEST_P(CudnnPlans, SumColumnsByTiles) {
  Planner planner = planner_for(GetParam());
  for (const Act act : {Act::gelu_erf, Act::quick_gelu}) {
    Product p = sloped(kUp, act);
    p.m = kRows[0];
    p.column_sums = {.pointer = kVector, .dtype = DType::f32, .rank = 1, .shape = {kUp.n}, .strides = {1}};
    const auto request = request_of(p);
    ASSERT_TRUE(request);
    const Plan* plan = planner.plan_of(*request, p.m);
    ASSERT_NE(plan, nullptr) << describe(*request, p.m);
    // A row of sums per tile, which are added in one order afterwards.
    const auto partials = static_cast<size_t>(p.m / cuda::dnn::kSummedRows * p.n) * sizeof(float);
    EXPECT_GE(plan->workspace, partials);
    EXPECT_LE(plan->workspace, partials + 4096);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, CudnnPlans, testing::Values("a100", "h100"),
                         [](const auto& device) { return std::string(device.param); });

TEST(CudnnLibrary, FailsInOneLine) {
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const LibraryError& error) {
      return error.what();
    }
    return "";
  };
  const std::string device = message([] { (void)cuda::dnn::described_device("{}"); });
  EXPECT_EQ(device.rfind("cuDNN finalize", 0), 0U) << device;
  const std::string handle = message([] { const cuda::dnn::Handle made; });
  EXPECT_EQ(handle.rfind("cuDNN create: CUDNN_STATUS_", 0), 0U) << handle;
  for (const std::string& text : {device, handle}) EXPECT_EQ(text.find('\n'), std::string::npos) << text;
}

}  // namespace
}  // namespace tessera::test
