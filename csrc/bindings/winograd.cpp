// Winograd convolution, forward and (with the taps turned around) for the input's gradient: how tiles become items.
#include "../kernels/winograd.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "arrays.h"

namespace advcore {
namespace {

constexpr int64_t most_repetitions = 8;  // of the weights' transform, before it is stored for all items
constexpr int64_t fewest_tiles = 16, fewest_rows = 24;

template <class T>
WinogradShape shape_of(int64_t taps, const Array<T>& input, const Array<T>& output, int64_t padding_y,
                       int64_t padding_x, int64_t groups) {
    WinogradShape s{};
    s.taps = static_cast<int>(taps);
    s.samples = extent(input, 0), s.groups = groups;
    s.channels = extent(input, 1) / groups, s.rows = extent(output, 1) / groups;
    s.height = extent(input, 2), s.width = extent(input, 3);
    s.out_height = extent(output, 2), s.out_width = extent(output, 3);
    s.padding_y = padding_y, s.padding_x = padding_x;
    s.tiles_y = ceil_div(s.out_height, tile_outputs(s.taps));
    s.tiles_x = ceil_div(s.out_width, tile_outputs(s.taps));
    return s;
}

// weight[groups * rows, channels, taps, taps], or flipped: weight[groups * channels, rows, taps, taps] with its taps
// turned around.
template <class T>
WinogradWeights<T> weights_of(const Array<T>& weight, int64_t rows, int64_t channels, bool flipped) {
    const int64_t taps = extent(weight, 2), filter = taps * taps;
    const int64_t row = flipped ? filter : filter * channels, channel = flipped ? filter * rows : filter;
    return {weight.data(), static_cast<int>(taps), filter * rows * channels, row, channel, flipped};
}

template <class T>
void transform_all(const WinogradWeights<T>& weights, int64_t groups, int64_t rows, int64_t channels, T* transformed) {
    const WinogradPackArgs<T> args{
        weights, transformed, groups, rows, channels, ceil_div(channels, block_depth), ceil_div(rows, fewest_rows)};
    const int64_t items = groups * args.blocks * args.row_items;
    run(kernels<T>().winograd_pack, args, items, grain(frequencies * groups * rows * channels, items));
}

int64_t transformed_size(int64_t rows, int64_t channels) { return frequencies * (rows * channels + plane_gap); }

// Cuts the tiles and the rows into items: as large as an item may be, but enough for every thread. No result depends on
// the cut.
template <class T>
void cut(WinogradArgs<T>& args, int64_t tiles, int64_t most_rows) {
    constexpr int64_t step = 64 / sizeof(T);
    const WinogradShape& s = args.shape;
    args.row_items = ceil_div(s.rows, most_rows);
    args.tile_items = ceil_div(tiles, winograd_tiles<T>);
    const int64_t wanted = get_num_threads() == 1 ? 1 : 2 * get_num_threads();
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
    std::unique_ptr<T[]> own;
    if (!args.transformed && tiles > most_repetitions * winograd_tiles<T>) {
        own = std::make_unique_for_overwrite<T[]>(
            static_cast<std::size_t>(s.groups * transformed_size(s.rows, s.channels)));
        transform_all(args.weights, s.groups, s.rows, s.channels, own.get());
        args.transformed = own.get();
    }
    cut(args, tiles, args.transformed ? winograd_ready_rows<T> : winograd_rows<T>);
    const int64_t items = s.groups * args.tile_items * args.row_items;
    run(kernels<T>().winograd, args, items, grain(frequencies * tiles * s.groups * s.rows * s.channels, items));
}

template <class T>
void winograd(Array<T> out, const Array<T>& input, const Array<T>& weight, const MaybeArray<T>& bias, int64_t padding_y,
              int64_t padding_x, int64_t groups, bool flipped, int activation) {
    if (out.size() == 0) return;
    WinogradArgs<T> args{};
    args.shape = shape_of(extent(weight, 2), input, out, padding_y, padding_x, groups);
    args.weights = weights_of(weight, args.shape.rows, args.shape.channels, flipped);
    args.input = input.data(), args.bias = data_or_null(bias), args.out = out.mutable_data();
    args.activation = activation_from(activation);
    const py::gil_scoped_release unlocked;
    run_winograd(args);
}

// Returns transformed[groups, ...] of weight[groups * rows, channels, taps, taps].
template <class T>
Array<T> winograd_pack(const Array<T>& weight, int64_t groups) {
    const int64_t rows = extent(weight, 0) / groups, channels = extent(weight, 1);
    Array<T> transformed({groups, transformed_size(rows, channels)});
    const auto weights = weights_of(weight, rows, channels, false);
    T* const to = transformed.mutable_data();
    const py::gil_scoped_release unlocked;
    transform_all(weights, groups, rows, channels, to);
    return transformed;
}

template <class T>
void winograd_packed(Array<T> out, const Array<T>& input, const Array<T>& transformed, const MaybeArray<T>& bias,
                     int64_t taps, int64_t padding_y, int64_t padding_x, int activation) {
    if (out.size() == 0) return;
    WinogradArgs<T> args{};
    args.shape = shape_of(taps, input, out, padding_y, padding_x, extent(transformed, 0));
    args.transformed = transformed.data();
    args.input = input.data(), args.bias = data_or_null(bias), args.out = out.mutable_data();
    args.activation = activation_from(activation);
    const py::gil_scoped_release unlocked;
    run_winograd(args);
}

// The batch is cut into segments where there are few blocks. The cut depends on the shape alone.
template <class T>
int64_t weight_grad_segments(int64_t samples, int64_t tiles, int64_t groups, int64_t rows, int64_t channels) {
    constexpr int64_t enough_items = 16, fewest_terms = 512;
    const int64_t blocks = groups * ceil_div(rows, winograd_grad_side<T>) * ceil_div(channels, winograd_grad_side<T>);
    const int64_t segments =
        std::min({ceil_div(enough_items, blocks), std::max<int64_t>(1, samples * tiles / fewest_terms),
                  std::max<int64_t>(1, samples)});
    return std::max<int64_t>(1, ceil_div(samples, std::max<int64_t>(1, ceil_div(samples, segments))));
}

template <class T>
void winograd_weight_grad(Array<T> out, const Array<T>& input, const Array<T>& grad_output, int64_t padding_y,
                          int64_t padding_x, int64_t groups) {
    WinogradWeightGradArgs<T> args{};
    args.shape = shape_of(extent(out, 2), input, grad_output, padding_y, padding_x, groups);
    const WinogradShape& s = args.shape;
    const int64_t size = static_cast<int64_t>(out.size());
    args.input = input.data(), args.grad_output = grad_output.data();
    args.row_items = ceil_div(s.rows, winograd_grad_side<T>);
    args.channel_items = ceil_div(s.channels, winograd_grad_side<T>);
    const int64_t blocks = groups * args.row_items * args.channel_items;
    const int64_t tiles = s.samples * s.tiles_y * s.tiles_x;
    args.segments = weight_grad_segments<T>(s.samples, s.tiles_y * s.tiles_x, groups, s.rows, s.channels);
    args.samples_per_segment = std::max<int64_t>(1, ceil_div(s.samples, args.segments));
    T* const total = out.mutable_data();

    const py::gil_scoped_release unlocked;
    if (tiles == 0) {
        std::memset(total, 0, static_cast<std::size_t>(size) * sizeof(T));
        return;
    }
    std::unique_ptr<T[]> parts;
    if (args.segments > 1) parts = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(args.segments * size));
    args.parts = parts ? parts.get() : total;
    const int64_t items = args.segments * blocks;
    run(kernels<T>().winograd_weight_grad, args, items,
        grain(frequencies * tiles * groups * s.rows * s.channels, items));
    if (parts) run(kernels<T>().sum_parts, SumPartsArgs<T>{parts.get(), total, args.segments, size}, size, 4096);
}

template <class T>
void bind(py::module_& m) {
    const auto fixed = py::arg().noconvert();
    m.def("winograd", &winograd<T>, fixed, fixed, fixed, fixed, py::arg(), py::arg(), py::arg(), py::arg(), py::arg());
    m.def("winograd_pack", &winograd_pack<T>, fixed, py::arg());
    m.def("winograd_weight_grad", &winograd_weight_grad<T>, fixed, fixed, fixed, py::arg(), py::arg(), py::arg());
    m.def("winograd_packed", &winograd_packed<T>, fixed, fixed, fixed, fixed, py::arg(), py::arg(), py::arg(),
          py::arg());
}

}  // namespace

void bind_winograd(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
    m.def("winograd_weights_size", &transformed_size);
    m.def("winograd_weight_grad_segments",
          [](bool wide, int64_t samples, int64_t tiles, int64_t groups, int64_t rows, int64_t channels) {
              return (wide ? weight_grad_segments<double> : weight_grad_segments<float>)(samples, tiles, groups, rows,
                                                                                         channels);
          });
}

}  // namespace advcore
