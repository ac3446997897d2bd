// Moving lanes between registers: the square transpose that turns rows into panels, and every second lane of two.
#pragma once

#include "vec.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <int... I>
struct Lanes {};
template <int N, int... I>
struct Iota : Iota<N - 1, N - 1, I...> {};
template <int... I>
struct Iota<0, I...> {
    typedef Lanes<I...> type;
};

// Exchanges the off-diagonal blocks of size `Step` between two rows that lie `Step` apart.
template <class T, int Step, int... I>
ADVCORE_INLINE void exchange(Vec<T>& upper, Vec<T>& lower, Lanes<I...>) {
    Vec<T> a = upper, b = lower;
    upper = __builtin_shufflevector(a, b, ((I & Step) ? lanes<T> + I - Step : I)...);
    lower = __builtin_shufflevector(a, b, ((I & Step) ? lanes<T> + I : I + Step)...);
}

// Every second lane of the two registers, from the first on.
template <class T, int... I>
ADVCORE_INLINE Vec<T> even_lanes(Vec<T> a, Vec<T> b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (2 * I)...);
}
template <class T>
ADVCORE_INLINE Vec<T> even_lanes(Vec<T> a, Vec<T> b) {
    return even_lanes<T>(a, b, typename Iota<lanes<T>>::type{});
}

// Lanes 1, 2, ... of one register, then lane 0 of another.
template <class T, int... I>
ADVCORE_INLINE Vec<T> moved_up(Vec<T> x, Vec<T> next, Lanes<I...>) {
    return __builtin_shufflevector(x, next, (I + 1)...);
}
template <class T>
ADVCORE_INLINE Vec<T> moved_up(Vec<T> x, Vec<T> next) {
    return moved_up<T>(x, next, typename Iota<lanes<T>>::type{});
}

// Two registers of neighbouring elements in the order in which telling even and odd ones apart takes fewest
// instructions: with registers of 32 bytes, each holds halves of both.
template <class T>
struct Neighbours {
    Vec<T> low, high;
};
template <class T>
ADVCORE_INLINE Neighbours<T> load_neighbours(const T* from) {
    constexpr int L = lanes<T>;
    if constexpr (vector_bytes == 32)
        return {load_halves(from, from + L), load_halves(from + L / 2, from + L + L / 2)};
    else
        return {load(from), load(from + L)};
}
template <class T, int Odd, int... I>
ADVCORE_INLINE Vec<T> every_second(Neighbours<T> x, Lanes<I...>) {
    constexpr int L = lanes<T>, half = L / 2;
    if constexpr (vector_bytes == 32)
        return __builtin_shufflevector(
            x.low, x.high, (I / half * half + 2 * (I % (half / 2)) + Odd + (I % half < half / 2 ? 0 : L))...);
    else
        return __builtin_shufflevector(x.low, x.high, (2 * I + Odd)...);
}
template <class T>
ADVCORE_INLINE Vec<T> even_lanes(Neighbours<T> x) {
    return every_second<T, 0>(x, typename Iota<lanes<T>>::type{});
}
template <class T>
ADVCORE_INLINE Vec<T> odd_lanes(Neighbours<T> x) {
    return every_second<T, 1>(x, typename Iota<lanes<T>>::type{});
}

// Elements 0, Step, 2 Step, ... of Step registers, of which the first `Done` are in `seen`. With an odd step they lie
// in different lanes: one instruction a register takes them together, the last puts them into order.
template <class T, int Step, int Done = 1, int... I>
ADVCORE_INLINE Vec<T> gather_odd(const T* from, Vec<T> seen, Lanes<I...> all) {
    constexpr int L = lanes<T>;
    if constexpr (Done == Step) {
        return __builtin_shufflevector(seen, seen, (I * Step % L)...);
    } else {
        const Vec<T> more = load(from + Done * L);
        seen = __builtin_shufflevector(seen, more, ((Done * L + I) % Step == 0 ? L + I : I)...);
        return gather_odd<T, Step, Done + 1>(from, seen, all);
    }
}

// A register of elements 0, Step, 2 Step, ...; reads Step registers.
template <class T, int Step>
ADVCORE_INLINE Vec<T> load_spaced(const T* from) {
    if constexpr (Step == 1)
        return load(from);
    else if constexpr (Step % 2)
        return gather_odd<T, Step>(from, load(from), typename Iota<lanes<T>>::type{});
    else if constexpr (Step == 2)
        return even_lanes<T>(load_neighbours(from));
    else
        return even_lanes<T>(load_spaced<T, Step / 2>(from), load_spaced<T, Step / 2>(from + lanes<T> * (Step / 2)));
}

// The sum of all lanes, in every lane: halves, quarters, ... are added.
template <class T, int Step, int... I>
ADVCORE_INLINE Vec<T> swapped(Vec<T> x, Lanes<I...>) {
    return __builtin_shufflevector(x, x, (I ^ Step)...);
}
template <class T, int Step = lanes<T> / 2>
ADVCORE_INLINE Vec<T> sum_of_lanes(Vec<T> x) {
    x += swapped<T, Step>(x, typename Iota<lanes<T>>::type{});
    if constexpr (Step > 1)
        return sum_of_lanes<T, Step / 2>(x);
    else
        return x;
}

