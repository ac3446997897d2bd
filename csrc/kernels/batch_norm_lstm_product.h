// The product of every step of a BatchNormLSTM: some units' columns for all samples.
#pragma once

#include "batch_norm_lstm.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// w_hh by blocks of units: forward each block has 4 parts of `hidden` terms, one a gate; backward one of 4 * hidden.
template <class T>
struct PackedUnits {
    int64_t hidden, block_units, parts;
    int64_t depth() const { return 4 / parts * hidden; }
    int64_t units(int64_t block) const { return smaller(block_units, hidden - block * block_units); }
    // Panel by panel, each with all its terms: the panel of a part that starts at column `col` of the block.
    int64_t offset(int64_t block, int64_t part, int64_t col) const {
        return ((block * parts + part) * block_units + col) * depth();
    }
};

// to[sample, part, unit] = from[sample, :] . packed for the units of the blocks [begin, end); `scratch` holds tile_rows
// * block_depth elements.
template <class T>
inline void multiply_units(int64_t samples, const T* from, const PackedUnits<T>& b, const T* packed, int64_t begin,
                           int64_t end, T* to, T* scratch) {
    const int64_t depth = b.depth(), to_stride = b.parts * b.hidden;
    for (int64_t first = 0; first < samples; first += tile_rows) {
        const int64_t rows = smaller(tile_rows, samples - first);
        const RowPanels panels(rows);
        for (int64_t k = 0; k < depth; k += block_depth) {
            const int64_t terms = smaller(block_depth, depth - k);
            pack_left<T>(LeftMatrix<T>{from + first * depth + k, depth, 1}, rows, terms, 0, scratch);
            PanelPair<T> pair{};
            pair.depth = terms, pair.c_stride = to_stride;
            pair.accumulate = k > 0, pair.last = k + terms >= depth;
            for (int64_t block = begin; block < end; ++block) {
                const int64_t units = b.units(block);
                for (int64_t part = 0; part < b.parts; ++part) {
                    for (int64_t col = 0; col < units; col += panel_cols<T>) {
                        const int64_t used = smaller(panel_cols<T>, units - col);
                        pair.b = packed + b.offset(block, part, col) + k * panel_width<T>(used);
                        pair.cols = static_cast<int>(used);
                        T* const c = to + first * to_stride + part * b.hidden + block * b.block_units + col;
                        for (int64_t panel = 0; panel < panels.count; ++panel) {
                            const int64_t row = panels.begin(panel);
                            pair.a = scratch + row * terms;
                            pair.c = c + row * to_stride;
                            multiply_panels<T>(static_cast<int>(panels.begin(panel + 1) - row), pair);
                        }
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
