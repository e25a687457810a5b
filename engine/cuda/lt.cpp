#include "engine/cuda/lt.h"

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <compare>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/cuda/stream.h"
#include "engine/cuda/workspace.h"

// cuBLASLt counts in columns. Our row-major y [m, n] is its column-major D [n, m], so D = right leftᵀ: its A is our
// right operand and its B the left one.
namespace tessera::cuda {
namespace {

/// More workspace lets the library cut a sum into parts; beyond this nothing is gained.
constexpr uint64_t kWorkspaceLimit = uint64_t{64} << 20;
/// Every block of a pool has this alignment. What a pointer has beyond it is chance and must not choose an algorithm.
constexpr uint32_t kAlignment = 64;
/// Extents of rows are planned in steps, so that ragged batches need few plans.
constexpr int64_t kRowStep = 128;
constexpr int kProposals = 16;
constexpr size_t kKeptProposals = 4;
constexpr size_t kMaxPlans = 4096;

// --- what the library is asked
// -----------------------------------------------------------------------------------------

/// A column-major matrix of the library.
struct Matrix {
  int64_t rows = 0, cols = 0, ld = 0, batch_stride = 0;
  auto operator<=>(const Matrix&) const = default;
};

/// A product in the library's terms. It is also the key of a plan, so it holds nothing that chance decides.
struct Request {
  DType in = DType::f32, out = DType::f32;
  int64_t batches = 1;
  bool transpose_a = false, transpose_b = false, bias = false, split = false;
  Matrix a, b, c, d;
  uint32_t align_a = 0, align_b = 0, align_c = 0, align_d = 0, align_bias = 0;
  auto operator<=>(const Request&) const = default;
};

/// The operands that belong to a request.
struct Pointers {
  const void* a;
  const void* b;
  const void* c;
  void* d;
  const void* bias;
  double alpha, beta;
};

uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return address == 0 ? kAlignment : static_cast<uint32_t>(std::min<uintptr_t>(kAlignment, address & (~address + 1)));
}

/// The operand's [lines, k] as a column-major matrix: steps down its columns, or lines. Absent where neither is
/// contiguous or columns overlap.
struct Side {
  Matrix matrix;
  bool lines_contiguous;
};
std::optional<Side> side_of(const ProductOperand& x, int64_t lines, int64_t k) {
  const auto side = [&](int64_t rows, int64_t cols, int64_t stride, bool lines_contiguous) -> std::optional<Side> {
    const int64_t ld = cols == 1 ? std::max(stride, rows) : stride;
    if (ld < rows) return std::nullopt;
    return Side{{rows, cols, ld, x.batch_stride}, lines_contiguous};
  };
  if (x.step_stride == 1 || k == 1) return side(k, lines, x.line_stride, false);
  if (x.line_stride == 1 || lines == 1) return side(lines, k, x.step_stride, true);
  return std::nullopt;
}

/// Whether the matrices of a batch share no element: they lie one behind the other, or side by side in one.
bool disjoint(const Matrix& x, int64_t batches) {
  if (batches == 1) return true;
  return x.batch_stride >= x.ld * (x.cols - 1) + x.rows ||
         (x.batch_stride >= x.rows && x.batch_stride * (batches - 1) + x.rows <= x.ld);
}

/// A product whose y has contiguous columns; one with contiguous rows is transposed.
struct RowMajor {
  Product product;
  bool transposed = false;
};
RowMajor row_major(const Product& p) {
  RowMajor r{p};
  if (p.y_column_stride != 1 && p.n > 1 && (p.y.row_stride == 1 || p.m == 1)) {
    std::swap(r.product.left, r.product.right);
    std::swap(r.product.m, r.product.n);
    r.product.y.row_stride = p.y_column_stride;
    r.transposed = true;
  }
  if (p.n == 1 || r.transposed) r.product.y_column_stride = 1;
  return r;
}

bool has_known_types(const Product& p) {
  const DType wide = p.dtype == DType::f64 ? DType::f64 : DType::f32;
  if (p.y.dtype == wide) return p.dtype == DType::bf16 || p.dtype == wide;
  return p.dtype == DType::bf16 && p.y.dtype == DType::bf16 && p.bias == nullptr;
}

/// The epilogue is one that the library has: bias, and one matrix added.
bool has_known_epilogue(const Product& p, bool transposed) {
  if (p.act != Act::none || p.slope || p.pre.data != nullptr || p.row_scale != nullptr || p.column_sums) return false;
  if (p.residual.data != nullptr) {
    if (p.accumulate || transposed || p.batches > 1 || p.residual.dtype != p.y.dtype) return false;
    if (p.residual.data == p.y.data && p.residual.row_stride != p.y.row_stride) return false;
  }
  return p.bias == nullptr || (p.batches == 1 && !transposed);
}

std::optional<Request> request_of(const Product& product) {
  const auto [p, transposed] = row_major(product);
  for (const int64_t extent : {p.m, p.n, p.k, p.batches}) {
    if (extent < 1 || extent > INT32_MAX - kRowStep) return std::nullopt;
  }
  if (p.y_column_stride != 1 || !has_known_types(p) || !has_known_epilogue(p, transposed)) return std::nullopt;
  const auto right = side_of(p.right, p.n, p.k);
  const auto left = side_of(p.left, p.m, p.k);
  const auto y = side_of({.line_stride = p.y.row_stride, .batch_stride = p.y_batch_stride}, p.m, p.n);
  if (!right || !left || !y || !disjoint(y->matrix, p.batches)) return std::nullopt;
  // The strides of a batch of one say nothing and would only tell plans apart.
  const auto matrix = [&](Matrix x) {
    if (p.batches == 1) x.batch_stride = 0;
    return x;
  };
  Request r{.in = p.dtype,
            .out = p.y.dtype,
            .batches = p.batches,
            .transpose_a = !right->lines_contiguous,
            .transpose_b = left->lines_contiguous,
            .bias = p.bias != nullptr,
            .split = p.split,
            .a = matrix(right->matrix),
            .b = matrix(left->matrix),
            .c = matrix(y->matrix),
            .d = matrix(y->matrix),
            .align_a = alignment_of(p.right.data),
            .align_b = alignment_of(p.left.data),
            .align_c = alignment_of(p.residual.data != nullptr ? p.residual.data : p.y.data),
            .align_d = alignment_of(p.y.data),
            .align_bias = alignment_of(p.bias)};
  if (p.residual.data != nullptr) {
    const auto residual = side_of({.line_stride = p.residual.row_stride}, p.m, p.n);
    if (!residual) return std::nullopt;
    r.c = residual->matrix;
  }
  return r;
}

Pointers pointers_of(const Product& product) {
  const Product p = row_major(product).product;
  const bool residual = p.residual.data != nullptr;
  return {.a = p.right.data,
          .b = p.left.data,
          .c = residual ? p.residual.data : p.y.data,
          .d = p.y.data,
          .bias = p.bias,
          .alpha = p.alpha,
          .beta = residual || p.accumulate ? 1.0 : 0.0};
}

/// The request that stands for all with about as many rows. An extent counts rows where no operand is contiguous in it;
/// the others decide which accesses are aligned, and stay.
Request rounded(Request r) {
  if (r.batches > 1) return r;
  const auto up = [](int64_t& extent) { extent = (extent + kRowStep - 1) / kRowStep * kRowStep; };
  if (!r.transpose_b) {
    for (Matrix* x : {&r.b, &r.c, &r.d}) up(x->cols);
  }
  if (!r.transpose_a && r.transpose_b) {
    up(r.a.cols);
    up(r.b.cols);
  }
  return r;
}

// --- descriptors
// -------------------------------------------------------------------------------------------------------

struct Destroy {
  void operator()(cublasLtMatmulDescOpaque_t* x) const { cublasLtMatmulDescDestroy(x); }
  void operator()(cublasLtMatrixLayoutOpaque_t* x) const { cublasLtMatrixLayoutDestroy(x); }
  void operator()(cublasLtMatmulPreferenceOpaque_t* x) const { cublasLtMatmulPreferenceDestroy(x); }
};
using Operation = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy>;

std::string describe(const Request& r) {
  const auto number = [](int64_t x) { return std::to_string(x); };
  std::string text = number(r.d.cols) + " x " + number(r.d.rows) + " x " + number(r.transpose_a ? r.a.rows : r.a.cols) +
                     " (rows, columns, terms) from " + std::string(name_of(r.in)) + " to " +
                     std::string(name_of(r.out));
  if (r.batches > 1) text += ", " + number(r.batches) + " times";
  return text;
}

[[noreturn]] void fail(const char* call, const std::string& problem, cublasStatus_t status) {
  throw LibraryError(std::string(call) + problem + ": " + cublasLtGetStatusName(status));
}
void require(const char* call, const Request& request, cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) fail(call, " for a product of " + describe(request), status);
}

