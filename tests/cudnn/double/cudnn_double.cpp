// cuDNN on the CPU, in the place of libcudnn.so.9: the functions that the backend calls, for graphs of one product and
// pointwise nodes. It computes what the descriptors say, from the addresses that it is given, and refuses what is not
// finalised, missing or of the wrong type.
#include <cudnn.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/core/bfloat16.h"

namespace {

using tessera::bfloat16;

struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};
std::string last_refusal, refused_next;
int64_t live_objects = 0;

void demand(bool condition, const std::string& what) {
  if (!condition) throw Refusal(what);
}

// --- descriptors -----------------------------------------------------------------------------------------------------

struct Value {
  cudnnBackendAttributeType_t type;
  std::vector<unsigned char> bytes;
};

size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    default:
      return 4;  // enumerations
  }
}

struct Object {
  cudnnBackendDescriptorType_t type;
  bool final = false;
  std::map<int, Value> values;

  template <class T>
  [[nodiscard]] std::vector<T> all(int attribute, cudnnBackendAttributeType_t as) const {
    const auto found = values.find(attribute);
    if (found == values.end()) return {};
    demand(found->second.type == as, "attribute " + std::to_string(attribute) + " has another type");
    std::vector<T> result(found->second.bytes.size() / sizeof(T));
    std::memcpy(result.data(), found->second.bytes.data(), result.size() * sizeof(T));
    return result;
  }
  template <class T>
  [[nodiscard]] T one(int attribute, cudnnBackendAttributeType_t as) const {
    const auto found = all<T>(attribute, as);
    demand(found.size() == 1, "attribute " + std::to_string(attribute) + " of " + std::to_string(type) + " is missing");
    return found[0];
  }
  [[nodiscard]] int64_t number(int attribute) const { return one<int64_t>(attribute, CUDNN_TYPE_INT64); }
  [[nodiscard]] bool flag(int attribute) const { return one<unsigned char>(attribute, CUDNN_TYPE_BOOLEAN) != 0; }
  [[nodiscard]] bool has(int attribute) const { return values.contains(attribute); }
  [[nodiscard]] const Object& object(int attribute) const {
    return *one<const Object*>(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR);
  }
  template <class T>
  void put(int attribute, cudnnBackendAttributeType_t as, const T& value) {
    Value& v = values[attribute];
    v.type = as;
    v.bytes.resize(sizeof(T));
    std::memcpy(v.bytes.data(), &value, sizeof(T));
  }
};

Object& object_of(cudnnBackendDescriptor_t raw) { return *static_cast<Object*>(raw); }

// --- tensors ---------------------------------------------------------------------------------------------------------

