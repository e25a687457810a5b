// The cuBLASLt double itself: it refuses what the library refuses, and a mistake in a call does not pass.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "tests/emulation/cublaslt/cublaslt_double.h"

namespace tessera::test {
namespace {

/// D [m, n] = A [m, k] B [k, n] in f32, all column-major and dense, with one thing changed per test.
class Call {
 public:
  Call() {
    EXPECT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F_PEDANTIC, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
    a = layout(CUDA_R_32F, kM, kK, kM);
    b = layout(CUDA_R_32F, kK, kN, kK);
    c = layout(CUDA_R_32F, kM, kN, kM);
    d = layout(CUDA_R_32F, kM, kN, kM);
    const auto fill = [](auto& x) {
      for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i + 1));
    };
    fill(a_data);
    fill(b_data);
    fill(bias);
  }
  ~Call() {
    for (cublasLtMatrixLayout_t x : {a, b, c, d}) cublasLtMatrixLayoutDestroy(x);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatmulDescDestroy(operation);
    cublasLtDestroy(handle);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  static cublasLtMatrixLayout_t layout(cudaDataType type, int64_t rows, int64_t cols, int64_t ld) {
    cublasLtMatrixLayout_t x = nullptr;
    EXPECT_EQ(cublasLtMatrixLayoutCreate(&x, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), ld),
              CUBLAS_STATUS_SUCCESS);
    return x;
  }
  template <class T>
  void set(cublasLtMatrixLayout_t x, cublasLtMatrixLayoutAttribute_t attribute, T value) {
    EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(x, attribute, &value, sizeof(value)), CUBLAS_STATUS_SUCCESS);
  }
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)), CUBLAS_STATUS_SUCCESS);
  }
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
              CUBLAS_STATUS_SUCCESS);
  }
  cublasStatus_t plan() {
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, operation, a, b, c, d, preference, 1, &result, &count);
    EXPECT_EQ(count, status == CUBLAS_STATUS_SUCCESS ? 1 : 0);
    return status;
  }
  cublasStatus_t run(void* workspace = nullptr, size_t bytes = 0) {
    const float alpha = 1;
    return cublasLtMatmul(handle, operation, &alpha, a_pointer, a, b_data.data(), b, &beta, c_data.data(), c,
                          d_data.data(), d, &result.algo, workspace, bytes, nullptr);
  }
  [[nodiscard]] bool right() const {
    for (size_t j = 0; j < kN; ++j) {
      for (size_t i = 0; i < kM; ++i) {
        double sum = 0;
        for (size_t k = 0; k < kK; ++k) sum += double{a_data[k * kM + i]} * double{b_data[j * kK + k]};
        if (!(std::abs(sum - double{d_data[j * kM + i]}) < 1e-4)) return false;
      }
    }
    return true;
  }

  static constexpr int64_t kM = 16, kN = 8, kK = 2048;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatrixLayout_t a, b, c, d;
  cublasLtMatmulHeuristicResult_t result{};
  alignas(256) std::array<float, kM * kK + 64> a_data;
  alignas(256) std::array<float, kK * kN * 2> b_data;
  alignas(256) std::array<float, 4096> bias, c_data{}, d_data{};
  const float* a_pointer = a_data.data();
  float beta = 0;
};

TEST(CublasLtDouble, Multiplies) {
  Call call;
  call.c_data.fill(std::numeric_limits<float>::quiet_NaN());  // not read with beta = 0
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(call.run(), CUBLAS_STATUS_SUCCESS) << lt_double::last_refusal();
  EXPECT_TRUE(call.right());
}

TEST(CublasLtDouble, RefusesSizesThatDoNotFit) {
  Call call;
  call.set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{CUBLAS_OP_T});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_INVALID_VALUE) << "a transposition too many";
  call.set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{CUBLAS_OP_N});
  call.set(call.a, CUBLASLT_MATRIX_LAYOUT_LD, Call::kM - 1);
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_INVALID_VALUE) << "columns overlap";
  call.set(call.a, CUBLASLT_MATRIX_LAYOUT_LD, Call::kM);
  call.set(call.a, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t{2});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_INVALID_VALUE) << "different batch counts";
  call.set(call.a, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t{1});
  call.set(call.d, CUBLASLT_MATRIX_LAYOUT_ROWS, uint64_t{0});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_INVALID_VALUE) << "empty";
  for (cublasLtMatrixLayout_t x : {call.a, call.b, call.c, call.d}) {
    call.set(x, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t{2});
  }
  call.set(call.d, CUBLASLT_MATRIX_LAYOUT_ROWS, uint64_t{Call::kM});
  call.set(call.d, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, Call::kM * Call::kN - 1);
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_INVALID_VALUE) << "results overlap";
}

