#include "tests/emulation/cublaslt/cublaslt_double.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/emulation/cublaslt/cublaslt_operation.h"

// cuBLASLt on the CPU, as strict as the library's documentation. It computes at once, in the order of the calls.
namespace tessera::test::lt_double {
namespace {

constexpr const char* kKindNames[] = {"handle", "operation", "layout", "preference"};

/// The bytes of each attribute; a value of another size is refused.
const std::map<int, size_t>& attribute_sizes(Kind kind) {
  static const std::map<int, size_t> kOperation = {
      {CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, 4},  {CUBLASLT_MATMUL_DESC_SCALE_TYPE, 4},
      {CUBLASLT_MATMUL_DESC_POINTER_MODE, 4},  {CUBLASLT_MATMUL_DESC_TRANSA, 4},
      {CUBLASLT_MATMUL_DESC_TRANSB, 4},        {CUBLASLT_MATMUL_DESC_TRANSC, 4},
      {CUBLASLT_MATMUL_DESC_FILL_MODE, 4},     {CUBLASLT_MATMUL_DESC_EPILOGUE, 4},
      {CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8},  {CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, 8},
      {CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 4}};
  static const std::map<int, size_t> kLayout = {
      {CUBLASLT_MATRIX_LAYOUT_TYPE, 4},         {CUBLASLT_MATRIX_LAYOUT_ORDER, 4},
      {CUBLASLT_MATRIX_LAYOUT_ROWS, 8},         {CUBLASLT_MATRIX_LAYOUT_COLS, 8},
      {CUBLASLT_MATRIX_LAYOUT_LD, 8},           {CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 4},
      {CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, 4},   {CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 8},
      {CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET, 8},
  };
  static const std::map<int, size_t> kPreference = {{CUBLASLT_MATMUL_PREF_SEARCH_MODE, 4},
                                                    {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 8},
                                                    {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 4},
                                                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 4},
                                                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 4},
                                                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 4},
                                                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 4},
                                                    {CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, 4},
                                                    {CUBLASLT_MATMUL_PREF_IMPL_MASK, 8}};
  static const std::map<int, size_t> kNone;
  switch (kind) {
    case Kind::operation:
      return kOperation;
    case Kind::layout:
      return kLayout;
    case Kind::preference:
      return kPreference;
    case Kind::handle:
      break;
  }
  return kNone;
}

/// All objects by number. Their "addresses" are these numbers and are never used twice, so a stale one is seen.
struct Registry {
  std::mutex mutex;
  uintptr_t next = 1;
  std::unordered_map<uintptr_t, Object> objects;
  std::map<std::string, cublasStatus_t> failures;
  Calls calls;
  Ran ran;
  std::string refusal;
};

Live count(const Registry& r) {
  Live result;
  for (const auto& [number, object] : r.objects) ++(object.kind == Kind::handle ? result.handles : result.descriptors);
  return result;
}

Registry& registry() {
  // It outlives every static object that still owns a handle. The provider keeps no descriptor between two calls.
  static Registry& r = []() -> Registry& {
    std::atexit([] {
      if (const Live left = count(registry()); left.descriptors > 0) {
        std::fprintf(stderr, "cuBLASLt double: %lld descriptors were never destroyed\n",
                     static_cast<long long>(left.descriptors));
        std::_Exit(1);
      }
    });
    return *new Registry;
  }();
  return r;
}

/// Runs the body of a call under the lock. A refusal becomes the status.
template <class Body>
cublasStatus_t call(const char* function, Body&& body) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  try {
    if (const auto planted = r.failures.find(function); planted != r.failures.end()) {
      const cublasStatus_t status = planted->second;
      r.failures.erase(planted);
      refuse(status, "planted");
    }
    body(r);
    return CUBLAS_STATUS_SUCCESS;
  } catch (const Refused& refused) {
    r.refusal = std::string(function) + ": " + refused.reason;
    return refused.status;
  }
}

template <class Pointer>
Pointer create(Registry& r, Object object) {
  const uintptr_t number = r.next++;
  r.objects.emplace(number, std::move(object));
  return reinterpret_cast<Pointer>(number * 64);
}
template <class Pointer>
Object& find(Registry& r, Kind kind, Pointer pointer) {
  const auto it = r.objects.find(reinterpret_cast<uintptr_t>(pointer) / 64);
  if (it == r.objects.end() || it->second.kind != kind) {
    refuse(kind == Kind::handle ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_INVALID_VALUE,
           std::string("no such ") + kKindNames[static_cast<int>(kind)] + ", or it was destroyed");
  }
  return it->second;
}
template <class Pointer>
void destroy(Registry& r, Kind kind, Pointer pointer) {
  find(r, kind, pointer);
  r.objects.erase(reinterpret_cast<uintptr_t>(pointer) / 64);
}
template <class Pointer>
void set(Registry& r, Kind kind, Pointer pointer, int attribute, const void* value, size_t bytes) {
  Object& object = find(r, kind, pointer);
  const auto size = attribute_sizes(kind).find(attribute);
  require(size != attribute_sizes(kind).end(), CUBLAS_STATUS_INVALID_VALUE, "unknown attribute");
  require(value != nullptr, CUBLAS_STATUS_INVALID_VALUE, "no value");
  require(size->second == bytes, CUBLAS_STATUS_INVALID_VALUE, "wrong size of an attribute");
  uint64_t stored = 0;
  std::memcpy(&stored, value, bytes);
  object.values[attribute] = stored;
}
Operation operation_of(Registry& r, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  const auto layout = [&](cublasLtMatrixLayout_t x) -> const Object& { return find(r, Kind::layout, x); };
  return operation_of(find(r, Kind::operation, desc), layout(a), layout(b), layout(c), layout(d));
}