class Execution {
 public:
  Execution(const Object& graph, const Object& pack) {
    const auto ids = pack.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64);
    const auto pointers = pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR);
    demand(ids.size() == pointers.size(), "as many addresses as identifiers");
    for (size_t i = 0; i < ids.size(); ++i) memory_[ids[i]] = pointers[i];
    for (const Object* node : graph.all<const Object*>(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR)) {
      run(*node);
    }
  }

 private:
  struct Tensor {
    int64_t id, rows, columns, row_stride, column_stride;
    bool in_memory, bf16;
  };
  static Tensor tensor(const Object& o) {
    const auto extents = o.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64);
    const auto strides = o.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64);
    demand(o.final && extents.size() == 3 && strides.size() == 3 && extents[0] == 1, "a matrix");
    const auto type = o.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE);
    demand(type == CUDNN_DATA_BFLOAT16 || type == CUDNN_DATA_FLOAT, "bf16 or f32");
    return {.id = o.number(CUDNN_ATTR_TENSOR_UNIQUE_ID),
            .rows = extents[1],
            .columns = extents[2],
            .row_stride = strides[1],
            .column_stride = strides[2],
            .in_memory = !o.flag(CUDNN_ATTR_TENSOR_IS_VIRTUAL),
            .bf16 = type == CUDNN_DATA_BFLOAT16};
  }
  void* address(const Tensor& t) const {
    const auto found = memory_.find(t.id);
    demand(found != memory_.end(), "tensor " + std::to_string(t.id) + " has no address");
    demand(reinterpret_cast<uintptr_t>(found->second) % 16 == 0, "whole addresses");
    return found->second;
  }
  /// An element; extents of 1 are broadcast.
  double read(const Tensor& t, int64_t row, int64_t column) {
    const int64_t r = t.rows == 1 ? 0 : row;
    const int64_t c = t.columns == 1 ? 0 : column;
    if (!t.in_memory) {
      const auto found = values_.find(t.id);
      demand(found != values_.end(), "a value that no node has made");
      return found->second[static_cast<size_t>(r * t.columns + c)];
    }
    const int64_t at = r * t.row_stride + c * t.column_stride;
    return t.bf16 ? static_cast<double>(static_cast<float>(static_cast<const bfloat16*>(address(t))[at]))
                  : static_cast<double>(static_cast<const float*>(address(t))[at]);
  }
  void write(const Tensor& t, int64_t row, int64_t column, double x) {
    if (!t.in_memory) {
      auto& all = values_[t.id];
      all.resize(static_cast<size_t>(t.rows * t.columns));
      all[static_cast<size_t>(row * t.columns + column)] = static_cast<float>(x);
      return;
    }
    const int64_t at = row * t.row_stride + column * t.column_stride;
    if (t.bf16) {
      static_cast<bfloat16*>(address(t))[at] = bfloat16(static_cast<float>(x));
    } else {
      static_cast<float*>(address(t))[at] = static_cast<float>(x);
    }
  }

  // --- nodes

  void run(const Object& node) {
    demand(node.final, "a finalised node");
    if (node.type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR) return multiply(node);
    if (node.type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return apply(node);
    demand(node.type == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "a node of another kind");
    sum(node);
  }
  void multiply(const Object& node) {
    const Tensor x = tensor(node.object(CUDNN_ATTR_OPERATION_MATMUL_ADESC));
    const Tensor w = tensor(node.object(CUDNN_ATTR_OPERATION_MATMUL_BDESC));
    const Tensor y = tensor(node.object(CUDNN_ATTR_OPERATION_MATMUL_CDESC));
    demand(x.rows == y.rows && w.columns == y.columns && x.columns == w.rows, "extents that fit");
    for (int64_t i = 0; i < y.rows; ++i) {
      for (int64_t j = 0; j < y.columns; ++j) {
        double total = 0;
        for (int64_t k = 0; k < x.columns; ++k) total += read(x, i, k) * read(w, k, j);
        write(y, i, j, total);
      }
    }
  }
  static double function(int mode, double x, double other, double beta) {
    const double cdf = 0.5 * std::erfc(-x / std::sqrt(2.0));
    const double at_cdf = 0.5 * std::erfc(-other / std::sqrt(2.0));
    const double sigmoid = 1 / (1 + std::exp(-beta * other));
    switch (mode) {
      case CUDNN_POINTWISE_ADD:
        return x + other;
      case CUDNN_POINTWISE_MUL:
        return x * other;
      case CUDNN_POINTWISE_IDENTITY:
        return x;
      case CUDNN_POINTWISE_GELU_FWD:
        return x * cdf;
      case CUDNN_POINTWISE_SWISH_FWD:
        return x / (1 + std::exp(-beta * x));
      case CUDNN_POINTWISE_GELU_BWD:
        return x * (at_cdf + other * std::exp(-0.5 * other * other) / std::sqrt(2 * std::acos(-1.0)));
      case CUDNN_POINTWISE_SWISH_BWD:
        return x * (sigmoid + beta * other * sigmoid * (1 - sigmoid));
      default:
        throw Refusal("pointwise mode " + std::to_string(mode));
    }
  }
  void apply(const Object& node) {
    const Object& settings = node.object(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const int mode = settings.one<int>(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE);
    const bool slope = mode == CUDNN_POINTWISE_GELU_BWD || mode == CUDNN_POINTWISE_SWISH_BWD;
    const bool swish = mode == CUDNN_POINTWISE_SWISH_FWD || mode == CUDNN_POINTWISE_SWISH_BWD;
    const double beta = swish ? settings.one<double>(CUDNN_ATTR_POINTWISE_SWISH_BETA, CUDNN_TYPE_DOUBLE) : 1;
    // A slope multiplies a gradient, at x.
    const int first = slope ? CUDNN_ATTR_OPERATION_POINTWISE_DYDESC : CUDNN_ATTR_OPERATION_POINTWISE_XDESC;
    const int second = slope ? CUDNN_ATTR_OPERATION_POINTWISE_XDESC : CUDNN_ATTR_OPERATION_POINTWISE_BDESC;
    const int result = slope ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC;
    const bool two = slope || mode == CUDNN_POINTWISE_ADD || mode == CUDNN_POINTWISE_MUL;
    demand(node.has(second) == two, "as many operands as the function has");
    const Tensor x = tensor(node.object(first));
    const Tensor other = two ? tensor(node.object(second)) : x;
    const Tensor y = tensor(node.object(result));
    for (int64_t i = 0; i < y.rows; ++i) {
      for (int64_t j = 0; j < y.columns; ++j) {
        write(y, i, j, function(mode, read(x, i, j), read(other, i, j), beta));
      }
    }
  }
  void sum(const Object& node) {
    const Object& settings = node.object(CUDNN_ATTR_OPERATION_REDUCTION_DESC);
    demand(settings.flag(CUDNN_ATTR_REDUCTION_IS_DETERMINISTIC), "sums in one order");
    const Tensor x = tensor(node.object(CUDNN_ATTR_OPERATION_REDUCTION_XDESC));
    const Tensor y = tensor(node.object(CUDNN_ATTR_OPERATION_REDUCTION_YDESC));
    demand(y.rows == 1 && y.columns == x.columns, "sums over the rows");
    for (int64_t j = 0; j < x.columns; ++j) {
      double total = 0;
      for (int64_t i = 0; i < x.rows; ++i) total += read(x, i, j);
      write(y, 0, j, total);
    }
  }

  std::map<int64_t, void*> memory_;
  std::map<int64_t, std::vector<float>> values_;
};

// --- proposals -------------------------------------------------------------------------------------------------------

/// The first proposal sums in any order, the second is not supported, the third is taken.
constexpr int64_t kEngines[] = {3, 5, 7};
constexpr int64_t kSetting = 21;

template <class Call>
cudnnStatus_t answer(const char* name, Call&& call) {
  try {
    if (refused_next == name) {
      refused_next.clear();
      throw Refusal("refused");
    }
    return call();
  } catch (const std::exception& error) {
    last_refusal = std::string(error.what()) + "\nand a second line";
    return CUDNN_STATUS_BAD_PARAM;
  }
}

int64_t write_results(const Object& search, int64_t room, void* to) {
  int64_t count = 0;
  for (const int64_t index : kEngines) {
    if (count == room) break;
    Object& config = object_of(static_cast<cudnnBackendDescriptor_t*>(to)[count++]);
    config.put(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_INT64, index);
    config.final = true;
  }
  (void)search.object(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  (void)search.object(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  return count;
}

/// Attributes that are not kept as they were set.
bool computed(const Object& o, int attribute, int64_t room, int64_t* count, void* to) {
  demand(room > 0, "room for an answer");
  *count = 1;
  switch (attribute) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
      *count = write_results(o, room, to);
      return true;
    case CUDNN_ATTR_ENGINECFG_ENGINE: {
      Object& engine = object_of(*static_cast<cudnnBackendDescriptor_t*>(to));
      engine.put(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, o.number(attribute));
      engine.final = true;
      return true;
    }
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES: {
      Object& knob = object_of(*static_cast<cudnnBackendDescriptor_t*>(to));
      knob.put(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, CUDNN_KNOB_TYPE_KERNEL_CFG);
      knob.put(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, kSetting);
      knob.final = true;
      return true;
    }
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
      *static_cast<int*>(to) = o.number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX) == kEngines[0]
                                   ? CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC
                                   : CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
      return true;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      *static_cast<int64_t*>(to) = 1000;
      return true;
    default:
      return false;
  }
}

void finalize(Object& o) {
  demand(!o.final, "finalised twice");
  if (o.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    const Object& config = o.object(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    const Object& engine = config.object(CUDNN_ATTR_ENGINECFG_ENGINE);
    const Object& knob = config.object(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
    demand(knob.number(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE) == kSetting, "the setting that was proposed");
    demand(engine.number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX) == kEngines[2], "an engine that exists");
    const Object& graph = engine.object(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
    const bool any_rows = graph.flag(CUDNN_ATTR_OPERATIONGRAPH_IS_DYNAMIC_SHAPE_ENABLED);
    demand(o.has(CUDNN_ATTR_EXECUTION_PLAN_KERNEL_CACHE) == any_rows, "kernels that are shared");
    o.put(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, &graph);
  }
  o.final = true;
}

}  // namespace

// --- the library -----------------------------------------------------------------------------------------------------

extern "C" {

/// For tests: the next call of this function is refused, and how many descriptors there are.
void cudnn_double_refuse_next(const char* function) { refused_next = function; }
int64_t cudnn_double_live() { return live_objects; }

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = reinterpret_cast<cudnnHandle_t>(new char);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete reinterpret_cast<char*>(handle);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; }
const char* cudnnGetErrorString(cudnnStatus_t status) {
  return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED"
                                                                     : "CUDNN_STATUS_BAD_PARAM";
}
void cudnnGetLastErrorString(char* text, size_t size) { std::strncpy(text, last_refusal.c_str(), size - 1); }

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* made) {
  ++live_objects;
  *made = new Object{.type = type, .values = {}};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  --live_objects;
  delete static_cast<Object*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t attribute,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  return answer("cudnnBackendSetAttribute", [&] {
    Object& o = object_of(descriptor);
    demand(!o.final, "an attribute after finalize");
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
      for (int64_t i = 0; i < count; ++i) {
        demand(object_of(static_cast<const cudnnBackendDescriptor_t*>(values)[i]).final, "a finalised descriptor");
      }
    }
    const auto* bytes = static_cast<const unsigned char*>(values);
    o.values[attribute] = {type, {bytes, bytes + static_cast<size_t>(count) * size_of(type)}};
    return CUDNN_STATUS_SUCCESS;
  });
}
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t attribute,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t* count, void* to) {
  return answer("cudnnBackendGetAttribute", [&] {
    const Object& o = object_of(descriptor);
    demand(o.final, "a finalised descriptor");
    if (computed(o, attribute, room, count, to)) return CUDNN_STATUS_SUCCESS;
    const auto found = o.values.find(attribute);
    demand(found != o.values.end() && found->second.type == type, "an attribute that is there");
    *count = static_cast<int64_t>(found->second.bytes.size() / size_of(type));
    demand(*count <= room, "room for an answer");
    std::memcpy(to, found->second.bytes.data(), found->second.bytes.size());
    return CUDNN_STATUS_SUCCESS;
  });
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  Object& o = object_of(descriptor);
  if (o.type == CUDNN_BACKEND_ENGINE_DESCRIPTOR && o.number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX) == kEngines[1]) {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  return answer("cudnnBackendFinalize", [&] {
    finalize(o);
    return CUDNN_STATUS_SUCCESS;
  });
}
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  return answer("cudnnBackendExecute", [&] {
    demand(object_of(plan).final && object_of(pack).final, "a finalised plan");
    const auto workspace = object_of(pack).one<uintptr_t>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR);
    demand(workspace != 0 && workspace % 256 == 0, "a workspace");
    const Execution run(object_of(plan).object(CUDNN_ATTR_ENGINE_OPERATION_GRAPH), object_of(pack));
    return CUDNN_STATUS_SUCCESS;
  });
}

}  // extern "C"
