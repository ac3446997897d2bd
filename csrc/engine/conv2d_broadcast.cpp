#include "conv2d_broadcast.h"

#include "../kernels/channels_last.h"
#include "dispatch.h"

namespace advcore {
namespace {

template <class T>
constexpr int64_t step = 128 / static_cast<int64_t>(sizeof(T));  // whole panels on every level
constexpr int64_t most_in_place_channels = 8192;

bool in_place(const ConvShape& s) {
    const auto single = [](const ConvAxis& a) {
        return a.taps == 1 && a.stride == 1 && a.padding == 0 && a.input == a.output;
    };
    return single(s.vertical) && single(s.horizontal);
}

// Whether what the positions of an item see for a block of terms stays in the second-level cache.
bool sees_little(const ConvShape& s) {
    constexpr int64_t most = int64_t{1} << 18, most_positions = most_broadcast_positions<float>;
    const auto extent = [](const ConvAxis& axis, int64_t positions) {
        return (positions - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1;
    };
    const ConvAxis &v = s.vertical, &h = s.horizontal;
    const int64_t height = extent(v, std::min(v.output, most_positions / h.output)), width = extent(h, h.output);
    const int64_t channels = std::min(s.channels, block_depth / (v.taps * h.taps) + 2);
    return height <= most && width <= most && height * width <= most / channels;
}

}  // namespace

// Of smaller planes a batch fills registers better than a sample's channels do (or comes to less, where the weights
// outgrow the cache), of larger ones hardly a register's share is lost; few rows fill no registers either, and few
// terms do not repay turning the result. The left factor of all channels, or what a block of terms sees, has its place
// in the scratch memory.
bool broadcasts_positions(const ConvShape& s) {
    constexpr int64_t few = 36, most_in_place = 100, most = 600, fewest_rows = 32, fewest_terms = 64;
    constexpr int64_t most_weights = int64_t{3} << 19;  // that a core's cache keeps from sample to sample, or nearly
    const ConvAxis &v = s.vertical, &h = s.horizontal;
    const int64_t positions = v.output * h.output;
    if (positions < few && (in_place(s) || s.rows * s.patches().rows() > most_weights)) return false;
    if (s.rows < fewest_rows) return false;
    if (h.output > most_broadcast_positions<double>) return false;  // an item has whole rows of positions
    if (in_place(s)) return positions <= most_in_place && s.channels <= most_in_place_channels;
    const bool sees_all = v.stride <= v.taps && h.stride <= h.taps;
    const bool fills_registers = s.rows >= 0.85 * static_cast<double>(whole_registers<float>(s.rows));
    return sees_all && fills_registers && positions <= most && s.patches().rows() >= fewest_terms && sees_little(s);
}

bool broadcasts_to_channels_last(const ConvShape& s) {
    const bool in_place_or_all = in_place(s) ? s.channels <= most_in_place_channels : sees_little(s);
    return s.groups == 1 && s.rows % channels_together == 0 && in_place_or_all &&
           s.horizontal.output <= most_broadcast_positions<double>;
}

template <class T>
int64_t conv2d_broadcast_packed_size(const ConvShape& s) {
    return s.groups * whole_registers<T>(s.rows) * s.patches().rows();
}

template <class T>
void conv2d_broadcast_pack(const ConvShape& s, const WeightMatrix<T>& weights, T* packed) {
    const int64_t depth = s.patches().rows();
    Conv2dBroadcastPackArgs<T> args{weights, packed, s.groups, s.rows, depth, ceil_div(depth, block_depth), 0, 0};
    args.rows_per_tile = tile_cols<T>;
    args.row_tiles = ceil_div(s.rows, args.rows_per_tile);
    const int64_t items = args.groups * args.blocks * args.row_tiles;
    run(kernels<T>().conv2d_broadcast_pack, args, items, grain(4 * s.weight_size(), items));
}

template <class T>
void conv2d_broadcast(const ConvShape& s, const T* input, const T* packed, const WeightMatrix<T>& weights,
                      const T* bias, T* out, Activation activation, bool channels_last) {
    constexpr int64_t fewest_rows = 2 * step<T>;
    Conv2dBroadcastArgs<T> args{};
    args.patches = s.patches(), args.rows = s.rows, args.in_place = in_place(s);
    args.input = input, args.packed = packed, args.weights = weights, args.bias = bias, args.out = out;
    args.activation = activation, args.channels_last = channels_last;
    const int64_t height = s.vertical.output;
    args.height_tiles = ceil_div(height, std::max<int64_t>(1, most_broadcast_positions<T> / s.horizontal.output));
    args.height_per_tile = ceil_div(height, args.height_tiles);
    args.row_tiles = 1;
    const int64_t wanted = wanted_items(s.work());
    if (args.items() < wanted)
        args.row_tiles =
            std::clamp(ceil_div(wanted * args.row_tiles, args.items()), args.row_tiles, ceil_div(s.rows, fewest_rows));
    args.rows_per_tile = ceil_div(ceil_div(s.rows, args.row_tiles), step<T>) * step<T>;
    args.row_tiles = ceil_div(s.rows, args.rows_per_tile);
    run(kernels<T>().conv2d_broadcast, args, args.items(), grain(s.work(), args.items()));
}

#define ADVCORE_CONV2D_BROADCAST(T)                                                                               \
    template int64_t conv2d_broadcast_packed_size<T>(const ConvShape&);                                           \
    template void conv2d_broadcast_pack<T>(const ConvShape&, const WeightMatrix<T>&, T*);                         \
    template void conv2d_broadcast<T>(const ConvShape&, const T*, const T*, const WeightMatrix<T>&, const T*, T*, \
                                      Activation, bool);
ADVCORE_CONV2D_BROADCAST(float)
ADVCORE_CONV2D_BROADCAST(double)

}  // namespace advcore
