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

/// A named part of a parameter, as checkpoints and optimisers see it. Usually a parameter is one entry; the vision
/// block's fused bias is two with a fixed zero between them.
struct Entry {
  std::string name;
  Shape shape;
  Parameter* parameter = nullptr;
  int64_t begin = 0;   // within the parameter, in elements
  int64_t offset = 0;  // within the arenas, in elements
  Init init;

  [[nodiscard]] int64_t count() const { return shape.numel(); }
  [[nodiscard]] Tensor value() const;
  [[nodiscard]] Tensor grad() const;
};

/// A tensor that belongs to a model and has no gradient.
struct Buffer {
  enum class Kind : uint8_t {
    fixed,    // the model's own, a position table say: in checkpoints for others to read
    running,  // changes while training, as a batch norm's kept moments do: read back from checkpoints
  };
  std::string name;
  Tensor tensor;
  Kind kind = Kind::fixed;
};

/// Owns a model's parameters: values and gradients in two flat arenas, moments added by the optimiser. Modules register
/// what they need in their constructors; allocate() then gives everything memory.
class ParameterStore {
 public:
  ParameterStore() = default;
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  /// One parameter with one entry of the same name. Throws Error when the name is taken.
  Parameter& add(const std::string& name, const Shape& shape, Init init);
  /// One entry of a parameter made of several; elements outside every entry stay zero for ever.
  struct Part {
    std::string name;
    Shape shape;
    int64_t begin;
    Init init;
  };
  Parameter& add_fused(const std::string& name, const Shape& shape, const std::vector<Part>& parts);
  Buffer& add_buffer(const std::string& name, Tensor tensor, Buffer::Kind kind = Buffer::Kind::fixed);

  /// Gives every parameter its place in the arenas, values zero. Called once, after all were added.
  void allocate(DType dtype);
  /// Draws every initial value. A parameter's numbers depend on the seed and its name alone.
  void initialise(uint64_t seed);

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] const std::deque<Buffer>& buffers() const { return buffers_; }
  [[nodiscard]] const Entry* find(const std::string& name) const;
  /// Elements of all entries: the model's trainable parameters.
  [[nodiscard]] int64_t parameter_count() const;
  [[nodiscard]] const Tensor& values() const { return values_; }
  [[nodiscard]] const Tensor& grads() const { return grads_; }
  [[nodiscard]] DType dtype() const { return dtype_; }

  /// Marks every gradient as absent: the next one overwrites.
  void clear_grads();
  /// Zeroes the gradients that no backward wrote (a part left out of this step), so that the optimiser can step them
  /// all.
  void complete_grads();
  /// After values were written by other means than the optimiser.
  void mark_written();
  /// The values of both stores change places; for EMA weights.
  void swap_values(Tensor& other);

 private:
  std::deque<Parameter> parameters_;
  std::vector<Shape> shapes_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t> by_name_;
  std::deque<Buffer> buffers_;
  Tensor values_, grads_;
  DType dtype_ = DType::f32;
};

}  // namespace tessera::nn
