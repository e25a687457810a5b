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

/// One recorded operation. What its backward needs are named members; it dies once its backward has run.
class Node {
 public:
  virtual ~Node() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// Adds to the sinks of its inputs, given the gradient of its output.
  virtual void backward(Tape& tape, const Tensor& dy) = 0;
  /// Bytes kept alive for the backward, for Tape::report.
  [[nodiscard]] virtual size_t saved_bytes() const = 0;

 private:
  friend class Tape;
  Slot output_;
};

/// A differentiated result and the gradient to start from (absent: one, for a scalar).
struct Root {
  Var var;
  Tensor seed;
};

/// A linear record of operations. backward() sweeps it once from the end: no recursion, no sorting, no reference
/// cycles. Inference is simply having no tape. A tape is used by one thread.
class Tape {
 public:
  enum class Record : uint8_t {
    all,
    leaves,  // the forward of a checkpoint: parameters are noted, operations are not
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

  /// A slot for a value that the caller wants the gradient of (take() after backward).
  [[nodiscard]] Var input(const Tensor& value);
  /// The parameter as an operand: its slot is made at first use. Under Record::leaves, a constant.
  [[nodiscard]] Var leaf(Parameter& parameter);
  /// Numbers the node's output and keeps the node.
  Var record(std::unique_ptr<Node> node, Tensor output);

  /// Where a node writes the gradient of an input; an absent tensor when nobody wants it.
  [[nodiscard]] GradOut sink(Slot slot);
  /// Hands over a whole gradient, without a copy where the slot is still empty.
  void give(Slot slot, const Tensor& gradient);
  /// The gradient collected in a slot (absent if nothing flowed there); empties the slot.
  [[nodiscard]] Tensor take(Slot slot);

  /// Runs every node's backward once, from the last to the first. Parameters' gradients are in their `grad`.
  void backward(std::span<const Root> roots);
  void backward(const Var& loss, const Tensor& seed = {});

  /// Called with each parameter once nothing can add to its gradient any more in this sweep.
  std::function<void(Parameter&)> on_ready;

  /// Bytes saved by each kind of node, the largest first, as lines of text.
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

/// Makes a tape the thread's current one until the scope ends; null suspends recording.
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

/// The parameter as an operand on the current tape, or a constant without one.
[[nodiscard]] Var use(Parameter& parameter);

/// The tape that must record an operation on these operands: null when none of them wants a gradient. Throws Error when
/// an operand belongs to another tape (a Var captured by a checkpointed function, say).
[[nodiscard]] Tape* recording(std::initializer_list<const Var*> operands);

/// Sum of the bytes of tensors, for Node::saved_bytes.
[[nodiscard]] size_t bytes_of(std::initializer_list<const Tensor*> tensors);

}  // namespace tessera::autograd
