// A step of the FAB attack: towards a plane from where a sample is and from where it began, and between the two.
#pragma once

#include <stdint.h>

namespace advcore {

enum class StepNorm : int32_t { linf, l2, l1 };

// With h(z) = gap + <normal, z - x>: out = (1 - share) (x + eta step) + share (origin + eta pull), kept in the box,
// where step and pull are the shortest ways from x and from origin to the plane h = 0 inside the box (or as near to it
// as the box lets them), and share = |step| / (|step| + |pull|), at most most_share. An item is a sample.
template <class T>
struct FabMoveArgs {
    const T *x, *origin, *normal;  // [samples][size]
    const T* gap;                  // [samples]
    T* out;                        // [samples][size]
    int64_t size;
    T low, high;
    double eta, most_share;
    StepNorm norm;
};

}  // namespace advcore
