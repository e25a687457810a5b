#pragma once

#include <iosfwd>
#include <string>

#include "rils/convert/weights.h"

namespace tessera::rils {

struct ConvertOptions {
  std::string in;              // a safetensors file, or a folder with the layout of a model hub
  std::string out;             // must not exist yet
  std::string to = "tessera";  // or "timm", "mae", "open_clip"
  WeightsOptions weights;
};

/// Reads weights of another program or of Tessera, writes them whole or not at all, and prints what they are and what
/// was left out. The formats are
/// "tessera": a checkpoint for finetune, evaluate, query and inspect;
/// "timm": the encoder, or a fine-tuned classifier, as a file (*.safetensors) or as a folder for timm's `local-dir:`;
/// "mae": a file with the pixel decoder;
/// "open_clip": a folder for open_clip's `local-dir:`.
/// Throws IoError and ConfigError.
void convert_weights(const ConvertOptions& options, std::ostream& out);

}  // namespace tessera::rils
