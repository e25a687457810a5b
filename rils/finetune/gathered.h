#pragma once

#include <string>

#include "rils/eval/result_file.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {

/// Completes a result of fine-tuning or of a probe, and writes it into the folder of the run whose encoder was used, or
/// of this run where there is none (see gather_result). Returns a line that says where, or why it was not written.
[[nodiscard]] std::string gather_for(const Config& config, Result result, const RunFolder& own,
                                     const std::string& command);

}  // namespace tessera::rils
