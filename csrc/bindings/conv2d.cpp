// Convolution: how the three directions become patch matrices, and how those are cut into tiles.
#include <algorithm>
#include <memory>

#include "../kernels/tile.h"
#include "conv2d_geometry.h"

namespace advcore {
namespace {

// Brings the matrices of all groups into the order of a left factor.
template <class T>
void pack(Conv2dPackArgs<T> args) {
    args.parts = ceil_div(args.rows, args.part_rows);
    args.blocks = ceil_div(args.depth, block_depth);
    const int64_t items = args.groups * args.parts * args.blocks;
    run(kernels<T>().conv2d_pack, args, items, grain(4 * args.groups * args.rows * args.depth, items));
}

// For the forward direction a row of the left factor is an output channel.
template <class T>
void pack_forward(const Array<T>& weight, int64_t groups, T* packed) {
    Conv2dPackArgs<T> args{};
    args.matrix = weight.data(), args.packed = packed, args.groups = groups;
    args.rows = args.part_rows = extent(weight, 0) / groups;
    args.depth = extent(weight, 1) * extent(weight, 2) * extent(weight, 3);
    args.group_stride = args.rows * args.depth, args.row_stride = args.depth, args.depth_stride = 1;
    pack(args);
}

// Large tiles reuse what they pack; there must be enough of them for every thread. No result depends on the choice.
template <class T>
void run_tiles(Conv2dArgs<T>& args) {
    const PatchMatrix& m = args.patches;
    constexpr int64_t narrowest = 128 / sizeof(T), fewest_rows = 56;
    const bool whole_batch = m.positions() < tile_cols<T>;
    args.spans = whole_batch ? 1 : m.samples;
    args.span_columns = whole_batch ? m.samples * m.positions() : m.positions();
    args.row_tiles = ceil_div(args.rows, tile_rows);
    args.column_tiles = ceil_div(args.span_columns, tile_cols<T>);
    const int64_t wanted = wanted_items();
    if (args.items() < wanted)
        args.row_tiles = std::clamp(ceil_div(wanted * args.row_tiles, args.items()), args.row_tiles,
                                    ceil_div(args.rows, fewest_rows));
    if (args.items() < wanted)
        args.column_tiles = std::clamp(ceil_div(wanted * args.column_tiles, args.items()), args.column_tiles,
                                       ceil_div(args.span_columns, 2 * narrowest));
    args.columns_per_tile = ceil_div(ceil_div(args.span_columns, args.column_tiles), narrowest) * narrowest;
    args.column_tiles = ceil_div(args.span_columns, args.columns_per_tile);
    const int64_t work = m.groups * args.rows * m.rows() * m.samples * m.positions();
    run(kernels<T>().conv2d, args, args.items(), grain(work, args.items()));
}

// Cuts a convolution into tiles of output rows whose slabs stay in the second-level cache; false where none is small
// enough, or where taps of single elements make the patches as simple as a slab. No result depends on the choice.
template <class T>
bool cut_directly(Conv2dDirectArgs<T>& args) {
    const PatchMatrix& m = args.patches;
    const PatchAxis &v = m.vertical, &h = m.horizontal;
    if (m.taps() == 1 && v.step * h.step == 1) return false;
    if (std::max(v.taps, h.taps) > most_phased_taps || m.groups * args.rows * m.positions() == 0) return false;
    constexpr int64_t element = sizeof(T), most = slab_bytes / element, enough = (384 << 10) / element;
    const int64_t pitch = h.positions + (h.taps - 1) * h.tap_step / h.step + 1, slack = pitch + 128;
    if (slab_size(m, 1, block_depth) + slack > most) return false;
    // Rows by themselves leave the last registers of a row partly empty; together they compute what lies between them
    // and are dealt out afterwards, which counts as much as a few terms.
    const auto used = [](int64_t part, int64_t whole) {
        return static_cast<double>(part) / static_cast<double>(whole);
    };
    constexpr int64_t dealing = 16;
    const double by_row = used(h.positions, ceil_div(h.positions, 32 / element) * (32 / element));
    const double together = used(h.positions, pitch) * used(m.rows(), m.rows() + dealing);
    args.by_row = pitch > tile_cols<T> || by_row >= together;

    const int64_t most_columns = args.by_row ? 2 * tile_cols<T> : tile_cols<T>;
    const int64_t columns = args.by_row ? h.positions : pitch;
    const auto fits = [&](int64_t samples, int64_t height) {
        return samples * height * columns <= most_columns && samples * slab_size(m, height, block_depth) <= enough;
    };
    args.height_per_tile = v.positions;
    while (args.height_per_tile > 1 && !fits(1, args.height_per_tile))
        args.height_per_tile = ceil_div(args.height_per_tile, 2);
    args.samples_per_tile = 1;
    if (args.height_per_tile == v.positions)
        while (args.samples_per_tile < m.samples && fits(args.samples_per_tile + 1, v.positions))
            ++args.samples_per_tile;
    const auto cut = [&] {
        args.height_tiles = ceil_div(v.positions, args.height_per_tile);
        args.sample_tiles = ceil_div(m.samples, args.samples_per_tile);
    };
    const int64_t wanted = wanted_items();
    args.row_tiles = ceil_div(args.rows, tile_rows);
    for (cut(); args.items() < wanted && args.samples_per_tile > 1; cut())
        args.samples_per_tile = ceil_div(args.samples_per_tile, 2);
    for (; args.items() < wanted && args.height_per_tile > 4; cut())
        args.height_per_tile = ceil_div(args.height_per_tile, 2);
    constexpr int64_t fewest_rows = 56;
    if (args.items() < wanted)
        args.row_tiles = std::clamp(ceil_div(wanted * args.row_tiles, args.items()), args.row_tiles,
                                    ceil_div(args.rows, fewest_rows));
    return true;
}

template <class T>
void run_forward(Array<T>& out, const Array<T>& input, const T* packed, const Array<T>& weight,
                 const MaybeArray<T>& bias, const Geometry& g, int activation) {
    Conv2dArgs<T> args{};
    args.patches = forward_patches(input, weight, out, g);
    args.input = input.data(), args.packed = packed, args.bias = data_or_null(bias), args.out = out.mutable_data();
    args.rows = extent(weight, 0) / g.groups;
    args.activation = activation_from(activation);
    Conv2dDirectArgs<T> direct{};
    direct.patches = args.patches;
    direct.input = args.input, direct.packed = packed, direct.bias = args.bias, direct.out = args.out;
    direct.rows = args.rows, direct.activation = args.activation;
    const py::gil_scoped_release unlocked;
    if (!cut_directly(direct)) return run_tiles(args);
    const PatchMatrix& m = args.patches;
    run(kernels<T>().conv2d_direct, direct, direct.items(),
        grain(m.groups * args.rows * m.rows() * m.samples * m.positions(), direct.items()));
}

template <class T>
void conv2d_pack(Array<T> packed, const Array<T>& weight, int64_t groups) {
    T* const to = packed.mutable_data();
    const py::gil_scoped_release unlocked;
    pack_forward(weight, groups, to);
}

template <class T>
void conv2d_packed(Array<T> out, const Array<T>& input, const Array<T>& packed, const MaybeArray<T>& bias,
                   int64_t stride_y, int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y,
                   int64_t dilation_x, int64_t groups, int activation) {
    if (out.size() == 0) return;
    run_forward(out, input, packed.data(), packed, bias,
                geometry(stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups), activation);
}

template <class T>
void conv2d(Array<T> out, const Array<T>& input, const Array<T>& weight, const MaybeArray<T>& bias, int64_t stride_y,
            int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y, int64_t dilation_x,
            int64_t groups, int activation) {
    if (out.size() == 0) return;
    const auto packed = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(weight.size()));
    {
        const py::gil_scoped_release unlocked;
        pack_forward(weight, groups, packed.get());
    }
    run_forward(out, input, packed.get(), weight, bias,
                geometry(stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups), activation);
}

// grad_input's tiles of columns: several whole samples, or even parts of one.
template <class T>
void run_input_grad(Conv2dInputGradArgs<T>& args, Conv2dPackArgs<T>& weights) {
    const PatchMatrix& m = args.patches;
    constexpr int64_t fewest_rows = 56;
    const int64_t tiles = ceil_div(m.positions(), tile_cols<T>);
    args.samples_per_item = std::max<int64_t>(1, tile_cols<T> / m.positions());
    args.columns_per_tile = tiles == 1 ? args.samples_per_item * m.positions() : ceil_div(m.positions(), tiles);
    args.sample_items = ceil_div(m.samples, args.samples_per_item);
    const int64_t row_items = ceil_div(wanted_items(), args.sample_items * m.groups);
    const int64_t rows = std::clamp(ceil_div(m.rows(), row_items), fewest_rows, tile_rows);
    args.channels_per_item = ceil_div(m.channels, ceil_div(m.rows(), rows));
    args.channel_items = ceil_div(m.channels, args.channels_per_item);

    const auto packed =
        std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(weights.groups * weights.rows * weights.depth));
    weights.packed = packed.get(), weights.part_rows = args.channels_per_item * m.taps();
    args.packed = packed.get();
    pack(weights);
    run(kernels<T>().conv2d_input_grad, args, args.items(),
        grain(m.samples * m.positions() * m.groups * m.rows() * weights.depth, args.items()));
}

