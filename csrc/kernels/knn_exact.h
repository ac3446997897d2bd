// Squared distances from differences, in double precision: never from inner products, which lose every digit where
// points lie close together and far from the origin.
//
// Term i of a sum belongs to chain i mod 8, each a chain of fused multiply-adds in ascending order; then chains 4, 2, 1
// apart are added. So a sum has the same bits whether a register holds terms or points.
#pragma once

#include "kernel_list.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int knn_chains = 8;

ADVCORE_INLINE double sum_of_chains(double (&chain)[knn_chains]) {
    for (int apart = knn_chains / 2; apart > 0; apart /= 2)
        for (int c = 0; c < apart; ++c) chain[c] += chain[c + apart];
    return chain[0];
}

constexpr int knn_chain_vectors = knn_chains / lanes<double>;

// Adds knn_chains terms of a query and each of Count points to their sums: registers hold terms.
template <class T, int Count>
ADVCORE_INLINE void add_squares_of_terms(const T* query, const T* const (&points)[Count], int64_t at,
                                         Vec<double> (&sum)[Count][knn_chain_vectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < knn_chain_vectors; ++v) {
        const Vec<double> coordinate = load_as_double(query + at + v * lanes<double>);
#pragma GCC unroll 4
        for (int i = 0; i < Count; ++i) {
            const Vec<double> difference = coordinate - load_as_double(points[i] + at + v * lanes<double>);
            sum[i][v] = fma<double>(difference, difference, sum[i][v]);
        }
    }
}

// Of one query to Count points.
template <class T, int Count>
inline void squared_distances(const T* query, const T* const* points, int64_t dimensions, double* squared) {
    Vec<double> sum[Count][knn_chain_vectors] = {};
    const T* point[Count];
    for (int i = 0; i < Count; ++i) point[i] = points[i];
    int64_t at = 0;
    for (; at + knn_chains <= dimensions; at += knn_chains) add_squares_of_terms<T, Count>(query, point, at, sum);
    if (at < dimensions) {
        T last_query[knn_chains] = {}, last_points[Count][knn_chains] = {};
        const T* last[Count];
        for (int64_t k = at; k < dimensions; ++k) {
            last_query[k - at] = query[k];
            for (int i = 0; i < Count; ++i) last_points[i][k - at] = point[i][k];
        }
        for (int i = 0; i < Count; ++i) last[i] = last_points[i];
        add_squares_of_terms<T, Count>(last_query, last, 0, sum);
    }
    for (int i = 0; i < Count; ++i) {
        double chain[knn_chains];
        for (int v = 0; v < knn_chain_vectors; ++v) store(chain + v * lanes<double>, sum[i][v]);
        squared[i] = sum_of_chains(chain);
    }
}

// Of Rows queries to Vectors registers of points, whose coordinates lie by dimension.
template <int Rows, int Vectors>
struct SquaresOfPanel {
    const double* queries;  // [Rows][dimensions]
    const double* points;   // [dimensions][points_stride]
    int64_t dimensions, points_stride;

    typedef Vec<double> Sums[Rows][Vectors];

    ADVCORE_INLINE void add(int64_t k, Sums& sum) const {
        constexpr int L = lanes<double>;
        Vec<double> point[Vectors];
        for (int v = 0; v < Vectors; ++v) point[v] = load(points + k * points_stride + v * L);
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) {
            const Vec<double> query = splat(queries[r * dimensions + k]);
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) {
                const Vec<double> difference = query - point[v];
                sum[r][v] = fma<double>(difference, difference, sum[r][v]);
            }
        }
    }

    // Chains c and c + 4.
    ADVCORE_INLINE void two_chains(int64_t c, Sums& total) const {
        Sums upper = {};
        for (auto& row : total)
            for (auto& v : row) v = Vec<double>{};
        int64_t k = c;
        for (; k + knn_chains / 2 < dimensions; k += knn_chains) {
            add(k, total);
            add(k + knn_chains / 2, upper);
        }
        if (k < dimensions) add(k, total);
        plus(total, upper);
    }

    static ADVCORE_INLINE void plus(Sums& to, const Sums& from) {
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) to[r][v] += from[r][v];
    }

    inline void measure(double* squared, int64_t stride) const {
        Sums even, odd, more;
        two_chains(0, even);
        two_chains(2, more);
        plus(even, more);
        two_chains(1, odd);
        two_chains(3, more);
        plus(odd, more);
        plus(even, odd);
        for (int r = 0; r < Rows; ++r)
            for (int v = 0; v < Vectors; ++v) store(squared + r * stride + v * lanes<double>, even[r][v]);
    }
};

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
