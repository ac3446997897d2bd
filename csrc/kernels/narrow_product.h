// The product of some tens of rows with a matrix whose columns lie along the depth, as a linear layer's weights do. To
// bring that matrix into panels would take as long as multiplying it: here the roles are turned around, so that its
// elements are broadcast from where they are and the few rows become the panels. The sums are those of product.h.
#pragma once

#include "cover.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t most_narrow_rows = 64, narrow_cols = 16 * max_panel_rows;
template <class T>
constexpr int64_t narrow_panels_size = (int64_t{4} << 20) / static_cast<int64_t>(sizeof(T));  // of the rows

template <class T>
ADVCORE_INLINE bool is_narrow(int64_t rows, int64_t depth) {
    return rows <= most_narrow_rows && (rows + lanes<T>)*depth <= narrow_panels_size<T>;
}

// c[i, o] = the columns [o, o + count) of sums[o, i], for all rows i.
template <class T>
inline void turn(const T* sums, int64_t pitch, int64_t rows, int64_t count, T* c, int64_t c_stride) {
    constexpr int L = lanes<T>;
    for (int64_t o = 0; o < count; o += L)
        for (int64_t i = 0; i < rows; i += L) {
            Vec<T> block[L];
#pragma GCC unroll 16
            for (int lane = 0; lane < L; ++lane) block[lane] = load(sums + (o + lane) * pitch + i);
            transpose<T>(block);
#pragma GCC unroll 16
            for (int lane = 0; lane < L; ++lane)
                if (lane < rows - i)
                    store_used(c + (i + lane) * c_stride + o, block[lane], static_cast<int>(smaller(L, count - o)));
        }
}

// c[rows, cols] = a[rows, depth] b[depth, cols], b's columns at b + col * b_col.
template <class T>
inline void narrow_product(int64_t rows, int64_t cols, int64_t depth, const LeftMatrix<T>& a, const T* b, int64_t b_col,
                           T* c, int64_t c_stride, const Finish<T>& finish, T* scratch) {
    T* const panels = scratch;
    T* const sums = panels + narrow_panels_size<T>;  // a register more is read
    const int64_t padded = ceil_div(rows, lanes<T>) * lanes<T>;
    for (int64_t k = 0; k < depth; k += block_depth)
        each_panel<T>(rows, smaller(block_depth, depth - k), panels + k * padded,
                      [&](int64_t row, int64_t used, int64_t width, T* panel) {
                          pack_strip(a.data + row * a.row_stride + k * a.depth_stride, a.row_stride, a.depth_stride,
                                     used, width, smaller(block_depth, depth - k), panel);
                      });
    int64_t row_offset[max_panel_rows], term_offset[block_depth];
    for (int64_t i = 0; i < max_panel_rows; ++i) row_offset[i] = i * b_col;
    for (int64_t i = 0; i < block_depth; ++i) term_offset[i] = i;
    PanelPair<T> pair{};
    pair.a_row_offset = row_offset, pair.a_term_offset = term_offset;
    pair.c_stride = padded, pair.activation = finish.activation;
    for (int64_t first = 0; first < cols; first += narrow_cols) {
        const RowPanels group(smaller(narrow_cols, cols - first));
        for (int64_t k = 0; k == 0 || k < depth; k += block_depth) {
            pair.depth = smaller(block_depth, depth - k);
            pair.accumulate = k > 0, pair.last = k + pair.depth >= depth;
            for (int64_t panel = 0; panel < group.count; ++panel) {
                const int64_t col = first + group.begin(panel);
                pair.a = b + col * b_col + k;
                pair.row_bias = finish.col_bias ? finish.col_bias + col : nullptr;
                for (int64_t row = 0; row < rows; row += panel_cols<T>) {
                    pair.b = panels + k * padded + row * pair.depth;
                    pair.c = sums + (col - first) * padded + row;
                    pair.cols = static_cast<int>(smaller(panel_cols<T>, padded - row));
                    multiply_panels<T>(static_cast<int>(group.begin(panel + 1) - group.begin(panel)), pair);
                }
            }
        }
        turn(sums, padded, rows, group.rows, c + first, c_stride);
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
