// Closes the region opened by isa_begin.h.
#if defined(TESSERA_ISA_AVX512) || defined(TESSERA_ISA_AVX2)
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
