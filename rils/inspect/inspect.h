#pragma once

#include <iosfwd>
#include <string>

#include "rils/config/config.h"

namespace tessera::rils {

/// Prints parameters, multiply-adds and memory of a configuration, part by part.
void inspect_model(const Config& config, std::ostream& out);

/// Prints names, types, shapes and metadata of a safetensors file. With a second file (`other` is not empty) it prints
/// the tensors that differ.
void inspect_checkpoint(const std::string& path, const std::string& other, std::ostream& out);

struct TokensOptions {
  std::string vocabulary;
  int64_t context_length = 77;
  std::string truncation = "keep-eot";
};
/// Prints the token ids of each line of `in`, separated by blanks, with SOT and EOT and padded with zeros.
void inspect_tokens(const TokensOptions& options, std::istream& in, std::ostream& out);

}  // namespace tessera::rils
