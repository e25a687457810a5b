#include "tests/emulation/cublaslt/cublaslt_operation.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "engine/core/bfloat16.h"

namespace tessera::test::lt_double {
namespace {

// --- one product, checked --------------------------------------------------------------------------------------------

Matrix matrix_of(const Object& o) {
  require(get<int>(o, CUBLASLT_MATRIX_LAYOUT_ORDER) == 0, CUBLAS_STATUS_NOT_SUPPORTED, "only column-major matrices");
  require(get<int>(o, CUBLASLT_MATRIX_LAYOUT_BATCH_MODE) == 0, CUBLAS_STATUS_NOT_SUPPORTED, "only strided batches");
  require(get<int>(o, CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET) == 0, CUBLAS_STATUS_NOT_SUPPORTED, "only real matrices");
  const Matrix m{.type = get<cudaDataType>(o, CUBLASLT_MATRIX_LAYOUT_TYPE),
                 .rows = get<int64_t>(o, CUBLASLT_MATRIX_LAYOUT_ROWS),
                 .cols = get<int64_t>(o, CUBLASLT_MATRIX_LAYOUT_COLS),
                 .ld = get<int64_t>(o, CUBLASLT_MATRIX_LAYOUT_LD),
                 .batch = get<int32_t>(o, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT),
                 .stride = get<int64_t>(o, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)};
  require(m.rows > 0 && m.cols > 0 && m.batch > 0, CUBLAS_STATUS_INVALID_VALUE, "an empty matrix");
  require(std::max(m.rows, m.cols) <= INT32_MAX, CUBLAS_STATUS_NOT_SUPPORTED, "more than 2^31 - 1 rows or columns");
  require(m.ld >= m.rows, CUBLAS_STATUS_INVALID_VALUE, "the leading dimension is smaller than the rows");
  return m;
}

bool transposed(const Object& o, int attribute) {
  const int op = get<int>(o, attribute);
  require(op == CUBLAS_OP_N || op == CUBLAS_OP_T, CUBLAS_STATUS_INVALID_VALUE, "an unknown transposition");
  return op == CUBLAS_OP_T;
}

void check_types(const Object& o, const Operation& p) {
  const auto scale = get<cudaDataType>(o, CUBLASLT_MATMUL_DESC_SCALE_TYPE);
  const bool uniform = p.a.type == p.b.type && p.c.type == p.d.type;
  bool known = false;
  switch (p.compute) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      known = scale == CUDA_R_32F && ((p.a.type == CUDA_R_32F && p.d.type == CUDA_R_32F) ||
                                      (p.a.type == CUDA_R_16BF && (p.d.type == CUDA_R_32F || p.d.type == CUDA_R_16BF)));
      break;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      known = scale == CUDA_R_32F && p.a.type == CUDA_R_32F && p.d.type == CUDA_R_32F;
      break;
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      known = scale == CUDA_R_64F && p.a.type == CUDA_R_64F && p.d.type == CUDA_R_64F;
      break;
    default:
      break;
  }
  require(uniform && known, CUBLAS_STATUS_NOT_SUPPORTED, "this combination of types is not supported");
}

}  // namespace

