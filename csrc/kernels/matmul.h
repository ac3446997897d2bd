// C[batch, rows, cols] = A[batch, rows, depth] B[batch, depth, cols], with any strides for A and B.
#pragma once

#include <stdint.h>

#include "activation.h"

namespace advcore {

// An item is one tile of C: `row_tiles` x `col_tiles` of them in each matrix of the batch, rows fastest.
template <class T>
struct MatmulArgs {
    const T *a, *b;
    T* c;
    const T* bias;  // one a column, or null
    int64_t batch, rows, cols, depth;
    int64_t a_batch, a_row, a_depth;
    int64_t b_batch, b_depth, b_col;
    int64_t row_tiles, rows_per_tile, col_tiles, cols_per_tile;
    bool accumulate;
    Activation activation;
};

}  // namespace advcore
