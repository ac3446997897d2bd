#include "pool.h"

#include "kernel_list.h"
#include "pool_rows.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

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
void pool_windows(const PoolArgs<T>& args, int64_t begin, int64_t end, T* buffer) {
    const PoolAxis& cols = args.cols;
    const bool joined = !args.col_divisor && (cols.kernel - 1) * cols.dilation < cols.stride &&
                        cols.output * cols.stride <= buffered_elements;
    const BufferedRows rows = rows_for_windows(cols, joined);
    pad_rows(rows, T(Op::nothing()[0]), buffer);
    for (int64_t first = begin; first < end; first += rows.together) {
        const int64_t last = smaller(end, first + rows.together);
        combine_rows<T, Op, Taps>(args, rows, first, last, buffer);
        if (joined) {
            combine_cols<T, Op, Taps, Stride>(args, buffer, (last - first) * cols.output, T(1),
                                              args.output + first * cols.output);
            continue;
        }
        for (int64_t row = first; row < last; ++row)
            combine_cols<T, Op, Taps, Stride>(args, buffer + (row - first) * rows.pitch, cols.output,
                                              args.col_divisor ? args.row_divisor[row % args.rows.output] : T(1),
                                              args.output + row * cols.output);
    }
}

// Picks the code for square kernels of 2 and 3 and for strides of 1 and 2.
template <class T, class Op, int Taps>
ADVCORE_INLINE void pool_by_stride(const PoolArgs<T>& args, int64_t begin, int64_t end, T* buffer) {
    if (args.cols.stride == 1) return pool_windows<T, Op, Taps, 1>(args, begin, end, buffer);
    if (args.cols.stride == 2) return pool_windows<T, Op, Taps, 2>(args, begin, end, buffer);
    return pool_windows<T, Op, Taps, 0>(args, begin, end, buffer);
}

// Whole planes, a register of them at once: each becomes one register, and a transpose lets all lanes be combined.
template <class T, class Op>
ADVCORE_INLINE void pool_planes(const PoolArgs<T>& args, int64_t begin, int64_t end) {
    constexpr int L = lanes<T>;
    const int64_t size = args.rows.input * args.cols.input;
    const int rest = static_cast<int>(size % L);
    Vec<T> in_rest;
    for (int i = 0; i < L; ++i) in_rest[i] = i < rest ? T(1) : T(0);
    for (int64_t plane = begin; plane < end; plane += L) {
        const int used = static_cast<int>(smaller(L, end - plane));
        Vec<T> planes[L] = {};
        for (int i = 0; i < used; ++i) {
            const T* const from = args.input + (plane + i) * size;
            planes[i] = reduce<T, Op, 0>(size / L, [=](int64_t k) { return load(from + k * L); });
            if (rest)
                planes[i] = Op::combine(planes[i],
                                        select<T>(in_rest > T(0), load_part(from + size - rest, rest), Op::nothing()));
        }
        transpose<T>(planes);
        Vec<T> result = reduce<T, Op, L>(L, [&](int64_t lane) { return planes[lane]; });
        if (args.average) result /= args.divisor;
        store_used(args.output + plane, result, used);
    }
}

template <class T, class Op>
ADVCORE_INLINE void pool_with(const PoolArgs<T>& args, int64_t begin, int64_t end, T* buffer) {
    const int64_t taps = args.rows.kernel == args.cols.kernel ? args.cols.kernel : 0;
    if (args.whole) return pool_planes<T, Op>(args, begin, end);
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
