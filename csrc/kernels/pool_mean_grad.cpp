// Gradient of average pooling: each row of grad_input gathers the windows that it takes part in, first down the rows of
// grad_output, then along the columns, from the first window to the last.
#include "kernel_list.h"
#include "pool.h"
#include "pool_rows.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Arguments are taken by value all through: what a store might change would be read anew after each.

// The divisor of the windows of some rows: the same for all, or by row and column.
template <class T>
struct Divisor {
    const T *row, *col;  // null where `value` is that of all
    T value;
};

// `count` rows of grad_output, `cols` long, each divided, summed.
template <class T, int Count>
ADVCORE_INLINE void sum_rows(const T* from, int64_t cols, int64_t count, Divisor<T> divisor, T* to) {
    cover<T>(cols, [=](int64_t at, int used) {
        const Vec<T> sum = reduce<T, Sum<T>, Count>(count, [=](int64_t k) {
            const Vec<T> grad = load_used(from + k * cols + at, used);
            return divisor.row ? grad / divisor.row[k] : grad;
        });
        const Vec<T> by = divisor.col ? load_used(divisor.col + at, used) : splat(divisor.value);
        store_padded<T>(to + at, sum / by, used, T(0));
    });
}

template <class T>
ADVCORE_INLINE void sum_rows(const T* from, int64_t cols, int64_t count, Divisor<T> divisor, T* to) {
    if (divisor.row || count < 1 || count > 3) return sum_rows<T, 0>(from, cols, count, divisor, to);
    if (count == 1) return sum_rows<T, 1>(from, cols, count, divisor, to);
    if (count == 2) return sum_rows<T, 2>(from, cols, count, divisor, to);
    sum_rows<T, 3>(from, cols, count, divisor, to);
}

// The sum over the windows of the columns at position (column + padding), + stride, + 2 stride, ...
template <class T, int Taps, int Stride>
ADVCORE_INLINE Vec<T> sum_windows(const T* sums, int64_t position, int64_t any_taps, int64_t any_stride) {
    const int64_t stride = Stride ? Stride : any_stride, taps = Taps ? Taps : any_taps;
    const int64_t last = position / stride, phase = position % stride;
    const int64_t count = (taps - phase + stride - 1) / stride;  // of windows over a column; 0 in a gap
    const auto sum = [=](auto constant) {
        const T* const first = sums + last - (constant.value ? constant.value : count) + 1;
        return reduce<T, Sum<T>, constant.value>(count, [=](int64_t k) { return load(first + k); });
    };
    if constexpr (Taps > 0 && Stride > 0) {
        if (Stride == 1 || phase == 0) return sum(Constant<(Taps + Stride - 1) / Stride>{});
        return sum(Constant<(Taps + Stride - 2) / Stride>{});
    }
    return sum(Constant<0>{});
}

// Spreads a buffered row over one row of grad_input. sums[j] belongs to output column j.
template <class T, int Taps, int Stride>
ADVCORE_INLINE void spread_row(const PoolAxis& axis, const T* sums, T* to) {
    constexpr int L = lanes<T>;
    const int64_t input = axis.input, padding = axis.padding, stride = axis.stride, kernel = axis.kernel;
    const auto windows = [=](int64_t col) { return sum_windows<T, Taps, Stride>(sums, col + padding, kernel, stride); };
    if constexpr (Stride == 1) {
        cover<T>(input, [=](int64_t col, int used) { store_used(to + col, windows(col), used); });
    } else if constexpr (Stride == 2) {
        const auto low = [=](int64_t col) { return interleave<T, 0>(windows(col), windows(col + 1)); };
        const auto high = [=](int64_t col) { return interleave<T, 1>(windows(col), windows(col + 1)); };
        int64_t col = 0;
        for (; col + 2 * L <= input; col += 2 * L) {
            store(to + col, low(col));
            store(to + col + L, high(col));
        }
        if (col == input) return;
        const int64_t rest = input - col;
        if (col > 0) {
            store(to + input - 2 * L, low(input - 2 * L));
            store(to + input - L, high(input - 2 * L));
        } else {
            store_part(to, low(0), static_cast<int>(smaller(L, rest)));
            if (rest > L) store_part(to + L, high(0), static_cast<int>(rest - L));
        }
    } else {
        for (int64_t i = 0; i < input; i += L * stride)
            for (int64_t col = i; col < smaller(input, i + stride); ++col) {
                const Vec<T> sum = windows(col);
                for (int lane = 0; lane < L && col + lane * stride < input; ++lane) to[col + lane * stride] = sum[lane];
            }
    }
}

