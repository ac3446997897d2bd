// Looks for NaN and infinities.
#pragma once

#include <stdint.h>

namespace advcore {

// An item is a stretch of finite_stretch elements; first[item] is where its first NaN or infinity lies in the whole
// array, or `size` where it has none.
template <class T>
struct FiniteArgs {
    const T* data;
    int64_t* first;
    int64_t size;
};

constexpr int64_t finite_stretch = 1 << 16;

}  // namespace advcore
