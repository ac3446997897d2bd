// What the machine can do at most: arithmetic from registers, and a stream through memory.
#pragma once

#include <stdint.h>

namespace advcore {

// Independent chains of fused multiply-adds. An item is one run of `steps` steps, whose result is out[item] and which
// takes operations[item] additions and multiplications.
template <class T>
struct FmaLoopArgs {
    T* out;
    int64_t* operations;
    int64_t steps;
};

// out[i] = a[i] + scalar * b[i]. An item is one element.
template <class T>
struct TriadArgs {
    const T *a, *b;
    T* out;
    T scalar;
};

}  // namespace advcore
