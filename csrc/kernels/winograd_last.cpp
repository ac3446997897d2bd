#include "winograd_last.h"

#include "kernel_list.h"
#include "winograd_filters.h"
#include "winograd_last_tiles.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T, int Taps>
void pack_rows_of_weights(const WinogradLastPackArgs<T>& args, int64_t begin, int64_t end) {
    const int64_t plane = args.rows * args.channels + plane_gap, most = args.rows_together;
    for (int64_t row = begin * most; row < smaller(end * most, args.rows); row += most)
        for (int64_t k = 0; k < args.channels; k += args.depth) {
            const int64_t terms = smaller(args.depth, args.channels - k);
            transform_right_factors<T, Taps>(args.weights, row, smaller(most, args.rows - row), k, terms,
                                             args.transformed + k * args.rows + row * terms, plane);
        }
}

// The outputs of one tile for all rows, from its sums.
template <class T, int Taps>
void write_tile(const WinogradLastArgs<T>& args, const Window<tile_outputs(Taps)>& window, const T* sum,
                int64_t plane) {
    constexpr int outputs = tile_outputs(Taps);
    const WinogradShape& s = args.shape;
    for (int64_t r = 0; r < s.rows; r += lanes<T>) {
        Vec<T> half[outputs][tile_in];
        transform_columns(sum + r, plane, half);
        const Vec<T> shift = args.bias ? load(args.bias + r) : Vec<T>{};
        T* to = args.out + window.offset * s.rows + r;
        for (int y = 0; y < window.last_y; ++y, to += s.out_width * s.rows) {
            Vec<T> values[outputs];
            transform_output<T>(half[y], values);
            if (args.bias)
                for (int x = 0; x < outputs; ++x) values[x] += shift;
            if (args.activation != Activation::none)
                for (int x = 0; x < outputs; ++x) values[x] = activate<T>(values[x], args.activation);
            if (window.last_x == outputs) {
                for (int x = 0; x < outputs; ++x) store(to + x * s.rows, values[x]);
            } else {
                for (int x = 0; x < outputs; ++x)
                    if (x < window.last_x) store(to + x * s.rows, values[x]);
            }
        }
    }
}

template <class T, int Taps>
void convolve_last(const WinogradLastArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const WinogradShape& s = args.shape;
    const int64_t all_tiles = s.samples * s.tiles_y * s.tiles_x, right_plane = s.rows * s.channels + plane_gap;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t first = item * args.tiles_per_item;
        const PixelTiles<T, Taps> tiles(pixels_of(s), 0, first, smaller(args.tiles_per_item, all_tiles - first));
        const int64_t left_plane = tiles_plane(tiles.count, smaller(args.depth, s.channels));
        const int64_t sum_plane = tiles_plane(tiles.count, s.rows);
        T* const left = static_cast<T*>(scratch);
        T* const sum = left + frequencies * left_plane;
        for (int64_t k = 0; k < s.channels; k += args.depth) {
            const int64_t terms = smaller(args.depth, s.channels - k);
            transform_all_pixels<T>(
                tiles, [](const Tile<Taps>& tile) -> const Window<tile_in>& { return tile.input; }, args.input + k,
                s.width, s.channels, terms, left, left_plane, WindowTransform<T>{});
            multiply_tiles<T>(tiles.count, s.rows, terms, left, left_plane, args.transformed + k * s.rows, right_plane,
                              sum, sum_plane, k > 0);
        }
        for (int64_t tile = 0; tile < tiles.count; ++tile)
            write_tile<T, Taps>(args, tiles.tile[tile].output, sum + tile * s.rows, sum_plane);
    }
}

}  // namespace

template <class T>
void winograd_last_pack(const WinogradLastPackArgs<T>& args, int64_t begin, int64_t end, void*) {
    args.weights.taps == 3 ? pack_rows_of_weights<T, 3>(args, begin, end)
                           : pack_rows_of_weights<T, 5>(args, begin, end);
}

template <class T>
void winograd_last(const WinogradLastArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    args.shape.taps == 3 ? convolve_last<T, 3>(args, begin, end, scratch)
                         : convolve_last<T, 5>(args, begin, end, scratch);
}

ADVCORE_INSTANTIATE(winograd_last_pack, WinogradLastPackArgs)
ADVCORE_INSTANTIATE(winograd_last, WinogradLastArgs)

}  // namespace advcore::ADVCORE_LEVEL
