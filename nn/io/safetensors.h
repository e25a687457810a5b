#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"

namespace tessera::nn {

/// A tensor and its name in a file.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Reads a safetensors file. Everything in the header is checked before use: a hostile or torn file gives one IoError
/// with the path and what is wrong, never a crash or an unbounded allocation.
class SafetensorsFile {
 public:
  struct Info {
    DType dtype = DType::f32;  // the type that `load` returns
    bool half = false;         // the file has F16, which `load` widens to f32 exactly
    Shape shape;
    size_t begin = 0;  // bytes from the start of the data
    size_t end = 0;
  };

  /// Maps the file and checks its header. Throws IoError.
  explicit SafetensorsFile(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const std::map<std::string, Info>& tensors() const { return tensors_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// The number of elements of all tensors.
  [[nodiscard]] int64_t elements() const;
  [[nodiscard]] bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// Returns a copy of a tensor. Throws IoError with the path when the file does not have it.
  [[nodiscard]] Tensor load(const std::string& name) const;
  /// The checksum that the file's header states; empty for a file without one.
  [[nodiscard]] std::string stated_checksum() const;
  /// Throws IoError when the content of the file, header and data, is not that of its stated checksum.
  void check_content() const;

 private:
  struct Mapping;
  std::filesystem::path path_;
  std::shared_ptr<const Mapping> mapping_;
  size_t data_offset_ = 0;
  std::map<std::string, Info> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes contiguous tensors of the host in the given order. The file appears whole or not at all. Data begin at a
/// multiple of 64 bytes.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});
/// The same with a checksum over names, types, shapes, metadata and data in the metadata. Returns it. It finds damage,
/// not intent.
std::string write_checked_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                                      std::map<std::string, std::string> metadata);

}  // namespace tessera::nn
