#include "engine/cuda/dnn/plan.h"

#include <cudnn.h>

#include <algorithm>

#include "engine/core/error.h"

namespace tessera::cuda::dnn {
namespace {

/// Engines are chosen for this many rows, whatever there are: a large batch, and whole tiles.
constexpr int64_t kPlannedRows = 49152;
/// More proposals and settings than the library has.
constexpr int64_t kMost = 64;
constexpr size_t kWorkspaceLimit = size_t{64} << 20;
constexpr size_t kMaxPlans = 4096;

std::unique_ptr<Graph> graph_of(const Request& request, int64_t rows) {
  auto graph = std::make_unique<Graph>();
  build(request, rows, *graph);
  return graph;
}

Request without_shape(Request r) {
  r.n = r.k = r.x_stride = r.w_stride = 0;
  for (Place* place : {&r.pre, &r.residual, &r.y}) place->row_stride = *place ? 1 : 0;
  return r;
}

/// A kernel that sums in any order is never used.
bool sums_in_order(const Descriptor& engine) {
  const std::vector<int> notes = engine.choices(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, kMost);
  return std::ranges::find(notes, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == notes.end();
}

}  // namespace

std::string Planner::Recipe::text() const {
  std::string text = "engine " + std::to_string(engine);
  for (const auto& [type, value] : settings) text += ", " + std::to_string(type) + " = " + std::to_string(value);
  return text;
}

std::vector<Planner::Recipe> Planner::recipes_of(const Graph& graph) const {
  Descriptor search(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  search.set_descriptor(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.whole());
  search.set_choice(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
  search.set_descriptor(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device_);
  std::vector<Recipe> recipes;
  if (!search.try_finalize()) return recipes;
  for (const Descriptor& config :
       search.descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kMost)) {
    const auto engines = config.descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    if (engines.empty() || !sums_in_order(engines.front())) continue;
    Recipe& recipe = recipes.emplace_back();
    recipe.engine = engines.front().number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    for (const Descriptor& knob :
         config.descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, kMost)) {
      recipe.settings.emplace_back(knob.choice(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE),
                                   knob.number(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
    }
  }
  return recipes;
}

/// Makes the recipe's engine for the plan's graph, with its settings, as the last of the plan's parts.
bool Planner::configure(const Recipe& recipe, const Descriptor& device, Plan& plan) {
  plan.parts.clear();
  Descriptor& engine = plan.parts.emplace_back(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set_descriptor(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, plan.graph->whole());
  engine.set_descriptor(CUDNN_ATTR_ENGINE_DEVICEPROP, device);
  engine.set_number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, recipe.engine);
  if (!engine.try_finalize()) return false;
  std::vector<void*> knobs;
  for (const auto& [type, value] : recipe.settings) {
    Descriptor& knob = plan.parts.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    knob.set_choice(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, type);
    knob.set_number(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value);
    knob.finalize();
    knobs.push_back(knob.raw());
  }
  Descriptor& config = plan.parts.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config.set_descriptor(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!knobs.empty()) {
    config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(knobs.size()),
               knobs.data());
  }
  return config.try_finalize();
}

const Planner::Kernels& Planner::kernels_of(const Request& request) {
  const Request key = without_shape(request);
  const auto found = kernels_.find(key);
  if (found != kernels_.end()) return found->second;
  Kernels kernels{.graph = graph_of(request, kPlannedRows), .cache = Descriptor(CUDNN_BACKEND_KERNEL_CACHE_DESCRIPTOR)};
  kernels.cache.set_descriptor(CUDNN_ATTR_KERNEL_CACHE_OPERATION_GRAPH, kernels.graph->whole());
  kernels.cache.finalize();
  return kernels_.emplace(key, std::move(kernels)).first->second;
}

Planner::Family Planner::make_family(const Request& request) {
  Family family;
  family.recipes = recipes_of(*graph_of(request, kPlannedRows));
  if (!request.column_sums) family.kernels = &kernels_of(request);
  return family;
}

Plan Planner::make_plan(const Request& request, int64_t rows, const Family& family) const {
  Plan plan;
  plan.graph = graph_of(request, rows);
  for (const Recipe& recipe : family.recipes) {
    if (!configure(recipe, device_, plan)) continue;
    plan.descriptor.emplace(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.descriptor->set_descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, plan.parts.back());
    plan.descriptor->set_descriptor(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device_);
    if (family.kernels != nullptr) {
      plan.descriptor->set_descriptor(CUDNN_ATTR_EXECUTION_PLAN_KERNEL_CACHE, family.kernels->cache);
    }
    if (plan.descriptor->try_finalize()) {
      plan.workspace = static_cast<size_t>(plan.descriptor->number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
      plan.kernel = recipe.text();
      if (plan.workspace <= kWorkspaceLimit) return plan;
    }
    plan.descriptor.reset();
  }
  return plan;
}

const Plan* Planner::plan_of(const Request& request, int64_t rows) try {
  if (plans_ == kMaxPlans) {  // a plan that is made again is the same
    families_.clear();
    plans_ = 0;
  }
  auto family = families_.find(request);
  if (family == families_.end()) family = families_.emplace(request, make_family(request)).first;
  auto& plans = family->second.plans;
  auto plan = plans.find(rows);
  if (plan == plans.end()) {
    plan = plans.emplace(rows, make_plan(request, rows, family->second)).first;
    ++plans_;
  }
  return plan->second.descriptor ? &plan->second : nullptr;
} catch (const LibraryError& error) {
  throw LibraryError(std::string(error.what()) + ", for a product of " + describe(request, rows));
}

Descriptor bind(const Pointers& pointers, void* workspace) {
  std::vector<int64_t> ids;
  std::vector<void*> addresses;
  for (size_t i = 0; i < pointers.size(); ++i) {
    if (pointers[i] == nullptr) continue;
    ids.push_back(static_cast<int64_t>(i));
    addresses.push_back(pointers[i]);
  }
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set_numbers(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, static_cast<int64_t>(addresses.size()),
           addresses.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.finalize();
  return pack;
}

}  // namespace tessera::cuda::dnn
