#include "autograd/tape.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "engine/core/error.h"
#include "engine/memory/allocator.h"
#include "engine/ops/copy.h"

namespace tessera::autograd {
namespace {

thread_local Tape* current_tape = nullptr;

bool check_finite_wanted() {
  static const bool wanted = [] {
    const char* text = std::getenv("TESSERA_CHECK_FINITE");
    return text != nullptr && *text != '\0' && *text != '0';
  }();
  return wanted;
}

/// Throws when an element is not finite; `what` is "output" or "gradient".
void check_finite(const Tensor& t, std::string_view node, const char* what) {
  if (!t || !is_floating(t.dtype())) return;
  const Tensor wide = cast(t, DType::f64).to(Device::cpu());
  for (const double x : wide.data<double>()) {
    if (!std::isfinite(x)) {
      throw Error(fmt::format("{}: its {} ({}) holds {}", node, what, describe(t), x));
    }
  }
}

}  // namespace

Tape::Tape() {
  static std::atomic<uint32_t> next{1};
  id_ = next++;
}

Tape::~Tape() = default;

Tape* Tape::current() { return current_tape; }

TapeScope::TapeScope(Tape* tape) : previous_(current_tape) { current_tape = tape; }
TapeScope::~TapeScope() { current_tape = previous_; }

Slot Tape::new_slot(const Tensor& value, Parameter* parameter) {
  slots_.push_back({value.shape(), value.dtype(), value.device(), {}, parameter});
  return {static_cast<int32_t>(slots_.size()) - 1, id_};
}

Tape::GradSlot& Tape::at(Slot slot) {
  if (slot.tape != id_ || slot.index < 0 || slot.index >= static_cast<int32_t>(slots_.size())) {
    throw Error("tape: a slot of another tape");
  }
  return slots_[static_cast<size_t>(slot.index)];
}

Var Tape::input(const Tensor& value) { return {value, new_slot(value, nullptr)}; }

Var Tape::leaf(Parameter& parameter) {
  Var var(parameter.value);
  var.parameter = &parameter;
  if (parameter.frozen) return var;
  auto [it, fresh] = leaf_of_.try_emplace(&parameter);
  if (fresh) {
    it->second = new_slot(parameter.value, &parameter);
    leaves_.push_back({it->second.index, &parameter});
  }
  if (mode_ == Record::all) var.slot = it->second;
  return var;
}

Var Tape::record(std::unique_ptr<Node> node, Tensor output) {
  if (check_finite_wanted()) check_finite(output, node->name(), "output");
  node->output_ = new_slot(output, nullptr);
  Var var(std::move(output), node->output_);
  nodes_.push_back(std::move(node));
  return var;
}

GradOut Tape::sink(Slot slot) {
  if (!slot) return {};
  GradSlot& s = at(slot);
  if (s.parameter != nullptr) {
    if (!s.parameter->grad) {
      throw Error(fmt::format("backward: {} has no memory for a gradient; call clear_grads() of its store before",
                              s.parameter->name));
    }
    const GradMode mode = s.parameter->has_grad ? GradMode::accumulate : GradMode::overwrite;
    s.parameter->has_grad = true;
    return {s.parameter->grad, mode};
  }
  if (!s.grad) {
    const MemoryTag tag("gradients of activations");
    s.grad = Tensor::empty(s.shape, s.dtype, s.device);
    return {s.grad, GradMode::overwrite};
  }
  if (!s.grad.unique()) s.grad = clone(s.grad);
  return {s.grad, GradMode::accumulate};
}

void Tape::give(Slot slot, const Tensor& gradient) {
  if (!slot || !gradient) return;
  GradSlot& s = at(slot);
  if (s.parameter == nullptr && !s.grad && gradient.dtype() == s.dtype && gradient.is_contiguous()) {
    s.grad = gradient.shape() == s.shape ? gradient : gradient.reshape(s.shape);
    return;
  }
  const GradOut out = sink(slot);
  copy_into(gradient.shape() == s.shape ? gradient : gradient.reshape(s.shape), out.tensor, out.mode);
}

Tensor Tape::take(Slot slot) {
  if (!slot) return {};
  return std::exchange(at(slot).grad, {});
}

void Tape::finish_leaves_above(int32_t index) {
  // Slots are numbered in creation order, so below a leaf's first use nothing can add to its gradient any more.
  while (!leaves_.empty() && leaves_.back().slot > index) {
    Parameter* parameter = leaves_.back().parameter;
    leaves_.pop_back();
    if (on_ready) on_ready(*parameter);
  }
}

void Tape::backward(std::span<const Root> roots) {
  const TapeScope no_recording(nullptr);
  for (const Root& root : roots) {
    if (!root.var.slot) continue;
    if (!root.seed && root.var.value.numel() != 1) {
      throw ShapeError(fmt::format("backward: a root of shape {} needs a seed", to_string(root.var.shape())));
    }
    give(root.var.slot,
         root.seed ? root.seed : filled(root.var.shape(), 1.0, root.var.dtype(), root.var.value.device()));
  }
  while (!nodes_.empty()) {
    const std::unique_ptr<Node> node = std::move(nodes_.back());
    nodes_.pop_back();
    finish_leaves_above(node->output_.index);
    const Tensor dy = take(node->output_);
    if (!dy) continue;
    if (check_finite_wanted()) check_finite(dy, node->name(), "gradient");
    node->backward(*this, dy);
  }
  finish_leaves_above(-1);
  leaf_of_.clear();
}

void Tape::backward(const Var& loss, const Tensor& seed) {
  const Root root{loss, seed};
  backward(std::span(&root, 1));
}

std::string Tape::report() const {
  std::map<std::string_view, std::pair<size_t, size_t>> by_name;
  size_t total = 0;
  for (const auto& node : nodes_) {
    auto& [count, bytes] = by_name[node->name()];
    ++count;
    bytes += node->saved_bytes();
    total += node->saved_bytes();
  }
  std::vector<std::pair<std::string_view, std::pair<size_t, size_t>>> lines(by_name.begin(), by_name.end());
  std::ranges::stable_sort(lines, [](const auto& a, const auto& b) { return a.second.second > b.second.second; });
  std::string text = fmt::format("tape: {} nodes, {:.1f} MiB\n", nodes_.size(), static_cast<double>(total) / 0x1p20);
  for (const auto& [name, figures] : lines) {
    text += fmt::format("  {:<24} {:>5} {:>10.1f} MiB\n", name, figures.first,
                        static_cast<double>(figures.second) / 0x1p20);
  }
  return text;
}

Var use(Parameter& parameter) {
  if (Tape* tape = Tape::current()) return tape->leaf(parameter);
  Var var(parameter.value);
  var.parameter = &parameter;
  return var;
}

Tape* recording(std::initializer_list<const Var*> operands) {
  Tape* tape = Tape::current();
  if (tape == nullptr) return nullptr;
  bool wanted = false;
  for (const Var* var : operands) {
    if (!var->slot) continue;
    if (var->slot.tape != tape->id() || tape->mode() == Tape::Record::leaves) {
      throw Error("tape: an operand belongs to an outer tape; pass it to the checkpointed function as an argument");
    }
    wanted = true;
  }
  return wanted && tape->mode() == Tape::Record::all ? tape : nullptr;
}

size_t bytes_of(std::initializer_list<const Tensor*> tensors) {
  size_t bytes = 0;
  for (const Tensor* t : tensors) bytes += *t ? t->bytes() : 0;
  return bytes;
}

}  // namespace tessera::autograd
