#pragma once

// The scalar formulas. Each is written once and compiled for double, for SIMD vectors and for a device. V is the value
// type. Argument-dependent lookup finds exp, normal_cdf, sigmoid, abs, min, max, fma and select beside V, and
// V(constant) makes a value. A host file includes this header inside the region of its instruction set, with V = VecF
// or VecD (the last lines of engine/cpu/simd/math.h do so). Nothing here may be instantiated for a type that two
// instruction sets share.

#ifndef TESSERA_HD
#if defined(__CUDACC__)
#define TESSERA_HD __host__ __device__ __forceinline__
#else
#define TESSERA_HD inline __attribute__((always_inline))
#endif
#endif

namespace tessera::functors {

struct Exp {
  template <class V>
  TESSERA_HD static V value(V x) {
    return exp(x);
  }
  template <class V>
  TESSERA_HD static V slope(V x) {
    return exp(x);
  }
};

// `slope(x, f)` gives the slope and puts the value into f, where the two share work.

/// x Φ(x), slope Φ(x) + x φ(x). Φ and φ vanish before |x| = 40 in every type; the bound keeps an infinite x from making
/// inf · 0.
struct GeluErf {
  template <class V>
  TESSERA_HD static V value(V x) {
    V pdf;
    const V cdf = normal_cdf(x, pdf);
    return max(V(-40.0), x) * cdf;
  }
  template <class V>
  TESSERA_HD static V slope(V x) {
    V pdf;
    const V cdf = normal_cdf(x, pdf);
    return fma(min(V(40.0), max(V(-40.0), x)), pdf, cdf);
  }
  template <class V>
  TESSERA_HD static V slope(V x, V& f) {
    V pdf;
    const V cdf = normal_cdf(x, pdf);
    const V bounded = max(V(-40.0), x);
    f = bounded * cdf;
    return fma(min(V(40.0), bounded), pdf, cdf);
  }
};

/// x σ(1.702 x). With t = 1.702 x the slope is σ(t) + t σ(t) σ(−t), taken from the smaller of σ(t) and σ(−t), so that
/// nothing cancels. The bounds, where the smaller has vanished in every type, keep an infinite x from making inf · 0.
struct QuickGelu {
  template <class V>
  TESSERA_HD static V value(V x) {
    const V bounded = max(V(-kBound), x);
    return bounded * sigmoid(V(1.702) * bounded);
  }
  template <class V>
  TESSERA_HD static V slope(V x) {
    const V t = V(1.702) * min(V(kBound), max(V(-kBound), x));
    const V small = sigmoid(-abs(t));
    const V large = V(1.0) - small;
    return fma(t, small * large, select(t < V(0.0), small, large));
  }
  template <class V>
  TESSERA_HD static V slope(V x, V& f) {
    f = value(x);
    return slope(x);
  }
  static constexpr double kBound = 420.0;
};

/// max(x, 0); NaN stays. The slope at 0 is 0, at NaN 1.
struct Relu {
  template <class V>
  TESSERA_HD static V value(V x) {
    return max(V(0.0), x);
  }
  template <class V>
  TESSERA_HD static V slope(V x) {
    return select(x <= V(0.0), V(0.0), V(1.0));
  }
};

struct Add {
  template <class V>
  TESSERA_HD static V value(V a, V b) {
    return a + b;
  }
};
struct Sub {
  template <class V>
  TESSERA_HD static V value(V a, V b) {
    return a - b;
  }
};
struct Mul {
  template <class V>
  TESSERA_HD static V value(V a, V b) {
    return a * b;
  }
};

}  // namespace tessera::functors
