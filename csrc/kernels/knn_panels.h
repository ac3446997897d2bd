// Squared distances of a panel of queries to a panel of reference points, from differences: never from inner products,
// which lose every digit where points lie close together and far from the origin.
//
// Lanes are reference points. Each sum is a chain of fused multiply-adds in ascending order in each block of 256
// terms, and the block sums are added in order, wherever the pair lies.
#pragma once

#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t knn_block = 256;
template <class T>
constexpr int64_t knn_points_per_tile = 512 / static_cast<int64_t>(sizeof(T));
constexpr int knn_panel_rows = vector_registers == 32 ? 12 : 6;
template <class T>
constexpr int knn_panel_cols = 2 * lanes<T>;

template <class T>
struct KnnPanels {
    int64_t terms;
    const T* queries;    // [terms][rows]
    const T* reference;  // [terms][vectors of columns]
    T* squared;          // [rows][stride]
    int64_t stride;
    bool accumulate;
};

template <class T, int Rows, int Vectors>
__attribute__((noinline)) void add_squares(const KnnPanels<T>& p) {
    constexpr int L = lanes<T>;
    Vec<T> sum[Rows][Vectors] = {};
    const T* query = p.queries;
    const T* reference = p.reference;
    for (int64_t k = 0; k < p.terms; ++k, query += Rows, reference += Vectors * L) {
        Vec<T> points[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) points[v] = load(reference + v * L);
#pragma GCC unroll 14
        for (int r = 0; r < Rows; ++r) {
            const Vec<T> q = splat(query[r]);
#pragma GCC unroll 2
            for (int v = 0; v < Vectors; ++v) {
                const Vec<T> difference = q - points[v];
                sum[r][v] = fma<T>(difference, difference, sum[r][v]);
            }
        }
    }
    T* to = p.squared;
#pragma GCC unroll 14
    for (int r = 0; r < Rows; ++r, to += p.stride) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) store(to + v * L, p.accumulate ? load(to + v * L) + sum[r][v] : sum[r][v]);
    }
}

template <class T, int Rows = knn_panel_rows>
ADVCORE_INLINE void add_squares_any(int rows, int vectors, const KnnPanels<T>& p) {
    if (rows == Rows) {
        if (vectors == 2)
            add_squares<T, Rows, 2>(p);
        else
            add_squares<T, Rows, 1>(p);
    } else if constexpr (Rows > 1) {
        add_squares_any<T, Rows - 1>(rows, vectors, p);
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