/// The descriptors of one call.
class Descriptors {
 public:
  Descriptors(const Request& request, const void* bias) : request_(request) {
    make_operation(bias);
    a = layout(request.in, request.a);
    b = layout(request.in, request.b);
    c = layout(request.out, request.c);
    d = layout(request.out, request.d);
  }

  Operation operation;
  Layout a, b, c, d;

 private:
  void make_operation(const void* bias) {
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
    if (request_.in == DType::f32) compute = CUBLAS_COMPUTE_32F_PEDANTIC;  // never TF32
    if (request_.in == DType::f64) compute = CUBLAS_COMPUTE_64F;
    cublasLtMatmulDesc_t made = nullptr;
    require("cublasLtMatmulDescCreate", request_,
            cublasLtMatmulDescCreate(&made, compute, request_.in == DType::f64 ? CUDA_R_64F : CUDA_R_32F));
    operation.reset(made);
    set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{request_.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N});
    set(CUBLASLT_MATMUL_DESC_TRANSB, int32_t{request_.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N});
    if (!request_.bias) return;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_BIAS});
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{type_of(request_.out)});
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  [[nodiscard]] Layout layout(DType dtype, const Matrix& x) const {
    cublasLtMatrixLayout_t made = nullptr;
    require("cublasLtMatrixLayoutCreate", request_,
            cublasLtMatrixLayoutCreate(&made, type_of(dtype), static_cast<uint64_t>(x.rows),
                                       static_cast<uint64_t>(x.cols), x.ld));
    Layout result(made);
    if (request_.batches > 1) {
      const auto set_in = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
        require("cublasLtMatrixLayoutSetAttribute", request_,
                cublasLtMatrixLayoutSetAttribute(made, attribute, &value, sizeof(value)));
      };
      set_in(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(request_.batches));
      set_in(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, x.batch_stride);
    }
    return result;
  }
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    require("cublasLtMatmulDescSetAttribute", request_,
            cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(value)));
  }
  static cudaDataType_t type_of(DType dtype) {
    if (dtype == DType::bf16) return CUDA_R_16BF;
    return dtype == DType::f64 ? CUDA_R_64F : CUDA_R_32F;
  }

  const Request& request_;
};

