#include "winograd_few.h"

#include "activate.h"
#include "kernel_list.h"
#include "winograd_filters.h"
#include "winograd_tiles.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
constexpr bool few_scratch_suffices =
    (few_inputs<T> + few_block<T> + frequencies * (winograd_tiles<T> * few_rows_at_once<T> + plane_gap)) *
        int64_t(sizeof(T)) <=
    scratch_bytes;
static_assert(few_scratch_suffices<float> && few_scratch_suffices<double>);

// The frequencies of a block of weights, panels of right factors at to[frequency * few_plane].
template <class T, int Taps>
void transform_block(const WinogradFewPackArgs<T>& args, int64_t group, int64_t row, int64_t channel, T* to) {
    WinogradWeights<T> weights = args.weights;
    weights.weight += group * weights.group_stride;
    transform_right_factors<T, Taps>(weights, row, smaller(few_rows_at_once<T>, args.rows - row), channel,
                                     smaller(few_channels_at_once<T>, args.channels - channel), to, few_plane<T>);
}

// The frequencies of all channels of the tiles: to[frequency * plane + channel * pitch + tile]. With less than a
// register of tiles the end of each is stored over by the next channel.
template <class T, int Taps>
void gather_channels(const WinogradFewArgs<T>& args, const ForwardTiles<T, Taps>& tiles, int64_t pitch, T* to,
                     int64_t plane) {
    const WinogradShape& s = args.shape;
    for (int64_t first = 0; first < tiles.padded; first += lanes<T>)
        for (int64_t c = 0; c < s.channels; ++c)
            transform_windows<T, tile_in>(
                [&](int lane, int part, Vec<T>(&rows)[tile_in]) {
                    load_window<T>(tiles.tile[first + lane].input, args.input + c * s.height * s.width, s.width, part,
                                   rows);
                },
                to + c * pitch + first, plane);
}

// sum[frequency * sum_plane + (tile, row)] (+)= the products of one block of weights.
template <class T>
void multiply_block(const RowPanels& tiles, int64_t rows, int64_t terms, const T* left, int64_t pitch,
                    int64_t left_plane, const T* right, T* sum, int64_t sum_plane, bool accumulate) {
    int64_t tile_offset[max_panel_rows], term_offset[few_channels_at_once<T>];
    for (int64_t i = 0; i < max_panel_rows; ++i) tile_offset[i] = i;
    for (int64_t k = 0; k < terms; ++k) term_offset[k] = k * pitch;
    PanelPair<T> pair{};
    pair.depth = terms, pair.accumulate = accumulate;
    pair.a_row_offset = tile_offset, pair.a_term_offset = term_offset;
    pair.c_stride = few_rows_at_once<T>;
    for (int f = 0; f < frequencies; ++f)
        for (int64_t row = 0; row < rows; row += panel_cols<T>) {
            pair.cols = static_cast<int>(panel_width<T>(smaller(panel_cols<T>, rows - row)));
            pair.b = right + f * few_plane<T> + row * terms;
            for (int64_t panel = 0; panel < tiles.count; ++panel) {
                const int64_t tile = tiles.begin(panel);
                pair.a = left + f * left_plane + tile;
                pair.c = sum + f * sum_plane + tile * few_rows_at_once<T> + row;
                multiply_panels<T>(static_cast<int>(tiles.begin(panel + 1) - tile), pair);
            }
        }
}

