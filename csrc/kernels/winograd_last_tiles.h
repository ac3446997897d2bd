// What the convolution of winograd_last.h and its gradient share: windows of pixels, and products of their frequencies.
#pragma once

#include "winograd_last.h"
#include "winograd_tiles.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

static_assert(left_run == channels_together);

template <class T, int Taps>
using PixelTiles = Tiles<T, Taps, most_last_tiles>;

// The shape whose tiles lie at the numbers of their pixels.
ADVCORE_INLINE WinogradShape pixels_of(WinogradShape s) {
    s.channels = s.rows = 1;
    return s;
}

// A register of channels of one window, from[pixel * channels], in both dimensions: to[frequency * plane]. Not inlined,
// or GCC would keep an address a frequency in memory.
template <class T, int Size, class Transform>
__attribute__((noinline)) void transform_pixels(const Window<Size>& window, const T* from, int64_t width,
                                                int64_t channels, T* to, int64_t plane, const Transform& transform) {
    Vec<T> half[tile_in][Size];
    const T* const first = from + window.offset * channels;
#pragma GCC unroll 6
    for (int j = 0; j < Size; ++j) {
        Vec<T> d[Size], f[tile_in];
        const T* pixel = first + j * channels;
        if (window.whole) {
#pragma GCC unroll 6
            for (int i = 0; i < Size; ++i, pixel += width * channels) d[i] = load(pixel);
        } else {
            const bool in_row = j >= window.first_x && j < window.last_x;
#pragma GCC unroll 6
            for (int i = 0; i < Size; ++i, pixel += width * channels)
                d[i] = in_row && i >= window.first_y && i < window.last_y ? load(pixel) : Vec<T>{};
        }
        transform(d, f);
#pragma GCC unroll 6
        for (int i = 0; i < tile_in; ++i) half[i][j] = f[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < tile_in; ++i) {
        Vec<T> f[tile_in];
        transform(half[i], f);
#pragma GCC unroll 6
        for (int j = 0; j < tile_in; ++j, to += plane) store(to, f[j]);
    }
}

// The frequencies of channels [channel, channel + terms) of all windows, as left factors in runs of channels:
// to[frequency * plane + run * tiles * left_run + tile * left_run + ...].
template <class T, class AnyTiles, class WindowOf, class Transform>
inline void transform_all_pixels(const AnyTiles& tiles, const WindowOf& window_of, const T* from, int64_t width,
                                 int64_t channels, int64_t terms, T* to, int64_t plane, const Transform& transform) {
    for (int64_t tile = 0; tile < tiles.count; ++tile)
        for (int64_t c = 0; c < terms; c += lanes<T>)
            transform_pixels<T>(window_of(tiles.tile[tile]), from + c, width, channels,
                                to + (c / left_run * tiles.count + tile) * left_run + c % left_run, plane, transform);
}

// sum[frequency * sum_plane + tile * rows + row] (+)= the products of one block of terms.
template <class T>
inline void multiply_tiles(int64_t tiles, int64_t rows, int64_t terms, const T* left, int64_t left_plane,
                           const T* right, int64_t right_plane, T* sum, int64_t sum_plane, bool accumulate) {
    const RowPanels panels(tiles);
    PanelPair<T> pair{};
    pair.depth = terms, pair.a_run_step = tiles * left_run, pair.c_stride = rows, pair.accumulate = accumulate;
    for (int f = 0; f < frequencies; ++f)
        for (int64_t row = 0; row < rows; row += panel_cols<T>) {
            pair.cols = static_cast<int>(smaller(panel_cols<T>, rows - row));
            pair.b = right + f * right_plane + row * terms;
            for (int64_t panel = 0; panel < panels.count; ++panel) {
                const int64_t tile = panels.begin(panel);
                pair.a = left + f * left_plane + tile * left_run;
                pair.c = sum + f * sum_plane + tile * rows + row;
                multiply_panels<T>(static_cast<int>(panels.begin(panel + 1) - tile), pair);
            }
        }
}

// Elements between the frequencies of so many tiles.
ADVCORE_INLINE int64_t tiles_plane(int64_t tiles, int64_t width) { return tiles * width + plane_gap; }

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
