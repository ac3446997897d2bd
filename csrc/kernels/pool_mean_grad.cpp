// Gradient of average pooling: each row of grad_input gathers the windows that it takes part in, first down the rows of
// grad_output, then along the columns, from the first window to the last.
#include "kernel_list.h"
#include "pool.h"
#include "pool_rows.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// grad_output summed over the windows of one input row and divided.
template <class T>
ADVCORE_INLINE void sum_window_rows(const AvgPoolGradArgs<T>& args, int64_t row, T* to) {
    const Window window = args.rows.windows[row % args.rows.input];
    const int64_t cols = args.cols.output;
    const T* const from = args.grad_output + (row / args.rows.input * args.rows.output + window.first) * cols;
    cover<T>(cols, [&](int64_t at, int used) {
        const Vec<T> sum = reduce<T, Sum<T>, 0>(window.count, [=](int64_t k) {
            const Vec<T> grad = load_used(from + k * cols + at, used);
            return args.row_divisor ? grad / args.row_divisor[window.first + k] : grad;
        });
        const Vec<T> divisor = args.col_divisor ? load_used(args.col_divisor + at, used) : splat(args.divisor);
        store_padded<T>(to + at, sum / divisor, used, T(0));
    });
}

// The sum over the windows of the input columns col, col + stride, col + 2 stride, ...
template <class T, int Stride>
ADVCORE_INLINE Vec<T> sum_windows(const PoolAxis& cols, const T* sums, int64_t col) {
    const int64_t stride = Stride ? Stride : cols.stride;
    const int64_t last = (col + cols.padding) / stride, phase = (col + cols.padding) % stride;
    const int64_t count = (cols.kernel - phase + stride - 1) / stride;  // of windows over a column; 0 in a gap
    const T* const first = sums + last - count + 1;
    return reduce<T, Sum<T>, 0>(count, [=](int64_t k) { return load(first + k); });
}

// Spreads a buffered row over one row of grad_input. sums[j] belongs to output column j.
template <class T, int Stride>
ADVCORE_INLINE void spread_row(const PoolAxis& cols, const T* sums, T* to) {
    constexpr int L = lanes<T>;
    if constexpr (Stride == 1) {
        cover<T>(cols.input,
                 [&](int64_t col, int used) { store_used(to + col, sum_windows<T, 1>(cols, sums, col), used); });
    } else if constexpr (Stride == 2) {
        for (int64_t i = 0; i < cols.input; i += 2 * L) {
            const int64_t col = larger(0, smaller(i, cols.input - 2 * L));
            const Vec<T> even = sum_windows<T, 2>(cols, sums, col), odd = sum_windows<T, 2>(cols, sums, col + 1);
            const int64_t rest = cols.input - col;
            store_used(to + col, interleave<T, 0>(even, odd), static_cast<int>(smaller(L, rest)));
            if (rest > L) store_used(to + col + L, interleave<T, 1>(even, odd), static_cast<int>(smaller(L, rest - L)));
        }
    } else {
        for (int64_t i = 0; i < cols.input; i += L * cols.stride)
            for (int64_t col = i; col < smaller(cols.input, i + cols.stride); ++col) {
                const Vec<T> sum = sum_windows<T, 0>(cols, sums, col);
                for (int lane = 0; lane < L && col + lane * cols.stride < cols.input; ++lane)
                    to[col + lane * cols.stride] = sum[lane];
            }
    }
}

template <class T, int Stride>
void avg_pool_grad_rows(const AvgPoolGradArgs<T>& args, int64_t begin, int64_t end, T* buffer) {
    // Zeros around the sums: they are read from a kernel before the first window up to the register that begins at the
    // last one.
    const int64_t left = ceil_div(args.cols.kernel, args.cols.stride);
    const int64_t last_window = (args.cols.input - 1 + args.cols.padding) / args.cols.stride;
    const BufferedRows rows(left + last_window + 1 + lanes<T>, left, args.cols.output);
    pad_rows(rows, T(0), buffer);
    for (int64_t first = begin; first < end; first += rows.together) {
        const int64_t last = smaller(end, first + rows.together);
        for (int64_t row = first; row < last; ++row)
            sum_window_rows(args, row, buffer + (row - first) * rows.pitch + rows.left);
        for (int64_t row = first; row < last; ++row)
            spread_row<T, Stride>(args.cols, buffer + (row - first) * rows.pitch + rows.left,
                                  args.grad_input + row * args.cols.input);
    }
}

// One window over the whole plane: all elements share alike.
template <class T>
ADVCORE_INLINE void fill_rows(const AvgPoolGradArgs<T>& args, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
        const Vec<T> share = splat(args.grad_output[row / args.rows.input]) / args.divisor;
        cover<T>(args.cols.input,
                 [&](int64_t at, int used) { store_used(args.grad_input + row * args.cols.input + at, share, used); });
    }
}

}  // namespace

template <class T>
void avg_pool_grad(const AvgPoolGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    T* const buffer = static_cast<T*>(scratch);
    if (args.whole) return fill_rows(args, begin, end);
    if (args.cols.stride == 1) return avg_pool_grad_rows<T, 1>(args, begin, end, buffer);
    if (args.cols.stride == 2) return avg_pool_grad_rows<T, 2>(args, begin, end, buffer);
    avg_pool_grad_rows<T, 0>(args, begin, end, buffer);
}

ADVCORE_INSTANTIATE(avg_pool_grad, AvgPoolGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