// Outputs of rows [row, row + rows) of the group from the sums.
template <class T, int Taps>
void scatter_rows(const WinogradFewArgs<T>& args, const ForwardTiles<T, Taps>& tiles, int64_t row, int64_t rows,
                  const T* sum, int64_t sum_plane, const T* bias) {
    constexpr int L = lanes<T>, outputs = tile_outputs(Taps);
    const WinogradShape& s = args.shape;
    const int64_t out_plane = s.out_height * s.out_width;
    for (int64_t tile = 0; tile < tiles.count; ++tile) {
        const Window<outputs>& window = tiles.tile[tile].output;
        for (int64_t r = 0; r < rows; r += L) {
            const int used = static_cast<int>(smaller(L, rows - r));
            Vec<T> half[outputs][tile_in];
            transform_columns(sum + tile * few_rows_at_once<T> + r, sum_plane, half);
            const Vec<T> shift = bias ? load_part(bias + row + r, used) : Vec<T>{};
            for (int y = 0; y < window.last_y; ++y) {
                Vec<T> values[outputs], ordered[outputs];
                transform_output<T>(half[y], values);
                for (int x = 0; x < outputs; ++x) {
                    if (bias) values[x] += shift;
                    values[x] = activate<T>(values[x], args.activation);
                }
                order_columns<T>(values, ordered);
                T buffer[outputs * L];
                for (int x = 0; x < outputs; ++x) store(buffer + x * L, ordered[x]);
                T* to = args.out + window.offset + y * s.out_width + (row + r) * out_plane;
                for (const T* from = buffer; from < buffer + used * outputs; from += outputs, to += out_plane)
                    store_outputs<T, outputs>(to, from, window.last_x);
            }
        }
    }
}

template <class T, int Taps>
void convolve_few(const WinogradFewArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const WinogradShape& s = args.shape;
    const int64_t row_blocks = args.weights.row_blocks(), channel_blocks = args.weights.channel_blocks();
    const int64_t all_tiles = s.samples * s.tiles_y * s.tiles_x;
    T* const own_block = static_cast<T*>(scratch);
    T* const sum = own_block + few_block<T>;
    T* const inputs = sum + frequencies * (winograd_tiles<T> * few_rows_at_once<T> + plane_gap);
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row_item = item % args.row_items, rest = item / args.row_items;
        const int64_t group = rest / args.tile_items, first_tile = rest % args.tile_items * args.tiles_per_item;
        const ForwardTiles<T, Taps> tiles(s, group, first_tile, smaller(args.tiles_per_item, all_tiles - first_tile));
        const RowPanels panels(tiles.count);
        const int64_t pitch = tiles.count < lanes<T> ? tiles.count : tiles.padded;
        const int64_t plane = s.channels * pitch + plane_gap, sum_plane = tiles.count * few_rows_at_once<T> + plane_gap;
        gather_channels<T, Taps>(args, tiles, pitch, inputs, plane);
        const int64_t last = (row_item + 1) * row_blocks / args.row_items;
        for (int64_t block = row_item * row_blocks / args.row_items; block < last; ++block) {
            const int64_t row = block * few_rows_at_once<T>, rows = smaller(few_rows_at_once<T>, s.rows - row);
            for (int64_t b = 0; b < channel_blocks; ++b) {
                const int64_t channel = b * few_channels_at_once<T>;
                const T* right = own_block;
                if (args.transformed)
                    right = args.transformed + ((group * row_blocks + block) * channel_blocks + b) * few_block<T>;
                else
                    transform_block<T, Taps>(args.weights, group, row, channel, own_block);
                multiply_block<T>(panels, rows, smaller(few_channels_at_once<T>, s.channels - channel),
                                  inputs + channel * pitch, pitch, plane, right, sum, sum_plane, b > 0);
            }
            scatter_rows<T, Taps>(args, tiles, row, rows, sum, sum_plane,
                                  args.bias ? args.bias + group * s.rows : nullptr);
        }
    }
}

}  // namespace

template <class T>
void winograd_few_pack(const WinogradFewPackArgs<T>& args, int64_t begin, int64_t end, void*) {
    const auto transform = args.weights.taps == 3 ? transform_block<T, 3> : transform_block<T, 5>;
    const int64_t row_blocks = args.row_blocks(), channel_blocks = args.channel_blocks();
    for (int64_t item = begin; item < end; ++item)
        transform(args, item / channel_blocks / row_blocks, item / channel_blocks % row_blocks * few_rows_at_once<T>,
                  item % channel_blocks * few_channels_at_once<T>, args.transformed + item * few_block<T>);
}

template <class T>
void winograd_few(const WinogradFewArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    args.shape.taps == 3 ? convolve_few<T, 3>(args, begin, end, scratch)
                         : convolve_few<T, 5>(args, begin, end, scratch);
}

ADVCORE_INSTANTIATE(winograd_few_pack, WinogradFewPackArgs)
ADVCORE_INSTANTIATE(winograd_few, WinogradFewArgs)

}  // namespace advcore::ADVCORE_LEVEL
