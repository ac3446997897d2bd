// Squared distances of listed pairs of a few queries and a few points with many coordinates. Some terms of a block of
// points are widened at a time and stay in the first-level cache while all queries pass by; a pair's chains are read
// and written once for so many terms. The chains, and so the bits, are those of knn_exact.h.
#pragma once

#include "knn_exact.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t pair_points = knn_few_points, pair_queries = knn_few_queries;
constexpr int64_t pair_block = 24, pair_terms = 128;       // of points at a time: 24 KiB
constexpr int pairs_at_once = lanes<double> == 2 ? 2 : 4;  // as many as there are registers for
constexpr int64_t pair_blocks = ceil_div(pair_points, pair_block);

struct PairScratch {
    double points[pair_block * pair_terms];
    double queries[pair_queries * pair_terms];
    double chains[pair_queries * pair_points][knn_chains];
    double squared[pair_queries * pair_points];
    // Block after block of points, in it query after query: each has so many pairs, with these points of it.
    int32_t count[pair_blocks][pair_queries];
    int32_t partner[pair_queries * pair_points];
};

// Widens up to pair_terms coordinates of the rows, then zeros: these add nothing.
template <class T>
inline void widen_rows(const T* from, int64_t rows, int64_t stride, int64_t terms, double* to) {
    constexpr int64_t L = lanes<double>, line = 64 / static_cast<int64_t>(sizeof(T));
    for (int64_t row = 0; row < rows; ++row, from += stride, to += pair_terms) {
        // The next: rows lie too far apart for the hardware to see them coming.
        for (int64_t i = 0; i < pair_terms; i += line) prefetch(from, pair_terms + i);
        for (int64_t i = 0; i < pair_terms; i += L) {
            if (i + L <= terms)
                store(to + i, load_as_double(from + i));
            else
                for (int64_t j = 0; j < L; ++j) to[i + j] = i + j < terms ? static_cast<double>(from[i + j]) : 0;
        }
    }
}

// A query and the Count points of its next pairs.
template <int Count>
inline void add_terms_of_pairs(const double* query, const double* points, const int32_t* partner, int64_t terms,
                               double (*chains)[knn_chains]) {
    constexpr int L = lanes<double>;
    Vec<double> sum[Count][knn_chain_vectors];
    const double* point[Count];
    for (int c = 0; c < Count; ++c) {
        point[c] = points + partner[c] * pair_terms;
        for (int v = 0; v < knn_chain_vectors; ++v) sum[c][v] = load(chains[c] + v * L);
    }
    for (int64_t at = 0; at < terms; at += knn_chains) add_squares_of_terms<double, Count>(query, point, at, sum);
    for (int c = 0; c < Count; ++c)
        for (int v = 0; v < knn_chain_vectors; ++v) store(chains[c] + v * L, sum[c][v]);
}

template <int Count>
inline void add_terms_of_some(int64_t count, const double* query, const double* points, const int32_t* partner,
                              int64_t terms, double (*chains)[knn_chains]) {
    if constexpr (Count > 1)
        if (count < Count) return add_terms_of_some<Count - 1>(count, query, points, partner, terms, chains);
    add_terms_of_pairs<Count>(query, points, partner, terms, chains);
}

// Measures what scratch.count and scratch.partner list.
template <class T>
inline void measure_pairs(const T* queries, int64_t query_count, const T* points, int64_t point_count,
                          int64_t dimensions, PairScratch& scratch) {
    int64_t pairs = 0;
    const int64_t blocks = ceil_div(point_count, pair_block);
    for (int64_t block = 0; block < blocks; ++block)
        for (int64_t q = 0; q < query_count; ++q) pairs += scratch.count[block][q];
    __builtin_memset(scratch.chains, 0, static_cast<uint64_t>(pairs) * sizeof(scratch.chains[0]));
    for (int64_t k = 0; k < dimensions; k += pair_terms) {
        const int64_t terms = smaller(pair_terms, dimensions - k);
        widen_rows(queries + k, query_count, dimensions, terms, scratch.queries);
        int64_t pair = 0;
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t first = block * pair_block;
            widen_rows(points + first * dimensions + k, smaller(pair_block, point_count - first), dimensions, terms,
                       scratch.points);
            for (int64_t q = 0; q < query_count; ++q) {
                const double* const query = scratch.queries + q * pair_terms;
                for (int64_t left = scratch.count[block][q]; left > 0;) {
                    const int64_t some = smaller(left, pairs_at_once);
                    add_terms_of_some<pairs_at_once>(some, query, scratch.points, scratch.partner + pair, terms,
                                                     scratch.chains + pair);
                    pair += some, left -= some;
                }
            }
        }
    }
    for (int64_t pair = 0; pair < pairs; ++pair) scratch.squared[pair] = sum_of_chains(scratch.chains[pair]);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
