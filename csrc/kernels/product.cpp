#include "product.h"

#include "activate.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// An activation too long to be repeated for every register of multiply(): a pass over what that has stored.
template <class T>
void activate_stored(int rows, const PanelPair<T>& p) {
    constexpr int L = lanes<T>;
    T* c = p.c;
    for (int r = 0; r < rows; ++r, c += p.c_stride) {
        int col = 0;
        for (; col + L <= p.cols; col += L) store(c + col, gelu<T>(load(c + col)));
        if (col < p.cols) store_part(c + col, gelu<T>(load_part(c + col, p.cols - col)), p.cols - col);
    }
}

// Which factor lies where its offsets say, or the left one row by row, or in runs of terms.
enum class Scattered { none, left, right, rows, runs };

template <class T, int Rows, int Vectors, Scattered Where>
void multiply(const PanelPair<T>& p) {
    constexpr int L = lanes<T>;
    Vec<T> sum[Rows][Vectors] = {};
    for (int r = 0; r < Rows; ++r) prefetch(p.c, r * p.c_stride);  // by the time of the sums it is there
    if constexpr (Rows <= few_rows && Where == Scattered::right) {
        if (p.begun)
            for (int r = 0; r < Rows; ++r)
                for (int v = 0; v < Vectors; ++v) sum[r][v] = load(p.begun + r * p.begun_stride + v * L);
    }
    const T* left_row[Where == Scattered::left ? Rows : 1];
    if constexpr (Where == Scattered::left)
        for (int r = 0; r < Rows; ++r) left_row[r] = p.a + p.a_row_offset[r];
    // One address for each four rows: fourteen are more than there are registers for.
    const T* row_group[Where == Scattered::rows ? ceil_div(Rows, 4) : 1];
    if constexpr (Where == Scattered::rows)
        for (int g = 0; g < ceil_div(Rows, 4); ++g) row_group[g] = p.a + g * 4 * p.a_row_stride;
    const int64_t row_stride = p.a_row_stride;
    const T* left_term = p.a;  // one address for all rows of a panel that is packed
    const int64_t depth = p.depth;
#pragma GCC unroll 4
    for (int64_t k = 0; k < depth; ++k) {
        const T* const b = p.b + (Where == Scattered::right ? p.b_offset[k] : k * (Vectors * L));
        if constexpr (Where == Scattered::runs) {  // of few terms each: the hardware hardly sees them coming
            for (int v = 0; v < Vectors; ++v) __builtin_prefetch(b + (8 + v) * L, 0, 3);
        }
        const auto left_of = [&](int r) {
            if constexpr (Where == Scattered::left)
                return splat(left_row[r][p.a_term_offset[k]]);
            else if constexpr (Where == Scattered::rows)
                return splat(row_group[r / 4][r % 4 * row_stride + k]);
            else if constexpr (Where == Scattered::runs)
                return splat(left_term[r * left_run]);
            else
                return splat(left_term[r]);
        };
        if constexpr (Rows < Vectors) {  // whatever there are fewer of stays in registers
            Vec<T> left[Rows];
#pragma GCC unroll 14
            for (int r = 0; r < Rows; ++r) left[r] = left_of(r);
#pragma GCC unroll 12
            for (int v = 0; v < Vectors; ++v) {
                const Vec<T> right = load(b + v * L);
#pragma GCC unroll 14
                for (int r = 0; r < Rows; ++r) sum[r][v] = fma<T>(left[r], right, sum[r][v]);
            }
        } else {
            Vec<T> right[Vectors];
#pragma GCC unroll 12
            for (int v = 0; v < Vectors; ++v) right[v] = load(b + v * L);
#pragma GCC unroll 14
            for (int r = 0; r < Rows; ++r) {
                const Vec<T> left = left_of(r);
#pragma GCC unroll 12
                for (int v = 0; v < Vectors; ++v) sum[r][v] = fma<T>(left, right[v], sum[r][v]);
            }
        }
        if constexpr (Where == Scattered::runs)
            left_term += k % left_run == left_run - 1 ? p.a_run_step - (left_run - 1) : 1;
        else if constexpr (Where != Scattered::left && Where != Scattered::rows)
            left_term += Rows;
    }
    // Each of what follows is for all sums at once, so that nothing is asked again for every register.
    T* const c = p.c;
    const int64_t stride = p.c_stride;
    const int tail = p.cols - (Vectors - 1) * L;  // columns of the last register
    if (p.accumulate) {
#pragma GCC unroll 14
        for (int r = 0; r < Rows; ++r) {
            for (int v = 0; v < Vectors - 1; ++v) sum[r][v] += load(c + r * stride + v * L);
            const T* const last = c + r * stride + (Vectors - 1) * L;
            sum[r][Vectors - 1] += tail == L ? load(last) : load_part(last, tail);
        }
    }
    if (p.last && p.row_bias) {
#pragma GCC unroll 14
        for (int r = 0; r < Rows; ++r)
            for (int v = 0; v < Vectors; ++v) sum[r][v] += splat(p.row_bias[r]);
    }
    if (p.last && p.col_bias) {
        Vec<T> bias[Vectors];
        for (int v = 0; v < Vectors - 1; ++v) bias[v] = load(p.col_bias + v * L);
        bias[Vectors - 1] = load_part(p.col_bias + (Vectors - 1) * L, tail);
#pragma GCC unroll 14
        for (int r = 0; r < Rows; ++r)
            for (int v = 0; v < Vectors; ++v) sum[r][v] += bias[v];
    }
    if (p.last && p.activation == Activation::relu) {
#pragma GCC unroll 14
        for (int r = 0; r < Rows; ++r)
            for (int v = 0; v < Vectors; ++v) sum[r][v] = relu<T>(sum[r][v]);
    }
    if (tail == L) {
#pragma GCC unroll 14
        for (int r = 0; r < Rows; ++r)
            for (int v = 0; v < Vectors; ++v) store(c + r * stride + v * L, sum[r][v]);
    } else {
#pragma GCC unroll 14
        for (int r = 0; r < Rows; ++r) {
            for (int v = 0; v < Vectors - 1; ++v) store(c + r * stride + v * L, sum[r][v]);
            store_part(c + r * stride + (Vectors - 1) * L, sum[r][Vectors - 1], tail);
        }
    }
    if (p.last && p.activation == Activation::gelu) activate_stored(Rows, p);
}

