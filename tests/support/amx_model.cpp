#include "tests/support/amx_model.h"

#include <cstdlib>
#include <string>

#include "engine/cpu/tables.h"
#include "engine/runtime/context.h"

TESSERA_DECLARE_BF16_ISA(amx_model)

namespace tessera::test {

const KernelTable& amx_model() {
  static const KernelTable table = [] {
    KernelTable t = cpu_kernel_table("portable");
    t.name = "amx_model";
    t.linear = cpu::amx_model::kLinearKernels;
    t.matmul = cpu::amx_model::kMatmulKernels;
    t.attention = cpu::amx_model::kAttentionKernels;
    return t;
  }();
  return table;
}

std::vector<const KernelTable*> tables_under_test() {
  auto tables = cpu_kernel_tables();
  tables.push_back(&amx_model());
  if (const char* wanted = std::getenv("TESSERA_TEST_TABLES")) {
    const std::string names = std::string(",") + wanted + ",";
    std::erase_if(tables, [&](const KernelTable* t) {
      return names.find("," + std::string(t->name) + ",") == std::string::npos;
    });
  }
  return tables;
}

}  // namespace tessera::test
