// The one-dimensional transforms, and how windows of many planes or places are transformed at once.
#pragma once

#include "shuffle.h"
#include "winograd.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Six inputs to six frequencies.
template <class T>
ADVCORE_INLINE void transform_input(const Vec<T> (&d)[6], Vec<T> (&t)[6]) {
    const Vec<T> four = splat(T(4)), five = splat(T(-5)), two = splat(T(2));
    const Vec<T> even = fma<T>(-four, d[2], d[4]), odd = fma<T>(-four, d[1], d[3]);
    const Vec<T> even2 = d[4] - d[2], odd2 = d[3] - d[1];
    t[0] = fma<T>(four, d[0], fma<T>(five, d[2], d[4]));
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = fma<T>(two, odd2, even2);
    t[4] = fma<T>(-two, odd2, even2);
    t[5] = fma<T>(four, d[1], fma<T>(five, d[3], d[5]));
}

// Two to five taps to six frequencies: the values of the polynomial that they are at each of the points.
template <class T, int Size>
ADVCORE_INLINE void transform_taps(const Vec<T> (&g)[Size], Vec<T> (&t)[6]) {
    Vec<T> even = g[0], even2 = g[0] * T(1.0 / 24), odd = g[1], odd2 = g[1] * T(1.0 / 12);
    if constexpr (Size > 2) even += g[2], even2 = fma<T>(g[2], splat(T(1.0 / 6)), even2);
    if constexpr (Size > 3) odd += g[3], odd2 = fma<T>(g[3], splat(T(1.0 / 3)), odd2);
    if constexpr (Size > 4) even += g[4], even2 = fma<T>(g[4], splat(T(2.0 / 3)), even2);
    even *= T(-1.0 / 6), odd *= T(-1.0 / 6);
    t[0] = g[0] * T(0.25);
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = g[Size - 1];
}

// Six frequencies to two to five outputs.
template <class T, int Size>
ADVCORE_INLINE void transform_output(const Vec<T> (&m)[6], Vec<T> (&y)[Size]) {
    const Vec<T> sum = m[1] + m[2], difference = m[1] - m[2];
    const Vec<T> sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = m[0] + sum + sum2;
    y[1] = fma<T>(splat(T(2)), difference2, difference);
    if constexpr (Size > 2) y[2] = fma<T>(splat(T(4)), sum2, sum);
    if constexpr (Size > 3) y[3] = fma<T>(splat(T(8)), difference2, difference);
    if constexpr (Size > 4) y[4] = fma<T>(splat(T(16)), sum2, sum);
    y[Size - 1] += m[5];
}

// The transposes of transform_output, of four, and of transform_input.
template <class T>
ADVCORE_INLINE void transform_output_back(const Vec<T> (&y)[4], Vec<T> (&m)[6]) {
    const Vec<T> even = y[0] + y[2], odd = y[1] + y[3];
    const Vec<T> even2 = fma<T>(splat(T(4)), y[2], y[0]), odd2 = fma<T>(splat(T(8)), y[3], y[1] + y[1]);
    m[0] = y[0];
    m[1] = even + odd;
    m[2] = even - odd;
    m[3] = even2 + odd2;
    m[4] = even2 - odd2;
    m[5] = y[3];
}
template <class T>
ADVCORE_INLINE void transform_input_back(const Vec<T> (&t)[6], Vec<T> (&d)[6]) {
    const Vec<T> four = splat(T(4)), five = splat(T(-5)), two = splat(T(2));
    const Vec<T> sum = t[1] + t[2], difference = t[1] - t[2], sum2 = t[3] + t[4], difference2 = t[3] - t[4];
    d[0] = four * t[0];
    d[1] = fma<T>(-two, difference2, four * (t[5] - difference));
    d[2] = fma<T>(five, t[0], fma<T>(-four, sum, -sum2));
    d[3] = fma<T>(five, t[5], fma<T>(two, difference2, difference));
    d[4] = t[0] + sum + sum2;
    d[5] = t[5];
}

// What a window of inputs is transformed by, or one of (fewer) gradients where those are the filter.
template <class T>
struct WindowTransform {
    ADVCORE_INLINE void operator()(const Vec<T> (&d)[tile_in], Vec<T> (&f)[tile_in]) const { transform_input<T>(d, f); }
    template <int Size>
    ADVCORE_INLINE void operator()(const Vec<T> (&g)[Size], Vec<T> (&f)[tile_in]) const {
        transform_taps<T>(g, f);
    }
};

// Transforms a register of Size x Size windows in both dimensions: to[frequency * plane], a lane a window.
// `load_rows(lane, part, rows)` reads the rows of one window, a part is the next register of each. Not inlined, or GCC
// would keep an address a frequency in memory.
template <class T, int Size, class Load, class Transform = WindowTransform<T>>
__attribute__((noinline)) void transform_windows(const Load& load_rows, T* to, int64_t plane,
                                                 const Transform& transform = {}) {
    constexpr int L = lanes<T>, parts = (Size + L - 1) / L;
    Vec<T> half[tile_in][parts][L];  // [row frequency][column][window], columns and windows still exchanged
    for (int lane = 0; lane < L; ++lane)
        for (int part = 0; part < parts; ++part) {
            Vec<T> d[Size], f[tile_in];
            load_rows(lane, part, d);
            transform(d, f);
#pragma GCC unroll 6
            for (int i = 0; i < tile_in; ++i) half[i][part][lane] = f[i];
        }
    for (int i = 0; i < tile_in; ++i) {
        Vec<T> d[Size], f[tile_in];
#pragma GCC unroll 6
        for (int part = 0; part < parts; ++part) {
            transpose<T>(half[i][part]);
#pragma GCC unroll 16
            for (int j = 0; j < L; ++j)
                if (part * L + j < Size) d[part * L + j] = half[i][part][j];
        }
        transform(d, f);
#pragma GCC unroll 6
        for (int j = 0; j < tile_in; ++j, to += plane) store(to, f[j]);
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
