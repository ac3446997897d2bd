// A step of equal size in every entry, along the signs of a gradient, that ends inside of a region.
#pragma once

#include <stdint.h>

namespace advcore {

// out = clip(x + sizes[item] sign(ascent), lower, upper); with `previous`, out = clip(x + momentum (that - x) +
// (1 - momentum) (x - previous), lower, upper). The limits are those of slots[item]. An item is a sample.
template <class T>
struct SignedStepArgs {
    const T *x, *previous, *ascent;  // [samples][size]; previous may be null
    const T* sizes;                  // [samples]
    const T *lower, *upper;          // [any][size]
    const int64_t* slots;            // [samples]
    T* out;
    int64_t size;
    T momentum;
};

}  // namespace advcore
