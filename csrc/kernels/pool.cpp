#include "pool.h"

#include "kernel_list.h"
#include "pool_rows.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Arguments are taken by value where loops begin: what a store might change would be read anew after each.

// Combines the rows of the window of each output row [first, last).
template <class T, class Op, int Taps>
ADVCORE_INLINE void combine_rows(const PoolArgs<T>& args, const BufferedRows& rows, int64_t first, int64_t last,
                                 T* buffer) {
    const int64_t step = args.rows.dilation * args.cols.input;
    for (int64_t row = first; row < last; ++row, buffer += rows.pitch) {
        const Window window = args.rows.windows[row % args.rows.output];
        const T* const from = args.input + (row / args.rows.output * args.rows.input + window.first) * args.cols.input;
        T* const to = buffer + rows.left;
        cover<T>(rows.cols, [&](int64_t at, int used) {
            const auto term = [=](int64_t k) { return load_used(from + k * step + at, used); };
            const Vec<T> result =
                window.count == Taps ? reduce<T, Op, Taps>(Taps, term) : reduce<T, Op, 0>(window.count, term);
            store_padded<T>(to + at, result, used, T(Op::nothing()[0]));
        });
    }
}

// Combines the columns of `count` windows along one buffered row.
template <class T, class Op, int Taps, int Stride>
ADVCORE_INLINE void combine_cols(const PoolArgs<T>& args, const T* buffer, int64_t count, T row_divisor, T* output) {
    const PoolAxis& cols = args.cols;
    cover<T>(count, [&](int64_t at, int used) {
        const T* const from = buffer + at * cols.stride;
        Vec<T> result = reduce<T, Op, Taps>(
            cols.kernel, [=](int64_t k) { return load_strided<Stride>(from + k * cols.dilation, cols.stride, used); });
        if (args.average)
            result /= args.col_divisor ? row_divisor * load_used(args.col_divisor + at, used) : splat(args.divisor);
        store_used(output + at, result, used);
    });
}

template <class T, class Op, int Taps, int Stride>
void pool_buffered(const PoolArgs<T> args, int64_t begin, int64_t end, T* buffer) {
    const PoolAxis& cols = args.cols;
    const BufferedRows rows = rows_for_windows(cols);
    pad_rows(rows, T(Op::nothing()[0]), buffer);
    for (int64_t first = begin; first < end; first += rows.together) {
        const int64_t last = smaller(end, first + rows.together);
        combine_rows<T, Op, Taps>(args, rows, first, last, buffer);
        for (int64_t row = first; row < last; ++row)
            combine_cols<T, Op, Taps, Stride>(args, buffer + (row - first) * rows.pitch, cols.output,
                                              args.col_divisor ? args.row_divisor[row % args.rows.output] : T(1),
                                              args.output + row * cols.output);
    }
}

// A few rows of a plane, the rows of one window; combined column by column wherever a column is asked for.
template <class T, class Op, int Taps>
struct WindowRows {
    const T* row[Taps];

    ADVCORE_INLINE Neighbours<T> down_neighbours(int64_t col) const {
        Neighbours<T> result = load_neighbours(row[0] + col);
#pragma GCC unroll 3
        for (int k = 1; k < Taps; ++k) {
            const Neighbours<T> x = load_neighbours(row[k] + col);
            result = {Op::combine(result.low, x.low), Op::combine(result.high, x.high)};
        }
        return result;
    }
    // One column, in every lane.
    ADVCORE_INLINE Vec<T> down_one(int64_t col) const {
        Vec<T> result = splat(row[0][col]);
#pragma GCC unroll 3
        for (int k = 1; k < Taps; ++k) result = Op::combine(result, splat(row[k][col]));
        return result;
    }
    static constexpr int64_t ahead = 16384 / sizeof(T);  // rows read side by side mislead the hardware's own guesses

