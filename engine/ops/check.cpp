#include "engine/ops/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace tessera::check {

Context& device(const char* op, std::initializer_list<Operand> operands, std::initializer_list<Operand> optional) {
  const Device expected = operands.size() == 0 ? Device::cpu() : operands.begin()->tensor.device();
  const auto compare = [&](const Operand& operand) {
    if (!operand.tensor || operand.tensor.device() == expected) return;
    throw DeviceError(fmt::format("{}: {} is on {}, expected {}", op, operand.name, to_string(operand.tensor.device()),
                                  to_string(expected)));
  };
  for (const auto& operand : operands) {
    if (!operand.tensor) throw ShapeError(fmt::format("{}: {} is absent", op, operand.name));
    compare(operand);
  }
  for (const auto& operand : optional) compare(operand);
  return context(expected);
}

void shape(const char* op, Operand operand, const Shape& expected, const char* why) {
  const Shape& found = operand.tensor.shape();
  bool fits = found.rank() == expected.rank();
  for (int d = 0; fits && d < found.rank(); ++d) fits = expected[d] == -1 || expected[d] == found[d];
  if (fits) return;
  std::string text = "[";
  for (int d = 0; d < expected.rank(); ++d) {
    text += d > 0 ? "," : "";
    text += expected[d] == -1 ? std::string("*") : std::to_string(expected[d]);
  }
  throw ShapeError(
      fmt::format("{}: {} has shape {}, expected {}] ({})", op, operand.name, to_string(found), text, why));
}

void rank(const char* op, Operand operand, int expected) {
  if (operand.tensor.rank() != expected) {
    throw ShapeError(fmt::format("{}: {} has shape {}, expected rank {}", op, operand.name,
                                 to_string(operand.tensor.shape()), expected));
  }
}

void dtype(const char* op, Operand operand, std::initializer_list<DType> allowed) {
  if (std::ranges::find(allowed, operand.tensor.dtype()) != allowed.end()) return;
  std::string names;
  for (const DType t : allowed) names += fmt::format("{}{}", names.empty() ? "" : " or ", name_of(t));
  throw DTypeError(fmt::format("{}: {} is {}, expected {}", op, operand.name, name_of(operand.tensor.dtype()), names));
}

void contiguous(const char* op, std::initializer_list<Operand> operands) {
  for (const auto& operand : operands) {
    if (operand.tensor && !operand.tensor.is_contiguous()) {
      throw ShapeError(fmt::format("{}: {} is not contiguous (call contiguous())", op, operand.name));
    }
  }
}

void dense_rows(const char* op, std::initializer_list<Operand> operands) {
  for (const auto& operand : operands) {
    const Tensor& t = operand.tensor;
    if (t && t.rank() > 0 && t.size(-1) > 1 && t.stride(-1) != 1) {
      throw ShapeError(fmt::format("{}: {} has strided elements within a row (call contiguous())", op, operand.name));
    }
  }
}

void segments(const char* op, const char* name, const SegmentTable& table, int64_t rows) {
  if (table.rows() != rows) {
    throw ShapeError(fmt::format("{}: {} cover {} rows, expected {}", op, name, table.rows(), rows));
  }
}

}  // namespace tessera::check
