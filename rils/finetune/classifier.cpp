#include "rils/finetune/classifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "autograd/ops/pointwise.h"
#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "engine/ops/copy.h"
#include "rils/model/positions.h"

namespace tessera::rils {
namespace {

constexpr double kHeadStd = 2e-5;  // MAE truncates at ±2, which is 100,000 std away
constexpr const char* kPositions = "visual.pos_embed";

/// Weights of the four nearest cells in PyTorch's bicubic interpolation, for a place at fraction t between the middle
/// two.
std::array<double, 4> cubic_weights(double t) {
  constexpr double a = -0.75;
  const auto near = [](double x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
  const auto far = [](double x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
  return {far(t + 1), near(t), near(1 - t), far(2 - t)};
}

int64_t layer_of(std::string_view name, int64_t layers) {
  constexpr std::string_view kBlocks = "visual.blocks.";
  if (name.starts_with(kBlocks)) {
    int64_t block = 0;
    (void)std::from_chars(name.data() + kBlocks.size(), name.data() + name.size(), block);
    return block + 1;
  }
  const bool first = name == "visual.cls_token" || name == kPositions || name.starts_with("visual.patch_embed") ||
                     name.starts_with("visual.norm_pre");
  return first ? 0 : layers + 1;
}

}  // namespace

Classifier::Classifier(const VisionConfig& vision, Pool pool, int64_t classes, nn::Seed seed, DType dtype,
                       Device device)
    : classes_(classes), store_(std::make_unique<ParameterStore>(device)) {
  const bool mean = pool == Pool::mean;
  tower_.emplace(*store_, pooled_by(vision, pool), dtype, VisionTraits{.trained_positions = true, .final_norm = !mean});
  if (mean) norm_.emplace(*store_, "fc_norm", vision.width, norm_eps(vision));
  head_ = nn::Linear(*store_, "head", vision.width, classes, nn::normal(kHeadStd), nn::zeros());
  store_->allocate(dtype);
  store_->initialise(seed);
  const nn::Entry& positions = *store_->find(kPositions);
  copy_into(position_table(grid_of(vision), vision.width, dtype), positions.value());
  store_->mark_written();
}

Var Classifier::logits(const Tensor& images, const PassOptions& options) const {
  const Var pooled = tower_->features(images, options);
  const DType compute = options.precision.compute;
  autograd::LinearInputs out;
  out.out_dtype = options.precision.param;
  return head_(norm_ ? (*norm_)(pooled, compute) : autograd::cast(pooled, compute), out);
}

FrozenEncoder::FrozenEncoder(const VisionConfig& vision, Pool pool, nn::Seed seed, Device device)
    : store_(std::make_unique<ParameterStore>(device)) {
  tower_.emplace(*store_, pooled_by(vision, pool), DType::f32);
  store_->allocate(DType::f32);
  store_->initialise(seed);
}

VisionConfig pooled_by(VisionConfig vision, Pool pool) {
  vision.pool = pool;
  return vision;
}

void load_encoder(const nn::SafetensorsFile& file, ParameterStore& store) {
  const auto load_positions = [&](const Tensor& to) {
    if (!file.contains(kPositions)) return;
    const Tensor found = cast(file.load(kPositions), DType::f32);
    if (found.rank() != 3 || found.size(2) != to.size(2)) {
      throw IoError(fmt::format("{}: {}: expected the shape {}, found {}", file.path().string(), kPositions,
                                to_string(to.shape()), to_string(found.shape())));
    }
    if (found.shape() == to.shape()) {
      copy_into(found, to);
    } else if (is_sine_cosine(found)) {
      copy_into(position_table(grid_of(to), to.size(2), to.dtype()), to);
    } else {
      copy_into(resize_positions(found, grid_of(to)), to);
    }
  };
  const auto load_entry = [&](const std::string& name, const nn::Entry& to) {
    const auto found = file.tensors().find(name);
    if (found == file.tensors().end() || found->second.shape != to.shape) {
      throw IoError(fmt::format("{}: {}: expected the shape {}, found {}", file.path().string(), name,
                                to_string(to.shape),
                                found == file.tensors().end() ? "none" : to_string(found->second.shape)));
    }
    copy_into(file.load(name), to.value());
  };
  for (const nn::Entry& entry : store.entries()) {
    if (!entry.name.starts_with("visual.")) continue;
    if (entry.name == kPositions && file.contains(kPositions)) {
      load_positions(entry.value());
    } else {
      load_entry(entry.name, entry);
    }
  }
  for (const nn::Buffer& buffer : store.buffers()) {
    if (buffer.name == kPositions) load_positions(buffer.tensor);
  }
  for (const char* part : {"weight", "bias"}) {
    const nn::Entry* norm = store.find(std::string("fc_norm.") + part);
    const std::string theirs = std::string("visual.fc_norm.") + part;
    if (norm != nullptr && file.contains(theirs)) load_entry(theirs, *norm);
  }
  store.mark_written();
}

Tensor resize_positions(const Tensor& table, const Grid& grid) {
  const Grid from = grid_of(table);
  const int64_t width = table.size(2);
  Tensor result = Tensor::empty({1, 1 + grid.patches(), width});
  copy_into(table.slice(1, 0, 1), result.slice(1, 0, 1));
  const float* in = table.data<float>().data() + width;
  float* out = result.data<float>().data() + width;
  struct Taps {
    std::array<int64_t, 4> cell;
    std::array<double, 4> weight;
  };
  const auto taps = [](int64_t to, int64_t cells, int64_t wanted) {
    const double place =
        (static_cast<double>(to) + 0.5) * static_cast<double>(cells) / static_cast<double>(wanted) - 0.5;
    const auto first = static_cast<int64_t>(std::floor(place));
    Taps t{{}, cubic_weights(place - std::floor(place))};
    for (int64_t k = 0; k < 4; ++k) t.cell[static_cast<size_t>(k)] = std::clamp<int64_t>(first - 1 + k, 0, cells - 1);
    return t;
  };
  for (int64_t y = 0; y < grid.rows; ++y) {
    const Taps rows = taps(y, from.rows, grid.rows);
    for (int64_t x = 0; x < grid.columns; ++x) {
      const Taps columns = taps(x, from.columns, grid.columns);
      for (int64_t d = 0; d < width; ++d) {
        double sum = 0;
        for (size_t i = 0; i < 4; ++i) {
          double row = 0;
          for (size_t j = 0; j < 4; ++j) {
            row += columns.weight[j] *
                   static_cast<double>(in[(rows.cell[i] * from.columns + columns.cell[j]) * width + d]);
          }
          sum += rows.weight[i] * row;
        }
        *out++ = static_cast<float>(sum);
      }
    }
  }
  return result;
}

nn::GroupRule layer_decay(int64_t layers, double decay, double weight_decay) {
  return [=](const nn::Entry& entry) {
    const bool exempt = entry.shape.rank() < 2 || entry.name == "visual.cls_token" || entry.name == kPositions;
    const int64_t above = layers + 1 - layer_of(entry.name, layers);
    return nn::Group{std::pow(decay, static_cast<double>(above)), exempt ? 0.0 : weight_decay, false};
  };
}

std::vector<nn::BranchScales> drop_path_scales(double rate, int64_t layers, uint64_t seed, int64_t step, int64_t first,
                                               int64_t rows, Device device) {
  if (rate == 0.0) return {};
  const Philox random(seed, "drop path");
  std::vector<float> factors;  // of all blocks but the first: one copy to a device instead of many
  for (int64_t block = 1; block < layers; ++block) {
    const double drop = rate * static_cast<double>(block) / static_cast<double>(layers - 1);
    for (const int64_t branch : {0, 1}) {
      for (int64_t row = first; row < first + rows; ++row) {
        const float u = random.uniform(static_cast<uint64_t>(step), static_cast<uint64_t>(row),
                                       static_cast<uint64_t>(2 * block + branch));
        factors.push_back(static_cast<double>(u) < drop ? 0.0f : static_cast<float>(1.0 / (1.0 - drop)));
      }
    }
  }
  const Tensor all = Tensor::from(factors, {2 * (layers - 1), rows}, device);
  const auto row = [&](int64_t i) { return all.slice(0, i, 1).reshape({rows}); };
  std::vector<nn::BranchScales> scales(static_cast<size_t>(layers));
  for (int64_t block = 1; block < layers; ++block) {
    scales[static_cast<size_t>(block)] = {row(2 * block - 2), row(2 * block - 1)};
  }
  return scales;
}

}  // namespace tessera::rils
