#pragma once

// Short vectors and dimensions, with the sizes and alignments of CUDA.

#define TESSERA_VECTOR2(T, name, alignment) \
  struct alignas(alignment) name {          \
    T x, y;                                 \
  };                                        \
  constexpr name make_##name(T x, T y) { return {x, y}; }
#define TESSERA_VECTOR3(T, name) \
  struct name {                  \
    T x, y, z;                   \
  };                             \
  constexpr name make_##name(T x, T y, T z) { return {x, y, z}; }
#define TESSERA_VECTOR4(T, name, alignment) \
  struct alignas(alignment) name {          \
    T x, y, z, w;                           \
  };                                        \
  constexpr name make_##name(T x, T y, T z, T w) { return {x, y, z, w}; }

TESSERA_VECTOR2(unsigned char, uchar2, 2)
TESSERA_VECTOR4(unsigned char, uchar4, 4)
TESSERA_VECTOR2(short, short2, 4)
TESSERA_VECTOR4(short, short4, 8)
TESSERA_VECTOR2(unsigned short, ushort2, 4)
TESSERA_VECTOR4(unsigned short, ushort4, 8)
TESSERA_VECTOR2(int, int2, 8)
TESSERA_VECTOR3(int, int3)
TESSERA_VECTOR4(int, int4, 16)
TESSERA_VECTOR2(unsigned, uint2, 8)
TESSERA_VECTOR3(unsigned, uint3)
TESSERA_VECTOR4(unsigned, uint4, 16)
TESSERA_VECTOR2(long long, longlong2, 16)
TESSERA_VECTOR2(unsigned long long, ulonglong2, 16)
TESSERA_VECTOR2(float, float2, 8)
TESSERA_VECTOR3(float, float3)
TESSERA_VECTOR4(float, float4, 16)
TESSERA_VECTOR2(double, double2, 16)

#undef TESSERA_VECTOR2
#undef TESSERA_VECTOR3
#undef TESSERA_VECTOR4

struct dim3 {
  unsigned x = 1, y = 1, z = 1;

  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
