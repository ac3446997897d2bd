#include "channels_last.h"

#include <algorithm>

#include "../kernels/winograd_last.h"
#include "dispatch.h"
#include "winograd_few.h"
#include "winograd_shape.h"

namespace advcore {
namespace {

// The terms that are added up in registers: as where planes lie one after the other.
template <class T>
int64_t depth_of(const ConvShape& s, bool transposed) {
    return !transposed && has_few_tiles<T>(s) ? few_channels_at_once<T> : block_depth;
}

}  // namespace

template <class T>
void rearrange(const T* from, T* to, int64_t samples, int64_t rows, int64_t cols) {
    const RearrangeArgs<T> args{from, to, samples, rows, cols};
    const int64_t items = samples * args.strips();
    run(kernels<T>().rearrange, args, items, grain(samples * rows * cols * 4, items));
}

bool is_side_by_side(const PoolAxis& axis) {
    return axis.stride == axis.kernel && axis.padding == 0 && axis.dilation == 1 &&
           axis.output * axis.kernel <= axis.input && axis.output > 0;
}

template <class T>
void max_pool_last(const SideBySide& w, const T* input, T* out, T* place) {
    const int64_t items = w.samples * w.out_height;
    const int64_t work = w.samples * w.in_height * w.in_width * w.channels;
    run(kernels<T>().max_pool_last, MaxPoolLastArgs<T>{w, input, out, place}, items, grain(work * 4, items));
}

template <class T>
void max_pool_last_grad(const SideBySide& w, const T* place, const T* grad_output, T* grad_input) {
    const int64_t items = w.samples * w.out_height;
    const int64_t work = w.samples * w.in_height * w.in_width * w.channels;
    run(kernels<T>().max_pool_last_grad, MaxPoolLastGradArgs<T>{w, place, grad_output, grad_input}, items,
        grain(work * 4, items));
}

bool gains_channels_last(int64_t groups, int64_t rows, int64_t channels) {
    constexpr int64_t most_weights = 128 * 128, most_channels = 256;
    return groups == 1 && rows % channels_together == 0 && channels % channels_together == 0 &&
           std::max(rows, channels) <= most_channels && rows * channels <= most_weights;
}

int64_t winograd_last_size(const ConvShape& s) { return frequencies_size(1, s.rows, s.channels); }

template <class T>
void winograd_last_pack(const ConvShape& s, const T* weight, bool transposed, T* packed) {
    WinogradLastPackArgs<T> args{};
    args.weights = weights_of(weight, s.vertical.taps, s.rows, s.channels, false);
    args.transformed = packed, args.rows = s.rows, args.channels = s.channels, args.depth = depth_of<T>(s, transposed);
    if (transposed) {  // a row of the result is a channel of the input
        std::swap(args.weights.row_stride, args.weights.channel_stride);
        std::swap(args.rows, args.channels);
    }
    run(kernels<T>().winograd_last_pack, args, ceil_div(args.rows, args.rows_together));
}

// No result depends on how tiles or samples are cut.
template <class T>
void winograd_last(const ConvShape& shape, const T* input, const T* packed, const T* bias, T* out,
                   Activation activation) {
    WinogradLastArgs<T> args{};
    args.shape = tiles_of(shape), args.transformed = packed, args.input = input, args.bias = bias, args.out = out,
    args.activation = activation, args.depth = depth_of<T>(shape, false);
    const WinogradShape& s = args.shape;
    const int64_t tiles = s.samples * s.tiles_y * s.tiles_x, work = frequencies * tiles * s.rows * s.channels;
    const int64_t width = std::min(args.depth, s.channels) + s.rows;
    const int64_t most = std::clamp(most_of_winograd_last<T> / (frequencies * width), int64_t{1}, most_last_tiles);
    const int64_t items = std::max(ceil_div(tiles, most), wanted_items(work, 2));
    args.tiles_per_item = std::clamp<int64_t>(ceil_div(tiles, items), 1, most);
    const int64_t cut = ceil_div(tiles, args.tiles_per_item);
    run(kernels<T>().winograd_last, args, cut, grain(work, cut));
}

template <class T>
void winograd_last_grad(const ConvShape& shape, const T* packed, const T* grad_output, T* grad_input) {
    WinogradLastGradArgs<T> args{};
    args.shape = tiles_of(shape), args.transformed = packed, args.grad_output = grad_output,
    args.grad_input = grad_input, args.depth = depth_of<T>(shape, true);
    const WinogradShape& s = args.shape;
    const int64_t tiles = s.tiles_y * s.tiles_x, work = frequencies * s.samples * tiles * s.rows * s.channels;
    const int64_t width = std::min(args.depth, s.rows) + s.channels;
    const int64_t most = std::min(most_of_winograd_last<T> / (frequencies * width), most_last_tiles) / tiles;
    args.samples_per_item =
        std::clamp(ceil_div(s.samples, wanted_items(work, 2)), int64_t{1}, std::max<int64_t>(1, most));
    const int64_t items = ceil_div(s.samples, args.samples_per_item);
    run(kernels<T>().winograd_last_grad, args, items, grain(work, items));
}

#define ADVCORE_CHANNELS_LAST(T)                                                                    \
    template void rearrange<T>(const T*, T*, int64_t, int64_t, int64_t);                            \
    template void max_pool_last<T>(const SideBySide&, const T*, T*, T*);                            \
    template void max_pool_last_grad<T>(const SideBySide&, const T*, const T*, T*);                 \
    template void winograd_last_pack<T>(const ConvShape&, const T*, bool, T*);                      \
    template void winograd_last<T>(const ConvShape&, const T*, const T*, const T*, T*, Activation); \
    template void winograd_last_grad<T>(const ConvShape&, const T*, const T*, T*);
ADVCORE_CHANNELS_LAST(float)
ADVCORE_CHANNELS_LAST(double)

}  // namespace advcore
