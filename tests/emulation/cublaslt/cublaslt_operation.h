#pragma once

// One product as the cuBLASLt double sees it: read from descriptors and checked, its algorithms, its arithmetic.
#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tessera::test::lt_double {

enum class Kind { handle, operation, layout, preference };
struct Object {
  Kind kind;
  std::map<int, uint64_t> values;  // zero-extended
};

struct Refused {
  cublasStatus_t status;
  std::string reason;
};
[[noreturn]] inline void refuse(cublasStatus_t status, const std::string& reason) { throw Refused{status, reason}; }
inline void require(bool holds, cublasStatus_t status, const char* reason) {
  if (!holds) refuse(status, reason);
}

template <class T>
T get(const Object& object, int attribute) {
  return static_cast<T>(object.values.at(attribute));
}

inline int64_t size_of_type(cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      return 8;
    case CUDA_R_32F:
      return 4;
    default:
      return 2;
  }
}

struct Matrix {
  cudaDataType type;
  int64_t rows, cols, ld, batch, stride;

  friend bool operator==(const Matrix&, const Matrix&) = default;
  /// Whether every column of every matrix begins at a multiple of `bytes` if the first one does.
  [[nodiscard]] bool keeps(int64_t bytes) const {
    return ld * size_of_type(type) % bytes == 0 && (batch == 1 || stride * size_of_type(type) % bytes == 0);
  }
};

struct Operation {
  cublasComputeType_t compute;
  bool transpose_a, transpose_b;
  int epilogue;
  const void* bias;
  Matrix a, b, c, d;
  int64_t m, n, k;

  [[nodiscard]] int64_t accumulator_bytes() const { return d.type == CUDA_R_64F ? 8 : 4; }
  /// What an algorithm was made for, beside sizes.
  [[nodiscard]] uint64_t signature() const {
    uint64_t s = 1;
    for (const int part : {int{compute}, int{a.type}, int{d.type}, int{transpose_a}, int{transpose_b}, epilogue}) {
      s = s * 131 + static_cast<uint64_t>(part);
    }
    return s;
  }
};

/// Reads the descriptors of a product. Throws Refused where the library refuses them.
Operation operation_of(const Object& operation, const Object& a, const Object& b, const Object& c, const Object& d);

constexpr uint64_t kMagic = 0x746c4264756f626cU;
constexpr int64_t kWide = 16;

/// What an algorithm's opaque words mean here.
struct Algorithm {
  uint64_t wide = 0;    // reads and writes 16 bytes at a time
  uint64_t splits = 1;  // parts of the reduction, kept in the workspace
  uint64_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
  uint64_t signature = 0;

  [[nodiscard]] cublasLtMatmulAlgo_t packed() const {
    return cublasLtMatmulAlgo_t{{kMagic, wide, splits, scheme, signature, 0, 0, 0}};
  }
  [[nodiscard]] size_t workspace(const Operation& p) const {
    if (splits == 1) return 0;
    return splits * static_cast<size_t>(p.d.batch * p.m * p.n * p.accumulator_bytes());
  }
};

/// Throws Refused unless the algorithm fits the operation.
Algorithm algorithm_of(const cublasLtMatmulAlgo_t* algo, const Operation& p);
/// The algorithms that fit, the preferred first.
std::vector<Algorithm> algorithms_for(const Operation& p, const Object& preference);
bool aligned(const void* p, int64_t bytes);

/// Elements of a matrix as numbers.
struct Elements {
  const void* data;
  cudaDataType type;
  bool tf32 = false;  // rounded as they are read

  [[nodiscard]] double at(int64_t i) const;
};

struct Scalars {
  double alpha, beta;
};

/// One product of the batch. `run` counts the products so far.
void multiply(const Operation& p, const Algorithm& algorithm, Scalars scalars, const Elements& a, const Elements& b,
              const Elements& c, void* d, void* workspace, uint64_t run);

}  // namespace tessera::test::lt_double
