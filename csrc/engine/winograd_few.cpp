#include "winograd_few.h"

#include <algorithm>

#include "../kernels/winograd_few.h"
#include "dispatch.h"
#include "pool.h"

namespace advcore {
namespace {

// Of a plane. More tiles fill the registers by themselves.
constexpr int64_t most_tiles = 9;
constexpr int64_t fewest_rows = 32, most_channels = 2048;
constexpr int64_t most_repetitions = 4;  // of the weights' transform, before it is stored for all items
constexpr int64_t most_kept_bytes = int64_t{4} << 20;

template <class T>
WinogradFewPackArgs<T> blocks_of(const WinogradWeights<T>& weights, int64_t groups, int64_t rows, int64_t channels) {
    return {weights, nullptr, groups, rows, channels};
}

template <class T>
bool is_kept(const WinogradFewPackArgs<T>& args) {
    return args.items() * few_block<T> * static_cast<int64_t>(sizeof(T)) <= most_kept_bytes;
}

template <class T>
void transform_all(WinogradFewPackArgs<T> args, T* transformed) {
    args.transformed = transformed;
    run(kernels<T>().winograd_few_pack, args, args.items(), grain(args.items() * few_block<T>, args.items()));
}

}  // namespace

template <class T>
bool has_few_tiles(const ConvShape& c) {
    const WinogradShape s = tiles_of(c);
    return s.tiles_y * s.tiles_x <= most_tiles && s.rows >= fewest_rows && s.channels <= most_channels;
}

template <class T>
bool keeps_frequencies(const ConvShape& c) {
    return is_kept(blocks_of<T>({}, c.groups, c.rows, c.channels));
}

template <class T>
int64_t few_tiles_packed_size(const ConvShape& c) {
    const auto args = blocks_of<T>({}, c.groups, c.rows, c.channels);
    return is_kept(args) ? args.items() * few_block<T> : c.weight_size();
}

template <class T>
void winograd_few_pack(const ConvShape& c, const WinogradWeights<T>& weights, T* packed) {
    const auto args = blocks_of(weights, c.groups, c.rows, c.channels);
    is_kept(args) ? transform_all(args, packed) : void(std::copy_n(weights.weight, c.weight_size(), packed));
}

template <class T>
void winograd_few(const WinogradShape& s, const T* input, const WinogradWeights<T>& weights, const T* transformed,
                  const T* bias, T* out, Activation activation) {
    constexpr int64_t step = 64 / static_cast<int64_t>(sizeof(T));  // a register on every level
    const int64_t tiles = s.samples * s.tiles_y * s.tiles_x;
    WinogradFewArgs<T> args{};
    args.weights = blocks_of(weights, s.groups, s.rows, s.channels);
    args.transformed = transformed, args.shape = s, args.input = input, args.bias = bias, args.out = out,
    args.activation = activation;
    static_assert(frequencies * (most_channels * step + plane_gap) <= few_inputs<T>);
    const int64_t most_tiles_at_once =
        std::min((few_inputs<T> / frequencies - plane_gap) / s.channels / step * step, winograd_tiles<T>);
    args.tiles_per_item = ceil_div(ceil_div(tiles, ceil_div(tiles, most_tiles_at_once)), step) * step;
    args.tile_items = ceil_div(tiles, args.tiles_per_item);
    Pooled<T> own;
    if (!transformed && args.tile_items > most_repetitions && is_kept(args.weights)) {
        own = pooled<T>(args.weights.items() * few_block<T>);
        transform_all(args.weights, own.get());
        args.transformed = own.get();
    }
    const int64_t work = frequencies * tiles * s.groups * s.rows * s.channels, wanted = wanted_items(work, 2);
    args.row_items = std::clamp(ceil_div(wanted, s.groups * args.tile_items), int64_t{1}, args.weights.row_blocks());
    const int64_t items = s.groups * args.tile_items * args.row_items;
    run(kernels<T>().winograd_few, args, items, grain(work, items));
}

#define ADVCORE_WINOGRAD_FEW(T)                                                                                      \
    template bool has_few_tiles<T>(const ConvShape&);                                                                \
    template bool keeps_frequencies<T>(const ConvShape&);                                                            \
    template int64_t few_tiles_packed_size<T>(const ConvShape&);                                                     \
    template void winograd_few_pack<T>(const ConvShape&, const WinogradWeights<T>&, T*);                             \
    template void winograd_few<T>(const WinogradShape&, const T*, const WinogradWeights<T>&, const T*, const T*, T*, \
                                  Activation);
ADVCORE_WINOGRAD_FEW(float)
ADVCORE_WINOGRAD_FEW(double)

}  // namespace advcore
