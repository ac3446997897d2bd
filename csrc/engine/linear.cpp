#include "linear.h"

#include <algorithm>

#include "../kernels/tile.h"
#include "dispatch.h"
#include "parallel.h"

namespace advcore {
namespace {

// Multiply-adds, or what takes as long: an element of the right factor is read and turned in the time of a few.
template <class T>
int64_t work(const MatmulArgs<T>& args) {
    constexpr int64_t rows_to_read = 8;
    return args.batch * std::max(args.rows, rows_to_read) * args.cols * args.depth;
}

// Tiles as large as possible, since each packs its rows and columns anew, but enough of them for every thread.
// Processors with registers of 64 bytes multiply twice as fast as they pack, and have larger second-level caches.
template <class T>
void cut_into_tiles(MatmulArgs<T>& args) {
    constexpr int64_t narrowest = 128 / sizeof(T), fewest_rows = tile_rows / 2;
    const int64_t widest = active_table().vector_bytes == 64 ? 2 * tile_cols<T> : tile_cols<T>;
    const int64_t wanted = wanted_items(work(args), 2);
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

}  // namespace

template <class T>
void matmul(MatmulArgs<T> args) {
    if (args.batch * args.rows * args.cols == 0) return;
    cut_into_tiles(args);
    const int64_t items = args.batch * args.row_tiles * args.col_tiles;
    run(kernels<T>().matmul, args, items, grain(work(args), items));
}

template <class T>
void linear(const LinearShape& s, const T* input, const T* weight, const T* bias, T* out, Activation activation) {
    MatmulArgs<T> args{};
    args.a = input, args.b = weight, args.c = out, args.bias = bias;
    args.batch = 1, args.rows = s.samples, args.cols = s.outputs, args.depth = s.inputs;
    args.a_row = args.depth, args.a_depth = 1, args.b_depth = 1, args.b_col = args.depth;
    args.activation = activation;
    matmul(args);
}

template <class T>
void linear_input_grad(const LinearShape& s, const T* grad_output, const T* weight, T* grad_input) {
    MatmulArgs<T> args{};
    args.a = grad_output, args.b = weight, args.c = grad_input;
    args.batch = 1, args.rows = s.samples, args.cols = s.inputs, args.depth = s.outputs;
    args.a_row = args.depth, args.a_depth = 1, args.b_depth = args.cols, args.b_col = 1;
    matmul(args);
}

template <class T>
void linear_weight_grad(const LinearShape& s, const T* grad_output, const T* input, T* grad_weight) {
    MatmulArgs<T> args{};
    args.a = grad_output, args.b = input, args.c = grad_weight;
    args.batch = 1, args.rows = s.outputs, args.cols = s.inputs, args.depth = s.samples;
    args.a_row = 1, args.a_depth = args.rows, args.b_depth = args.cols, args.b_col = 1;
    matmul(args);
}

#define ADVCORE_LINEAR(T)                                                                      \
    template void matmul<T>(MatmulArgs<T>);                                                    \
    template void linear<T>(const LinearShape&, const T*, const T*, const T*, T*, Activation); \
    template void linear_input_grad<T>(const LinearShape&, const T*, const T*, T*);            \
    template void linear_weight_grad<T>(const LinearShape&, const T*, const T*, T*);
ADVCORE_LINEAR(float)
ADVCORE_LINEAR(double)

}  // namespace advcore