template <class T, int Taps, int Stride>
void avg_pool_grad_rows(const AvgPoolGradArgs<T> args, int64_t begin, int64_t end, T* buffer) {
    const PoolAxis rows = args.rows, cols = args.cols;
    // Zeros around the sums: they are read from a kernel before the first window up to the register that begins at the
    // last one.
    const int64_t left = ceil_div(cols.kernel, cols.stride);
    const int64_t last_window = (cols.input - 1 + cols.padding) / cols.stride;
    const BufferedRows buffered(left + last_window + 1 + lanes<T>, left, cols.output);
    pad_rows(buffered, T(0), buffer);
    for (int64_t first = begin; first < end; first += buffered.together) {
        const int64_t last = smaller(end, first + buffered.together);
        T* sums = buffer + buffered.left;
        int64_t plane = first / rows.input, y = first % rows.input;
        for (int64_t row = first; row < last; ++row, sums += buffered.pitch) {
            const Window window = rows.windows[y];
            const Divisor<T> divisor{args.row_divisor ? args.row_divisor + window.first : nullptr, args.col_divisor,
                                     args.divisor};
            sum_rows<T>(args.grad_output + (plane * rows.output + window.first) * cols.output, cols.output,
                        window.count, divisor, sums);
            if (++y == rows.input) y = 0, ++plane;
        }
        sums = buffer + buffered.left;
        for (int64_t row = first; row < last; ++row, sums += buffered.pitch)
            spread_row<T, Taps, Stride>(cols, sums, args.grad_input + row * cols.input);
    }
}

// Windows of 2 x 2 side by side: each gradient is halved twice and stored four times.
template <class T>
void double_rows(const AvgPoolGradArgs<T> args, int64_t begin, int64_t end) {
    constexpr int L = lanes<T>;
    const int64_t cols = args.cols.output;
    for (int64_t row = begin, rows; row < end; row += rows) {
        rows = row % 2 == 0 && row + 1 < end ? 2 : 1;
        const T* const from = args.grad_output + row / 2 * cols;
        T* const to = args.grad_input + row * 2 * cols;
        cover<T>(cols, [=](int64_t at, int used) {
            const Vec<T> share = load_used(from + at, used) / args.divisor;
            const Vec<T> low = interleave<T, 0>(share, share), high = interleave<T, 1>(share, share);
            for (int64_t i = 0; i < rows; ++i) {
                T* const pairs = to + i * 2 * cols + 2 * at;
                store_used(pairs, low, static_cast<int>(smaller(L, 2 * used)));
                if (2 * used > L) store_used(pairs + L, high, 2 * used - L);
            }
        });
    }
}

// One window over the whole plane: all elements share alike.
template <class T>
void fill_planes(const AvgPoolGradArgs<T>& args, int64_t begin, int64_t end) {
    const int64_t rows = args.rows.input, cols = args.cols.input;
    for (int64_t row = begin, last; row < end; row = last) {
        const int64_t plane = row / rows;
        last = smaller(end, (plane + 1) * rows);
        const Vec<T> share = splat(args.grad_output[plane]) / args.divisor;
        T* const to = args.grad_input + row * cols;
        cover<T>((last - row) * cols, [&](int64_t at, int used) { store_used(to + at, share, used); });
    }
}

// Picks the code for square kernels of 2 and 3 and for strides of 1 and 2.
template <class T, int Taps>
ADVCORE_INLINE void avg_pool_grad_by_stride(const AvgPoolGradArgs<T>& args, int64_t begin, int64_t end, T* buffer) {
    if (args.cols.stride == 1) return avg_pool_grad_rows<T, Taps, 1>(args, begin, end, buffer);
    if (args.cols.stride == 2) return avg_pool_grad_rows<T, Taps, 2>(args, begin, end, buffer);
    avg_pool_grad_rows<T, Taps, 0>(args, begin, end, buffer);
}

}  // namespace

template <class T>
void avg_pool_grad(const AvgPoolGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    T* const buffer = static_cast<T*>(scratch);
    if (args.whole) return fill_planes(args, begin, end);
    const auto side_by_side = [](const PoolAxis& axis) {
        return axis.kernel == 2 && axis.stride == 2 && axis.padding == 0 && axis.input == 2 * axis.output;
    };
    if (!args.row_divisor && side_by_side(args.rows) && side_by_side(args.cols)) return double_rows(args, begin, end);
    if (args.cols.kernel == 2) return avg_pool_grad_by_stride<T, 2>(args, begin, end, buffer);
    if (args.cols.kernel == 3) return avg_pool_grad_by_stride<T, 3>(args, begin, end, buffer);
    avg_pool_grad_by_stride<T, 0>(args, begin, end, buffer);
}

ADVCORE_INSTANTIATE(avg_pool_grad, AvgPoolGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
