#include "engine/cuda/dnn/library.h"

#include <cudnn.h>
#include <dlfcn.h>

#include <array>
#include <utility>

#include "engine/core/error.h"

namespace tessera::cuda::dnn {
namespace {

constexpr const char* kFile = "libcudnn.so.9";

/// The functions that are used, under their names without the prefix.
struct Functions {
  decltype(&cudnnCreate) create = nullptr;
  decltype(&cudnnDestroy) destroy = nullptr;
  decltype(&cudnnSetStream) set_stream = nullptr;
  decltype(&cudnnGetErrorString) error_string = nullptr;
  decltype(&cudnnGetLastErrorString) last_error_string = nullptr;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor = nullptr;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor = nullptr;
  decltype(&cudnnBackendSetAttribute) set_attribute = nullptr;
  decltype(&cudnnBackendGetAttribute) get_attribute = nullptr;
  decltype(&cudnnBackendFinalize) finalize = nullptr;
  decltype(&cudnnBackendExecute) execute = nullptr;
  std::string missing;  // why they cannot be called

  Functions() {
    // Never closed: it keeps threads and state of its own.
    void* library = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      missing = std::string("cuDNN cannot be loaded: ") + dlerror();
      return;
    }
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      if (function == nullptr && missing.empty())
        missing = std::string("cuDNN cannot be used: ") + kFile + " has no " + name;
    };
    find(create, "cudnnCreate");
    find(destroy, "cudnnDestroy");
    find(set_stream, "cudnnSetStream");
    find(error_string, "cudnnGetErrorString");
    find(last_error_string, "cudnnGetLastErrorString");
    find(create_descriptor, "cudnnBackendCreateDescriptor");
    find(destroy_descriptor, "cudnnBackendDestroyDescriptor");
    find(set_attribute, "cudnnBackendSetAttribute");
    find(get_attribute, "cudnnBackendGetAttribute");
    find(finalize, "cudnnBackendFinalize");
    find(execute, "cudnnBackendExecute");
  }
};

const Functions& loaded() {
  static const Functions functions;
  return functions;
}

const Functions& functions() {
  const Functions& f = loaded();
  if (!f.missing.empty()) throw LibraryError(f.missing);
  return f;
}

/// "cuDNN CALL: the status: the library's own words", in one line.
void require(const std::string& call, cudnnStatus_t status) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> text{};
  functions().last_error_string(text.data(), text.size());
  const std::string words(text.data());
  const std::string line = words.substr(0, words.find('\n'));
  throw LibraryError("cuDNN " + call + ": " + functions().error_string(status) + (line.empty() ? "" : ": " + line));
}

/// The problem is valid, and nothing in the library solves it.
bool not_supported(cudnnStatus_t status) { return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED; }

cudnnBackendAttributeName_t name(int attribute) { return static_cast<cudnnBackendAttributeName_t>(attribute); }
cudnnBackendAttributeType_t type_name(int type) { return static_cast<cudnnBackendAttributeType_t>(type); }

cudnnDataType_t data_type(DType dtype) {
  if (dtype == DType::bf16) return CUDNN_DATA_BFLOAT16;
  if (dtype == DType::f64) return CUDNN_DATA_DOUBLE;
  return CUDNN_DATA_FLOAT;
}

}  // namespace

std::string unavailable() { return loaded().missing; }

// --- descriptors -----------------------------------------------------------------------------------------------------

Descriptor::Descriptor(int type) : type_(type) {
  require("create descriptor " + std::to_string(type),
          functions().create_descriptor(static_cast<cudnnBackendDescriptorType_t>(type), &raw_));
}

Descriptor::~Descriptor() {
  if (raw_ != nullptr) functions().destroy_descriptor(raw_);
}

void Descriptor::set(int attribute, int type, int64_t count, const void* values) {
  require("set attribute " + std::to_string(attribute),
          functions().set_attribute(raw_, name(attribute), type_name(type), count, values));
}
void Descriptor::set_number(int attribute, int64_t value) { set(attribute, CUDNN_TYPE_INT64, 1, &value); }
void Descriptor::set_numbers(int attribute, std::span<const int64_t> values) {
  set(attribute, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
}
void Descriptor::set_flag(int attribute, bool value) { set(attribute, CUDNN_TYPE_BOOLEAN, 1, &value); }
void Descriptor::set_choice(int attribute, int type, int value) { set(attribute, type, 1, &value); }
void Descriptor::set_type(int attribute, DType dtype) { set_choice(attribute, CUDNN_TYPE_DATA_TYPE, data_type(dtype)); }
void Descriptor::set_descriptor(int attribute, const Descriptor& value) {
  set(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.raw_);
}

void Descriptor::finalize() { require("finalize descriptor " + std::to_string(type_), functions().finalize(raw_)); }
bool Descriptor::try_finalize() {
  const cudnnStatus_t status = functions().finalize(raw_);
  if (not_supported(status)) return false;
  require("finalize descriptor " + std::to_string(type_), status);
  return true;
}

int64_t Descriptor::get(int attribute, int type, int64_t count, void* values) const {
  int64_t found = 0;
  require("get attribute " + std::to_string(attribute),
          functions().get_attribute(raw_, name(attribute), type_name(type), count, &found, values));
  return found;
}
int64_t Descriptor::number(int attribute) const {
  int64_t value = 0;
  get(attribute, CUDNN_TYPE_INT64, 1, &value);
  return value;
}
int Descriptor::choice(int attribute, int type) const {
  int value = 0;
  get(attribute, type, 1, &value);
  return value;
}
std::vector<int> Descriptor::choices(int attribute, int type, int64_t most) const {
  std::vector<int> values(static_cast<size_t>(most));
  values.resize(static_cast<size_t>(get(attribute, type, most, values.data())));
  return values;
}
std::vector<Descriptor> Descriptor::descriptors(int attribute, int type, int64_t most) const {
  std::vector<Descriptor> result;
  std::vector<void*> raw;
  for (int64_t i = 0; i < most; ++i) raw.push_back(result.emplace_back(type).raw_);
  const int64_t count = get(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data());
  while (static_cast<int64_t>(result.size()) > count) result.pop_back();
  return result;
}

// --- devices ---------------------------------------------------------------------------------------------------------

Handle::Handle() {
  cudnnHandle_t made = nullptr;
  require("create", functions().create(&made));
  raw_ = made;
}
Handle::~Handle() { functions().destroy(static_cast<cudnnHandle_t>(raw_)); }

Descriptor Handle::device() const {
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set(CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &raw_);
  device.finalize();
  return device;
}

void Handle::execute(const Descriptor& plan, const Descriptor& pointers, void* stream) {
  auto* handle = static_cast<cudnnHandle_t>(raw_);
  require("set stream", functions().set_stream(handle, static_cast<cudaStream_t>(stream)));
  require("execute", functions().execute(handle, plan.raw(), pointers.raw()));
}

Descriptor described_device(const std::string& json) {
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<int64_t>(json.size()),
             json.data());
  device.finalize();
  return device;
}

}  // namespace tessera::cuda::dnn
