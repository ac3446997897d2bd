// The product of a few rows with a matrix whose columns lie along the depth, as a linear layer's weights do: bounded by
// reading that matrix once, so that it is transposed in registers and never stored. The sums are those of product.h.
#pragma once

#include "activate.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int most_thin_rows = 4;

// Adds the products of `terms` <= lanes terms to the sums of Rows rows and one register of columns.
template <class T, int Rows>
ADVCORE_INLINE void add_terms(const T* const (&column)[lanes<T>], int64_t k, int terms, const T* a, int64_t a_row,
                              int64_t a_depth, Vec<T> (&sum)[Rows]) {
    constexpr int L = lanes<T>;
    Vec<T> block[L];
    if (terms == L) {
        load_transposed<T>([&](int i) { return column[i] + k; }, block);
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) block[i] = load_part(column[i] + k, terms);
        transpose<T>(block);
    }
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) {
        if (i == terms) break;
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) sum[r] = fma<T>(splat(a[r * a_row + (k + i) * a_depth]), block[i], sum[r]);
    }
}

// Rows x Groups registers of c[Rows, cols] = a[Rows, depth] b[depth, cols], b's columns at b + col * b_col; then the
// bias and the activation. Of the last register `used` columns count. A chain of additions alone would wait for itself:
// the sums of Blocks blocks of terms grow side by side, and of what is left those of all Groups.
template <class T, int Rows, int Groups, int Blocks>
inline void thin_cols(int used, int64_t depth, const T* a, int64_t a_row, int64_t a_depth, const T* b, int64_t b_col,
                      T* c, int64_t c_stride, bool accumulate, const T* bias, Activation activation) {
    constexpr int L = lanes<T>;
    constexpr int line = 64 / vector_bytes;  // registers that are taken from a column together: a line of the cache
    const auto count = [used](int group) { return group == Groups - 1 ? used : L; };
    const T* column[Groups][L];
    for (int g = 0; g < Groups; ++g)
        for (int i = 0; i < L; ++i) column[g][i] = b + (g * L + smaller(i, count(g) - 1)) * b_col;
    Vec<T> total[Groups][Rows];
    for (int g = 0; g < Groups; ++g)
        for (int r = 0; r < Rows; ++r)
            total[g][r] = accumulate ? load_part(c + r * c_stride + g * L, count(g)) : Vec<T>{};
    bool first = !accumulate;
    const auto add = [&](int g, const Vec<T>(&sum)[Rows], bool is_first) {
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) total[g][r] = is_first ? sum[r] : total[g][r] + sum[r];
    };
    int64_t begin = 0;
    for (; Blocks > 1 && begin + Blocks * block_depth <= depth; begin += Blocks * block_depth, first = false)
        for (int g = 0; g < Groups; ++g) {
            Vec<T> sum[Blocks][Rows] = {};
            for (int64_t k = begin; k < begin + block_depth; k += line * L)
#pragma GCC unroll 4
                for (int i = 0; i < Blocks; ++i)
#pragma GCC unroll 4
                    for (int part = 0; part < line; ++part)
                        add_terms<T, Rows>(column[g], k + i * block_depth + part * L, L, a, a_row, a_depth, sum[i]);
#pragma GCC unroll 4
            for (int i = 0; i < Blocks; ++i) add(g, sum[i], first && i == 0);
        }
    for (; begin == 0 || begin < depth; begin += block_depth, first = false) {
        const int64_t end = smaller(depth, begin + block_depth);
        Vec<T> sum[Groups][Rows] = {};
        int64_t k = begin;
        for (; k + L <= end; k += L)
#pragma GCC unroll 2
            for (int g = 0; g < Groups; ++g) add_terms<T, Rows>(column[g], k, L, a, a_row, a_depth, sum[g]);
        for (int g = 0; k < end && g < Groups; ++g)
            add_terms<T, Rows>(column[g], k, static_cast<int>(end - k), a, a_row, a_depth, sum[g]);
        for (int g = 0; g < Groups; ++g) add(g, sum[g], first);
    }
    for (int g = 0; g < Groups; ++g) {
        if (bias) {  // loaded once: in the loop over the rows GCC 12 read beyond it from the second row on
            const Vec<T> added = load_part(bias + g * L, count(g));
            for (int r = 0; r < Rows; ++r) total[g][r] += added;
        }
        for (int r = 0; r < Rows; ++r)
            store_part(c + r * c_stride + g * L, activate<T>(total[g][r], activation), count(g));
    }
}

template <class T, int Rows, int Groups, int Blocks>
inline void thin_rows(int64_t cols, int64_t depth, const T* a, int64_t a_row, int64_t a_depth, const T* b,
                      int64_t b_col, T* c, int64_t c_stride, bool accumulate, const Finish<T>& finish) {
    constexpr int L = lanes<T>;
    int64_t col = 0;
    const auto bias = [&] { return finish.col_bias ? finish.col_bias + col : nullptr; };
    if constexpr (Groups > 1)
        for (; col + Groups * L <= cols; col += Groups * L)
            thin_cols<T, Rows, Groups, Blocks>(L, depth, a, a_row, a_depth, b + col * b_col, b_col, c + col, c_stride,
                                               accumulate, bias(), finish.activation);
    for (; col < cols; col += L)
        thin_cols<T, Rows, 1, Blocks>(static_cast<int>(smaller(L, cols - col)), depth, a, a_row, a_depth,
                                      b + col * b_col, b_col, c + col, c_stride, accumulate, bias(), finish.activation);
}

template <class T, int Rows = most_thin_rows>
inline void thin_product(int64_t rows, int64_t cols, int64_t depth, const T* a, int64_t a_row, int64_t a_depth,
                         const T* b, int64_t b_col, T* c, int64_t c_stride, bool accumulate, const Finish<T>& finish) {
    // Two places in each of many long columns are more than the hardware sees ahead for.
    constexpr int together = Rows <= 2 ? 2 : 1;
    constexpr int64_t long_column = (16 << 10) / static_cast<int64_t>(sizeof(T));
    const auto thin = depth < long_column ? thin_rows<T, Rows, together, together> : thin_rows<T, Rows, 1, 1>;
    if (rows == Rows)
        thin(cols, depth, a, a_row, a_depth, b, b_col, c, c_stride, accumulate, finish);
    else if constexpr (Rows > 1)
        thin_product<T, Rows - 1>(rows, cols, depth, a, a_row, a_depth, b, b_col, c, c_stride, accumulate, finish);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