template <class T>
void conv2d_input_grad(Array<T> out, const Array<T>& weight, const Array<T>& grad_output, int64_t stride_y,
                       int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y, int64_t dilation_x,
                       int64_t groups) {
    if (out.size() == 0) return;
    Conv2dInputGradArgs<T> args{};
    args.patches = forward_patches(out, weight, grad_output,
                                   geometry(stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups));
    const PatchMatrix& m = args.patches;
    const int64_t height = m.vertical.positions, width = m.horizontal.positions;
    args.grad_output = grad_output.data(), args.grad_input = out.mutable_data();
    // A row of the left factor is an input channel's tap, its terms are the output channels.
    Conv2dPackArgs<T> weights{};
    weights.matrix = weight.data(), weights.groups = groups;
    weights.rows = m.rows(), weights.depth = extent(weight, 0) / groups;
    weights.group_stride = weights.rows * weights.depth, weights.row_stride = 1, weights.depth_stride = weights.rows;
    args.gradient = {m.samples, groups, weights.depth, {height, height, 1, 1, 0, 1}, {width, width, 1, 1, 0, 1}};
    const py::gil_scoped_release unlocked;
    run_input_grad(args, weights);
}

template <class T>
void bind(py::module_& m) {
    const auto fixed = py::arg().noconvert();
    m.def("conv2d", &conv2d<T>, fixed, fixed, fixed, fixed, py::arg(), py::arg(), py::arg(), py::arg(), py::arg(),
          py::arg(), py::arg(), py::arg());
    m.def("conv2d_pack", &conv2d_pack<T>, fixed, fixed, py::arg());
    m.def("conv2d_packed", &conv2d_packed<T>, fixed, fixed, fixed, fixed, py::arg(), py::arg(), py::arg(), py::arg(),
          py::arg(), py::arg(), py::arg(), py::arg());
    m.def("conv2d_input_grad", &conv2d_input_grad<T>, fixed, fixed, fixed, py::arg(), py::arg(), py::arg(), py::arg(),
          py::arg(), py::arg(), py::arg());
}

}  // namespace

void bind_conv2d(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
