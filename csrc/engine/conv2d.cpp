#include "conv2d.h"

#include "../kernels/tile.h"
#include "conv2d_broadcast.h"
#include "dispatch.h"
#include "pool.h"

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
    const int64_t work = m.groups * args.rows * m.rows() * m.samples * m.positions(), wanted = wanted_items(work);
    if (args.items() < wanted)
        args.row_tiles = std::clamp(ceil_div(wanted * args.row_tiles, args.items()), args.row_tiles,
                                    ceil_div(args.rows, fewest_rows));
    if (args.items() < wanted)
        args.column_tiles = std::clamp(ceil_div(wanted * args.column_tiles, args.items()), args.column_tiles,
                                       ceil_div(args.span_columns, 2 * narrowest));
    args.columns_per_tile = ceil_div(ceil_div(args.span_columns, args.column_tiles), narrowest) * narrowest;
    args.column_tiles = ceil_div(args.span_columns, args.columns_per_tile);
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
    const int64_t lanes = active_table().vector_bytes / element;
    // Sums wait for the ones before: eight side by side keep a core busy. Narrow rows hold one or two registers of
    // them.
    const int64_t rows = std::min<int64_t>(args.rows, 6), registers = h.positions <= lanes ? 1 : 2;
    const bool narrow = registers == 1 || (rows < 4 && h.positions < 12 / rows * lanes);
    const double busy = narrow ? used(std::min<int64_t>(rows * registers, 8), 8) : 1.0;
    const double by_row = busy * used(h.positions, ceil_div(h.positions, lanes) * lanes);
    const double together = used(h.positions, pitch) * used(m.rows(), m.rows() + dealing);
    args.by_row = h.taps > 1 && (pitch > tile_cols<T> || by_row >= together);

    const int64_t wider = args.rows <= few_rows ? few_rows_wider : args.by_row ? 2 : 1;
    const int64_t most_columns = wider * tile_cols<T>;
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
    const int64_t wanted = wanted_items(m.groups * args.rows * m.rows() * m.samples * m.positions());
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

// The most that `whole` can be cut into evenly.
int64_t largest_divisor(int64_t whole, int64_t most) {
    int64_t part = std::min(whole, most);
    while (whole % part) --part;
    return part;
}

template <class T>
void run_input_grad(Conv2dInputGradArgs<T>& args, Conv2dPackArgs<T>& weights) {
    const PatchMatrix& m = args.patches;
    constexpr int64_t fewest_rows = 56;
    const int64_t height = m.vertical.positions, width = m.horizontal.positions, taps_x = m.horizontal.taps;
    args.samples_per_item = args.samples_per_tile = std::max<int64_t>(1, tile_cols<T> / m.positions());
    args.height_per_tile = std::clamp<int64_t>(tile_cols<T> / width, 1, height);
    args.width_per_tile = std::min(width, tile_cols<T>);
    args.sample_items = ceil_div(m.samples, args.samples_per_item);
    const int64_t work = m.samples * m.positions() * m.groups * m.rows() * weights.depth;
    const int64_t row_items = ceil_div(wanted_items(work), args.sample_items * m.groups);
    const int64_t rows = std::clamp(ceil_div(m.rows(), row_items), fewest_rows, tile_rows);
    args.channels_per_item = ceil_div(m.channels, ceil_div(m.rows(), rows));
    args.channel_items = ceil_div(m.channels, args.channels_per_item);
    args.rows_per_part = m.taps() <= tile_rows ? args.channels_per_item * m.taps()
                         : taps_x <= tile_rows ? largest_divisor(m.vertical.taps, tile_rows / taps_x) * taps_x
                                               : largest_divisor(taps_x, tile_rows);

    const Pooled<T> packed = pooled<T>(weights.groups * weights.rows * weights.depth);
    weights.packed = packed.get(), weights.part_rows = args.rows_per_part;
    args.packed = packed.get();
    pack(weights);
    run(kernels<T>().conv2d_input_grad, args, args.items(), grain(work, args.items()));
}

// A row of the left factor is an output channel.
template <class T>
void pack_rows(const ConvShape& s, const WeightMatrix<T>& matrix, T* packed) {
    Conv2dPackArgs<T> args{};
    args.matrix = matrix.data, args.packed = packed, args.groups = s.groups;
    args.rows = args.part_rows = s.rows;
    args.depth = s.channels * s.vertical.taps * s.horizontal.taps;
    args.group_stride = matrix.group_stride, args.row_stride = matrix.row_stride;
    args.depth_stride = matrix.term_stride;
    pack(args);
}

}  // namespace

