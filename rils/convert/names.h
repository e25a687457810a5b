#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/parameter_store.h"

namespace tessera::rils {

/// The families of tensor names.
enum class Names : uint8_t {
  timm,            // an encoder, with a classifier's head where there is one
  mae,             // the same with the decoder
  open_clip,       // open_clip's own image encoder, and the text tower
  open_clip_timm,  // open_clip with timm's image encoder (`visual.trunk.*`)
  slip,            // CLIP, SLIP and SimCLR of SLIP's program: timm's image encoder as `visual.*`; only read
};

/// How their tensor holds ours.
enum class Form : uint8_t {
  same,        // in the same shape
  token,       // in the same shape, but open_clip drops the leading dimensions of size 1
  transposed,  // as a transposed matrix
  query_bias,  // as the first third of the fused bias [3D]
  value_bias,  // as the last third of the fused bias [3D]
};

struct Link {
  std::string name;  // theirs
  Form form = Form::same;
};

/// The name of their tensor that holds ours, and how. Nothing when they have no place for it.
[[nodiscard]] std::optional<Link> link_of(const std::string& ours, Names names);

/// Fills every entry of a store from a file with their names; buffers are not read. Returns the names of tensors that
/// were left out, such as a classifier's head. Throws IoError with the name of a tensor that is absent, has another
/// shape, or has no place in the store.
std::vector<std::string> read_tensors(const nn::SafetensorsFile& file, Names names, nn::ParameterStore& store);

/// Entries and buffers of a store under their names. `left_out` receives the names for which they have no place.
[[nodiscard]] std::vector<nn::NamedTensor> write_tensors(const nn::ParameterStore& store, Names names,
                                                         std::vector<std::string>& left_out);

}  // namespace tessera::rils
