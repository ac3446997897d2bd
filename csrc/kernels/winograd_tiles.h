// Where the tiles of an item lie; inputs are gathered from there and outputs dealt out, a register of tiles at a time.
#pragma once

#include "activate.h"
#include "product.h"
#include "winograd_transform.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// A square of a plane, of which only [first, last) of each axis exist.
template <int Size>
struct Window {
    int64_t offset;  // of the first element, which may lie outside, for plane 0 of the group
    int first_y, last_y, first_x, last_x;
    bool whole;  // all elements exist, and whole registers of them may be read
};

// The window whose first element is (top, left) of the plane that begins at `begin`.
template <class T, int Size>
ADVCORE_INLINE Window<Size> window_at(int64_t begin, int64_t top, int64_t left, int64_t height, int64_t width,
                                      bool last_sample) {
    constexpr int64_t reach = ceil_div(Size, lanes<T>) * lanes<T>;
    Window<Size> w;
    w.offset = begin + top * width + left;
    w.first_y = static_cast<int>(smaller(Size, larger(0, -top)));
    w.last_y = static_cast<int>(smaller(Size, height - top));
    w.first_x = static_cast<int>(smaller(Size, larger(0, -left)));
    w.last_x = static_cast<int>(smaller(Size, width - left));
    w.whole = w.first_y == 0 && w.last_y == Size && w.first_x == 0 && w.last_x == Size &&
              !(last_sample && (top + Size - 1) * width + left + reach > height * width);
    return w;
}

// The inputs that a tile of a convolution with Taps x Taps taps sees, and its outputs.
template <int Taps>
struct Tile {
    static constexpr int outputs = tile_outputs(Taps);
    Window<tile_in> input;
    Window<outputs> output;
};

// `count` tiles from number `first` on, and empty ones up to a whole register.
template <class T, int Taps, int64_t Most>
struct Tiles {
    static constexpr int outputs = tile_outputs(Taps);
    int64_t count, padded;
    Tile<Taps> tile[Most];

    Tiles(const WinogradShape& s, int64_t group, int64_t first, int64_t count_) : count(count_) {
        padded = ceil_div(count, lanes<T>) * lanes<T>;
        const int64_t plane = s.height * s.width, out_plane = s.out_height * s.out_width;
        int64_t x = first % s.tiles_x, y = first / s.tiles_x % s.tiles_y, n = first / s.tiles_x / s.tiles_y;
        for (int64_t i = 0; i < count; ++i) {
            const int64_t top = y * outputs, left = x * outputs, sample_group = n * s.groups + group;
            const bool last = n + 1 == s.samples;
            tile[i].input = window_at<T, tile_in>(sample_group * s.channels * plane, top - s.padding_y,
                                                  left - s.padding_x, s.height, s.width, last);
            tile[i].output =
                window_at<T, outputs>(sample_group * s.rows * out_plane, top, left, s.out_height, s.out_width, last);
            if (++x == s.tiles_x) x = 0, ++y;
            if (y == s.tiles_y) y = 0, ++n;
        }
        for (int64_t i = count; i < padded; ++i) tile[i] = Tile<Taps>{};
    }

    // Whether the outputs of a register of tiles lie side by side and all exist along their rows.
    bool side_by_side(int64_t i) const {
        if (i + lanes<T> > count) return false;
        const Window<outputs>&first = tile[i].output, &last = tile[i + lanes<T> - 1].output;
        return last.last_x == outputs && last.offset == first.offset + (lanes<T> - 1) * outputs &&
               last.last_y == first.last_y;
    }
};

// The rows of one window in one plane, from column part * lanes on; zeros for what does not exist.
template <class T, int Size>
ADVCORE_INLINE void load_window(const Window<Size>& w, const T* plane, int64_t width, int part, Vec<T> (&rows)[Size]) {
    const int first = part * lanes<T>;
    const T* row = plane + w.offset + first;
    if (w.whole) {
#pragma GCC unroll 6
        for (int i = 0; i < Size; ++i, row += width) rows[i] = load(row);
    } else {
        const LaneSpan<T> some(w.first_x - first, w.last_x - first);
#pragma GCC unroll 6
        for (int i = 0; i < Size; ++i, row += width)
            rows[i] = i >= w.first_y && i < w.last_y ? load_span(row, some) : Vec<T>{};
    }
}

template <class T, int Taps>
using ForwardTiles = Tiles<T, Taps, winograd_tiles<T>>;

