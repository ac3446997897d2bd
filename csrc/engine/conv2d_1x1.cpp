#include "conv2d_1x1.h"

#include "dispatch.h"

namespace advcore {
namespace {

template <class T>
constexpr int64_t step = 128 / static_cast<int64_t>(sizeof(T));  // whole panels on every level

}  // namespace

// Of smaller planes a batch fills registers better than a sample's channels do, of larger ones hardly a register's
// share is lost; few rows fill no registers either. The left factor of all channels has its place in the scratch
// memory.
bool has_small_planes(const ConvShape& s) {
    constexpr int64_t fewest = 36, most = 100, fewest_rows = 32, most_channels = 8192;
    const auto single = [](const ConvAxis& a) {
        return a.taps == 1 && a.stride == 1 && a.padding == 0 && a.input == a.output;
    };
    const int64_t positions = s.vertical.output * s.horizontal.output;
    return single(s.vertical) && single(s.horizontal) && positions >= fewest && positions <= most &&
           s.rows >= fewest_rows && s.channels <= most_channels;
}

template <class T>
int64_t conv2d_1x1_packed_size(const ConvShape& s) {
    return s.groups * padded_1x1<T>(s.rows) * s.channels;
}

template <class T>
void conv2d_1x1_pack(const ConvShape& s, const Weights1x1<T>& weights, T* packed) {
    Conv2d1x1PackArgs<T> args{weights, packed, s.groups, s.rows, s.channels, ceil_div(s.channels, block_depth), 0, 0};
    args.rows_per_tile = tile_cols<T>;
    args.row_tiles = ceil_div(s.rows, args.rows_per_tile);
    const int64_t items = args.groups * args.blocks * args.row_tiles;
    run(kernels<T>().conv2d_1x1_pack, args, items, grain(4 * s.weight_size(), items));
}

template <class T>
void conv2d_1x1(const ConvShape& s, const T* input, const T* packed, const Weights1x1<T>& weights, const T* bias,
                T* out, Activation activation) {
    constexpr int64_t fewest_rows = 2 * step<T>;
    Conv2d1x1Args<T> args{};
    args.samples = s.samples, args.groups = s.groups, args.channels = s.channels, args.rows = s.rows;
    args.positions = s.vertical.output * s.horizontal.output;
    args.input = input, args.packed = packed, args.weights = weights, args.bias = bias, args.out = out;
    args.activation = activation;
    args.position_tiles = ceil_div(args.positions, most_positions_1x1<T>);
    args.positions_per_tile = ceil_div(args.positions, args.position_tiles);
    args.row_tiles = 1;
    const int64_t wanted = wanted_items(s.work());
    if (args.items() < wanted)
        args.row_tiles =
            std::clamp(ceil_div(wanted * args.row_tiles, args.items()), args.row_tiles, ceil_div(s.rows, fewest_rows));
    args.rows_per_tile = ceil_div(ceil_div(s.rows, args.row_tiles), step<T>) * step<T>;
    args.row_tiles = ceil_div(s.rows, args.rows_per_tile);
    run(kernels<T>().conv2d_1x1, args, args.items(), grain(s.work(), args.items()));
}

#define ADVCORE_CONV2D_1X1(T)                                                     \
    template int64_t conv2d_1x1_packed_size<T>(const ConvShape&);                 \
    template void conv2d_1x1_pack<T>(const ConvShape&, const Weights1x1<T>&, T*); \
    template void conv2d_1x1<T>(const ConvShape&, const T*, const T*, const Weights1x1<T>&, const T*, T*, Activation);
ADVCORE_CONV2D_1X1(float)
ADVCORE_CONV2D_1X1(double)

}  // namespace advcore
