/* Attention by AMX; see attend_tiles.h. */
#include "engine/kernels/x86/soften_avx512.h"
#include "engine/kernels/x86/tiles_amx.h"

#include "engine/kernels/x86/attend_tiles.h"
#include "engine/kernels/x86/x86.h"

void kx_attend_amx(const kx_attend *call)
{
    attend_by_tiles(call);
}
