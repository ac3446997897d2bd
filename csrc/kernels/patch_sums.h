// Adds a tile of rows of a patch matrix to the elements that its entries come from. Every element gathers its taps: a
// register holds elements a step apart, and those between them, of the other residues, lie beside it in others.
#pragma once

#include "conv2d.h"
#include "cover.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int64_t most_gathered_taps = 64;  // of an axis at a time

// A tile: rows are the taps [first_row, last_row) x [first_column, last_column) of channels, columns the positions of
// [top, bottom) x [left, right), `pitch` elements a row. What lies around it may be read.
template <class T>
struct PatchTile {
    const T* entries;
    int64_t pitch, channels;
    int64_t first_row, last_row, first_column, last_column;
    int64_t top, bottom, left, right;
};

// The horizontal taps that look at elements i * step + residue.
template <class T>
struct GatheredTaps {
    int64_t count = 0;
    int64_t at[most_gathered_taps];  // of lane 0 in the tile's rows
    Mask<T> mask[most_gathered_taps];

    GatheredTaps() = default;
    GatheredTaps(const PatchAxis& h, const PatchTile<T>& tile, int64_t first, int64_t last, int64_t residue,
                 int64_t i) {
        const int64_t length = tile.right - tile.left;
        for (int64_t tap = first; tap < last; ++tap) {
            const int64_t apart = residue - h.first - tap * h.tap_step;
            if (apart % h.step) continue;
            const int64_t position = i + apart / h.step - tile.left;  // of lane 0
            if (position + lanes<T> <= 0 || position >= length) continue;
            const Mask<T> lane = lane_numbers<T>() + static_cast<Int<T>>(position);
            mask[count] = (lane >= 0) & (lane < static_cast<Int<T>>(length));
            at[count++] = (tap - tile.first_column) * tile.pitch + position;
        }
    }
};

// Where the entries of one row of elements lie: the vertical taps that see it from positions within the tile.
struct GatheredRows {
    int64_t count = 0;
    int64_t at[most_gathered_taps];
};

// to[i * Residues + residue] += sums[residue][i] for elements below `count`.
template <class T, int Residues>
ADVCORE_INLINE void add_residues(const Vec<T> (&sums)[Residues], int64_t count, T* to) {
    constexpr int L = lanes<T>;
    Vec<T> ordered[Residues];
    order_columns<T>(sums, ordered);
#pragma GCC unroll 4
    for (int i = 0; i < Residues; ++i) {
        const int used = static_cast<int>(smaller(L, count - i * L));
        if (used > 0) store_used(to + i * L, load_used(to + i * L, used) + ordered[i], used);
    }
}

// Adds what the taps of each residue see to the elements of a register each, i and up; `target` begins with the planes
// of the tile's channels. With steps that are no power of two there is one residue, whose elements lie a step apart.
template <class T, int Residues>
void add_columns(const PatchMatrix& m, const PatchTile<T>& tile, const GatheredTaps<T> (&taps)[Residues],
                 int64_t column, int64_t apart, T* target) {
    constexpr int L = lanes<T>;
    const PatchAxis& v = m.vertical;
    const int64_t width = m.horizontal.source, count = width - column;
    const int64_t row_pitch = (tile.last_column - tile.first_column) * tile.pitch;
    const int64_t channel_pitch = (tile.last_row - tile.first_row) * row_pitch, length = tile.right - tile.left;
    const int64_t begin = tile.top * v.step + v.first + tile.first_row * v.tap_step;
    const int64_t end = (tile.bottom - 1) * v.step + v.first + (tile.last_row - 1) * v.tap_step + 1;
    for (int64_t row = larger(0, begin); row < smaller(v.source, end); ++row)
        for (int64_t first = tile.first_row; first < tile.last_row; first += most_gathered_taps) {
            GatheredRows rows;
            for (int64_t tap = first; tap < smaller(tile.last_row, first + most_gathered_taps); ++tap) {
                const int64_t from = row - v.first - tap * v.tap_step, position = from / v.step;
                if (from % v.step == 0 && position >= tile.top && position < tile.bottom)
                    rows.at[rows.count++] = (tap - tile.first_row) * row_pitch + (position - tile.top) * length;
            }
            if (rows.count == 0) continue;
            T* to = target + row * width + column;
            const T* from = tile.entries;
            for (int64_t c = 0; c < tile.channels; ++c, to += m.plane(), from += channel_pitch) {
                Vec<T> sums[Residues] = {};
#pragma GCC unroll 4
                for (int residue = 0; residue < Residues; ++residue)
                    for (int64_t i = 0; i < taps[residue].count; ++i)
                        for (int64_t j = 0; j < rows.count; ++j)
                            sums[residue] +=
                                keep<T>(taps[residue].mask[i], load(from + taps[residue].at[i] + rows.at[j]));
                if (apart == Residues) {
                    add_residues<T, Residues>(sums, count, to);
                } else {
                    T sum[L];
                    store(sum, sums[0]);
                    for (int64_t i = 0; i < L && i * apart < count; ++i) to[i * apart] += sum[i];
                }
            }
        }
}

template <class T, int Residues>
void add_tile_by_residues(const PatchMatrix& m, const PatchTile<T>& tile, T* target) {
    const PatchAxis& h = m.horizontal;
    for (int64_t first = tile.first_column; first < tile.last_column; first += most_gathered_taps) {
        const int64_t last = smaller(tile.last_column, first + most_gathered_taps);
        for (int64_t i = 0; i * h.step < h.source; i += lanes<T>)
            for (int64_t residue = 0; residue < h.step; residue += Residues) {
                GatheredTaps<T> taps[Residues];
                int64_t used = 0;
                for (int64_t other = 0; other < Residues; ++other) {
                    taps[other] = GatheredTaps<T>(h, tile, first, last, residue + other, i);
                    used += taps[other].count;
                }
                if (used > 0 && i * h.step + residue < h.source)
                    add_columns<T, Residues>(m, tile, taps, i * h.step + residue, h.step, target);
            }
    }
}

// Adds the tile to the planes of its channels in one sample. What an element gets is added up tap by tap.
template <class T>
inline void add_tile(const PatchMatrix& m, const PatchTile<T>& tile, T* target) {
    const int64_t step = m.horizontal.step;
    (step == 2   ? add_tile_by_residues<T, 2>
     : step == 4 ? add_tile_by_residues<T, 4>
                 : add_tile_by_residues<T, 1>)(m, tile, target);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
