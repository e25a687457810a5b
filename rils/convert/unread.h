#pragma once

#include <filesystem>

#include "nn/io/safetensors.h"

namespace tessera::rils {

// Weights that are known and not read. Each is refused by an IoError that says what it is and what to do.

/// Refuses a file of torch.save, whatever its ending: a ZIP archive with a pickle in it, a program of TorchScript, or a
/// pickle alone. The error has a shell command that converts it; a pickle's own functions are not run. It finds the
/// tensors behind the keys of MAE, DINO, SLIP, timm, open_clip and Lightning, averaged weights first as timm takes
/// them, and drops `module.`, `model.`, `backbone.`, `encoder.` and `_orig_mod.` before names.
void refuse_pickle(const std::filesystem::path& path);

/// Refuses weights that are spread over several files: one of the parts, or the list of them.
void refuse_parts(const std::filesystem::path& path);

/// Refuses models that are not represented here by the names of their tensors: those of Hugging Face, with register
/// tokens, layer scale or a text tower of their own, and names behind a prefix.
void refuse_known(const nn::SafetensorsFile& file);

}  // namespace tessera::rils
