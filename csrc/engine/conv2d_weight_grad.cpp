// The weight gradient of convolution: how its sum over the batch is cut.
#include <algorithm>
#include <cstring>

#include "../kernels/tile.h"
#include "conv2d.h"
#include "dispatch.h"
#include "pool.h"

namespace advcore {

// A sum over many terms is cut along the batch where there are few tiles. The cut depends on the shape alone.
template <class T>
int64_t conv2d_weight_grad_segments(int64_t samples, int64_t positions, int64_t groups, int64_t rows,
                                    int64_t patch_rows) {
    constexpr int64_t enough_items = 64, fewest_terms = 1024;
    if (samples * positions == 0) return 1;
    const int64_t tiles = groups * ceil_div(rows, tile_rows) * ceil_div(patch_rows, tile_cols<T>);
    const int64_t most = std::max<int64_t>(1, samples * positions / fewest_terms);
    const int64_t wanted = std::min({ceil_div(enough_items, tiles), most, samples});
    return ceil_div(samples, ceil_div(samples, wanted));
}

namespace {

template <class T>
TapSource tap_source(const PatchMatrix& m) {
    const PatchAxis &v = m.vertical, &h = m.horizontal;
    const bool in_place = v.step == 1 && h.step == 1 && v.first == 0 && h.first == 0 && m.positions() == m.plane();
    if (m.taps() == 1 && in_place) return TapSource::input;
    if (std::max(v.taps, h.taps) > most_phased_taps) return TapSource::patches;
    const int64_t samples = (block_depth - 2) / m.positions() + 2;
    const int64_t size = samples * slab_size(m, weight_grad_slab_height(m), weight_grad_taps) + 128;
    return size * static_cast<int64_t>(sizeof(T)) <= slab_bytes ? TapSource::slab : TapSource::patches;
}

// Large tiles pack the gradient less often. No result depends on the choice.
template <class T>
void cut_weights(Conv2dWeightGradArgs<T>& args) {
    const PatchMatrix& m = args.patches;
    constexpr int64_t whole_panels = 128 / sizeof(T), fewest_taps = 48;
    args.source = tap_source<T>(m);
    args.row_tiles = ceil_div(args.rows, tile_cols<T>);
    args.rows_per_tile = ceil_div(ceil_div(args.rows, args.row_tiles), whole_panels) * whole_panels;
    args.row_tiles = ceil_div(args.rows, args.rows_per_tile);
    const int64_t most_taps = std::min(weight_grad_taps, weight_grad_sums<T> / args.rows_per_tile);
    args.tap_tiles = ceil_div(m.rows(), most_taps);
    const int64_t wanted = wanted_items(m.groups * args.rows * m.rows() * m.samples * m.positions());
    if (args.items() < wanted)
        args.tap_tiles = std::clamp(ceil_div(wanted * args.tap_tiles, args.items()), args.tap_tiles,
                                    ceil_div(m.rows(), fewest_taps));
    args.taps_per_tile = ceil_div(m.rows(), args.tap_tiles);
    args.tap_tiles = ceil_div(m.rows(), args.taps_per_tile);
}

}  // namespace

template <class T>
void conv2d_weight_grad(const ConvShape& s, const T* input, const T* grad_output, T* grad_weight) {
    const int64_t size = s.weight_size();
    if (size == 0) return;
    Conv2dWeightGradArgs<T> args{};
    args.patches = s.patches();
    args.input = input, args.grad_output = grad_output, args.rows = s.rows;
    const PatchMatrix& m = args.patches;
    if (m.samples == 0 || m.positions() == 0) {
        std::memset(grad_weight, 0, static_cast<std::size_t>(size) * sizeof(T));
        return;
    }
    args.segments = conv2d_weight_grad_segments<T>(m.samples, m.positions(), s.groups, s.rows, m.rows());
    args.samples_per_segment = ceil_div(m.samples, args.segments);
    cut_weights(args);
    Pooled<T> parts;
    if (args.segments > 1) parts = pooled<T>(args.segments * size);
    args.parts = parts ? parts.get() : grad_weight;
    run(kernels<T>().conv2d_weight_grad, args, args.items(), grain(s.work(), args.items()));
    if (parts) run(kernels<T>().sum_parts, SumPartsArgs<T>{parts.get(), grad_weight, args.segments, size}, size, 4096);
}

#define ADVCORE_WEIGHT_GRAD(T)                                                                    \
    template int64_t conv2d_weight_grad_segments<T>(int64_t, int64_t, int64_t, int64_t, int64_t); \
    template void conv2d_weight_grad<T>(const ConvShape&, const T*, const T*, T*);
ADVCORE_WEIGHT_GRAD(float)
ADVCORE_WEIGHT_GRAD(double)

}  // namespace advcore
