// Sums over the coordinates of pairs of points, of products or of squared differences, in chains that are so short that
// how far a sum may be from the truth is known.
#pragma once

#include "kernel_list.h"
#include "shuffle.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

enum class Term { product, square };

constexpr int chain = 8, chains = 4;  // registers of terms that one sum takes, sums that are added before the lanes

template <class T>
constexpr int64_t sum_block = chain * chains * lanes<T>;  // terms that are added in T

template <class T>
constexpr double half_unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;  // what one rounding is, relative to its result

// What a sum of at most sum_block terms may be off by, relative to the sum of their sizes: a rounding a register of a
// chain, one a chain and one a halving of the lanes.
template <class T>
constexpr double error_of_terms = 1.01 * (chain + chains - 1 + 4) * half_unit<T>;

// Lane i: the sum of the lanes of x[i]. Halves of two registers are added at once, then quarters of these, ...
template <class T, int Step, int... I>
ADVCORE_INLINE Vec<T> add_halves(Vec<T> a, Vec<T> b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, ((I & Step) ? I + lanes<T> : I)...) +
           __builtin_shufflevector(a, b, ((I & Step) ? (I ^ Step) + lanes<T> : (I ^ Step))...);
}
template <class T, int Step = lanes<T> / 2>
ADVCORE_INLINE Vec<T> sums_of_lanes(Vec<T> (&x)[lanes<T>], int count = lanes<T>) {
    constexpr typename Iota<lanes<T>>::type all;
    if constexpr (Step == 0) {
        return x[0];
    } else {
#pragma GCC unroll 8
        for (int i = 0; i < Step; ++i)
            if (i + Step < count)
                x[i] = add_halves<T, Step>(x[i], x[i + Step], all);
            else if (i < count)
                x[i] += swapped<T, Step>(x[i], all);
        return sums_of_lanes<T, Step / 2>(x, count < Step ? count : Step);
    }
}

// How many sums of pairs are written: whole registers.
template <int pairs>
constexpr int sum_places = (pairs + lanes<double> - 1) / lanes<double> * lanes<double>;

// Adds up at most sum_block terms of each of Queries x Points pairs.
template <Term term, int Queries, int Points, class T>
ADVCORE_INLINE void add_terms(const T* queries, int64_t stride, const T* const (&points)[Points], int64_t terms,
                              double* sums) {
    constexpr int64_t L = lanes<T>;
    Vec<T> total[Queries][Points] = {};
    for (int64_t first = 0; first < terms; first += chain * L) {
        const int64_t end = smaller(terms, first + chain * L);
        Vec<T> sum[Queries][Points] = {};
        const auto add = [&](int64_t at, const auto& read) {
            Vec<T> point[Points];
#pragma GCC unroll 4
            for (int p = 0; p < Points; ++p) point[p] = read(points[p] + at);
#pragma GCC unroll 4
            for (int q = 0; q < Queries; ++q) {
                const Vec<T> query = held<T>(read(queries + q * stride + at));
#pragma GCC unroll 4
                for (int p = 0; p < Points; ++p) {
                    if constexpr (term == Term::product) {
                        sum[q][p] = fma<T>(query, point[p], sum[q][p]);
                    } else {
                        const Vec<T> difference = query - point[p];
                        sum[q][p] = fma<T>(difference, difference, sum[q][p]);
                    }
                }
            }
        };
        int64_t at = first;
        for (; at + L <= end; at += L) add(at, [](const T* from) { return load(from); });
        if (at < end) add(at, [some = static_cast<int>(end - at)](const T* from) { return load_part(from, some); });
#pragma GCC unroll 4
        for (int q = 0; q < Queries; ++q)
#pragma GCC unroll 4
            for (int p = 0; p < Points; ++p) total[q][p] += sum[q][p];
    }
    constexpr int pairs = Queries * Points;
#pragma GCC unroll 8
    for (int begin = 0; begin < pairs; begin += lanes<T>) {
        const int count = pairs - begin < lanes<T> ? pairs - begin : lanes<T>;
        Vec<T> some[lanes<T>];
#pragma GCC unroll 16
        for (int i = 0; i < count; ++i) some[i] = total[(begin + i) / Points][(begin + i) % Points];
        T done[lanes<T>];
        store(done, sums_of_lanes<T>(some, count));
#pragma GCC unroll 4
        for (int i = 0; i < count; i += lanes<double>)
            store(sums + begin + i, load(sums + begin + i) + load_as_double(done + i));
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
