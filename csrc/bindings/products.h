// Any product of matrices: cut into tiles, dealt over the threads.
#pragma once

#include <algorithm>

#include "../kernels/tile.h"
#include "arrays.h"

namespace advcore {

// Tiles as large as possible, since each packs its rows and columns anew, but enough of them for every thread.
template <class T>
inline void cut_into_tiles(MatmulArgs<T>& args) {
    constexpr int64_t widest = tile_cols<T>, narrowest = 128 / sizeof(T), fewest_rows = tile_rows / 2;
    const int64_t wanted = get_num_threads() == 1 ? 1 : 4 * get_num_threads();
    args.col_tiles = ceil_div(args.cols, widest);
    args.row_tiles =
        std::clamp<int64_t>(ceil_div(wanted, args.batch * args.col_tiles), 1, ceil_div(args.rows, fewest_rows));
    args.rows_per_tile = ceil_div(args.rows, args.row_tiles);
    args.row_tiles = ceil_div(args.rows, args.rows_per_tile);
    const int64_t wanted_cols = std::max(args.col_tiles, ceil_div(wanted, args.batch * args.row_tiles));
    args.cols_per_tile =
        std::clamp(ceil_div(ceil_div(args.cols, wanted_cols), narrowest) * narrowest, narrowest, widest);
    args.col_tiles = ceil_div(args.cols, args.cols_per_tile);
}

template <class T>
inline void run_matmul(MatmulArgs<T> args) {
    if (args.batch * args.rows * args.cols == 0) return;
    cut_into_tiles(args);
    const int64_t items = args.batch * args.row_tiles * args.col_tiles;
    run(kernels<T>().matmul, args, items, grain(args.batch * args.rows * args.cols * args.depth, items));
}

}  // namespace advcore
