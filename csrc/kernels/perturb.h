// Samples with one coordinate moved: what a model is asked for differences along coordinates.
#pragma once

#include <stdint.h>

namespace advcore {

// An item is a row of the batch: the copies of sample 0 first, then those of sample 1. Of a sample's rows, `keep`
// (0 or 1) is the sample itself; then one row a coordinate at upper[coordinate], then one a coordinate at lower.
template <class T>
struct PerturbArgs {
    const T* x;                  // [samples][size]
    const int64_t* coordinates;  // [samples][count]
    const T *upper, *lower;      // [samples][count]: the value that replaces x's
    T* batch;                    // rows [first_row, first_row + items) of all rows, [size] each
    int64_t size, count, keep, first_row;
};

}  // namespace advcore
