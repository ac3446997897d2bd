// Where the tiles of an item lie; inputs are gathered from there and outputs dealt out, a register of tiles at a time.
#pragma once

#include "product.h"
#include "winograd_transform.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The 6 x 6 inputs and the 4 x 4 outputs of one tile; only [first, last) of each axis exist.
struct Tile {
    int64_t input, output;  // offsets of the first element, for plane 0 of the group; the input's may lie outside
    int first_y, last_y, first_x, last_x;
    int rows, cols;                  // of the outputs
    bool input_whole, output_whole;  // all elements exist, and whole registers of them may be read
};

// `count` tiles from number `first` on, and empty ones up to a whole register.
template <class T, int64_t Most>
struct Tiles {
    int64_t count, padded;
    Tile tile[Most];

    Tiles(const WinogradShape& s, int64_t group, int64_t first, int64_t count_) : count(count_) {
        padded = ceil_div(count, lanes<T>) * lanes<T>;
        constexpr int64_t in_reach = ceil_div(tile_in, lanes<T>) * lanes<T>;
        constexpr int64_t out_reach = ceil_div(tile_out, lanes<T>) * lanes<T>;
        const int64_t plane = s.height * s.width, out_plane = s.out_height * s.out_width;
        int64_t x = first % s.tiles_x, y = first / s.tiles_x % s.tiles_y, n = first / s.tiles_x / s.tiles_y;
        for (int64_t i = 0; i < count; ++i) {
            const int64_t out_top = y * tile_out, out_left = x * tile_out;
            const int64_t top = out_top - s.padding_y, left = out_left - s.padding_x;
            const bool last_sample = n + 1 == s.samples;
            Tile& t = tile[i];
            t.input = (n * s.groups + group) * s.channels * plane + top * s.width + left;
            t.output = (n * s.groups + group) * s.rows * out_plane + out_top * s.out_width + out_left;
            t.first_y = static_cast<int>(smaller(tile_in, larger(0, -top)));
            t.last_y = static_cast<int>(smaller(tile_in, s.height - top));
            t.first_x = static_cast<int>(smaller(tile_in, larger(0, -left)));
            t.last_x = static_cast<int>(smaller(tile_in, s.width - left));
            t.rows = static_cast<int>(smaller(tile_out, s.out_height - out_top));
            t.cols = static_cast<int>(smaller(tile_out, s.out_width - out_left));
            t.input_whole = t.first_y == 0 && t.last_y == tile_in && t.first_x == 0 && t.last_x == tile_in &&
                            !(last_sample && (top + tile_in - 1) * s.width + left + in_reach > plane);
            t.output_whole =
                t.rows == tile_out && t.cols == tile_out &&
                !(last_sample && (out_top + tile_out - 1) * s.out_width + out_left + out_reach > out_plane);
            if (++x == s.tiles_x) x = 0, ++y;
            if (y == s.tiles_y) y = 0, ++n;
        }
        for (int64_t i = count; i < padded; ++i) tile[i] = Tile{};
    }

    // Whether the outputs of a register of tiles lie side by side and all exist along their rows.
    bool side_by_side(int64_t i) const {
        return i + lanes<T> <= count && tile[i + lanes<T> - 1].cols == tile_out &&
               tile[i + lanes<T> - 1].output == tile[i].output + (lanes<T> - 1) * tile_out &&
               tile[i + lanes<T> - 1].rows == tile[i].rows;
    }
};

// The rows of one tile's inputs in one plane, from column part * lanes on.
template <class T>
ADVCORE_INLINE void load_inputs(const Tile& t, const T* plane, int64_t width, int part, Vec<T> (&rows)[tile_in]) {
    const int first = part * lanes<T>;
    const T* row = plane + t.input + first;
    if (t.input_whole) {
#pragma GCC unroll 6
        for (int i = 0; i < tile_in; ++i, row += width) rows[i] = load(row);
    } else {
#pragma GCC unroll 6
        for (int i = 0; i < tile_in; ++i, row += width)
            rows[i] =
                i >= t.first_y && i < t.last_y ? load_between(row, t.first_x - first, t.last_x - first) : Vec<T>{};
    }
}

