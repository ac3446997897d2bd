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

template <class T, int Step = 1>
ADVCORE_INLINE void transpose(Vec<T> (&rows)[lanes<T>]) {
    if constexpr (Step < lanes<T>) {
#pragma GCC unroll 16
        for (int i = 0; i < lanes<T>; ++i)
            if (!(i & Step)) exchange<T, Step>(rows[i], rows[i + Step], typename Iota<lanes<T>>::type{});
        transpose<T, Step * 2>(rows);
    }
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

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
