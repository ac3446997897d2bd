#include "winograd.h"

#include <algorithm>
#include <cstring>

#include "dispatch.h"
#include "parallel.h"
#include "pool.h"
#include "winograd_few.h"

namespace advcore {
namespace {

constexpr int64_t most_repetitions = 8;  // of the weights' transform, before it is stored for all items
constexpr int64_t fewest_tiles = 16, fewest_rows = 16;

// Cuts the tiles and the rows into items: as large as an item may be, but enough for every thread. No result depends on
// the cut.
template <class T>
void cut(WinogradArgs<T>& args, int64_t tiles, int64_t most_rows) {
    constexpr int64_t step = 64 / sizeof(T);
    const WinogradShape& s = args.shape;
    args.row_items = ceil_div(s.rows, most_rows);
    args.tile_items = ceil_div(tiles, winograd_tiles<T>);
    const int64_t wanted = wanted_items(frequencies * tiles * s.groups * s.rows * s.channels, 2);
    const auto missing = [&] { return ceil_div(wanted, s.groups * args.row_items * args.tile_items); };
    if (missing() > 1)
        args.tile_items =
            std::clamp(args.tile_items * missing(), args.tile_items, std::max(args.tile_items, tiles / fewest_tiles));
    if (missing() > 1)
        args.row_items =
            std::clamp(args.row_items * missing(), args.row_items, std::max(args.row_items, s.rows / fewest_rows));
    args.tiles_per_item = ceil_div(ceil_div(tiles, args.tile_items), step) * step;
    args.tile_items = ceil_div(tiles, args.tiles_per_item);
}

template <class T>
void run_winograd(WinogradArgs<T> args) {
    const WinogradShape& s = args.shape;
    const int64_t tiles = s.samples * s.tiles_y * s.tiles_x;
    Pooled<T> own;
    if (!args.transformed && tiles > most_repetitions * winograd_tiles<T>) {
        own = pooled<T>(frequencies_size(s.groups, s.rows, s.channels));
        transform_all(args.weights, s.groups, s.rows, s.channels, own.get());
        args.transformed = own.get();
    }
    cut(args, tiles, args.transformed ? winograd_ready_rows<T> : winograd_rows<T>);
    const int64_t items = s.groups * args.tile_items * args.row_items;
    run(kernels<T>().winograd, args, items, grain(frequencies * tiles * s.groups * s.rows * s.channels, items));
}

}  // namespace

int64_t frequencies_size(int64_t groups, int64_t rows, int64_t channels) {
    return groups * frequencies * (rows * channels + plane_gap);
}

template <class T>
void transform_all(const WinogradWeights<T>& weights, int64_t groups, int64_t rows, int64_t channels, T* transformed) {
    const WinogradPackArgs<T> args{
        weights, transformed, groups, rows, channels, ceil_div(channels, block_depth), ceil_div(rows, fewest_rows)};
    const int64_t items = groups * args.blocks * args.row_items;
    run(kernels<T>().winograd_pack, args, items, grain(frequencies * groups * rows * channels, items));
}

template <class T>
int64_t winograd_packed_size(const ConvShape& s) {
    return has_few_tiles<T>(s) ? few_tiles_packed_size<T>(s) : frequencies_size(s.groups, s.rows, s.channels);
}

template <class T>
void winograd(const ConvShape& shape, const T* input, const T* weight, bool flipped, const T* bias, T* out,
              Activation activation) {
    WinogradArgs<T> args{};
    args.shape = tiles_of(shape);
    args.weights = weights_of(weight, shape.vertical.taps, shape.rows, shape.channels, flipped);
    if (has_few_tiles<T>(shape))
        return winograd_few(args.shape, input, args.weights, static_cast<const T*>(nullptr), bias, out, activation);
    args.input = input, args.bias = bias, args.out = out, args.activation = activation;
    run_winograd(args);
}

template <class T>
void winograd_pack(const ConvShape& s, const T* weight, T* packed) {
    const WinogradWeights<T> weights = weights_of(weight, s.vertical.taps, s.rows, s.channels, false);
    has_few_tiles<T>(s) ? winograd_few_pack(s, weights, packed)
                        : transform_all(weights, s.groups, s.rows, s.channels, packed);
}

template <class T>
void winograd_packed(const ConvShape& shape, const T* input, const T* packed, const T* bias, T* out,
                     Activation activation) {
    WinogradArgs<T> args{};
    args.shape = tiles_of(shape), args.transformed = packed;
    if (has_few_tiles<T>(shape)) {
        args.weights = weights_of(packed, shape.vertical.taps, shape.rows, shape.channels, false);
        return winograd_few(args.shape, input, args.weights, keeps_frequencies<T>(shape) ? packed : nullptr, bias, out,
                            activation);
    }
    args.input = input, args.bias = bias, args.out = out, args.activation = activation;
    run_winograd(args);
}

// The batch is cut into segments where there are few blocks. The cut depends on the shape alone.
template <class T>
int64_t winograd_weight_grad_segments(int64_t samples, int64_t tiles, int64_t groups, int64_t rows, int64_t channels) {
    constexpr int64_t enough_items = 16, fewest_terms = winograd_grad_depth;
    const int64_t blocks = groups * ceil_div(rows, winograd_grad_side<T>) * ceil_div(channels, winograd_grad_side<T>);
    const int64_t segments =
        std::min({ceil_div(enough_items, blocks), std::max<int64_t>(1, samples * tiles / fewest_terms),
                  std::max<int64_t>(1, samples)});
    return std::max<int64_t>(1, ceil_div(samples, std::max<int64_t>(1, ceil_div(samples, segments))));
}

template <class T>
void winograd_weight_grad(const ConvShape& shape, const T* input, const T* grad_output, T* grad_weight) {
    WinogradWeightGradArgs<T> args{};
    args.shape = tiles_of(shape);
    const WinogradShape& s = args.shape;
    const int64_t size = shape.weight_size();
    args.input = input, args.grad_output = grad_output;
    args.row_items = ceil_div(s.rows, winograd_grad_side<T>);
    args.channel_items = ceil_div(s.channels, winograd_grad_side<T>);
    const int64_t tiles = s.samples * s.tiles_y * s.tiles_x;
    args.segments = winograd_weight_grad_segments<T>(s.samples, s.tiles_y * s.tiles_x, s.groups, s.rows, s.channels);
    args.samples_per_segment = std::max<int64_t>(1, ceil_div(s.samples, args.segments));
    if (tiles == 0) {
        std::memset(grad_weight, 0, static_cast<std::size_t>(size) * sizeof(T));
        return;
    }
    const int64_t work = frequencies * tiles * s.groups * s.rows * s.channels;
    const int64_t missing =
        ceil_div(wanted_items(work, 1), args.segments * s.groups * args.row_items * args.channel_items);
    args.row_items =
        std::clamp(missing * args.row_items, args.row_items, std::max(args.row_items, s.rows / fewest_rows));
    Pooled<T> parts;
    if (args.segments > 1) parts = pooled<T>(args.segments * size);
    args.parts = parts ? parts.get() : grad_weight;
    const int64_t items = args.segments * s.groups * args.row_items * args.channel_items;
    run(kernels<T>().winograd_weight_grad, args, items, grain(work, items));
    if (parts) run(kernels<T>().sum_parts, SumPartsArgs<T>{parts.get(), grad_weight, args.segments, size}, size, 4096);
}

#define ADVCORE_WINOGRAD(T)                                                                           \
    template void transform_all<T>(const WinogradWeights<T>&, int64_t, int64_t, int64_t, T*);         \
    template int64_t winograd_packed_size<T>(const ConvShape&);                                       \
    template void winograd<T>(const ConvShape&, const T*, const T*, bool, const T*, T*, Activation);  \
    template void winograd_pack<T>(const ConvShape&, const T*, T*);                                   \
    template void winograd_packed<T>(const ConvShape&, const T*, const T*, const T*, T*, Activation); \
    template int64_t winograd_weight_grad_segments<T>(int64_t, int64_t, int64_t, int64_t, int64_t);   \
    template void winograd_weight_grad<T>(const ConvShape&, const T*, const T*, T*);
ADVCORE_WINOGRAD(float)
ADVCORE_WINOGRAD(double)

}  // namespace advcore
