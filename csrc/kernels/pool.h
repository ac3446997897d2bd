// Pooling over windows of planes (rows x cols), and its gradients.
//
// Every kernel is separable: a window's rows are combined column by column into a buffered row that has the padding in
// it, then the columns of the buffered row, without any border checks.
#pragma once

#include <stdint.h>

namespace advcore {

// The part of a window that lies inside: `count` indices from `first`, a dilation apart.
struct Window {
    int64_t first, count;
};

// One axis of a pooling. All extents are below 2^31, so that their products do not overflow.
struct PoolAxis {
    int64_t input, output;
    int64_t kernel, stride, padding, dilation;
    const Window* windows;  // one for each element of the result along this axis
};

// The longest row, padding included, that kernels buffer; longer ones take slower paths.
constexpr int64_t longest_pool_row = 65536;

// An item is one row of the output, of planes x rows.output.
template <class T>
struct PoolArgs {
    const T* input;
    T* output;
    PoolAxis rows, cols;
    bool average;                        // else the maximum
    bool whole;                          // the one window is the whole plane
    const T *row_divisor, *col_divisor;  // their product divides an average; null where `divisor` does everywhere
    T divisor;
};

// Maximum with its index row * cols.input + col (-1 for a window outside the plane). An item is one row of the output.
template <class T>
struct MaxPoolArgs {
    const T* input;
    T* output;
    int64_t* indices;  // may be null
    PoolAxis rows, cols;
    bool buffered;  // rows fit in the buffer, and indices in an integer of the size of T
};

// Adds each element of grad_output to the element of its plane that was the maximum, in order. An item is one plane.
template <class T>
struct MaxPoolGradArgs {
    MaxPoolArgs<T> pool;     // input only where indices is null
    const int64_t* indices;  // may be null
    const T* grad_output;
    T* grad_input;
    bool* outside;  // set where an index is none of the plane's
};

// An item is one row of grad_input; rows.windows are the output rows that an input row takes part in.
template <class T>
struct AvgPoolGradArgs {
    const T* grad_output;
    T* grad_input;
    PoolAxis rows, cols;
    bool whole;                          // the one window is the whole plane
    const T *row_divisor, *col_divisor;  // as in PoolArgs
    T divisor;
};

// Means over any windows, and their transposes: out[y, x] is the sum of in[i, j] over i in rows[y], j in cols[x]. Each
// term (divide_terms) or each sum is divided by the divisors of its own row and column. An item is one row of out.
template <class T>
struct WindowMeanArgs {
    const T* in;
    T* out;
    int64_t in_rows, in_cols, out_rows, out_cols;
    const Window *rows, *cols;
    const T *row_divisor, *col_divisor;
    bool divide_terms;
};

}  // namespace advcore
