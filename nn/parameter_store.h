#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "autograd/parameter.h"
#include "nn/init.h"

namespace tessera::nn {

using autograd::Parameter;

/// A named part of a parameter, as checkpoints and optimisers see it. Most parameters are one entry. The fused bias of
/// the vision block is two, with fixed zeros between them.
struct Entry {
  std::string name;
  Shape shape;
  Parameter* parameter = nullptr;
  int64_t begin = 0;   // in the parameter, in elements
  int64_t offset = 0;  // in the arenas, in elements
  Init init;

  [[nodiscard]] int64_t count() const { return shape.numel(); }
  [[nodiscard]] Tensor value() const;
  /// Throws Error before the store's first clear_grads().
  [[nodiscard]] Tensor grad() const;
};

/// A tensor that belongs to a model and has no gradient.
struct Buffer {
  enum class Kind : uint8_t {
    fixed,    // a constant of the model, such as a position table; checkpoints hold it for other readers
    running,  // changes during training, such as the running moments of batch norm; loaded from checkpoints
  };
  std::string name;
  Tensor tensor;
  Kind kind = Kind::fixed;
};

/// Owns the parameters of a model. Values and gradients lie in two flat arenas; the optimiser adds moments of the same
/// layout. Layers register what they need in their constructors, and then allocate() gives the values memory. Gradients
/// get theirs from the first clear_grads(), so that a model that only computes has none.
class ParameterStore {
 public:
  /// `device` is where the parameters will lie.
  explicit ParameterStore(Device device = Device::cpu()) : device_(device) {}
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  /// Adds a parameter with one entry of the same name. Throws Error when the name is taken.
  Parameter& add(const std::string& name, const Shape& shape, Init init);
  /// One entry of a parameter that has several. Elements outside every entry stay zero.
  struct Part {
    std::string name;
    Shape shape;
    int64_t begin;
    Init init;
  };
  Parameter& add_fused(const std::string& name, const Shape& shape, const std::vector<Part>& parts);
  Buffer& add_buffer(const std::string& name, Tensor tensor, Buffer::Kind kind = Buffer::Kind::fixed);

  /// Gives every parameter its place in the arenas and sets values to zero. Call it once, after the last add().
  void allocate(DType dtype);
  /// Sets the initial values, drawn on the host. The numbers of an entry depend on the seed and its name alone. Does
  /// nothing without a seed.
  void initialise(Seed seed);

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] const std::deque<Buffer>& buffers() const { return buffers_; }
  [[nodiscard]] const Entry* find(const std::string& name) const;
  /// The number of elements of all entries: the model's trainable parameters.
  [[nodiscard]] int64_t parameter_count() const;
  [[nodiscard]] const Tensor& values() const { return values_; }
  /// Throws Error before the first clear_grads().
  [[nodiscard]] const Tensor& grads() const;
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] Device device() const { return device_; }

  /// Marks every gradient as absent, so that the next one overwrites. The first call gives gradients their memory.
  void clear_grads();
  /// Zeroes the gradients that no backward wrote, because a part of the model was not used in this step, so that the
  /// optimiser can step every parameter.
  void complete_grads();
  /// Must be called after anything but the optimiser has written values.
  void mark_written();
  /// Exchanges the values with those of another arena, such as EMA weights.
  void swap_values(Tensor& other);

 private:
  std::deque<Parameter> parameters_;
  std::vector<Shape> shapes_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t> by_name_;
  std::map<const Parameter*, int64_t> offsets_;
  std::deque<Buffer> buffers_;
  Device device_;
  Tensor values_, grads_;
  DType dtype_ = DType::f32;
};

}  // namespace tessera::nn