double scalar(const void* value, cudaDataType type) {
  require(value != nullptr, CUBLAS_STATUS_INVALID_VALUE, "no alpha or beta");
  return Elements{value, type, false}.at(0);
}

}  // namespace

Live live() {
  const std::lock_guard lock(registry().mutex);
  return count(registry());
}
Calls calls() {
  const std::lock_guard lock(registry().mutex);
  return registry().calls;
}
std::string last_refusal() {
  const std::lock_guard lock(registry().mutex);
  return registry().refusal;
}
Ran last_product() {
  const std::lock_guard lock(registry().mutex);
  return registry().ran;
}
void fail_next(const char* function, cublasStatus_t status) {
  const std::lock_guard lock(registry().mutex);
  registry().failures[function] = status;
}

}  // namespace tessera::test::lt_double

using namespace tessera::test::lt_double;  // NOLINT(google-build-using-namespace): the functions below are C

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return call(__func__, [&](Registry& r) { *handle = create<cublasLtHandle_t>(r, {Kind::handle, {}}); });
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return call(__func__, [&](Registry& r) { destroy(r, Kind::handle, handle); });
}
const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "CUBLAS_STATUS_UNKNOWN";
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  return call(__func__, [&](Registry& r) {
    *layout = create<cublasLtMatrixLayout_t>(r, {Kind::layout,
                                                 {{CUBLASLT_MATRIX_LAYOUT_TYPE, type},
                                                  {CUBLASLT_MATRIX_LAYOUT_ORDER, 0},
                                                  {CUBLASLT_MATRIX_LAYOUT_ROWS, rows},
                                                  {CUBLASLT_MATRIX_LAYOUT_COLS, cols},
                                                  {CUBLASLT_MATRIX_LAYOUT_LD, static_cast<uint64_t>(ld)},
                                                  {CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 1},
                                                  {CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 0},
                                                  {CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET, 0},
                                                  {CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, 0}}});
  });
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return call(__func__, [&](Registry& r) { destroy(r, Kind::layout, layout); });
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attr,
                                                const void* buf, size_t bytes) {
  return call(__func__, [&](Registry& r) { set(r, Kind::layout, layout, attr, buf, bytes); });
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute, cudaDataType_t scale) {
  return call(__func__, [&](Registry& r) {
    *desc = create<cublasLtMatmulDesc_t>(r, {Kind::operation,
                                             {{CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, compute},
                                              {CUBLASLT_MATMUL_DESC_SCALE_TYPE, scale},
                                              {CUBLASLT_MATMUL_DESC_POINTER_MODE, 0},
                                              {CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N},
                                              {CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N},
                                              {CUBLASLT_MATMUL_DESC_TRANSC, CUBLAS_OP_N},
                                              {CUBLASLT_MATMUL_DESC_FILL_MODE, 2},
                                              {CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT},
                                              {CUBLASLT_MATMUL_DESC_BIAS_POINTER, 0},
                                              {CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, 0},
                                              {CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<uint32_t>(-1)}}});
  });
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  return call(__func__, [&](Registry& r) { destroy(r, Kind::operation, desc); });
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attr,
                                              const void* buf, size_t bytes) {
  return call(__func__, [&](Registry& r) { set(r, Kind::operation, desc, attr, buf, bytes); });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return call(__func__, [&](Registry& r) {
    constexpr uint64_t kAlignment = 256;
    *preference = create<cublasLtMatmulPreference_t>(
        r, {Kind::preference,
            {{CUBLASLT_MATMUL_PREF_SEARCH_MODE, 0},
             {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 0},
             {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_MASK},
             {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kAlignment},
             {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kAlignment},
             {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, kAlignment},
             {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, kAlignment}}});
  });
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return call(__func__, [&](Registry& r) { destroy(r, Kind::preference, preference); });
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attr, const void* buf,
                                                    size_t bytes) {
  return call(__func__, [&](Registry& r) { set(r, Kind::preference, preference, attr, buf, bytes); });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  return call(__func__, [&](Registry& r) {
    ++r.calls.heuristics;
    find(r, Kind::handle, handle);
    require(requested > 0 && results != nullptr && returned != nullptr, CUBLAS_STATUS_INVALID_VALUE,
            "no room for a result");
    *returned = 0;
    const Operation p = operation_of(r, desc, a, b, c, d);
    for (const Algorithm& algorithm : algorithms_for(p, find(r, Kind::preference, preference))) {
      if (*returned == requested) break;
      results[(*returned)++] = {.algo = algorithm.packed(),
                                .workspaceSize = algorithm.workspace(p),
                                .state = CUBLAS_STATUS_SUCCESS,
                                .wavesCount = 1,
                                .reserved = {}};
    }
    require(*returned > 0, CUBLAS_STATUS_NOT_SUPPORTED, "no algorithm");
  });
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algo, cublasLtMatmulHeuristicResult_t* result) {
  return call(__func__, [&](Registry& r) {
    ++r.calls.checks;
    find(r, Kind::handle, handle);
    require(result != nullptr, CUBLAS_STATUS_INVALID_VALUE, "no room for a result");
    const Operation p = operation_of(r, desc, a, b, c, d);
    result->workspaceSize = algorithm_of(algo, p).workspace(p);
    result->state = CUBLAS_STATUS_SUCCESS;
    result->wavesCount = 1;
  });
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr, void* buf, size_t bytes,
                                                    size_t* written) {
  return call(__func__, [&](Registry&) {
    require(algo != nullptr && algo->data[0] == kMagic, CUBLAS_STATUS_INVALID_VALUE, "no algorithm of a heuristic");
    require(attr == CUBLASLT_ALGO_CONFIG_SPLITK_NUM || attr == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
            CUBLAS_STATUS_INVALID_VALUE, "unknown attribute");
    const auto value = static_cast<uint32_t>(algo->data[attr == CUBLASLT_ALGO_CONFIG_SPLITK_NUM ? 2 : 3]);
    require(buf != nullptr && bytes == sizeof(value), CUBLAS_STATUS_INVALID_VALUE, "wrong size of an attribute");
    std::memcpy(buf, &value, sizeof(value));
    if (written != nullptr) *written = sizeof(value);
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha, const void* A,
                              cublasLtMatrixLayout_t Adesc, const void* B, cublasLtMatrixLayout_t Bdesc,
                              const void* beta, const void* C, cublasLtMatrixLayout_t Cdesc, void* D,
                              cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t* algo, void* workspace,
                              size_t workspace_bytes, cudaStream_t) {
  return call(__func__, [&](Registry& r) {
    find(r, Kind::handle, handle);
    const Operation p = operation_of(r, desc, Adesc, Bdesc, Cdesc, Ddesc);
    const Algorithm algorithm = algorithm_of(algo, p);
    const auto scale = get<cudaDataType>(find(r, Kind::operation, desc), CUBLASLT_MATMUL_DESC_SCALE_TYPE);
    const Scalars scalars{scalar(alpha, scale), scalar(beta, scale)};
    require(A != nullptr && B != nullptr && D != nullptr && (C != nullptr || scalars.beta == 0),
            CUBLAS_STATUS_INVALID_VALUE, "a matrix is missing");
    require(C != D || p.c == p.d, CUBLAS_STATUS_INVALID_VALUE, "C is D with another layout");
    const std::pair<const void*, const Matrix*> operands[] = {{A, &p.a}, {B, &p.b}, {C, &p.c}, {D, &p.d}};
    for (const auto& [pointer, matrix] : operands) {
      require(aligned(pointer, algorithm.wide != 0 ? kWide : size_of_type(matrix->type)), CUBLAS_STATUS_INVALID_VALUE,
              "a matrix is not aligned as the algorithm needs it");
    }
    require(
        p.epilogue != CUBLASLT_EPILOGUE_BIAS || aligned(p.bias, algorithm.wide != 0 ? kWide : size_of_type(p.d.type)),
        CUBLAS_STATUS_INVALID_VALUE, "the bias is not aligned as the algorithm needs it");
    constexpr int64_t kWorkspaceAlignment = 256;
    const size_t need = algorithm.workspace(p);
    require(need <= workspace_bytes && (need == 0 || workspace != nullptr), CUBLAS_STATUS_INVALID_VALUE,
            "the workspace is too small");
    require(aligned(workspace, kWorkspaceAlignment), CUBLAS_STATUS_INVALID_VALUE, "the workspace is not aligned");
    ++r.calls.products;
    r.ran = {.wide = algorithm.wide != 0, .splits = static_cast<int>(algorithm.splits), .workspace = need};
    const bool tf32 = p.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    for (int64_t i = 0; i < p.d.batch; ++i) {
      const auto at = [&](const void* data, const Matrix& x) {
        return Elements{static_cast<const char*>(data) + i * x.stride * size_of_type(x.type), x.type, false};
      };
      Elements a = at(A, p.a);
      Elements b = at(B, p.b);
      a.tf32 = b.tf32 = tf32;
      multiply(p, algorithm, scalars, a, b, at(C, p.c), static_cast<char*>(D) + i * p.d.stride * size_of_type(p.d.type),
               static_cast<char*>(workspace) + static_cast<size_t>(i) * need / static_cast<size_t>(p.d.batch),
               static_cast<uint64_t>(r.calls.products));
    }
  });
}