    // The windows that start at columns col, col + 2, ...
    ADVCORE_INLINE Vec<T> windows(int64_t col) const {
        static_assert(Taps == 2 || Taps == 3);
        const Neighbours<T> columns = down_neighbours(col);
        for (int k = 0; k < Taps; ++k) prefetch(row[k] + col, ahead);
        const Vec<T> even = even_lanes<T>(columns), result = Op::combine(even, odd_lanes<T>(columns));
        if constexpr (Taps == 2) return result;
        return Op::combine(result, moved_up<T>(even, down_one(col + 2 * lanes<T>)));
    }
    // One window, of which some columns may lie in the padding.
    T window(const Window& cols) const {
        T result = T(Op::nothing()[0]);
        for (int64_t i = 0; i < cols.count; ++i) {
            T column = row[0][cols.first + i];
            for (int k = 1; k < Taps; ++k) column = Op::combine(column, row[k][cols.first + i]);
            result = i == 0 ? column : Op::combine(result, column);
        }
        return result;
    }
};

// Small windows two columns apart, straight from the plane: a read of several rows side by side that never waits for
// other work.
template <class T, class Op, int Taps>
void pool_small(const PoolArgs<T> args, int64_t begin, int64_t end, T* padding) {
    constexpr int L = lanes<T>;
    constexpr int64_t reach = 2 * L + Taps - 2;  // what windows() reads from the first window's start on
    const PoolAxis rows = args.rows, cols = args.cols;
    for (int64_t i = 0; i < cols.input; ++i) padding[i] = T(Op::nothing()[0]);
    const T* const input_end = args.input + ceil_div(end, rows.output) * rows.input * cols.input;
    // Windows [first, last) have all columns inside the plane.
    const int64_t first = smaller(cols.output, ceil_div(cols.padding, 2));
    const int64_t last = smaller(cols.output, (cols.input - Taps + cols.padding) / 2 + 1);
    int64_t plane = begin / rows.output, y = begin % rows.output;
    for (int64_t row = begin; row < end; ++row) {
        const Window window = rows.windows[y];
        const T* const from = args.input + (plane * rows.input + window.first) * cols.input;
        WindowRows<T, Op, Taps> window_rows;
        for (int k = 0; k < Taps; ++k) window_rows.row[k] = k < window.count ? from + k * cols.input : padding;
        T* const to = args.output + row * cols.output;
        const T row_divisor = args.col_divisor ? args.row_divisor[y] : T(1);
        const auto one = [&](int64_t at) {
            T result = window_rows.window(cols.windows[at]);
            if (args.average) result /= args.col_divisor ? row_divisor * args.col_divisor[at] : args.divisor;
            to[at] = result;
        };
        int64_t end_col = last;  // of the registers, which must not read beyond the last plane
        const T* const last_row = from + (window.count - 1) * cols.input;
        while (end_col - L >= first && last_row + (end_col - L) * 2 - cols.padding + reach > input_end) --end_col;
        int64_t at = first;
        for (; at < end_col && end_col - first >= L; at += L) {
            const int64_t col = smaller(at, end_col - L);
            Vec<T> result = window_rows.windows(2 * col - cols.padding);
            if (args.average)
                result /= args.col_divisor ? row_divisor * load(args.col_divisor + col) : splat(args.divisor);
            store(to + col, result);
        }
        for (int64_t i = 0; i < first; ++i) one(i);
        for (at = smaller(at, end_col); at < cols.output; ++at) one(at);
        if (++y == rows.output) y = 0, ++plane;
    }
}

// Picks the code for square kernels of 2 and 3 and for strides of 1 and 2.
template <class T, class Op, int Taps>
ADVCORE_INLINE void pool_by_stride(const PoolArgs<T>& args, int64_t begin, int64_t end, T* buffer) {
    const PoolAxis& cols = args.cols;
    if constexpr (Taps > 0) {
        if (cols.dilation == 1 && cols.stride == 2 && cols.output >= lanes<T>)
            return pool_small<T, Op, Taps>(args, begin, end, buffer);
    }
    if (cols.stride == 1) return pool_buffered<T, Op, Taps, 1>(args, begin, end, buffer);
    if (cols.stride == 2) return pool_buffered<T, Op, Taps, 2>(args, begin, end, buffer);
    return pool_buffered<T, Op, Taps, 0>(args, begin, end, buffer);
}