// The frequencies of channels [channel, channel + terms) of all tiles, as right factors: to[frequency * plane + ...].
template <class T>
inline void gather_tiles(const WinogradArgs<T>& args, const Tiles<T, winograd_tiles<T>>& tiles, int64_t channel,
                         int64_t terms, T* to, int64_t plane) {
    constexpr int L = lanes<T>;
    const int64_t channel_size = args.shape.height * args.shape.width;
    for (int64_t first = 0; first < tiles.padded; first += L) {
        const int64_t panel = first / panel_cols<T> * panel_cols<T>;
        const int64_t width = panel_width<T>(smaller(panel_cols<T>, tiles.padded - panel));
        T* target = to + panel * terms + (first - panel);
        for (int64_t c = channel; c < channel + terms; ++c, target += width)
            transform_windows<T, tile_in>(
                [&](int lane, int part, Vec<T>(&rows)[tile_in]) {
                    load_inputs(tiles.tile[first + lane], args.input + c * channel_size, args.shape.width, part, rows);
                },
                target, plane);
    }
}

// One row of outputs of a register of tiles, y[0] the first column of each.
template <class T>
ADVCORE_INLINE void deal_out(const Tiles<T, winograd_tiles<T>>& tiles, int64_t first, bool together, int row,
                             int64_t row_offset, T* out, const Vec<T> (&y)[tile_out]) {
    constexpr int L = lanes<T>;
    const Vec<T> low02 = interleave<T, 0>(y[0], y[2]), high02 = interleave<T, 1>(y[0], y[2]);
    const Vec<T> low13 = interleave<T, 0>(y[1], y[3]), high13 = interleave<T, 1>(y[1], y[3]);
    const Vec<T> quads[tile_out] = {interleave<T, 0>(low02, low13), interleave<T, 1>(low02, low13),
                                    interleave<T, 0>(high02, high13), interleave<T, 1>(high02, high13)};
    if (together) {
        T* const to = out + tiles.tile[first].output + row_offset;
        if (row < tiles.tile[first].rows)
            for (int i = 0; i < tile_out; ++i) store(to + i * L, quads[i]);
        return;
    }
    T buffer[tile_out * L];
    for (int i = 0; i < tile_out; ++i) store(buffer + i * L, quads[i]);
    for (int lane = 0; lane < L; ++lane) {
        const Tile& t = tiles.tile[first + lane];
        if (row >= t.rows) continue;
        T* const to = out + t.output + row_offset;
        const T* const from = buffer + lane * tile_out;
        if (t.cols == tile_out)
            __builtin_memcpy(to, from, tile_out * sizeof(T));
        else
            for (int i = 0; i < t.cols; ++i) to[i] = from[i];
    }
}

// Outputs of rows [row, row + rows) of all tiles from the sums, sum[frequency * plane + (row, tile)].
template <class T>
inline void scatter_tiles(const WinogradArgs<T>& args, const Tiles<T, winograd_tiles<T>>& tiles, int64_t row,
                          int64_t rows, const T* sum, int64_t plane, const T* bias) {
    constexpr int L = lanes<T>;
    const int64_t out_plane = args.shape.out_height * args.shape.out_width;
    for (int64_t first = 0; first < tiles.padded; first += L) {
        const bool together = tiles.side_by_side(first);
        for (int64_t r = 0; r < rows; ++r) {
            const T* const from = sum + r * tiles.padded + first;
            Vec<T> half[tile_out][tile_in];
#pragma GCC unroll 6
            for (int j = 0; j < tile_in; ++j) {
                Vec<T> m[tile_in], y[tile_out];
#pragma GCC unroll 6
                for (int i = 0; i < tile_in; ++i) m[i] = load(from + (i * tile_in + j) * plane);
                transform_output<T>(m, y);
#pragma GCC unroll 4
                for (int i = 0; i < tile_out; ++i) half[i][j] = y[i];
            }
            const Vec<T> shift = splat(bias ? bias[r] : T(0));
            for (int i = 0; i < tile_out; ++i) {
                Vec<T> y[tile_out];
                transform_output<T>(half[i], y);
                if (bias)
                    for (int j = 0; j < tile_out; ++j) y[j] += shift;
                if (args.activation != Activation::none)
                    for (int j = 0; j < tile_out; ++j) y[j] = activate<T>(y[j], args.activation);
                deal_out<T>(tiles, first, together, i, (row + r) * out_plane + i * args.shape.out_width, args.out, y);
            }
        }
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
