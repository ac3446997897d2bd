// The product of some tens of rows with a matrix whose columns lie along the depth, as a layer's weights do. To bring
// that matrix into panels would take as long as multiplying it: here the roles are turned around, so that its elements
// are broadcast from where they are and the few rows become the panels. The sums are those of product.h.
#pragma once

#include "cover.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t most_narrow_rows = 64;  // of more, panels of the weights are worth their while
// Columns read side by side. Where they lie a power of two apart, the lines of more would push each other out of the
// first-level cache.
template <class T>
ADVCORE_INLINE int64_t narrow_side(int64_t stride) {
    const bool aliased = stride * static_cast<int64_t>(sizeof(T)) % 4096 == 0;
    return aliased ? smaller(max_panel_rows, 7) : max_panel_rows;
}
constexpr int64_t narrow_cols = 8 * max_panel_rows;  // at a time
template <class T>
constexpr int64_t narrow_panels_size = (int64_t{4} << 20) / static_cast<int64_t>(sizeof(T));

// Rows with what fills their last register.
template <class T>
ADVCORE_INLINE int64_t padded_rows(int64_t rows) {
    return ceil_div(rows, lanes<T>) * lanes<T>;
}

// The panels of one block of depth: padded_rows(rows) * terms elements.
template <class T>
inline void pack_narrow(const LeftMatrix<T>& a, int64_t rows, int64_t terms, T* panels) {
    each_panel<T>(rows, terms, panels, [&](int64_t row, int64_t used, int64_t width, T* panel) {
        pack_strip(a.data + row * a.row_stride, a.row_stride, a.depth_stride, used, width, terms, panel);
    });
}

// sums[col, row] (+)= one block of depth, for up to narrow_cols columns of b, at b + col * b_col. `finish` is for the
// last block.
template <class T>
inline void multiply_narrow(int64_t rows, int64_t cols, int64_t terms, const T* panels, const T* b, int64_t b_col,
                            T* sums, bool accumulate, const Finish<T>* finish) {
    const int64_t padded = padded_rows<T>(rows);
    const RowPanels group(cols, narrow_side<T>(b_col));
    PanelPair<T> pair{};
    pair.depth = terms, pair.a_row_stride = b_col;
    pair.c_stride = padded, pair.accumulate = accumulate, pair.last = finish != nullptr;
    if (finish) pair.activation = finish->activation;
    for (int64_t panel = 0; panel < group.count; ++panel) {
        const int64_t col = group.begin(panel);
        pair.a = b + col * b_col;
        pair.row_bias = finish && finish->col_bias ? finish->col_bias + col : nullptr;
        for (int64_t row = 0; row < rows; row += panel_cols<T>) {
            pair.b = panels + row * terms, pair.c = sums + col * padded + row;
            pair.cols = static_cast<int>(smaller(panel_cols<T>, padded - row));
            multiply_panels<T>(static_cast<int>(group.begin(panel + 1) - col), pair);
        }
    }
}

// c[row, col] (+)= sums[col, row]; registers of sums are read beyond the last column.
template <class T>
inline void turn(const T* sums, int64_t rows, int64_t cols, T* c, int64_t c_stride, bool accumulate) {
    constexpr int L = lanes<T>;
    const int64_t padded = padded_rows<T>(rows);
    for (int64_t col = 0; col < cols; col += L)
        for (int64_t row = 0; row < rows; row += L) {
            Vec<T> block[L];
            load_transposed<T>([&](int i) { return sums + (col + i) * padded + row; }, block);
            T* const to = c + row * c_stride + col;
            const int used = static_cast<int>(smaller(L, cols - col)), count = static_cast<int>(smaller(L, rows - row));
            if (used == L && count == L && !accumulate) {
#pragma GCC unroll 16
                for (int i = 0; i < L; ++i) store(to + i * c_stride, block[i]);
                continue;
            }
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) {
                if (i >= count) break;
                T* const place = to + i * c_stride;
                store_used(place, accumulate ? load_used(place, used) + block[i] : block[i], used);
            }
        }
}

// Whether the panels of all rows fit the scratch memory.
template <class T>
ADVCORE_INLINE bool is_narrow(int64_t rows, int64_t depth) {
    return rows <= most_narrow_rows && padded_rows<T>(rows) * depth <= narrow_panels_size<T>;
}

// c[rows, cols] = a[rows, depth] b[depth, cols], b's columns at b + col * b_col.
template <class T>
inline void narrow_product(int64_t rows, int64_t cols, int64_t depth, const LeftMatrix<T>& a, const T* b, int64_t b_col,
                           T* c, int64_t c_stride, const Finish<T>& finish, T* scratch) {
    T* const panels = scratch;
    T* const sums = panels + narrow_panels_size<T>;
    const int64_t padded = padded_rows<T>(rows);
    const auto terms = [depth](int64_t k) { return smaller(block_depth, depth - k); };
    for (int64_t k = 0; k < depth; k += block_depth)
        pack_narrow<T>({a.data + k * a.depth_stride, a.row_stride, a.depth_stride}, rows, terms(k),
                       panels + k * padded);
    for (int64_t first = 0; first < cols; first += narrow_cols) {
        const int64_t count = smaller(narrow_cols, cols - first);
        const Finish<T> own{nullptr, finish.col_bias ? finish.col_bias + first : nullptr, finish.activation};
        for (int64_t k = 0; k == 0 || k < depth; k += block_depth)
            multiply_narrow(rows, count, terms(k), panels + k * padded, b + first * b_col + k, b_col, sums, k > 0,
                            k + block_depth >= depth ? &own : nullptr);
        turn(sums, rows, count, c + first, c_stride, false);
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
