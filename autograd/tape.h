#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "autograd/parameter.h"
#include "autograd/variable.h"

namespace tessera::autograd {

class Tape;

/// One recorded operation. Its members hold what the backward needs. The tape deletes it after its backward.
class Node {
 public:
  virtual ~Node() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// Writes the gradients of the inputs to their sinks, given the gradient of the output.
  virtual void backward(Tape& tape, const Tensor& dy) = 0;
  /// Bytes kept alive for the backward, for Tape::report.
  [[nodiscard]] virtual size_t saved_bytes() const = 0;

 private:
  friend class Tape;
  Slot output_;
};

/// A result to differentiate and the gradient to start from. An absent seed means 1 and needs a scalar result.
struct Root {
  Var var;
  Tensor seed;
};

/// A linear record of operations. backward() runs through it once, from the last operation to the first, without
/// recursion or sorting. Without a tape nothing is recorded, as in inference. Only one thread may use a tape.
class Tape {
 public:
  enum class Record : uint8_t {
    all,
    leaves,  // the forward of a checkpoint: records parameters but no operations
  };

  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// The thread's current tape, or null.
  [[nodiscard]] static Tape* current();

  [[nodiscard]] Record mode() const { return mode_; }
  void set_mode(Record mode) { mode_ = mode; }
  [[nodiscard]] uint32_t id() const { return id_; }

  /// Makes a slot for a value whose gradient the caller needs; take() returns it after backward().
  [[nodiscard]] Var input(const Tensor& value);
  /// The parameter as an operand. Its slot is made at first use. Under Record::leaves it is a constant.
  [[nodiscard]] Var leaf(Parameter& parameter);
  /// Stores the node and gives its output a slot.
  Var record(std::unique_ptr<Node> node, Tensor output);

  /// Where a node writes the gradient of an input. The tensor is absent when nobody needs that gradient.
  [[nodiscard]] GradOut sink(Slot slot);
  /// Adds a whole gradient to a slot. If the slot is empty, it takes the tensor without a copy.
  void give(Slot slot, const Tensor& gradient);
  /// Returns the gradient in a slot and empties the slot. The tensor is absent if no gradient reached it.
  [[nodiscard]] Tensor take(Slot slot);

  /// Runs every node's backward once, from the last to the first. Gradients of parameters go to their `grad`.
  void backward(std::span<const Root> roots);
  void backward(const Var& loss, const Tensor& seed = {});

  /// Called once per backward() for each parameter, when its gradient is complete.
  std::function<void(Parameter&)> on_ready;

  /// A table of the bytes that each kind of node has saved, the largest first.
  [[nodiscard]] std::string report() const;
  [[nodiscard]] size_t nodes() const { return nodes_.size(); }

 private:
  struct GradSlot {
    Shape shape;
    DType dtype = DType::f32;
    Device device;
    Tensor grad;
    Parameter* parameter = nullptr;
  };
  struct Leaf {
    int32_t slot;
    Parameter* parameter;
  };
  Slot new_slot(const Tensor& value, Parameter* parameter);
  GradSlot& at(Slot slot);
  void finish_leaves_above(int32_t index);

  uint32_t id_;
  Record mode_ = Record::all;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<GradSlot> slots_;
  std::vector<Leaf> leaves_;  // ascending slots
  std::unordered_map<Parameter*, Slot> leaf_of_;
};

/// Makes a tape the thread's current tape until the scope ends; null suspends recording.
class TapeScope {
 public:
  explicit TapeScope(Tape* tape);
  explicit TapeScope(Tape& tape) : TapeScope(&tape) {}
  ~TapeScope();
  TapeScope(const TapeScope&) = delete;
  TapeScope& operator=(const TapeScope&) = delete;

 private:
  Tape* previous_;
};

/// The parameter as an operand on the current tape. Without a tape it is a constant.
[[nodiscard]] Var use(Parameter& parameter);

/// The tape that must record an operation on these operands, or null when none of them needs a gradient. Throws Error
/// when an operand belongs to another tape, for example a Var that a checkpointed function captured.
[[nodiscard]] Tape* recording(std::initializer_list<const Var*> operands);

/// Sum of the bytes of tensors, for Node::saved_bytes.
[[nodiscard]] size_t bytes_of(std::initializer_list<const Tensor*> tensors);

}  // namespace tessera::autograd