// --- plans
// -------------------------------------------------------------------------------------------------------------

/// The algorithms that the library proposed for a request, the fastest first, and the last extents that were checked
/// with the one that fits them.
struct Plan {
  std::vector<cublasLtMatmulAlgo_t> proposals;
  int64_t rows = 0, terms = 0;
  const cublasLtMatmulAlgo_t* algorithm = nullptr;
  size_t workspace = 0;
};

/// A sum may be cut into parts where the product allows it, and only if they are added in one order in the wide type.
bool adds_in_order(const cublasLtMatmulAlgo_t& algorithm, const Request& request) {
  const auto get = [&](cublasLtMatmulAlgoConfigAttributes_t attribute) {
    uint32_t value = 0;
    size_t written = 0;
    require("cublasLtMatmulAlgoConfigGetAttribute", request,
            cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof(value), &written));
    return value;
  };
  if (get(CUBLASLT_ALGO_CONFIG_SPLITK_NUM) <= 1) return true;
  return request.split && get(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
}

Plan make_plan(cublasLtHandle_t handle, const Request& request) {
  // A bias is known to the search by the alignment of its address alone; the search does not read it.
  const Descriptors x(request, reinterpret_cast<const void*>(uintptr_t{request.align_bias}));
  cublasLtMatmulPreference_t made = nullptr;
  require("cublasLtMatmulPreferenceCreate", request, cublasLtMatmulPreferenceCreate(&made));
  const Preference preference(made);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    require("cublasLtMatmulPreferenceSetAttribute", request,
            cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof(value)));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceLimit);
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, request.align_a);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, request.align_b);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, request.align_c);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, request.align_d);
  std::array<cublasLtMatmulHeuristicResult_t, kProposals> results{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle, x.operation.get(), x.a.get(), x.b.get(), x.c.get(), x.d.get(), made, kProposals, results.data(), &count);
  Plan plan;
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return plan;
  require("cublasLtMatmulAlgoGetHeuristic", request, status);
  for (int i = 0; i < count && plan.proposals.size() < kKeptProposals; ++i) {
    const auto& result = results[static_cast<size_t>(i)];
    if (result.state != CUBLAS_STATUS_SUCCESS || !adds_in_order(result.algo, request)) continue;
    plan.proposals.push_back(result.algo);
  }
  return plan;
}