template <class T, int Step, int End>
ADVCORE_INLINE void exchange_all(Vec<T> (&rows)[lanes<T>]) {
    if constexpr (Step < End) {
#pragma GCC unroll 16
        for (int i = 0; i < lanes<T>; ++i)
            if (!(i & Step)) exchange<T, Step>(rows[i], rows[i + Step], typename Iota<lanes<T>>::type{});
        exchange_all<T, Step * 2, End>(rows);
    }
}

// Of each four lanes: a0 b0 a1 b1 (Half 0) or a2 b2 a3 b3.
template <class T, int Half, int... I>
ADVCORE_INLINE Vec<T> unpack(Vec<T> a, Vec<T> b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, ((I & ~3) + 2 * Half + (I & 3) / 2 + (I & 1) * lanes<T>)...);
}
// Of each four lanes: a0 a1 b0 b1 (Half 0) or a2 a3 b2 b3.
template <class T, int Half, int... I>
ADVCORE_INLINE Vec<T> unpack_pairs(Vec<T> a, Vec<T> b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, ((I & ~3) + 2 * Half + (I & 1) + (I & 2) / 2 * lanes<T>)...);
}

// Transposes each 4 x 4 block of rows of 32-bit lanes: one instruction a row and step, where exchange() takes three.
template <class T>
ADVCORE_INLINE void transpose_fours(Vec<T> (&rows)[lanes<T>]) {
    typedef typename Iota<lanes<T>>::type All;
#pragma GCC unroll 4
    for (int i = 0; i < lanes<T>; i += 4) {
        const Vec<T> low01 = unpack<T, 0>(rows[i], rows[i + 1], All{});
        const Vec<T> high01 = unpack<T, 1>(rows[i], rows[i + 1], All{});
        const Vec<T> low23 = unpack<T, 0>(rows[i + 2], rows[i + 3], All{});
        const Vec<T> high23 = unpack<T, 1>(rows[i + 2], rows[i + 3], All{});
        rows[i] = unpack_pairs<T, 0>(low01, low23, All{});
        rows[i + 1] = unpack_pairs<T, 1>(low01, low23, All{});
        rows[i + 2] = unpack_pairs<T, 0>(high01, high23, All{});
        rows[i + 3] = unpack_pairs<T, 1>(high01, high23, All{});
    }
}

// Exchanges all blocks smaller than End.
template <class T, int End = lanes<T>>
ADVCORE_INLINE void transpose(Vec<T> (&rows)[lanes<T>]) {
    if constexpr (sizeof(T) == 4 && End >= 4) {
        transpose_fours<T>(rows);
        exchange_all<T, 4, End>(rows);
    } else {
        exchange_all<T, 1, End>(rows);
    }
}

// The transpose of the block of lanes x lanes whose row i is at row(i). Halves of registers are put into place by
// loads, which spares the shuffles that cost most.
template <class T, class Row>
ADVCORE_INLINE void load_transposed(const Row& row, Vec<T> (&block)[lanes<T>]) {
    constexpr int half = lanes<T> / 2;
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) {
        block[i] = load_halves(row(i), row(i + half));
        block[i + half] = load_halves(row(i) + half, row(i + half) + half);
    }
    transpose<T, half>(block);
}

template <class T, int Half, int... I>
ADVCORE_INLINE Vec<T> interleave(Vec<T> a, Vec<T> b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (Half * lanes<T> / 2 + I / 2 + (I % 2) * lanes<T>)...);
}
// Half 0 or 1 of a[0], b[0], a[1], b[1], ...
template <class T, int Half>
ADVCORE_INLINE Vec<T> interleave(Vec<T> a, Vec<T> b) {
    return interleave<T, Half>(a, b, typename Iota<lanes<T>>::type{});
}

// Registers in the order of memory: lane i of column j comes i * columns + j th.
template <class T>
ADVCORE_INLINE void order_columns(const Vec<T> (&y)[1], Vec<T> (&ordered)[1]) {
    ordered[0] = y[0];
}
template <class T>
ADVCORE_INLINE void order_columns(const Vec<T> (&y)[2], Vec<T> (&ordered)[2]) {
    ordered[0] = interleave<T, 0>(y[0], y[1]), ordered[1] = interleave<T, 1>(y[0], y[1]);
}
template <class T>
ADVCORE_INLINE void order_columns(const Vec<T> (&y)[4], Vec<T> (&ordered)[4]) {
    const Vec<T> low02 = interleave<T, 0>(y[0], y[2]), high02 = interleave<T, 1>(y[0], y[2]);
    const Vec<T> low13 = interleave<T, 0>(y[1], y[3]), high13 = interleave<T, 1>(y[1], y[3]);
    ordered[0] = interleave<T, 0>(low02, low13), ordered[1] = interleave<T, 1>(low02, low13);
    ordered[2] = interleave<T, 0>(high02, high13), ordered[3] = interleave<T, 1>(high02, high13);
}

template <class T>
ADVCORE_INLINE void order_columns(const Vec<T> (&y)[8], Vec<T> (&ordered)[8]) {
    Vec<T> low[4], high[4], part[4];
    for (int i = 0; i < 4; ++i) low[i] = interleave<T, 0>(y[i], y[i + 4]), high[i] = interleave<T, 1>(y[i], y[i + 4]);
    order_columns<T>(low, part);
    for (int i = 0; i < 4; ++i) ordered[i] = part[i];
    order_columns<T>(high, part);
    for (int i = 0; i < 4; ++i) ordered[4 + i] = part[i];
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
