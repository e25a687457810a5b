#pragma once

#include <iosfwd>
#include <string>

#include "rils/convert/weights.h"

namespace tessera::rils {

struct ConvertOptions {
  std::string in;              // a safetensors file, or a folder as the hubs have it
  std::string out;             // must not be there
  std::string to = "tessera";  // or "timm", "mae", "open_clip"
  WeightsOptions weights;
};

/// Reads weights of others or of ours and writes them whole or not at all, and says what they are and what was left
/// out: "tessera": a checkpoint that finetune, evaluate, query and inspect take; "timm": the encoder, or a fine-tuned
/// classifier, as a file (a name in .safetensors) or as a folder for timm's `local-dir:`; "mae": a file with the pixel
/// decoder; "open_clip": a folder for open_clip's `local-dir:`. Throws IoError and ConfigError.
void convert_weights(const ConvertOptions& options, std::ostream& out);

}  // namespace tessera::rils
