#pragma once

#include <filesystem>

#include "engine/core/atomic_file.h"
#include "engine/tensor/tensor.h"

namespace tessera::rils {

/// Writes an f32 tensor as NumPy's .npy (version 1.0, little endian, C order), whole or not at all. Throws IoError.
void write_npy(const std::filesystem::path& path, const Tensor& values);
/// The same into a file that the caller commits.
void write_npy(AtomicFile& file, const Tensor& values);

/// Reads an .npy file of f32 with two dimensions in C order. Throws IoError for any other content.
[[nodiscard]] Tensor read_npy(const std::filesystem::path& path);

}  // namespace tessera::rils