// The frequencies of planes [begin, begin + terms) of all tiles, as right factors: to[frequency * plane + ...].
// `load_rows(tile, plane, part, rows)` reads a tile's window.
template <class T, int Size, class AnyTiles, class Load, class Transform = WindowTransform<T>>
ADVCORE_INLINE void gather_right_factors(const AnyTiles& tiles, int64_t begin, int64_t terms, T* to, int64_t plane,
                                         const Load& load_rows, const Transform& transform = {}) {
    for (int64_t first = 0; first < tiles.padded; first += lanes<T>) {
        const int64_t panel = first / panel_cols<T> * panel_cols<T>;
        const int64_t width = panel_width<T>(smaller(panel_cols<T>, tiles.padded - panel));
        T* target = to + panel * terms + (first - panel);
        for (int64_t i = begin; i < begin + terms; ++i, target += width)
            transform_windows<T, Size>(
                [&](int lane, int part, Vec<T>(&rows)[Size]) { load_rows(tiles.tile[first + lane], i, part, rows); },
                target, plane, transform);
    }
}

template <class T, int Taps>
inline void gather_tiles(const WinogradArgs<T>& args, const ForwardTiles<T, Taps>& tiles, int64_t channel,
                         int64_t terms, T* to, int64_t plane) {
    const int64_t size = args.shape.height * args.shape.width;
    gather_right_factors<T, tile_in>(
        tiles, channel, terms, to, plane, [&](const Tile<Taps>& tile, int64_t c, int part, Vec<T>(&rows)[tile_in]) {
            load_window<T>(tile.input, args.input + c * size, args.shape.width, part, rows);
        });
}

// The first `used` of a tile's row of outputs. Compilers make a call of memcpy of a loop over them.
template <class T, int Outputs>
ADVCORE_INLINE void store_outputs(T* to, const T* from, int used) {
    typedef T Row __attribute__((vector_size(Outputs * sizeof(T))));
    Row row;
    __builtin_memcpy(&row, from, sizeof row);
    if (used == Outputs)
        __builtin_memcpy(to, &row, sizeof row);
    else
        store_pieces<T, Outputs / 2>(to, row, used);
}

template <class T, int Taps, int Outputs>
ADVCORE_INLINE void deal_out(const ForwardTiles<T, Taps>& tiles, int64_t first, bool together, int row,
                             int64_t row_offset, T* out, const Vec<T> (&y)[Outputs]) {
    constexpr int L = lanes<T>;
    Vec<T> ordered[Outputs];
    order_columns<T>(y, ordered);
    if (together) {
        T* const to = out + tiles.tile[first].output.offset + row_offset;
        if (row < tiles.tile[first].output.last_y)
            for (int i = 0; i < Outputs; ++i) store(to + i * L, ordered[i]);
        return;
    }
    T buffer[Outputs * L];
    for (int i = 0; i < Outputs; ++i) store(buffer + i * L, ordered[i]);
    for (int lane = 0; lane < L; ++lane) {
        const Window<Outputs>& t = tiles.tile[first + lane].output;
        if (row >= t.last_y) continue;
        store_outputs<T, Outputs>(out + t.offset + row_offset, buffer + lane * Outputs, t.last_x);
    }
}

// The first of two steps from a register of sums at each frequency, from[frequency * plane], to outputs.
template <class T, int Outputs>
ADVCORE_INLINE void transform_columns(const T* from, int64_t plane, Vec<T> (&half)[Outputs][tile_in]) {
#pragma GCC unroll 6
    for (int j = 0; j < tile_in; ++j) {
        Vec<T> m[tile_in], y[Outputs];
#pragma GCC unroll 6
        for (int i = 0; i < tile_in; ++i) m[i] = load(from + (i * tile_in + j) * plane);
        transform_output<T>(m, y);
#pragma GCC unroll 4
        for (int i = 0; i < Outputs; ++i) half[i][j] = y[i];
    }
}

// Outputs of rows [row, row + rows) of all tiles from the sums, sum[frequency * plane + (row, tile)].
template <class T, int Taps>
inline void scatter_tiles(const WinogradArgs<T>& args, const ForwardTiles<T, Taps>& tiles, int64_t row, int64_t rows,
                          const T* sum, int64_t plane, const T* bias) {
    constexpr int L = lanes<T>, outputs = tile_outputs(Taps);
    const int64_t out_plane = args.shape.out_height * args.shape.out_width;
    for (int64_t first = 0; first < tiles.padded; first += L) {
        const bool together = tiles.side_by_side(first);
        for (int64_t r = 0; r < rows; ++r) {
            const T* const from = sum + r * tiles.padded + first;
            Vec<T> half[outputs][tile_in];
            transform_columns(from, plane, half);
            const Vec<T> shift = splat(bias ? bias[r] : T(0));
            for (int i = 0; i < outputs; ++i) {
                Vec<T> y[outputs];
                transform_output<T>(half[i], y);
                if (bias)
                    for (int j = 0; j < outputs; ++j) y[j] += shift;
                if (args.activation != Activation::none)
                    for (int j = 0; j < outputs; ++j) y[j] = activate<T>(y[j], args.activation);
                deal_out<T, Taps>(tiles, first, together, i, (row + r) * out_plane + i * args.shape.out_width, args.out,
                                  y);
            }
        }
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
