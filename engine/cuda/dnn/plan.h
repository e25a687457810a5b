#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "engine/cuda/dnn/graph.h"

namespace tessera::cuda::dnn {

/// A request for one number of rows, ready to run.
struct Plan {
  std::unique_ptr<Graph> graph;  // what the plan refers to, as are its parts
  std::deque<Descriptor> parts;
  std::optional<Descriptor> descriptor;
  size_t workspace = 0;
  std::string kernel;  // the engine and its settings, in the library's numbers
};

/// The plans of one device. What is chosen depends on the request alone, so a row's result does not depend on the
/// number of rows.
class Planner {
 public:
  explicit Planner(Descriptor device) : device_(std::move(device)) {}

  /// Null where the library has no plan. Throws LibraryError.
  [[nodiscard]] const Plan* plan_of(const Request& request, int64_t rows);
  /// How many plans are kept.
  [[nodiscard]] size_t size() const { return plans_; }

 private:
  /// A kernel of the library, by its engine and that engine's settings.
  struct Recipe {
    int64_t engine = 0;
    std::vector<std::pair<int, int64_t>> settings;

    [[nodiscard]] std::string text() const;
  };
  /// Compiled kernels that serve every shape of a graph.
  struct Kernels {
    std::unique_ptr<Graph> graph;
    Descriptor cache;
  };
  /// What the plans of a request have in common.
  struct Family {
    std::vector<Recipe> recipes;  // the best first
    const Kernels* kernels = nullptr;
    std::map<int64_t, Plan> plans;
  };

  Family make_family(const Request& request);
  const Kernels& kernels_of(const Request& request);
  Plan make_plan(const Request& request, int64_t rows, const Family& family) const;
  [[nodiscard]] std::vector<Recipe> recipes_of(const Graph& graph) const;
  [[nodiscard]] static bool configure(const Recipe& recipe, const Descriptor& device, Plan& plan);

  Descriptor device_;
  std::map<Request, Kernels> kernels_;  // by what is left without shapes
  std::map<Request, Family> families_;
  size_t plans_ = 0;
};

/// The addresses of a plan's operands, and its workspace, as one object for the library.
[[nodiscard]] Descriptor bind(const Pointers& pointers, void* workspace);

}  // namespace tessera::cuda::dnn