template <class T, int Rows, int Vectors = 12>
ADVCORE_INLINE void multiply_wide(const PanelPair<T>& p) {
    if constexpr (Vectors * Rows <= 12)
        if (p.cols == Vectors * lanes<T>) return multiply<T, Rows, Vectors, Scattered::right>(p);
    if constexpr (Vectors > 4) multiply_wide<T, Rows, Vectors == 12 ? 6 : 4>(p);
}

template <class T, int Rows, int Vectors>
ADVCORE_INLINE void multiply_with(const PanelPair<T>& p) {
    if (p.a_row_offset) return multiply<T, Rows, Vectors, Scattered::left>(p);
    if (p.b_offset) return multiply<T, Rows, Vectors, Scattered::right>(p);
    if (p.a_row_stride) return multiply<T, Rows, Vectors, Scattered::rows>(p);
    if (p.a_run_step) return multiply<T, Rows, Vectors, Scattered::runs>(p);
    multiply<T, Rows, Vectors, Scattered::none>(p);
}

template <class T, int Rows = max_panel_rows>
ADVCORE_INLINE void multiply_any(int rows, const PanelPair<T>& p) {
    if (rows == Rows) {
        if (p.cols > panel_cols<T>) return multiply_wide<T, Rows>(p);
        p.cols > lanes<T> ? multiply_with<T, Rows, 2>(p) : multiply_with<T, Rows, 1>(p);
    } else if constexpr (Rows > 1) {
        multiply_any<T, Rows - 1>(rows, p);
    }
}

}  // namespace

template <class T>
void multiply_panels(int rows, const PanelPair<T>& p) {
    multiply_any<T>(rows, p);
}

template void multiply_panels<float>(int rows, const PanelPair<float>& p);
template void multiply_panels<double>(int rows, const PanelPair<double>& p);

}  // namespace advcore::ADVCORE_LEVEL