// Registers of 7 x 7 elements, the planes before most classifiers.
template <class T>
constexpr int small_plane = 49 / lanes<T>;

// Combines the whole registers of a register of planes, each plane for itself. Whole is their number, or 0.
template <class T, class Op, int Whole>
ADVCORE_INLINE void combine_planes(const T* const (&from)[lanes<T>], int64_t whole, Vec<T> (&total)[lanes<T>]) {
    constexpr int L = lanes<T>;
    if constexpr (Whole > 0) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i)
            total[i] = reduce<T, Op, Whole>(Whole, [&](int64_t k) { return load(from[i] + k * L); });
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) total[i] = Op::nothing();
        for (int64_t first = 0; first < whole; first += block_terms) {
            Vec<T> block[L];
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) block[i] = load(from[i] + first * L);
            for (int64_t k = first + 1; k < smaller(whole, first + block_terms); ++k)
#pragma GCC unroll 16
                for (int i = 0; i < L; ++i) block[i] = Op::combine(block[i], load(from[i] + k * L));
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) total[i] = first == 0 ? block[i] : Op::combine(total[i], block[i]);
        }
    }
}

// Whole planes, a register of them at once: each becomes one register, and a transpose lets all lanes be combined.
template <class T, class Op, int Whole>
void pool_planes(const PoolArgs<T> args, int64_t begin, int64_t end) {
    constexpr int L = lanes<T>;
    const int64_t size = args.rows.input * args.cols.input, whole = size / L;
    const int rest = static_cast<int>(size % L);
    const Mask<T> in_rest = lane_numbers<T>() < static_cast<Int<T>>(rest);
    const T* const input_end = args.input + end * size;
    for (int64_t plane = begin; plane < end; plane += L) {
        const int used = static_cast<int>(smaller(L, end - plane));
        const T* from[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) from[i] = args.input + (plane + (used < L ? smaller(i, used - 1) : i)) * size;
        Vec<T> total[L];
        combine_planes<T, Op, Whole>(from, whole, total);
        const auto combine_rest = [&](auto load_rest) {
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i)
                total[i] = Op::combine(total[i], select<T>(in_rest, load_rest(from[i] + whole * L), Op::nothing()));
        };
        if (rest && from[L - 1] + (whole + 1) * L <= input_end)  // parts of registers take longer
            combine_rest([](const T* last) { return load(last); });
        else if (rest)
            combine_rest([rest](const T* last) { return load_part(last, rest); });
        transpose<T>(total);
        Vec<T> result = reduce<T, Op, L>(L, [&](int64_t lane) { return total[lane]; });
        if (args.average) result /= args.divisor;
        store_used(args.output + plane, result, used);
    }
}

template <class T, class Op>
ADVCORE_INLINE void pool_with(const PoolArgs<T>& args, int64_t begin, int64_t end, T* buffer) {
    const int64_t taps = args.rows.kernel == args.cols.kernel ? args.cols.kernel : 0;
    if (args.whole) {
        const bool small = args.rows.input * args.cols.input / lanes<T> == small_plane<T>;
        return small ? pool_planes<T, Op, small_plane<T>>(args, begin, end) : pool_planes<T, Op, 0>(args, begin, end);
    }
    if (taps == 2) return pool_by_stride<T, Op, 2>(args, begin, end, buffer);
    if (taps == 3) return pool_by_stride<T, Op, 3>(args, begin, end, buffer);
    return pool_by_stride<T, Op, 0>(args, begin, end, buffer);
}

}  // namespace

template <class T>
void pool(const PoolArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    if (args.average)
        pool_with<T, Sum<T>>(args, begin, end, static_cast<T*>(scratch));
    else
        pool_with<T, Maximum<T>>(args, begin, end, static_cast<T*>(scratch));
}

ADVCORE_INSTANTIATE(pool, PoolArgs)

}  // namespace advcore::ADVCORE_LEVEL