template <class T>
std::vector<T> turned_around(const ConvShape& s, const T* weight) {
    const int64_t taps = s.vertical.taps * s.horizontal.taps;
    std::vector<T> turned(static_cast<std::size_t>(s.weight_size()));
    for (int64_t g = 0; g < s.groups; ++g)
        for (int64_t row = 0; row < s.rows; ++row)
            for (int64_t channel = 0; channel < s.channels; ++channel) {
                const T* const from = weight + ((g * s.rows + row) * s.channels + channel) * taps;
                std::reverse_copy(from, from + taps,
                                  turned.data() + ((g * s.channels + channel) * s.rows + row) * taps);
            }
    return turned;
}

template <class T>
int64_t conv2d_packed_size(const ConvShape& s) {
    return broadcasts_positions(s) ? conv2d_broadcast_packed_size<T>(s) : s.weight_size();
}

template <class T>
void conv2d_pack(const ConvShape& s, const T* weight, T* packed) {
    const int64_t depth = s.channels * s.vertical.taps * s.horizontal.taps;
    const WeightMatrix<T> matrix{weight, s.rows * depth, depth, 1};
    broadcasts_positions(s) ? conv2d_broadcast_pack(s, matrix, packed) : pack_rows(s, matrix, packed);
}

template <class T>
void conv2d_packed(const ConvShape& s, const T* input, const T* packed, const T* bias, T* out, Activation activation) {
    if (broadcasts_positions(s)) return conv2d_broadcast<T>(s, input, packed, {}, bias, out, activation);
    Conv2dDirectArgs<T> direct{};
    direct.patches = s.patches();
    direct.input = input, direct.packed = packed, direct.bias = bias, direct.out = out;
    direct.rows = s.rows, direct.activation = activation;
    if (cut_directly(direct))
        return run(kernels<T>().conv2d_direct, direct, direct.items(), grain(s.work(), direct.items()));
    Conv2dArgs<T> args{};
    args.patches = direct.patches;
    args.input = input, args.packed = packed, args.bias = bias, args.out = out;
    args.rows = s.rows, args.activation = activation;
    run_tiles(args);
}

template <class T>
void conv2d(const ConvShape& s, const T* input, const T* weight, bool flipped, const T* bias, T* out,
            Activation activation) {
    const int64_t taps = s.vertical.taps * s.horizontal.taps, depth = s.channels * taps, size = s.rows * depth;
    std::vector<T> turned;
    WeightMatrix<T> matrix{weight, size, depth, 1};
    if (flipped && taps == 1) {
        matrix = {weight, size, 1, s.rows};
    } else if (flipped) {
        ConvShape back = s;
        std::swap(back.rows, back.channels);
        turned = turned_around(back, weight);
        matrix.data = turned.data();
    }
    if (broadcasts_positions(s) && s.samples == 1 &&
        s.vertical.output * s.horizontal.output <= most_broadcast_positions<T>)
        return conv2d_broadcast<T>(s, input, nullptr, matrix, bias, out, activation);
    const Pooled<T> packed = pooled<T>(conv2d_packed_size<T>(s));
    broadcasts_positions(s) ? conv2d_broadcast_pack(s, matrix, packed.get()) : pack_rows(s, matrix, packed.get());
    conv2d_packed(s, input, packed.get(), bias, out, activation);
}

template <class T>
void conv2d_input_grad(const ConvShape& s, const T* weight, const T* grad_output, T* grad_input) {
    Conv2dInputGradArgs<T> args{};
    args.patches = s.patches();
    const PatchMatrix& m = args.patches;
    const int64_t height = m.vertical.positions, width = m.horizontal.positions;
    args.grad_output = grad_output, args.grad_input = grad_input;
    // A row of the left factor is an input channel's tap, its terms are the output channels.
    Conv2dPackArgs<T> weights{};
    weights.matrix = weight, weights.groups = s.groups;
    weights.rows = m.rows(), weights.depth = s.rows;
    weights.group_stride = weights.rows * weights.depth, weights.row_stride = 1, weights.depth_stride = weights.rows;
    args.gradient = {m.samples, s.groups, weights.depth, {height, height, 1, 1, 0, 1}, {width, width, 1, 1, 0, 1}};
    run_input_grad(args, weights);
}

#define ADVCORE_CONV2D(T)                                                                           \
    template std::vector<T> turned_around<T>(const ConvShape&, const T*);                           \
    template int64_t conv2d_packed_size<T>(const ConvShape&);                                       \
    template void conv2d_pack<T>(const ConvShape&, const T*, T*);                                   \
    template void conv2d_packed<T>(const ConvShape&, const T*, const T*, const T*, T*, Activation); \
    template void conv2d<T>(const ConvShape&, const T*, const T*, bool, const T*, T*, Activation);  \
    template void conv2d_input_grad<T>(const ConvShape&, const T*, const T*, T*);
ADVCORE_CONV2D(float)
ADVCORE_CONV2D(double)

}  // namespace advcore
