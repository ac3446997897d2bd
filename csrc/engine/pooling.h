// Pooling of planes (rows x cols): where the windows of each axis lie, worked out once, and the calls that use them.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "../kernels/pool.h"

namespace advcore {

// The two axes of a pooling with the windows of each element of the result: those of the output's elements in the
// input, or, for the gradient of an average, those of the input's elements in the output.
struct PoolWindows {
    PoolAxis rows, cols;
    bool fits_buffer;  // a row fits in the kernels' buffers
    bool whole;        // the one window is the whole plane

    PoolWindows(const PoolAxis& rows, const PoolAxis& cols, bool of_output);
    PoolWindows(const PoolWindows&) = delete;  // the axes point into the windows
    PoolWindows(PoolWindows&&) = default;

    // The buffers hold indices as integers of the elements' size.
    template <class T>
    bool fits_indices() const {
        return fits_buffer && (sizeof(T) > 4 || rows.input * cols.input <= std::numeric_limits<int32_t>::max());
    }

private:
    std::vector<Window> row_windows_, col_windows_;
};

// What an average is divided by, in the form of the kernels' arguments.
template <class T>
struct Divisors {
    std::vector<T> rows, cols;
    bool uniform;
    Divisors(const PoolAxis& row_axis, const PoolAxis& col_axis, bool count_include_pad);
    template <class Args>
    void set(Args& args) const {
        args.divisor = rows[0] * cols[0];
        args.row_divisor = uniform ? nullptr : rows.data();
        args.col_divisor = uniform ? nullptr : cols.data();
    }
};

struct PlaneSize {
    int64_t rows, cols;
};

// indices may be null.
template <class T>
void max_pool(const PoolWindows& w, const T* input, T* output, int64_t* indices, int64_t planes);

// From the indices, or from the input where they are null. Returns whether all indices are inside their planes (-1
// stands for a window without elements).
template <class T>
bool max_pool_grad(const PoolWindows& w, const T* grad_output, const T* input, const int64_t* indices, T* grad_input,
                   int64_t planes);

template <class T>
void avg_pool(const PoolWindows& w, const Divisors<T>& d, const T* input, T* output, int64_t planes);

// With windows of the input's elements.
template <class T>
void avg_pool_grad(const PoolWindows& w, const Divisors<T>& d, const T* grad_output, T* grad_input, int64_t planes);

template <class T>
void adaptive_avg_pool(const PlaneSize& in, const PlaneSize& out, const T* input, T* output, int64_t planes);

template <class T>
void adaptive_avg_pool_grad(const PlaneSize& in, const PlaneSize& out, const T* grad_output, T* grad_input,
                            int64_t planes);

}  // namespace advcore
