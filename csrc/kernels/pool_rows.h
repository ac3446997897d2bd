// The two passes that pooling kernels share: down the rows of a window into a buffered row, and along that row.
#pragma once

#include "cover.h"
#include "pool.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t block_terms = 256;
constexpr int64_t buffered_elements = 4096;  // what a group of buffered rows may take: half of a first-level cache

template <class T>
struct Sum {
    static ADVCORE_INLINE Vec<T> nothing() { return Vec<T>{}; }
    static ADVCORE_INLINE Vec<T> combine(Vec<T> a, Vec<T> b) { return a + b; }
    static ADVCORE_INLINE T combine(T a, T b) { return a + b; }
};

template <class T>
struct Maximum {
    static ADVCORE_INLINE Vec<T> nothing() { return splat(T(-__builtin_inf())); }
    static ADVCORE_INLINE Vec<T> combine(Vec<T> a, Vec<T> b) { return max_nan<T>(a, b); }
    static ADVCORE_INLINE T combine(T a, T b) { return (a >= b) | (a != a) ? a : b; }
};

// Combines term(0) ... term(count - 1) in order, in blocks of 256. A positive Count says what count is.
template <class T, class Op, int Count, class Term>
ADVCORE_INLINE Vec<T> reduce(int64_t count, Term term) {
    if constexpr (Count > 0) {
        Vec<T> result = term(0);
#pragma GCC unroll 16
        for (int k = 1; k < Count; ++k) result = Op::combine(result, term(k));
        return result;
    } else {
        Vec<T> result = Op::nothing();
        for (int64_t first = 0; first < count; first += block_terms) {
            const int64_t last = smaller(count, first + block_terms);
            Vec<T> block = term(first);
            for (int64_t k = first + 1; k < last; ++k) block = Op::combine(block, term(k));
            result = first == 0 ? block : Op::combine(result, block);
        }
        return result;
    }
}

// Lanes that lie `stride` apart, `used` of them; Stride is the stride where it is 1 or 2, else 0. Strides 1 and 2 read
// whole registers.
template <int Stride, class T>
ADVCORE_INLINE Vec<T> load_strided(const T* from, int64_t stride, int used) {
    if constexpr (Stride == 1) {
        return load(from);
    } else if constexpr (Stride == 2) {
        return load_spaced<T, 2>(from);
    } else {
        T lane[lanes<T>] = {};
        for (int i = 0; i < used; ++i) lane[i] = from[i * stride];
        return load(lane);
    }
}

// How buffered rows lie: `pitch` apart, the plane's `cols` columns from `left` on, `together` rows at a time.
struct BufferedRows {
    int64_t pitch, left, cols, together;
    BufferedRows(int64_t pitch_, int64_t left_, int64_t cols_)
        : pitch(pitch_), left(left_), cols(cols_), together(larger(1, buffered_elements / pitch)) {}
};

// The columns that the windows of a row reach.
inline BufferedRows rows_for_windows(const PoolAxis& cols) {
    const int64_t reach = (cols.output - 1) * cols.stride + (cols.kernel - 1) * cols.dilation + 1;
    return {reach, cols.padding, larger(0, smaller(cols.input, reach - cols.padding))};
}

// Puts value around the columns of all rows that are buffered together.
template <class T>
ADVCORE_INLINE void pad_rows(const BufferedRows& rows, T value, T* buffer) {
    for (int64_t i = 0; i < rows.together; ++i, buffer += rows.pitch) {
        for (int64_t j = 0; j < rows.left; ++j) buffer[j] = value;
        for (int64_t j = rows.left + rows.cols; j < rows.pitch; ++j) buffer[j] = value;
    }
}

// Stores a register of T or of its integers into a buffered row. Where the row is shorter than a register the rest is
// what pads it; it may reach into the next row, whose columns are stored later.
template <class T, class E>
ADVCORE_INLINE void store_padded(E* to, Vec<E> x, int used, E padding) {
    const Mask<T> inside = lane_numbers<T>() < static_cast<Int<T>>(used);
    store(to, used == lanes<T> ? x : (inside ? x : splat(padding)));
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
