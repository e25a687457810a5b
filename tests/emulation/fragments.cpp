#include "tests/emulation/fragments.h"

#include <bit>

#include "tests/emulation/emulator.h"

namespace tessera::emulation {

namespace {

constexpr int kLanes = 32;
constexpr int kRows = 16, kColumns = 8, kSteps = 16;

/// A row of the result. Two vectors of SSE, or one of AVX.
using Columns = float __attribute__((vector_size(kColumns * sizeof(float))));

float low(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

struct Matrices {
  alignas(64) float left[kRows][kSteps];
  alignas(64) float right[kSteps][kColumns];
  alignas(64) float sums[kRows][kColumns];
};

}  // namespace

void multiply(unsigned, void* const* operands) {
  Matrices m;
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto& p = *static_cast<const Product*>(operands[lane]);
    const int group = lane / 4;
    const int pair = lane % 4 * 2;
    for (int i = 0; i < 4; ++i) {  // rows group, group + 8, then the same 8 columns on
      float* const to = &m.left[group + i % 2 * 8][pair + i / 2 * 8];
      to[0] = low(p.left[i]);
      to[1] = high(p.left[i]);
    }
    for (int i = 0; i < 2; ++i) {
      m.right[pair + i * 8][group] = low(p.right[i]);
      m.right[pair + i * 8 + 1][group] = high(p.right[i]);
    }
  }
  for (int row = 0; row < kRows; ++row) {
    Columns sum{};
    for (int k = 0; k < kSteps; ++k) sum += m.left[row][k] * *reinterpret_cast<const Columns*>(m.right[k]);
    *reinterpret_cast<Columns*>(m.sums[row]) = sum;
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    float* const sums = static_cast<const Product*>(operands[lane])->sums;
    for (int i = 0; i < 4; ++i) sums[i] += m.sums[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

void load_four(unsigned, void* const* operands) {
  for (int lane = 0; lane < kLanes; ++lane) {
    uint32_t* const result = static_cast<const Row*>(operands[lane])->result;
    for (int j = 0; j < 4; ++j) {
      result[j] = static_cast<const Row*>(operands[j * 8 + lane / 4])->words[lane % 4];
    }
  }
}

namespace {

template <int kMatrices>
void load_transposed(void* const* operands) {
  const auto element = [&](int row, int column) {
    const uint32_t word = static_cast<const Row*>(operands[row])->words[column / 2];
    return column % 2 == 0 ? word & 0xffffu : word >> 16;
  };
  for (int lane = 0; lane < kLanes; ++lane) {
    uint32_t* const result = static_cast<const Row*>(operands[lane])->result;
    for (int j = 0; j < kMatrices; ++j) {
      const int row = j * 8 + lane % 4 * 2;
      result[j] = element(row, lane / 4) | element(row + 1, lane / 4) << 16;
    }
  }
}

}  // namespace

void load_four_transposed(unsigned, void* const* operands) { load_transposed<4>(operands); }
void load_two_transposed(unsigned, void* const* operands) { load_transposed<2>(operands); }

}  // namespace tessera::emulation
