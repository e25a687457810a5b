#include "engine/cuda/dnn.h"

#include "engine/core/error.h"
#include "engine/cuda/dnn/plan.h"
#include "engine/cuda/stream.h"
#include "engine/cuda/workspace.h"
#include "engine/ops/kernels.h"

namespace tessera::cuda {
namespace {

View vector_of(float* data, int64_t n) {
  return {.pointer = data, .dtype = DType::f32, .rank = 1, .shape = {n}, .strides = {1}};
}

}  // namespace

struct Dnn::State {
  dnn::Handle handle;
  dnn::Planner planner{handle.device()};
};

Dnn::Dnn() = default;
Dnn::~Dnn() = default;

std::string Dnn::unavailable() { return dnn::unavailable(); }

bool Dnn::takes(const Product& product) { return dnn::request_of(product).has_value(); }

bool Dnn::compute(Context& context, const Product& product) {
  const std::optional<dnn::Request> request = dnn::request_of(product);
  if (!request) return false;
  if (!state_) state_ = std::make_unique<State>();
  const dnn::Plan* plan = state_->planner.plan_of(*request, product.m);
  if (plan == nullptr) return false;

  // The library stores sums over columns. Where they are to be added, they go through scratch memory.
  const bool added = request->column_sums && product.sum_mode == GradMode::accumulate;
  const Scratch sums(context, added ? static_cast<size_t>(product.n) * sizeof(float) : 0);
  dnn::Pointers pointers = dnn::pointers_of(product);
  if (added) pointers[static_cast<size_t>(dnn::Operand::column_sums)] = sums.as<void>();
  const Workspace workspace(context, plan->workspace);
  cudaStream_t stream = stream_of(context);
  try {
    state_->handle.execute(*plan->descriptor, dnn::bind(pointers, workspace.get()), stream);
  } catch (const LibraryError& error) {
    throw LibraryError(std::string(error.what()) + ", for a product of " + dnn::describe(*request, product.m));
  }
  launched("cudnnBackendExecute", stream);
  if (added) {
    context.kernels().pointwise.axpby(
        context, {.x = vector_of(sums.as<float>(), product.n), .y = product.column_sums, .alpha = 1, .beta = 1});
  }
  return true;
}

}  // namespace tessera::cuda
