#include "engine/cpu/tables.h"

#include <fmt/format.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

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

#if defined(__x86_64__) && !defined(TESSERA_PORTABLE_ONLY)

#define TESSERA_BF16_TABLE(base, isa)              \
  [](KernelTable table) {                          \
    table.name = #isa;                             \
    table.linear = cpu::isa::kLinearKernels;       \
    table.matmul = cpu::isa::kMatmulKernels;       \
    table.attention = cpu::isa::kAttentionKernels; \
    return table;                                  \
  }(base)

/// Whether the processor has products of bf16 pairs, as instructions on vectors and as AMX.
struct Bf16Instructions {
  bool vectors = false, tiles = false;

  Bf16Instructions() {
    constexpr unsigned kVectorsBit = 5, kTilesBf16Bit = 22, kTilesBit = 24;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return;
    tiles = (d >> kTilesBf16Bit & d >> kTilesBit & 1) != 0;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) vectors = (a >> kVectorsBit & 1) != 0;
  }
};

/// Asks Linux for the tile registers, which a process may use only after that.
bool tiles_are_permitted() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0) return true;
  fmt::print(stderr, "AMX is not used: the system refuses its registers ({}); bf16 is computed without it\n",
             std::strerror(errno));
#endif
  return false;
}

/// From the slowest to the fastest. On Intel, products of pairs on vectors are half as fast as those of f32.
void add_wide_tables(std::vector<const KernelTable*>& tables) {
  static const KernelTable avx512 = TESSERA_KERNEL_TABLE(avx512);
  static const KernelTable avx512_bf16 = TESSERA_BF16_TABLE(avx512, avx512_bf16);
  static const KernelTable amx = TESSERA_BF16_TABLE(avx512, amx);
  const Bf16Instructions has;
  const bool fast = __builtin_cpu_is("amd") != 0;
  if (has.vectors && !fast) tables.push_back(&avx512_bf16);
  tables.push_back(&avx512);
  if (has.vectors && fast) tables.push_back(&avx512_bf16);
  if (has.tiles && tiles_are_permitted()) tables.push_back(&amx);
}
#undef TESSERA_BF16_TABLE

#endif

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
      add_wide_tables(tables);
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
