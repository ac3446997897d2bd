// Squared distances of listed pairs of a few queries and a few points with many coordinates: some coordinates of all
// points are widened at a time and stay in the first-level cache, where a row of each pair would come from farther away
// for every query. The chains, and so the bits, are those of knn_exact.h.
#pragma once

#include "knn_exact.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t pair_points = 512, pair_queries = knn_tile_queries / 4, pair_terms = 32;

struct PairScratch {
    double points[pair_points * pair_terms];
    double query[pair_terms];
    double chains[pair_queries * pair_points][knn_chains];
    double squared[pair_queries * pair_points];
};
static_assert(sizeof(PairScratch) <= scratch_bytes);

// Widens `terms` coordinates, then zeros: these add nothing.
template <class T>
ADVCORE_INLINE void widen_terms(const T* from, int64_t terms, double* to) {
    constexpr int L = lanes<double>;
    int64_t i = 0;
    for (; i + L <= terms; i += L) store(to + i, load_as_double(from + i));
    for (; i < terms; ++i) to[i] = static_cast<double>(from[i]);
    for (; i < pair_terms; ++i) to[i] = 0;
}

ADVCORE_INLINE void add_terms_of_pair(const Vec<double> (&query)[pair_terms / lanes<double>], const double* point,
                                      double* chains) {
    constexpr int L = lanes<double>, Vectors = knn_chains / L;
    Vec<double> sum[Vectors];
    for (int v = 0; v < Vectors; ++v) sum[v] = load(chains + v * L);
#pragma GCC unroll 16
    for (int i = 0; i < pair_terms / L; ++i) {
        const Vec<double> difference = query[i] - load(point + i * L);
        sum[i % Vectors] = fma<double>(difference, difference, sum[i % Vectors]);
    }
    for (int v = 0; v < Vectors; ++v) store(chains + v * L, sum[v]);
}

// Query q meets the points partners(q)[0 .. count(q)), numbers of rows; results lie pair after pair.
template <class T, class Partners, class Count>
inline void measure_pairs(const T* queries, int64_t query_count, const T* points, int64_t point_count,
                          int64_t dimensions, const Partners& partners, const Count& count, PairScratch& scratch) {
    constexpr int L = lanes<double>;
    int64_t pairs = 0;
    for (int64_t q = 0; q < query_count; ++q) pairs += count(q);
    __builtin_memset(scratch.chains, 0, static_cast<uint64_t>(pairs) * sizeof(scratch.chains[0]));
    for (int64_t k = 0; k < dimensions; k += pair_terms) {
        const int64_t terms = smaller(pair_terms, dimensions - k);
        for (int64_t p = 0; p < point_count; ++p) {
            const T* const from = points + p * dimensions + k;
            for (int64_t i = 0; i < pair_terms; i += 64 / static_cast<int64_t>(sizeof(T)))
                prefetch(from, pair_terms + i);  // the next: rows lie too far apart for the hardware to see it coming
            widen_terms(from, terms, scratch.points + p * pair_terms);
        }
        int64_t pair = 0;
        for (int64_t q = 0; q < query_count; ++q) {
            widen_terms(queries + q * dimensions + k, terms, scratch.query);
            Vec<double> query[pair_terms / L];
            for (int i = 0; i < pair_terms / L; ++i) query[i] = load(scratch.query + i * L);
            const int64_t some = count(q);
            for (int64_t i = 0; i < some; ++i, ++pair)
                add_terms_of_pair(query, scratch.points + partners(q, i) * pair_terms, scratch.chains[pair]);
        }
    }
    for (int64_t pair = 0; pair < pairs; ++pair) scratch.squared[pair] = sum_of_chains(scratch.chains[pair]);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
