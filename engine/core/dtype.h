#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/bfloat16.h"
#include "engine/core/error.h"

namespace tessera {

/// Element types. f64 is used by gradient checks only.
enum class DType : uint8_t { f32, bf16, f64, i32, i64, u8 };

/// Bytes of one element.
[[nodiscard]] constexpr size_t size_of(DType t) {
  switch (t) {
    case DType::f32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::f64:
      return 8;
    case DType::i32:
      return 4;
    case DType::i64:
      return 8;
    case DType::u8:
      return 1;
  }
  return 0;
}

[[nodiscard]] constexpr std::string_view name_of(DType t) {
  constexpr std::string_view kNames[] = {"f32", "bf16", "f64", "i32", "i64", "u8"};
  return kNames[static_cast<size_t>(t)];
}

[[nodiscard]] constexpr bool is_floating(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f64; }

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};

/// The DType of a C++ element type.
template <class T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;

}  // namespace tessera
