#include "product.h"

#include "activate.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// An activation too long to be repeated for every register of multiply(): a pass over what that has stored.
template <class T>
void activate_stored(int rows, const PanelPair<T>& p) {
    T* c = p.c;
    for (int r = 0; r < rows; ++r, c += p.c_stride)
        for (int col = 0; col < p.cols; col += lanes<T>) {
            const int used = p.cols - col < lanes<T> ? p.cols - col : lanes<T>;
            store_part(c + col, activate<T>(load_part(c + col, used), p.activation), used);
        }
}

template <class T, int Rows, int Vectors>
void multiply(const PanelPair<T>& p) {
    constexpr int L = lanes<T>;
    Vec<T> sum[Rows][Vectors] = {};
    for (int r = 0; r < Rows; ++r) prefetch(p.c, r * p.c_stride);  // by the time of the sums it is there
    const T* a = p.a;
    const T* b = p.b;
#pragma GCC unroll 4
    for (int64_t k = 0; k < p.depth; ++k, a += Rows, b += Vectors * L) {
        Vec<T> right[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) right[v] = load(b + v * L);
#pragma GCC unroll 14
        for (int r = 0; r < Rows; ++r) {
            const Vec<T> left = splat(a[r]);
#pragma GCC unroll 2
            for (int v = 0; v < Vectors; ++v) sum[r][v] = fma<T>(left, right[v], sum[r][v]);
        }
    }
    T* c = p.c;
#pragma GCC unroll 14
    for (int r = 0; r < Rows; ++r, c += p.c_stride) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
            const int used = p.cols - v * L;
            if (used <= 0) break;
            Vec<T> x = sum[r][v];
            if (p.accumulate) x = (used >= L ? load(c + v * L) : load_part(c + v * L, used)) + x;
            if (p.last) {
                if (p.row_bias) x += splat(p.row_bias[r]);
                if (p.col_bias) x += used >= L ? load(p.col_bias + v * L) : load_part(p.col_bias + v * L, used);
                if (p.activation == Activation::relu) x = relu<T>(x);
            }
            if (used >= L)
                store(c + v * L, x);
            else
                store_part(c + v * L, x, used);
        }
    }
    if (p.last && p.activation == Activation::gelu) activate_stored(Rows, p);
}

template <class T, int Rows = max_panel_rows>
ADVCORE_INLINE void multiply_any(int rows, const PanelPair<T>& p) {
    if (rows == Rows) {
        if (p.cols > lanes<T>)
            multiply<T, Rows, 2>(p);
        else
            multiply<T, Rows, 1>(p);
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