TEST(CublasLtDouble, ShowsAWrongLeadingDimensionInTheNumbers) {
  Call call;
  call.set(call.b, CUBLASLT_MATRIX_LAYOUT_LD, Call::kK + 4);
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(call.run(), CUBLAS_STATUS_SUCCESS);
  EXPECT_FALSE(call.right());
}

TEST(CublasLtDouble, RefusesAttributesOfAnotherSize) {
  Call call;
  const int64_t wide = 1;
  EXPECT_EQ(cublasLtMatmulDescSetAttribute(call.operation, CUBLASLT_MATMUL_DESC_TRANSA, &wide, 8),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(call.a, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &wide, 8),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(call.a, CUBLASLT_MATRIX_LAYOUT_LD, &wide, 4), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(call.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &wide, 4),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasLtMatmulDescSetAttribute(call.operation, CUBLASLT_MATMUL_DESC_TRANSA, nullptr, 4),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(lt_double::last_refusal(), "cublasLtMatmulDescSetAttribute: no value");
}

TEST(CublasLtDouble, RefusesTypesThatDoNotGoTogether) {
  Call call;
  call.set(call.a, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{CUDA_R_16BF});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_SUPPORTED) << "bf16 by f32";
  call.set(call.b, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{CUDA_R_16BF});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  call.set(call.d, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{CUDA_R_16BF});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_SUPPORTED) << "C in f32, D in bf16";
  call.set(call.c, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{CUDA_R_16BF});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  call.set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, int32_t{CUBLAS_COMPUTE_64F});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_SUPPORTED);
  call.set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, int32_t{CUBLAS_COMPUTE_32F});
  call.set(CUBLASLT_MATMUL_DESC_SCALE_TYPE, int32_t{CUDA_R_64F});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_SUPPORTED) << "alpha in f64";
}

TEST(CublasLtDouble, RefusesABiasOfAnotherTypeAndOtherEpilogues) {
  Call call;
  call.set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_BIAS});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_INVALID_VALUE) << "no bias";
  call.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(call.bias.data()));
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  call.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{CUDA_R_16BF});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_SUPPORTED);
  call.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{CUDA_R_32F});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  for (cublasLtMatrixLayout_t x : {call.a, call.b, call.c, call.d}) {
    call.set(x, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{CUDA_R_16BF});
  }
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_SUPPORTED) << "a bf16 result with an f32 bias";
  for (const auto epilogue : {CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_RELU}) {
    call.set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{epilogue});
    EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_SUPPORTED);
  }
}

TEST(CublasLtDouble, RefusesAddressesThatBreakAPromise) {
  Call call;
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  call.a_pointer += 1;
  EXPECT_EQ(call.run(), CUBLAS_STATUS_INVALID_VALUE) << "planned for aligned operands";
  call.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{4});
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(call.run(), CUBLAS_STATUS_SUCCESS);
  call.a_pointer = reinterpret_cast<const float*>(reinterpret_cast<const char*>(call.a_pointer) + 2);
  EXPECT_EQ(call.run(), CUBLAS_STATUS_INVALID_VALUE);
  call.a_pointer = nullptr;
  EXPECT_EQ(call.run(), CUBLAS_STATUS_INVALID_VALUE);
  call.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{2});
  EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_SUPPORTED) << "f32 at odd addresses";
}

