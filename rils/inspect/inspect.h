#pragma once

#include <iosfwd>
#include <string>

#include "rils/config/config.h"

namespace tessera::rils {

/// Parameters, multiply-adds and memory of a configuration, part by part.
void inspect_model(const Config& config, std::ostream& out);

/// Names, types, shapes and metadata of a safetensors file; with a second one, what differs.
void inspect_checkpoint(const std::string& path, const std::string& other, std::ostream& out);

struct TokensOptions {
  std::string vocabulary;
  int64_t context_length = 77;
  std::string truncation = "keep-eot";
};
/// Prints the ids of each line of `in`, start and end included and zero-padded, separated by blanks.
void inspect_tokens(const TokensOptions& options, std::istream& in, std::ostream& out);

}  // namespace tessera::rils
