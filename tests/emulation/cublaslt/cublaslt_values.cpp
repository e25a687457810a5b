// The names, values and signatures that the double and the provider rely on. This file compiles with the double's
// header and, where there is a toolkit, with the real one.
#include <cublasLt.h>

#include <cstddef>
#include <type_traits>

namespace {

template <auto kName, int kNumber>
constexpr bool is() {
  return static_cast<int>(kName) == kNumber;
}

static_assert(is<CUBLAS_STATUS_SUCCESS, 0>());
static_assert(is<CUBLAS_STATUS_NOT_INITIALIZED, 1>());
static_assert(is<CUBLAS_STATUS_ALLOC_FAILED, 3>());
static_assert(is<CUBLAS_STATUS_INVALID_VALUE, 7>());
static_assert(is<CUBLAS_STATUS_ARCH_MISMATCH, 8>());
static_assert(is<CUBLAS_STATUS_EXECUTION_FAILED, 13>());
static_assert(is<CUBLAS_STATUS_INTERNAL_ERROR, 14>());
static_assert(is<CUBLAS_STATUS_NOT_SUPPORTED, 15>());
static_assert(is<CUBLAS_OP_N, 0>());
static_assert(is<CUBLAS_OP_T, 1>());
static_assert(is<CUBLAS_OP_C, 2>());
static_assert(is<CUDA_R_32F, 0>());
static_assert(is<CUDA_R_64F, 1>());
static_assert(is<CUDA_R_16F, 2>());
static_assert(is<CUDA_R_16BF, 14>());
static_assert(is<CUBLAS_COMPUTE_16F, 64>());
static_assert(is<CUBLAS_COMPUTE_32F, 68>());
static_assert(is<CUBLAS_COMPUTE_32F_PEDANTIC, 69>());
static_assert(is<CUBLAS_COMPUTE_64F, 70>());
static_assert(is<CUBLAS_COMPUTE_64F_PEDANTIC, 71>());
static_assert(is<CUBLAS_COMPUTE_32F_FAST_TF32, 77>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_TYPE, 0>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_ORDER, 1>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_ROWS, 2>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_COLS, 3>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_LD, 4>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 5>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 6>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET, 7>());
static_assert(is<CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, 8>());
static_assert(is<CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, 0>());
static_assert(is<CUBLASLT_MATMUL_DESC_SCALE_TYPE, 1>());
static_assert(is<CUBLASLT_MATMUL_DESC_POINTER_MODE, 2>());
static_assert(is<CUBLASLT_MATMUL_DESC_TRANSA, 3>());
static_assert(is<CUBLASLT_MATMUL_DESC_TRANSB, 4>());
static_assert(is<CUBLASLT_MATMUL_DESC_TRANSC, 5>());
static_assert(is<CUBLASLT_MATMUL_DESC_FILL_MODE, 6>());
static_assert(is<CUBLASLT_MATMUL_DESC_EPILOGUE, 7>());
static_assert(is<CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8>());
static_assert(is<CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, 10>());
static_assert(is<CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 26>());
static_assert(is<CUBLASLT_EPILOGUE_DEFAULT, 1>());
static_assert(is<CUBLASLT_EPILOGUE_RELU, 2>());
static_assert(is<CUBLASLT_EPILOGUE_BIAS, 4>());
static_assert(is<CUBLASLT_EPILOGUE_GELU, 32>());
static_assert(is<CUBLASLT_EPILOGUE_GELU_BIAS, 36>());
static_assert(is<CUBLASLT_REDUCTION_SCHEME_NONE, 0>());
static_assert(is<CUBLASLT_REDUCTION_SCHEME_INPLACE, 1>());
static_assert(is<CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2>());
static_assert(is<CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE, 4>());
static_assert(is<CUBLASLT_REDUCTION_SCHEME_MASK, 7>());
static_assert(is<CUBLASLT_MATMUL_PREF_SEARCH_MODE, 0>());
static_assert(is<CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1>());
static_assert(is<CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3>());
static_assert(is<CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5>());
static_assert(is<CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6>());
static_assert(is<CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7>());
static_assert(is<CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8>());
static_assert(is<CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, 9>());
static_assert(is<CUBLASLT_MATMUL_PREF_IMPL_MASK, 12>());
static_assert(is<CUBLASLT_ALGO_CONFIG_ID, 0>());
static_assert(is<CUBLASLT_ALGO_CONFIG_TILE_ID, 1>());
static_assert(is<CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 2>());
static_assert(is<CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 3>());

static_assert(sizeof(cublasLtMatmulAlgo_t) == 64);
static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == 96);
static_assert(offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) == 64);
static_assert(offsetof(cublasLtMatmulHeuristicResult_t, state) == 72);

using Handle = cublasLtHandle_t;
using Status = cublasStatus_t;
using Operation = cublasLtMatmulDesc_t;
using Layout = cublasLtMatrixLayout_t;
using Preference = cublasLtMatmulPreference_t;
using Algorithm = cublasLtMatmulAlgo_t;
using Result = cublasLtMatmulHeuristicResult_t;

template <auto kFunction, class Type>
constexpr bool has() {
  return std::is_same_v<decltype(kFunction), Type*>;
}

static_assert(has<cublasLtCreate, Status(Handle*)>());
static_assert(has<cublasLtDestroy, Status(Handle)>());
static_assert(has<cublasLtGetStatusName, const char*(Status)>());
static_assert(has<cublasLtMatrixLayoutCreate, Status(Layout*, cudaDataType, uint64_t, uint64_t, int64_t)>());
static_assert(has<cublasLtMatrixLayoutDestroy, Status(Layout)>());
static_assert(
    has<cublasLtMatrixLayoutSetAttribute, Status(Layout, cublasLtMatrixLayoutAttribute_t, const void*, size_t)>());
static_assert(has<cublasLtMatmulDescCreate, Status(Operation*, cublasComputeType_t, cudaDataType_t)>());
static_assert(has<cublasLtMatmulDescDestroy, Status(Operation)>());
static_assert(
    has<cublasLtMatmulDescSetAttribute, Status(Operation, cublasLtMatmulDescAttributes_t, const void*, size_t)>());
static_assert(has<cublasLtMatmulPreferenceCreate, Status(Preference*)>());
static_assert(has<cublasLtMatmulPreferenceDestroy, Status(Preference)>());
static_assert(has<cublasLtMatmulPreferenceSetAttribute,
                  Status(Preference, cublasLtMatmulPreferenceAttributes_t, const void*, size_t)>());
static_assert(has<cublasLtMatmulAlgoGetHeuristic,
                  Status(Handle, Operation, Layout, Layout, Layout, Layout, Preference, int, Result*, int*)>());
static_assert(has<cublasLtMatmulAlgoCheck,
                  Status(Handle, Operation, Layout, Layout, Layout, Layout, const Algorithm*, Result*)>());
static_assert(has<cublasLtMatmulAlgoConfigGetAttribute,
                  Status(const Algorithm*, cublasLtMatmulAlgoConfigAttributes_t, void*, size_t, size_t*)>());
static_assert(
    has<cublasLtMatmul, Status(Handle, Operation, const void*, const void*, Layout, const void*, Layout, const void*,
                               const void*, Layout, void*, Layout, const Algorithm*, void*, size_t, cudaStream_t)>());

}  // namespace
