#include "nn/parameter_store.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "engine/memory/allocator.h"
#include "engine/ops/copy.h"

namespace tessera::nn {
namespace {

constexpr int64_t kAlignment = 16;  // elements: a cache line of f32, so that parameters never share one

Tensor part_of(const Tensor& whole, int64_t begin, const Shape& shape) {
  return whole.reshape({whole.numel()}).slice(0, begin, shape.numel()).reshape(shape);
}

std::string no_grads(const std::string& of) {
  return fmt::format("parameter store: no memory for the gradient of {} before clear_grads()", of);
}

}  // namespace

Tensor Entry::value() const { return part_of(parameter->value, begin, shape); }
Tensor Entry::grad() const {
  if (!parameter->grad) throw Error(no_grads(name));
  return part_of(parameter->grad, begin, shape);
}

Parameter& ParameterStore::add(const std::string& name, const Shape& shape, Init init) {
  return add_fused(name, shape, {{name, shape, 0, init}});
}

Parameter& ParameterStore::add_fused(const std::string& name, const Shape& shape, const std::vector<Part>& parts) {
  if (values_) throw Error(fmt::format("parameter store: {} added after allocate()", name));
  Parameter& parameter = parameters_.emplace_back();
  parameter.name = name;
  shapes_.push_back(shape);
  for (const Part& part : parts) {
    if (!by_name_.emplace(part.name, entries_.size()).second) {
      throw Error(fmt::format("parameter store: the name {} is taken", part.name));
    }
    entries_.push_back({part.name, part.shape, &parameter, part.begin, 0, part.init});
  }
  return parameter;
}

Buffer& ParameterStore::add_buffer(const std::string& name, Tensor tensor, Buffer::Kind kind) {
  return buffers_.emplace_back(Buffer{name, std::move(tensor), kind});
}

void ParameterStore::allocate(DType dtype) {
  if (values_) throw Error("parameter store: allocate() called twice");
  dtype_ = dtype;
  int64_t total = 0;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    offsets_[&parameters_[i]] = total;
    total += (shapes_[i].numel() + kAlignment - 1) / kAlignment * kAlignment;
  }
  const MemoryTag tag("parameters");
  values_ = Tensor::zeros({total}, dtype, device_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& p = parameters_[i];
    p.value = part_of(values_, offsets_[&p], shapes_[i]);
  }
  for (Entry& entry : entries_) entry.offset = offsets_[entry.parameter] + entry.begin;
}

void ParameterStore::initialise(Seed seed) {
  if (!seed) return;
  for (const Entry& entry : entries_) nn::initialise(entry.value(), entry.init, *seed, "init/" + entry.name);
  mark_written();
}

const Entry* ParameterStore::find(const std::string& name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &entries_[it->second];
}

int64_t ParameterStore::parameter_count() const {
  int64_t count = 0;
  for (const Entry& entry : entries_) count += entry.count();
  return count;
}

const Tensor& ParameterStore::grads() const {
  if (!grads_) throw Error(no_grads("any parameter"));
  return grads_;
}

void ParameterStore::clear_grads() {
  if (!grads_) {
    const MemoryTag tag("gradients");
    grads_ = Tensor::zeros(values_.shape(), dtype_, device_);
    for (Parameter& p : parameters_) p.grad = part_of(grads_, offsets_[&p], p.value.shape());
  }
  for (Parameter& p : parameters_) p.has_grad = false;
}

void ParameterStore::complete_grads() {
  for (Parameter& p : parameters_) {
    if (p.has_grad) continue;
    fill(p.grad, 0.0);
    p.has_grad = true;
  }
}

void ParameterStore::mark_written() {
  for (Parameter& p : parameters_) p.mark_written();
}

void ParameterStore::swap_values(Tensor& other) {
  if (other.shape() != values_.shape() || other.dtype() != dtype_) {
    throw ShapeError(fmt::format("parameter store: swap with {}, expected {}", describe(other), describe(values_)));
  }
  const Tensor kept = clone(values_);
  copy_into(other, values_);
  copy_into(kept, other);
  mark_written();
}

}  // namespace tessera::nn
