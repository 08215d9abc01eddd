/* Forced into every C++ file of llama.cpp's build with -include.
 *
 * GCC before 14 declares _tile_loadconfig with an 8-byte memory operand although the instruction reads 64 bytes
 * (amxtileintrin.h), so the optimiser drops the stores to the other 56 and the CPU faults on garbage: SIGSEGV or
 * SIGILL at the first decode on Intel servers since Sapphire Rapids (llama.cpp #20824). This definition names all 64. */
#pragma once
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__AMX_TILE__)
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg\t%0" ::"m"(*(const char(*)[64])(config)))
#endif