/// Chooses the first proposal that fits the request itself. The choice depends on the request alone.
void check_plan(cublasLtHandle_t handle, const Descriptors& x, const Request& request, Plan& plan) {
  const int64_t terms = request.transpose_a ? request.a.rows : request.a.cols;
  if (plan.rows == request.d.cols && plan.terms == terms) return;
  plan.rows = request.d.cols;
  plan.terms = terms;
  plan.algorithm = nullptr;
  for (const cublasLtMatmulAlgo_t& proposal : plan.proposals) {
    cublasLtMatmulHeuristicResult_t result{};
    const cublasStatus_t status = cublasLtMatmulAlgoCheck(handle, x.operation.get(), x.a.get(), x.b.get(), x.c.get(),
                                                          x.d.get(), &proposal, &result);
    if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > kWorkspaceLimit) continue;
    plan.algorithm = &proposal;
    plan.workspace = result.workspaceSize;
    return;
  }
}

}  // namespace

struct Lt::State {
  cublasLtHandle_t handle = nullptr;
  std::map<Request, Plan> plans;

  State() {
    if (const cublasStatus_t status = cublasLtCreate(&handle); status != CUBLAS_STATUS_SUCCESS) {
      fail("cublasLtCreate", "", status);
    }
  }
  ~State() { cublasLtDestroy(handle); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Plan& plan_of(const Request& request) {
    const Request key = rounded(request);
    const auto found = plans.find(key);
    if (found != plans.end()) return found->second;
    if (plans.size() == kMaxPlans) plans.clear();  // a plan that is made again is the same
    return plans.emplace(key, make_plan(handle, key)).first->second;
  }
};

Lt::Lt() = default;
Lt::~Lt() = default;

bool Lt::takes(const Product& product) { return request_of(product).has_value(); }

bool Lt::compute(Context& context, const Product& product) {
  const std::optional<Request> request = request_of(product);
  if (!request) return false;
  if (!state_) state_ = std::make_unique<State>();
  Plan& plan = state_->plan_of(*request);
  if (plan.proposals.empty()) return false;
  const Pointers p = pointers_of(product);
  const Descriptors x(*request, p.bias);
  check_plan(state_->handle, x, *request, plan);
  if (plan.algorithm == nullptr) return false;
  const Workspace workspace(context, plan.workspace);
  const auto alpha = static_cast<float>(p.alpha);
  const auto beta = static_cast<float>(p.beta);
  const bool f64 = request->in == DType::f64;
  cudaStream_t stream = stream_of(context);
  require("cublasLtMatmul", *request,
          cublasLtMatmul(state_->handle, x.operation.get(), f64 ? static_cast<const void*>(&p.alpha) : &alpha, p.a,
                         x.a.get(), p.b, x.b.get(), f64 ? static_cast<const void*>(&p.beta) : &beta, p.c, x.c.get(),
                         p.d, x.d.get(), plan.algorithm, workspace.get(), plan.workspace, stream));
  launched("cublasLtMatmul", stream);
  return true;
}

}  // namespace tessera::cuda
