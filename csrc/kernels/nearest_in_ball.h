// The nearest points of an L2 ball and a box.
#pragma once

#include <stdint.h>

namespace advcore {

// out = the nearest point to x that is at most eps from its origin and between the limits. An item is a sample.
template <class T>
struct NearestInBallArgs {
    const T* x;              // [samples][size]
    const T* origin;         // [any][size], between the limits
    const T *lower, *upper;  // [any][size], or null: low and high everywhere
    const int64_t* slots;    // [samples]: whose origin and limits a sample has
    T* out;                  // [samples][size]
    int64_t size;
    T low, high;
    double eps;
};

}  // namespace advcore
