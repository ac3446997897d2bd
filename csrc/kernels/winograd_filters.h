// Filters gathered from the weights and brought to their 36 frequencies, a register of output channels at a time.
#pragma once

#include "product.h"
#include "winograd_transform.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t channels_at_once = 16;

// to[k * lanes + row] = from[row * row_stride + k] for up to a register of rows; the lanes of the others repeat the
// last.
template <class T>
inline void gather_rows(const T* from, int64_t row_stride, int rows, int64_t depth, T* to) {
    constexpr int L = lanes<T>;
    for (int64_t k = 0; k < depth; k += L) {
        const int64_t first = depth < L ? 0 : smaller(k, depth - L);  // the last register overlaps the one before it
        Vec<T> block[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
            const T* const row = from + (i < rows ? i : rows - 1) * row_stride + first;
            block[i] = depth < L ? load_part(row, static_cast<int>(depth)) : load(row);
        }
        transpose<T>(block);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store(to + (first + i) * L, block[i]);
    }
}

// to[(channel * taps + tap) * lanes + row] for up to a register of rows, taps of both axes.
template <class T>
inline void gather_taps(const WinogradWeights<T>& w, const T* from, int rows, int64_t channels, T* to) {
    const int64_t taps = w.taps * w.taps;
    if (w.channel_stride == taps) return gather_rows(from, w.row_stride, rows, taps * channels, to);
    for (int64_t c = 0; c < channels; ++c)
        gather_rows(from + c * w.channel_stride, w.row_stride, rows, taps, to + c * taps * lanes<T>);
}

// The 36 frequencies of a register of filters: to[frequency * plane]. Not inlined, or GCC would keep an address a
// frequency in memory.
template <class T, int Taps>
__attribute__((noinline)) void transform_filters(const T* tap, bool flipped, T* to, int64_t plane) {
    Vec<T> half[tile_in][Taps];
#pragma GCC unroll 5
    for (int j = 0; j < Taps; ++j) {
        Vec<T> g[Taps], f[tile_in];
#pragma GCC unroll 5
        for (int i = 0; i < Taps; ++i)
            g[i] = load(tap + (flipped ? Taps * Taps - 1 - Taps * i - j : Taps * i + j) * lanes<T>);
        transform_taps<T>(g, f);
#pragma GCC unroll 6
        for (int i = 0; i < tile_in; ++i) half[i][j] = f[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < tile_in; ++i) {
        Vec<T> f[tile_in];
        transform_taps<T>(half[i], f);
#pragma GCC unroll 6
        for (int j = 0; j < tile_in; ++j, to += plane) store(to, f[j]);
    }
}

// The frequencies of rows [row, row + rows) and channels [channel, channel + terms) of the first group, as panels of
// right factors at to[frequency * plane].
template <class T, int Taps>
void transform_right_factors(const WinogradWeights<T>& w, int64_t row, int64_t rows, int64_t channel, int64_t terms,
                             T* to, int64_t plane) {
    constexpr int L = lanes<T>, taps = Taps * Taps;
    const T* const from = w.weight + row * w.row_stride + channel * w.channel_stride;
    each_panel<T>(rows, terms, to, [&](int64_t first, int64_t used, int64_t width, T* panel) {
        for (int64_t lane = 0; lane < width; lane += L)
            for (int64_t c = 0; c < terms; c += channels_at_once) {
                const int64_t channels = smaller(channels_at_once, terms - c);
                T tap[(taps * channels_at_once + L) * L];  // a register more, where a filter is shorter
                gather_taps(w, from + (first + lane) * w.row_stride + c * w.channel_stride,
                            static_cast<int>(smaller(L, used - lane)), channels, tap);
                for (int64_t i = 0; i < channels; ++i)
                    transform_filters<T, Taps>(tap + i * taps * L, w.flipped, panel + (c + i) * width + lane, plane);
            }
    });
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
