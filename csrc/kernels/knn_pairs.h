// Squared distances of listed pairs of a few queries and a few points with many coordinates: some coordinates of all
// points are widened at a time and stay in the first-level cache, where a row of each pair would come from farther away
// for every query. The chains, and so the bits, are those of knn_exact.h.
#pragma once

#include "knn_exact.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t pair_points = 512, pair_queries = knn_tile_queries / 2;
constexpr int64_t pair_terms = 32, terms_at_once = 4 * pair_terms;

struct PairScratch {
    double points[pair_points * terms_at_once];  // [of terms_at_once][points][pair_terms]
    double queries[pair_queries * terms_at_once];
    double chains[pair_queries * pair_points][knn_chains];
    int64_t partner[pair_queries * pair_points];
    double squared[pair_queries * pair_points];
};
static_assert(sizeof(PairScratch) <= scratch_bytes);

// Widens up to terms_at_once coordinates of the rows, then zeros: these add nothing.
template <class T>
inline void widen_rows(const T* from, int64_t rows, int64_t stride, int64_t terms, double* to) {
    constexpr int64_t L = lanes<double>, line = 64 / static_cast<int64_t>(sizeof(T));
    for (int64_t row = 0; row < rows; ++row, from += stride) {
        // The next: rows lie too far apart for the hardware to see them coming.
        for (int64_t i = 0; i < terms_at_once; i += line) prefetch(from, terms_at_once + i);
        for (int64_t i = 0; i < terms_at_once; i += L) {
            double* const place = to + (i / pair_terms * rows + row) * pair_terms + i % pair_terms;
            if (i + L <= terms)
                store(place, load_as_double(from + i));
            else
                for (int64_t j = 0; j < L; ++j) place[j] = i + j < terms ? static_cast<double>(from[i + j]) : 0;
        }
    }
}

// A query and the Count points of its next pairs.
template <int Count>
ADVCORE_INLINE void add_terms_of_pairs(const Vec<double> (&query)[pair_terms / lanes<double>], const double* points,
                                       const int64_t* partner, double (*chains)[knn_chains]) {
    constexpr int L = lanes<double>, Vectors = knn_chains / L;
    Vec<double> sum[Count][Vectors];
    const double* point[Count];
#pragma GCC unroll 2
    for (int c = 0; c < Count; ++c) {
        point[c] = points + partner[c] * pair_terms;
        for (int v = 0; v < Vectors; ++v) sum[c][v] = load(chains[c] + v * L);
    }
#pragma GCC unroll 16
    for (int i = 0; i < pair_terms / L; ++i)
#pragma GCC unroll 2
        for (int c = 0; c < Count; ++c) {
            const Vec<double> difference = query[i] - load(point[c] + i * L);
            sum[c][i % Vectors] = fma<double>(difference, difference, sum[c][i % Vectors]);
        }
#pragma GCC unroll 2
    for (int c = 0; c < Count; ++c)
        for (int v = 0; v < Vectors; ++v) store(chains[c] + v * L, sum[c][v]);
}

// Query q meets the next count[q] points of scratch.partner, numbers of rows; results lie pair after pair.
template <class T>
inline void measure_pairs(const T* queries, int64_t query_count, const T* points, int64_t point_count,
                          int64_t dimensions, const int64_t* count, PairScratch& scratch) {
    constexpr int L = lanes<double>;
    int64_t pairs = 0;
    for (int64_t q = 0; q < query_count; ++q) pairs += count[q];
    if (pairs == 0) return;
    __builtin_memset(scratch.chains, 0, static_cast<uint64_t>(pairs) * sizeof(scratch.chains[0]));
    for (int64_t k = 0; k < dimensions; k += terms_at_once) {
        const int64_t terms = smaller(terms_at_once, dimensions - k);
        widen_rows(points + k, point_count, dimensions, terms, scratch.points);
        widen_rows(queries + k, query_count, dimensions, terms, scratch.queries);
        for (int64_t part = 0; part * pair_terms < terms; ++part) {
            const double* const point = scratch.points + part * point_count * pair_terms;
            int64_t pair = 0;
            for (int64_t q = 0; q < query_count; ++q) {
                Vec<double> query[pair_terms / L];
                for (int i = 0; i < pair_terms / L; ++i)
                    query[i] = load(scratch.queries + (part * query_count + q) * pair_terms + i * L);
                const int64_t end = pair + count[q];
                for (; pair + 2 <= end; pair += 2)
                    add_terms_of_pairs<2>(query, point, scratch.partner + pair, scratch.chains + pair);
                if (pair < end)
                    add_terms_of_pairs<1>(query, point, scratch.partner + pair, scratch.chains + pair), ++pair;
            }
        }
    }
    for (int64_t pair = 0; pair < pairs; ++pair) scratch.squared[pair] = sum_of_chains(scratch.chains[pair]);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
