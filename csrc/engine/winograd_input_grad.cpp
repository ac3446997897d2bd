#include "winograd_input_grad.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "../kernels/winograd_input_grad.h"
#include "dispatch.h"
#include "pool.h"
#include "winograd_shape.h"

namespace advcore {

template <class T>
int64_t winograd_input_grad_packed_size(const ConvShape& s) {
    return frequencies_size(s.groups, s.channels, s.rows);
}

template <class T>
void winograd_input_grad_pack(const ConvShape& s, const T* weight, T* packed) {
    WinogradWeights<T> weights = weights_of(weight, s.vertical.taps, s.rows, s.channels, false);
    std::swap(weights.row_stride, weights.channel_stride);  // a row of the left factor is a channel of the input
    transform_all(weights, s.groups, s.channels, s.rows, packed);
}

// No result depends on how samples and channels are cut.
template <class T>
void winograd_input_grad_packed(const ConvShape& shape, const T* packed, const T* grad_output, T* grad_input) {
    constexpr int64_t fewest_channels = 16;
    WinogradInputGradArgs<T> args{};
    args.shape = tiles_of(shape), args.transformed = packed, args.grad_output = grad_output,
    args.grad_input = grad_input;
    const WinogradShape& s = args.shape;
    constexpr int64_t together = 64 / sizeof(T);  // tiles are computed by the register
    const int64_t tiles = s.tiles_y * s.tiles_x;
    const int64_t work =
        frequencies * ceil_div(s.samples * tiles, together) * together * s.groups * s.rows * s.channels;
    if (tiles > input_grad_tiles) throw std::invalid_argument("a plane must have no more tiles than an item");
    const int64_t wanted = wanted_items(work, 2);
    args.samples_per_item =
        std::clamp<int64_t>(s.samples * s.groups / wanted, 1, std::max<int64_t>(1, input_grad_tiles / tiles));
    args.sample_items = ceil_div(s.samples, args.samples_per_item);
    args.channel_items = std::max(ceil_div(s.channels, input_grad_channels<T>),
                                  std::min(ceil_div(wanted, s.groups * std::max<int64_t>(1, args.sample_items)),
                                           std::max<int64_t>(1, s.channels / fewest_channels)));
    const int64_t items = s.groups * args.sample_items * args.channel_items;
    run(kernels<T>().winograd_input_grad, args, items, grain(work, items));
}

template <class T>
void winograd_input_grad(const ConvShape& s, const T* weight, const T* grad_output, T* grad_input) {
    const Pooled<T> packed = pooled<T>(winograd_input_grad_packed_size<T>(s));
    winograd_input_grad_pack(s, weight, packed.get());
    winograd_input_grad_packed(s, packed.get(), grad_output, grad_input);
}

#define ADVCORE_WINOGRAD_INPUT_GRAD(T)                                                     \
    template int64_t winograd_input_grad_packed_size<T>(const ConvShape&);                 \
    template void winograd_input_grad_pack<T>(const ConvShape&, const T*, T*);             \
    template void winograd_input_grad_packed<T>(const ConvShape&, const T*, const T*, T*); \
    template void winograd_input_grad<T>(const ConvShape&, const T*, const T*, T*);
ADVCORE_WINOGRAD_INPUT_GRAD(float)
ADVCORE_WINOGRAD_INPUT_GRAD(double)

}  // namespace advcore
