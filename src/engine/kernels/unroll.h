/* KX_UNROLL before a loop over registers: its trip count is a constant once the function is inlined, and the
 * loop must go entirely, or the compiler keeps the array of registers in memory (gcc 12 did, at half the
 * speed). */
#pragma once

#if defined(__clang__)
#define KX_UNROLL _Pragma("clang loop unroll(full)")
#else
#define KX_UNROLL _Pragma("GCC unroll 16")
#endif