TEST(CublasLtDouble, RefusesAPlanOfAnotherProduct) {
  Call call;
  EXPECT_EQ(call.run(), CUBLAS_STATUS_INVALID_VALUE) << "no plan";
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  call.set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, int32_t{CUBLAS_COMPUTE_32F});
  EXPECT_EQ(call.run(), CUBLAS_STATUS_INVALID_VALUE) << "another compute type";
  call.set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, int32_t{CUBLAS_COMPUTE_32F_PEDANTIC});
  EXPECT_EQ(call.run(), CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulHeuristicResult_t checked{};
  call.set(call.b, CUBLASLT_MATRIX_LAYOUT_LD, Call::kK + 1);
  EXPECT_EQ(
      cublasLtMatmulAlgoCheck(call.handle, call.operation, call.a, call.b, call.c, call.d, &call.result.algo, &checked),
      CUBLAS_STATUS_NOT_SUPPORTED)
      << "columns that are not aligned";
}

TEST(CublasLtDouble, WantsTheWorkspaceThatItAskedFor) {
  Call call;
  call.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{1} << 20);
  call.set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  const size_t bytes = call.result.workspaceSize;
  ASSERT_GT(bytes, 0U);
  std::vector<unsigned char> memory(bytes + 512);
  unsigned char* aligned = memory.data() + (256 - reinterpret_cast<uintptr_t>(memory.data()) % 256);
  EXPECT_EQ(call.run(), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(call.run(aligned, bytes - 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(call.run(aligned + 64, bytes), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(call.run(aligned, bytes), CUBLAS_STATUS_SUCCESS);
  EXPECT_TRUE(call.right());
}

TEST(CublasLtDouble, AddsInAnyOrderWhereItMay) {
  Call call;
  call.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{1} << 20);
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  std::vector<unsigned char> memory(call.result.workspaceSize + 512);
  unsigned char* aligned = memory.data() + (256 - reinterpret_cast<uintptr_t>(memory.data()) % 256);
  ASSERT_EQ(call.run(aligned, call.result.workspaceSize), CUBLAS_STATUS_SUCCESS);
  const auto first = call.d_data;
  ASSERT_EQ(call.run(aligned, call.result.workspaceSize), CUBLAS_STATUS_SUCCESS);
  EXPECT_TRUE(call.right());
  EXPECT_NE(first, call.d_data);
}

TEST(CublasLtDouble, RoundsToTf32WhereItIsAsked) {
  Call call;
  call.set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, int32_t{CUBLAS_COMPUTE_32F_FAST_TF32});
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(call.run(), CUBLAS_STATUS_SUCCESS);
  EXPECT_FALSE(call.right());
}

TEST(CublasLtDouble, AddsC) {
  Call call;
  ASSERT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
  call.beta = 1;
  call.c_data.fill(1);
  ASSERT_EQ(call.run(), CUBLAS_STATUS_SUCCESS);
  EXPECT_FALSE(call.right());
  for (float& x : call.d_data) x -= 1;
  EXPECT_TRUE(call.right());
}

TEST(CublasLtDouble, KnowsWhatWasDestroyed) {
  const auto before = lt_double::live();
  cublasLtMatrixLayout_t x = nullptr;
  {
    Call call;
    EXPECT_EQ(lt_double::live().handles, before.handles + 1);
    EXPECT_EQ(lt_double::live().descriptors, before.descriptors + 6);
    x = call.a;
    ASSERT_EQ(cublasLtMatrixLayoutDestroy(call.a), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(call.plan(), CUBLAS_STATUS_INVALID_VALUE);
    EXPECT_EQ(lt_double::last_refusal(), "cublasLtMatmulAlgoGetHeuristic: no such layout, or it was destroyed");
    call.a = Call::layout(CUDA_R_32F, Call::kM, Call::kK, Call::kM);
    EXPECT_EQ(call.plan(), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasLtDestroy(call.handle), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(call.plan(), CUBLAS_STATUS_NOT_INITIALIZED);
  }
  EXPECT_EQ(cublasLtMatrixLayoutDestroy(x), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(lt_double::live().handles, before.handles);
  EXPECT_EQ(lt_double::live().descriptors, before.descriptors);
}

TEST(CublasLtDoubleDeathTest, EndsAProgramThatLeaksADescriptor) {
  const auto leak = [] {
    Call::layout(CUDA_R_32F, 1, 1, 1);
    std::exit(0);
  };
  EXPECT_EXIT(leak(), testing::ExitedWithCode(1), "1 descriptors were never destroyed");
}

}  // namespace
}  // namespace tessera::test
