// Local intrinsic dimensionality from the distances of the k nearest neighbours: -(1/k sum log(r_i / r_k))^-1.
#pragma once

#include <stdint.h>

namespace advcore {

// An item is a query.
template <class T>
struct LidArgs {
    const T* distance;  // [queries][k], ascending
    T* lid;
    int64_t k;
};

}  // namespace advcore
