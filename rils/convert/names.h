#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/parameter_store.h"

namespace tessera::rils {

/// Whose names tensors carry.
enum class Names : uint8_t {
  timm,            // an encoder, with a classifier's head where there is one
  mae,             // the same with the decoder
  open_clip,       // open_clip's own image encoder, and the text tower
  open_clip_timm,  // open_clip with timm's image encoder (`visual.trunk.*`)
};

/// How a tensor of ours stands in one of theirs.
enum class Form : uint8_t {
  same,        // in the same shape
  token,       // likewise; open_clip has it without its leading extents of 1
  transposed,  // two extents exchanged
  query_bias,  // the first third of the fused bias [3D]
  value_bias,  // its last third
};

struct Link {
  std::string name;  // theirs
  Form form = Form::same;
};

/// Where they keep a tensor of ours; nothing where they have no place for it.
[[nodiscard]] std::optional<Link> link_of(const std::string& ours, Names names);

/// Fills every entry of a store from tensors that carry their names. Buffers stay the model's own. Throws IoError in
/// one line that names the first tensor that is absent or of another shape, and where the file has a tensor that the
/// store does not know, other than a classifier's head; returns those.
std::vector<std::string> read_tensors(const nn::SafetensorsFile& file, Names names, nn::ParameterStore& store);

/// Entries and buffers of a store under their names. `left_out` gets those that they have no place for.
[[nodiscard]] std::vector<nn::NamedTensor> write_tensors(const nn::ParameterStore& store, Names names,
                                                         std::vector<std::string>& left_out);

}  // namespace tessera::rils
