// Statistics over the samples of columns that lie side by side, one register wide: sums in the order of the product's
// chains, blocks of 256 terms, block sums added in order.
#pragma once

#include "recurrent_cells.h"
#include "tile.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// totals = the sums over all samples of what add(sample, sums) adds.
template <class T, int Count, class Add>
ADVCORE_INLINE void sum_samples(int64_t samples, Vec<T> (&totals)[Count], const Add& add) {
    for (int i = 0; i < Count; ++i) totals[i] = Vec<T>{};
    for (int64_t begin = 0; begin < samples; begin += block_depth) {
        const int64_t end = smaller(begin + block_depth, samples);
        Vec<T> sums[Count] = {};
        for (int64_t n = begin; n < end; ++n) add(n, sums);
        for (int i = 0; i < Count; ++i) totals[i] += sums[i];
    }
}

// (x - mean) / sqrt(variance + eps), and the same times gamma.
template <class T>
struct Normalise {
    Vec<T> mean, rstd, scale;
    ADVCORE_INLINE Vec<T> unit(Vec<T> x) const { return (x - mean) * rstd; }
    ADVCORE_INLINE Vec<T> scaled(Vec<T> x) const { return (x - mean) * scale; }
};

template <class T>
ADVCORE_INLINE Vec<T> reciprocal_root(Vec<T> x) {
    Vec<T> y{};
    for (int i = 0; i < lanes<T>; ++i) y[i] = static_cast<T>(__builtin_sqrt(x[i]));
    return T(1) / y;
}

// Mean and variance of `Count` columns, `part` elements apart: taken from this batch in training, else read.
template <class T, int Count, class At>
ADVCORE_INLINE void column_statistics(At at, bool training, const T* x, int64_t sample_stride, int64_t part,
                                      int64_t samples, T* mean, T* variance) {
    if (!training) return;
    const T share = T(1) / static_cast<T>(samples);
    Vec<T> means[Count], squares[Count];
    sum_samples<T, Count>(samples, means, [&](int64_t n, Vec<T>(&sums)[Count]) {
        for (int i = 0; i < Count; ++i) sums[i] += at.get(x + n * sample_stride + i * part);
    });
    for (int i = 0; i < Count; ++i) means[i] *= share;
    sum_samples<T, Count>(samples, squares, [&](int64_t n, Vec<T>(&sums)[Count]) {
        for (int i = 0; i < Count; ++i) {
            const Vec<T> centred = at.get(x + n * sample_stride + i * part) - means[i];
            sums[i] = fma<T>(centred, centred, sums[i]);
        }
    });
    for (int i = 0; i < Count; ++i) {
        at.put(mean + i * part, means[i]);
        at.put(variance + i * part, squares[i] * share);
    }
}

template <class T, class At>
ADVCORE_INLINE Normalise<T> normalisation(At at, const T* mean, const T* variance, const T* gamma, T eps) {
    const Vec<T> rstd = reciprocal_root<T>(at.get(variance) + eps);
    return {at.get(mean), rstd, rstd * at.get(gamma)};
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
