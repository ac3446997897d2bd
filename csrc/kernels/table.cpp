#include "kernel_list.h"
#include "vec.h"

namespace advcore::ADVCORE_LEVEL {

#define ADVCORE_ENTRY_F32(name, Args) name<float>,
#define ADVCORE_ENTRY_F64(name, Args) name<double>,

constinit const Table table = {
    vector_bytes, {ADVCORE_KERNELS(ADVCORE_ENTRY_F32)}, {ADVCORE_KERNELS(ADVCORE_ENTRY_F64)}};

}  // namespace advcore::ADVCORE_LEVEL