Operation operation_of(const Object& o, const Object& a, const Object& b, const Object& c, const Object& d) {
  Operation p{.compute = get<cublasComputeType_t>(o, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE),
              .transpose_a = transposed(o, CUBLASLT_MATMUL_DESC_TRANSA),
              .transpose_b = transposed(o, CUBLASLT_MATMUL_DESC_TRANSB),
              .epilogue = get<int>(o, CUBLASLT_MATMUL_DESC_EPILOGUE),
              .bias = reinterpret_cast<const void*>(get<uintptr_t>(o, CUBLASLT_MATMUL_DESC_BIAS_POINTER)),
              .a = matrix_of(a),
              .b = matrix_of(b),
              .c = matrix_of(c),
              .d = matrix_of(d),
              .m = 0,
              .n = 0,
              .k = 0};
  require(get<int>(o, CUBLASLT_MATMUL_DESC_TRANSC) == CUBLAS_OP_N, CUBLAS_STATUS_NOT_SUPPORTED, "C is transposed");
  require(get<int>(o, CUBLASLT_MATMUL_DESC_POINTER_MODE) == 0, CUBLAS_STATUS_NOT_SUPPORTED, "only host scalars");
  require(get<int>(o, CUBLASLT_MATMUL_DESC_FILL_MODE) == 2, CUBLAS_STATUS_NOT_SUPPORTED, "only full matrices");
  check_types(o, p);
  p.m = p.d.rows;
  p.n = p.d.cols;
  p.k = p.transpose_a ? p.a.rows : p.a.cols;
  require((p.transpose_a ? p.a.cols : p.a.rows) == p.m && (p.transpose_b ? p.b.cols : p.b.rows) == p.k &&
              (p.transpose_b ? p.b.rows : p.b.cols) == p.n && p.c.rows == p.m && p.c.cols == p.n,
          CUBLAS_STATUS_INVALID_VALUE, "the sizes of the matrices do not fit together");
  for (const Matrix* x : {&p.a, &p.b, &p.c}) {
    require(x->batch == p.d.batch, CUBLAS_STATUS_INVALID_VALUE, "the matrices have different batch counts");
  }
  // The results lie one behind the other, or side by side in the same columns.
  const int64_t step = std::abs(p.d.stride);
  const bool side_by_side = step >= p.m && step * (p.d.batch - 1) + p.m <= p.d.ld;
  require(p.d.batch == 1 || step >= p.d.ld * (p.n - 1) + p.m || side_by_side, CUBLAS_STATUS_INVALID_VALUE,
          "the results of a batch overlap");
  require(p.epilogue == CUBLASLT_EPILOGUE_DEFAULT || p.epilogue == CUBLASLT_EPILOGUE_BIAS, CUBLAS_STATUS_NOT_SUPPORTED,
          "this epilogue does not exist here");
  if (p.epilogue == CUBLASLT_EPILOGUE_BIAS) {
    const auto type = get<int32_t>(o, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
    require(type == -1 || type == p.d.type, CUBLAS_STATUS_NOT_SUPPORTED, "the bias has another type than D");
    require(p.bias != nullptr, CUBLAS_STATUS_INVALID_VALUE, "no bias");
    require(p.d.batch == 1, CUBLAS_STATUS_NOT_SUPPORTED, "a bias on a batch");
  }
  return p;
}

// --- algorithms ------------------------------------------------------------------------------------------------------

Algorithm algorithm_of(const cublasLtMatmulAlgo_t* algo, const Operation& p) {
  require(algo != nullptr && algo->data[0] == kMagic, CUBLAS_STATUS_INVALID_VALUE, "no algorithm of a heuristic");
  const Algorithm a{
      .wide = algo->data[1], .splits = algo->data[2], .scheme = algo->data[3], .signature = algo->data[4]};
  require(a.signature == p.signature(), CUBLAS_STATUS_INVALID_VALUE, "the algorithm belongs to another operation");
  for (const Matrix* x : {&p.a, &p.b, &p.c, &p.d}) {
    require(a.wide == 0 || x->keeps(kWide), CUBLAS_STATUS_NOT_SUPPORTED, "the algorithm needs aligned columns");
  }
  require(a.splits <= static_cast<uint64_t>(p.k), CUBLAS_STATUS_NOT_SUPPORTED, "more splits than the sum has terms");
  return a;
}

bool aligned(const void* p, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % static_cast<uint64_t>(bytes) == 0;
}

std::vector<Algorithm> algorithms_for(const Operation& p, const Object& preference) {
  const auto mask = get<uint32_t>(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
  const auto limit = get<uint64_t>(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
  bool wide = p.epilogue != CUBLASLT_EPILOGUE_BIAS || aligned(p.bias, kWide);
  bool narrow = p.epilogue != CUBLASLT_EPILOGUE_BIAS || aligned(p.bias, size_of_type(p.d.type));
  const std::pair<const Matrix*, int> operands[] = {{&p.a, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES},
                                                    {&p.b, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES},
                                                    {&p.c, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES},
                                                    {&p.d, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}};
  for (const auto& [matrix, attribute] : operands) {
    const auto promised = get<int64_t>(preference, attribute);
    wide = wide && promised >= kWide && matrix->keeps(kWide);
    narrow = narrow && promised >= size_of_type(matrix->type);
  }
  std::vector<Algorithm> result;
  const auto add = [&](bool fits, Algorithm a) {
    a.signature = p.signature();
    if (fits && a.workspace(p) <= limit) result.push_back(a);
  };
  constexpr int64_t kLongSum = 256;
  if (p.k >= 2 * kLongSum && p.k >= 2 * std::min(p.m, p.n)) {
    const auto splits = static_cast<uint64_t>(std::min<int64_t>(p.k / kLongSum, 8));
    for (const auto scheme : {CUBLASLT_REDUCTION_SCHEME_INPLACE, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}) {
      add(wide && (mask & scheme) != 0, {.wide = 1, .splits = splits, .scheme = scheme});
    }
  }
  add(wide, {.wide = 1});
  add(narrow, {.wide = 0});
  return result;
}

// --- arithmetic ------------------------------------------------------------------------------------------------------

namespace {

/// TF32 keeps ten bits of the fraction.
float to_tf32(float x) {
  uint32_t bits = 0;
  std::memcpy(&bits, &x, 4);
  bits = (bits + 0xfffU + (bits >> 13 & 1U)) & ~0x1fffU;
  std::memcpy(&x, &bits, 4);
  return x;
}

}  // namespace

double Elements::at(int64_t i) const {
  switch (type) {
    case CUDA_R_64F:
      return static_cast<const double*>(data)[i];
    case CUDA_R_32F: {
      const float x = static_cast<const float*>(data)[i];
      return tf32 ? to_tf32(x) : x;
    }
    default:
      return static_cast<float>(static_cast<const bfloat16*>(data)[i]);
  }
}

namespace {

void put(void* data, cudaDataType type, int64_t i, double x) {
  if (type == CUDA_R_64F) {
    static_cast<double*>(data)[i] = x;
  } else if (type == CUDA_R_32F) {
    static_cast<float*>(data)[i] = static_cast<float>(x);
  } else {
    static_cast<bfloat16*>(data)[i] = bfloat16(static_cast<float>(x));
  }
}

constexpr int64_t kBlock = 64;  // rows and columns of D at a time
constexpr int64_t kSteps = 128;

/// out[step][i] for some rows of op(A), or columns of op(B), and some steps.
void pack(const Elements& x, int64_t outer_stride, int64_t step_stride, int64_t outer, int64_t steps, double* out) {
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t i = 0; i < outer; ++i) out[s * kBlock + i] = x.at(i * outer_stride + s * step_stride);
  }
}

/// sums[column][row] of a block of op(A) op(B) over the steps [first, last).
void multiply_block(const Operation& p, const Elements& a, const Elements& b, int64_t row, int64_t column,
                    int64_t first, int64_t last, std::vector<double>& buffer, double* sums) {
  buffer.resize(static_cast<size_t>(2 * kSteps * kBlock));
  double* left = buffer.data();
  double* right = left + kSteps * kBlock;
  std::fill(sums, sums + kBlock * kBlock, 0.0);
  const int64_t rows = std::min(kBlock, p.m - row);
  const int64_t columns = std::min(kBlock, p.n - column);
  const int64_t a_row = p.transpose_a ? p.a.ld : 1;
  const int64_t a_step = p.transpose_a ? 1 : p.a.ld;
  const int64_t b_column = p.transpose_b ? 1 : p.b.ld;
  const int64_t b_step = p.transpose_b ? p.b.ld : 1;
  const auto from = [](Elements x, int64_t offset) {
    x.data = static_cast<const char*>(x.data) + offset * size_of_type(x.type);
    return x;
  };
  for (int64_t k = first; k < last; k += kSteps) {
    const int64_t steps = std::min(kSteps, last - k);
    pack(from(a, row * a_row + k * a_step), a_row, a_step, rows, steps, left);
    pack(from(b, column * b_column + k * b_step), b_column, b_step, columns, steps, right);
    for (int64_t s = 0; s < steps; ++s) {
      for (int64_t j = 0; j < columns; ++j) {
        const double factor = right[s * kBlock + j];
        for (int64_t i = 0; i < rows; ++i) sums[j * kBlock + i] += left[s * kBlock + i] * factor;
      }
    }
  }
}

}  // namespace

void multiply(const Operation& p, const Algorithm& algorithm, Scalars scalars, const Elements& a, const Elements& b,
              const Elements& c, void* d, void* workspace, uint64_t run) {
  std::vector<double> buffer;
  std::vector<double> sums(static_cast<size_t>(kBlock * kBlock));
  const auto splits = static_cast<int64_t>(algorithm.splits);
  const auto accumulator = p.d.type == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F;
  const Elements bias{p.bias, p.d.type, false};
  const auto finish = [&](int64_t i, int64_t j, double sum) {
    double x = scalars.alpha * sum;
    if (p.epilogue == CUBLASLT_EPILOGUE_BIAS) x += bias.at(i);
    if (scalars.beta != 0) x += scalars.beta * c.at(j * p.c.ld + i);
    put(d, p.d.type, j * p.d.ld + i, x);
  };
  for (int64_t column = 0; column < p.n; column += kBlock) {
    for (int64_t row = 0; row < p.m; row += kBlock) {
      for (int64_t split = 0; split < splits; ++split) {
        multiply_block(p, a, b, row, column, p.k * split / splits, p.k * (split + 1) / splits, buffer, sums.data());
        for (int64_t j = 0; j < std::min(kBlock, p.n - column); ++j) {
          for (int64_t i = 0; i < std::min(kBlock, p.m - row); ++i) {
            const double sum = sums[static_cast<size_t>(j * kBlock + i)];
            if (splits == 1) {
              finish(row + i, column + j, sum);
            } else {
              put(workspace, accumulator, (split * p.n + column + j) * p.m + row + i, sum);
            }
          }
        }
      }
    }
  }
  if (splits == 1) return;
  // Sums in place come in any order on the device; here each run has another one.
  const int64_t first = algorithm.scheme == CUBLASLT_REDUCTION_SCHEME_INPLACE ? static_cast<int64_t>(run) % splits : 0;
  const Elements parts{workspace, accumulator, false};
  for (int64_t j = 0; j < p.n; ++j) {
    for (int64_t i = 0; i < p.m; ++i) {
      double sum = 0;
      for (int64_t s = 0; s < splits; ++s) {
        sum += parts.at((((s + first) % splits) * p.n + j) * p.m + i);
        if (accumulator == CUDA_R_32F) sum = static_cast<float>(sum);
      }
      finish(i, j, sum);
    }
  }
}

}  // namespace tessera::test::lt_double
