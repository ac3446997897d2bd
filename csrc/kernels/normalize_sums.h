// Means, variances and other sums over what shares them: blocks that stay in the first-level cache, added in order.
#pragma once

#include "cover.h"
#include "normalize.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int sum_chains = 4;                 // sums that grow side by side, as one addition waits for the last
constexpr int64_t registers_per_block = 256;  // so that a chain has 64 terms

// `count` segments of `length` neighbours, `stride` apart.
struct Segments {
    int64_t offset, count, length, stride;
    [[gnu::always_inline]] int64_t size() const { return count * length; }
};

// The planes of one item, which has the channels from `channel` on, or only that one, and their segments.
struct NormGroup {
    int64_t offset, planes, plane, stride, channel, channel_step;
    int64_t next() const { return channel_step * planes * plane + (1 - channel_step) * plane; }  // from item to item
    Segments segments() const {
        return stride == plane ? Segments{offset, 1, planes * plane, 0} : Segments{offset, planes, plane, stride};
    }
};

inline NormGroup group_of(const NormShape& s, int64_t item) {
    if (s.across_samples()) return {item * s.plane, s.samples, s.plane, s.channels * s.plane, item, 0};
    return {
        item * s.together * s.plane, s.together, s.plane, s.plane, s.groups == 1 ? 0 : item % s.groups * s.together, 1};
}

// Calls f(block) for parts of the segments of 256 registers at most: several segments together, or part of one.
template <class T, class Function>
ADVCORE_INLINE void for_each_block(const Segments& s, Function f) {
    constexpr int64_t most = registers_per_block * lanes<T>;
    const int64_t together = s.count == 1 ? 1 : larger(1, most / s.length);
    for (int64_t first = 0; first < s.count; first += together)
        for (int64_t at = 0; at < s.length; at += most)
            f(Segments{s.offset + first * s.stride + at, smaller(together, s.count - first),
                       smaller(most, s.length - at), s.stride});
}

// How terms read their register: whole, or a part that is filled up with a value that adds nothing.
template <class T>
struct WholeRegister {
    int64_t at;
    ADVCORE_INLINE Vec<T> operator()(const T* from, Vec<T>) const { return load(from + at); }
};
template <class T>
struct PartOfRegister {
    int64_t at;
    int used;
    ADVCORE_INLINE Vec<T> operator()(const T* from, Vec<T> fill) const {
        return select<T>(lane_numbers<T>() < static_cast<Int<T>>(used), load_part(from + at, used), fill);
    }
};

// Sums over a block: add(read, sums) adds one register's terms. The result is in every lane.
template <class T, int Sums, class Add>
ADVCORE_INLINE void block_sums(const Segments& block, Vec<T> (&total)[Sums], Add add) {
    constexpr int L = lanes<T>;
    Vec<T> sum[sum_chains][Sums] = {};
    for (int64_t segment = 0; segment < block.count; ++segment) {
        int64_t i = block.offset + segment * block.stride;
        const int64_t end = i + block.length;
        for (; i + sum_chains * L <= end; i += sum_chains * L)
#pragma GCC unroll 4
            for (int chain = 0; chain < sum_chains; ++chain) add(WholeRegister<T>{i + chain * L}, sum[chain]);
        for (; i + L <= end; i += L) add(WholeRegister<T>{i}, sum[0]);
        if (i < end) add(PartOfRegister<T>{i, static_cast<int>(end - i)}, sum[1]);
    }
    for (int s = 0; s < Sums; ++s) total[s] = sum_of_lanes<T>((sum[0][s] + sum[1][s]) + (sum[2][s] + sum[3][s]));
}

// The number, the mean and the sum of squared distances from it.
struct Moments {
    double count, mean, squares;
    // Chan, Golub and LeVeque 1983: nothing is cancelled, however large the mean.
    void add(const Moments& more) {
        const double all = count + more.count, distance = more.mean - mean;
        squares = squares + more.squares + distance * distance * count * (more.count / all);
        mean = count == 0 ? more.mean : mean + distance * (more.count / all);
        count = all;
    }
    double rstd(double eps) const { return 1 / __builtin_sqrt(squares / count + eps); }
};

// From the sums of the distances from a centre near the mean, and of their squares.
ADVCORE_INLINE Moments moments_around(double centre, double count, double distances, double squares) {
    const double off = distances * (1 / count);
    const double rest = squares - distances * off;
    return {count, centre + off, rest < 0 ? 0 : rest};
}

// `soon` lies like x and is written soon: asking for it here leaves the writing less to wait for. It may be x itself.
template <class T>
ADVCORE_INLINE Moments moments_of(const T* x, const Segments& segments, const T* soon) {
    Moments moments{};
    for_each_block<T>(segments, [&](const Segments& block) {
        Vec<T> sum[1], centred[2];
        block_sums<T>(block, sum, [&](auto read, Vec<T>(&to)[1]) {
            prefetch(soon, read.at);
            to[0] += read(x, Vec<T>{});
        });
        const Vec<T> centre = sum[0] * splat(T(1) / T(block.size()));
        block_sums<T>(block, centred, [&](auto read, Vec<T>(&to)[2]) {
            const Vec<T> distance = read(x, centre) - centre;
            to[0] += distance;
            to[1] = fma<T>(distance, distance, to[1]);
        });
        const Moments of_block =
            moments_around(double(centre[0]), double(block.size()), double(centred[0][0]), double(centred[1][0]));
        if (moments.count == 0)
            moments = of_block;
        else
            moments.add(of_block);
    });
    return moments;
}

// A channel's weight or bias.
template <class T>
ADVCORE_INLINE T channel_value(const T* values, int64_t channel, T otherwise) {
    return values ? values[channel] : otherwise;
}

// Registers of columns that lie side by side in rows: several whole ones, or one that may be a part.
template <class T, int Registers>
struct Columns {
    int used;  // of the last register
    ADVCORE_INLINE Vec<T> read(const T* from, int r) const {
        return Registers > 1 ? load(from + r * lanes<T>) : load_used(from, used);
    }
    ADVCORE_INLINE void write(T* to, int r, Vec<T> x) const {
        if constexpr (Registers > 1)
            store(to + r * lanes<T>, x);
        else
            store_used(to, x, used);
    }
    static constexpr int registers = Registers;
};

// Calls f(columns, first) for the columns [first, last), four registers at a time.
template <class T, class Function>
ADVCORE_INLINE void for_each_columns(int64_t first, int64_t last, Function f) {
    constexpr int L = lanes<T>;
    for (; first + 4 * L <= last; first += 4 * L) f(Columns<T, 4>{L}, first);
    for (; first < last; first += L) f(Columns<T, 1>{static_cast<int>(smaller(L, last - first))}, first);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
