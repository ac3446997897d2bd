// Maximum pooling that says where the maximum was: what it and its gradient share.
//
// torch's order decides between equals: of equal numbers the first in the window wins, of several NaN the last.
#pragma once

#include "kernel_list.h"
#include "pool.h"
#include "pool_rows.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Indices without a sign: they may overflow in lanes that play no part.
template <class T>
struct UnsignedOf;
template <>
struct UnsignedOf<float> {
    typedef uint32_t type __attribute__((vector_size(vector_bytes)));
};
template <>
struct UnsignedOf<double> {
    typedef uint64_t type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Wrapping = typename UnsignedOf<T>::type;

// The row of a window that is in the padding.
template <class T>
constexpr Int<T> no_row = Int<T>((uint64_t{1} << (8 * sizeof(T) - 1)) - 1);

// One value a buffered column and the row of the window (0, 1, ...) it comes from.
template <class T>
struct RowBuffers {
    T* values;
    Int<T>* rows;
};

// Finds the maximum of each column over the rows of one window.
template <class T>
ADVCORE_INLINE void maximum_of_rows(const MaxPoolArgs<T>& args, const BufferedRows& rows, const T* plane,
                                    const Window& window, RowBuffers<T> to) {
    const int64_t step = args.rows.dilation * args.cols.input;
    cover<T>(rows.cols, [&](int64_t at, int used) {
        const T* from = plane + window.first * args.cols.input + at;
        Vec<T> value = Maximum<T>::nothing();
        Mask<T> row = Mask<T>{} + no_row<T>;
        for (int64_t k = 0; k < window.count; ++k, from += step) {
            const Vec<T> x = load_used(from, used);
            const Mask<T> better = (x > value) | (x != x) | (row == no_row<T>);
            value = select<T>(better, x, value);
            row = better ? Mask<T>{} + Int<T>(k) : row;
        }
        store_padded<T>(to.values + rows.left + at, value, used, T(-__builtin_inf()));
        store_padded<T>(to.rows + rows.left + at, row, used, no_row<T>);
    });
}

// Finds the maximum of each window along a buffered row; writes it (unless values is null) and its index in the plane.
template <class T, int Stride, class Index>
ADVCORE_INLINE void maximum_of_cols(const MaxPoolArgs<T>& args, const Window& window, RowBuffers<T> from, T* values,
                                    Index* indices) {
    const PoolAxis& cols = args.cols;
    const auto row_step = static_cast<Int<T>>(args.rows.dilation * cols.input);
    const auto col_step = static_cast<Int<T>>(cols.dilation);
    const auto stride = static_cast<Int<T>>(cols.stride);
    cover<T>(cols.output, [&](int64_t at, int used) {
        const T* from_value = from.values + at * cols.stride;
        const Int<T>* from_row = from.rows + at * cols.stride;
        Vec<T> value = load_strided<Stride>(from_value, cols.stride, used);
        Mask<T> row = load_strided<Stride>(from_row, cols.stride, used), col{};
        for (int64_t k = 1; k < cols.kernel; ++k) {
            from_value += cols.dilation;
            from_row += cols.dilation;
            const Vec<T> x = load_strided<Stride>(from_value, cols.stride, used);
            const Mask<T> x_row = load_strided<Stride>(from_row, cols.stride, used);
            const Mask<T> better =
                (x > value) | ((x == value) & (x_row < row)) | ((x != x) & ((value == value) | (x_row >= row)));
            value = select<T>(better, x, value);
            row = better ? x_row : row;
            col = better ? Mask<T>{} + Int<T>(k) : col;
        }
        if (values) store_used(values + at, value, used);
        const auto origin = static_cast<Int<T>>(window.first * cols.input + at * cols.stride - cols.padding);
        const auto times = [](Mask<T> count, Int<T> step) {
            return reinterpret_cast<Wrapping<T>>(count) * reinterpret_cast<Wrapping<T>>(Mask<T>{} + step);
        };
        const auto place = times(row, row_step) + times(col, col_step) + times(lane_numbers<T>(), stride) +
                           reinterpret_cast<Wrapping<T>>(Mask<T>{} + origin);
        const Mask<T> index = row == no_row<T> ? Mask<T>{} - 1 : reinterpret_cast<Mask<T>>(place);
        Int<T> lane[lanes<T>];
        store(lane, index);
        if (used == lanes<T>)
            for (int i = 0; i < lanes<T>; ++i) indices[at + i] = lane[i];
        else
            for (int i = 0; i < used; ++i) indices[at + i] = lane[i];
    });
}

// Finds the maxima of the output rows [first, last), no more than are buffered together.
template <class T, int Stride, class Index>
void maximum_of_group(const MaxPoolArgs<T> args, const BufferedRows rows, int64_t first, int64_t last,
                      RowBuffers<T> buffers, T* values, Index* indices) {
    const int64_t plane_size = args.rows.input * args.cols.input;
    const auto window = [&](int64_t row) { return args.rows.windows[row % args.rows.output]; };
    const auto buffer = [&](int64_t row) {
        const int64_t offset = (row - first) * rows.pitch;
        return RowBuffers<T>{buffers.values + offset, buffers.rows + offset};
    };
    for (int64_t row = first; row < last; ++row)
        maximum_of_rows(args, rows, args.input + row / args.rows.output * plane_size, window(row), buffer(row));
    for (int64_t row = first; row < last; ++row) {
        const int64_t to = (row - first) * args.cols.output;
        maximum_of_cols<T, Stride>(args, window(row), buffer(row), values ? values + to : nullptr, indices + to);
    }
}

// Finds the maxima [first, last) of one output row, straight from the plane: for rows too long for the buffers.
template <class T>
void maximum_of_long_row(const MaxPoolArgs<T>& args, int64_t row, int64_t first, int64_t last, T* values,
                         int64_t* indices) {
    const T* const plane = args.input + row / args.rows.output * args.rows.input * args.cols.input;
    const Window down = args.rows.windows[row % args.rows.output];
    for (int64_t col = first; col < last; ++col) {
        const Window across = args.cols.windows[col];
        T value = T(-__builtin_inf());
        int64_t index = -1;
        for (int64_t i = 0; i < down.count; ++i)
            for (int64_t j = 0; j < across.count; ++j) {
                const int64_t y = down.first + i * args.rows.dilation, x = across.first + j * args.cols.dilation;
                const T candidate = plane[y * args.cols.input + x];
                if (index >= 0 && !(candidate > value) && candidate == candidate) continue;
                value = candidate;
                index = y * args.cols.input + x;
            }
        if (values) values[col - first] = value;
        if (indices) indices[col - first] = index;
    }
}

// A thread's scratch memory: the buffered rows, and the indices of what they give.
template <class T>
struct Scratch {
    RowBuffers<T> buffers;
    Int<T>* indices;
    explicit Scratch(void* scratch) {
        constexpr int64_t size = longest_pool_row + 4 * lanes<T>;  // registers may reach beyond the last row
        static_assert(3 * size * int64_t(sizeof(T)) <= scratch_bytes);
        buffers.values = static_cast<T*>(scratch);
        buffers.rows = reinterpret_cast<Int<T>*>(buffers.values + size);
        indices = buffers.rows + size;
    }
    void pad(const BufferedRows& rows) const {
        pad_rows(rows, T(-__builtin_inf()), buffers.values);
        pad_rows(rows, no_row<T>, buffers.rows);
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
