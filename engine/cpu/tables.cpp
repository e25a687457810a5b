#include "engine/cpu/tables.h"

#include <fmt/format.h>

#include <cstdlib>

#include "engine/core/error.h"
#include "engine/runtime/context.h"

namespace tessera {
namespace {

#define TESSERA_KERNEL_TABLE(isa)                                                                               \
  {                                                                                                             \
    .name = #isa, .copy = cpu::isa::kCopyKernels, .pointwise = cpu::isa::kPointwiseKernels,                     \
    .reduce = cpu::isa::kReduceKernels, .linear = cpu::isa::kLinearKernels, .matmul = cpu::isa::kMatmulKernels, \
    .norm = cpu::isa::kNormKernels, .attention = cpu::isa::kAttentionKernels, .rows = cpu::isa::kRowKernels,    \
    .patches = cpu::isa::kPatchKernels, .loss = cpu::isa::kLossKernels,                                         \
    .patch_sentence = cpu::isa::kPatchSentenceKernels, .optimizer = cpu::isa::kOptimizerKernels                 \
  }

/// Assembled on first use, because the order in which files are initialised is not defined.
std::vector<const KernelTable*> supported_tables() {
  static const KernelTable portable = TESSERA_KERNEL_TABLE(portable);
  std::vector<const KernelTable*> tables{&portable};
#if defined(__x86_64__) && !defined(TESSERA_PORTABLE_ONLY)
  // These ask the processor and the operating system, which must save the wide registers.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
    static const KernelTable avx2 = TESSERA_KERNEL_TABLE(avx2);
    tables.push_back(&avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      static const KernelTable avx512 = TESSERA_KERNEL_TABLE(avx512);
      tables.push_back(&avx512);
    }
  }
#endif
  return tables;
}
#undef TESSERA_KERNEL_TABLE

const KernelTable& find_table(std::string_view what, std::string_view name) {
  std::string names;
  for (const KernelTable* table : cpu_kernel_tables()) {
    if (table->name == name) return *table;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", table->name);
  }
  throw ConfigError(fmt::format("{}{}: expected one of {} (what this processor can run)", what, name, names));
}

}  // namespace

std::vector<const KernelTable*> cpu_kernel_tables() {
  static const std::vector<const KernelTable*> tables = supported_tables();
  return tables;
}

const KernelTable& cpu_kernel_table(std::string_view name) { return find_table("instruction set ", name); }

const KernelTable& default_cpu_kernel_table() {
  const char* forced = std::getenv("TESSERA_ISA");
  if (forced != nullptr && *forced != '\0') return find_table("TESSERA_ISA=", forced);
  return *cpu_kernel_tables().back();
}

}  // namespace tessera
