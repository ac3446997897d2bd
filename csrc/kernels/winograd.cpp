#include "winograd.h"

#include "kernel_list.h"
#include "winograd_filters.h"
#include "winograd_tiles.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The frequencies of the weights of panels [first, last) and channels [channel, channel + terms), as a left factor:
// to[frequency * plane + ...], panel after panel. A register may spill over into what is written next, but not beyond
// the last panel, where another thread may be at work.
template <class T, int Taps>
inline void transform_weights(const WinogradWeights<T>& w, int64_t group, const RowPanels& panels, int64_t first,
                              int64_t last, int64_t channel, int64_t terms, T* to, int64_t plane) {
    constexpr int L = lanes<T>, most_parts = (max_panel_rows + L - 1) / L, taps = Taps * Taps;
    for (int64_t panel = first; panel < last; ++panel) {
        const int64_t begin = panels.begin(panel), width = panels.begin(panel + 1) - begin;
        T* const target = to + (begin - panels.begin(first)) * terms;
        for (int64_t c = 0; c < terms; c += channels_at_once) {
            const int64_t channels = smaller(channels_at_once, terms - c);
            const T* const from =
                w.weight + group * w.group_stride + begin * w.row_stride + (channel + c) * w.channel_stride;
            T tap[most_parts][(taps * channels_at_once + L) * L];  // a register more, where a filter is shorter
            for (int64_t lane = 0; lane < width; lane += L)
                gather_taps(w, from + lane * w.row_stride, static_cast<int>(smaller(L, width - lane)), channels,
                            tap[lane / L]);
            for (int64_t i = 0; i < channels; ++i)
                for (int64_t lane = 0; lane < width; lane += L) {
                    T* const place = target + (c + i) * width + lane;
                    const T* const filters = tap[lane / L] + i * taps * L;
                    if (panel + 1 < last || (c + i) * width + lane + L <= terms * width) {
                        transform_filters<T, Taps>(filters, w.flipped, place, plane);
                    } else {
                        T all[frequencies * L];
                        transform_filters<T, Taps>(filters, w.flipped, all, L);
                        for (int f = 0; f < frequencies; ++f)
                            store_part(place + f * plane, load(all + f * L), static_cast<int>(width - lane));
                    }
                }
        }
    }
}

// The scratch memory of an item holds a block of its tiles, its sums and a block of its weights.
constexpr int64_t most_scratch(int64_t tiles, int64_t rows, int64_t own_rows) {
    return frequencies * (block_depth * tiles + rows * tiles + block_depth * own_rows + 3 * plane_gap);
}
template <class T>
constexpr bool scratch_suffices =
    most_scratch(winograd_tiles<T>, winograd_ready_rows<T> + max_panel_rows, 0) * int64_t(sizeof(T)) <= scratch_bytes &&
    most_scratch(winograd_tiles<T>, winograd_rows<T> + max_panel_rows, winograd_rows<T> + max_panel_rows) *
            int64_t(sizeof(T)) <=
        scratch_bytes;
static_assert(scratch_suffices<float> && scratch_suffices<double>);

template <class T, int Taps>
void pack_weights(const WinogradPackArgs<T>& args, int64_t begin, int64_t end) {
    const RowPanels panels(args.rows);
    const int64_t plane = args.rows * args.channels + plane_gap;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row_item = item % args.row_items, rest = item / args.row_items;
        const int64_t first = row_item * panels.count / args.row_items;
        const int64_t last = (row_item + 1) * panels.count / args.row_items;
        const int64_t k = rest % args.blocks * block_depth, group = rest / args.blocks;
        const int64_t terms = smaller(block_depth, args.channels - k);
        T* const to = args.transformed + group * frequencies * plane + k * args.rows + panels.begin(first) * terms;
        transform_weights<T, Taps>(args.weights, group, panels, first, last, k, terms, to, plane);
    }
}

template <class T, int Taps>
void convolve(const WinogradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const WinogradShape& s = args.shape;
    const RowPanels panels(s.rows);
    const int64_t depth = smaller(block_depth, s.channels);
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row_item = item % args.row_items, rest = item / args.row_items;
        const int64_t tile_item = rest % args.tile_items, group = rest / args.tile_items;
        const int64_t first = row_item * panels.count / args.row_items;
        const int64_t last = (row_item + 1) * panels.count / args.row_items;
        const int64_t row = panels.begin(first), rows = panels.begin(last) - row;
        const int64_t first_tile = tile_item * args.tiles_per_item;
        const int64_t all_tiles = s.samples * s.tiles_y * s.tiles_x;
        const int64_t panels_at_once = args.transformed ? panels.count : 2;
        const ForwardTiles<T, Taps> tiles(s, group, first_tile, smaller(args.tiles_per_item, all_tiles - first_tile));

        const int64_t right_plane = depth * tiles.padded + plane_gap, sum_plane = rows * tiles.padded + plane_gap;
        const int64_t left_plane = (args.transformed ? s.rows * s.channels : depth * rows) + plane_gap;
        T* const right = static_cast<T*>(scratch);
        T* const sum = right + frequencies * right_plane;
        T* const own_left = sum + frequencies * sum_plane;
        for (int64_t k = 0; k < s.channels; k += block_depth) {
            const int64_t terms = smaller(block_depth, s.channels - k);
            gather_tiles<T, Taps>(args, tiles, k, terms, right, right_plane);
            for (int64_t panel = first; panel < last; panel += panels_at_once) {
                const int64_t next = smaller(panel + panels_at_once, last), own_row = panels.begin(panel) - row;
                const T* left = own_left;
                if (args.transformed)
                    left = args.transformed + group * frequencies * left_plane + k * s.rows + (row + own_row) * terms;
                else
                    transform_weights<T, Taps>(args.weights, group, panels, panel, next, k, terms, own_left,
                                               left_plane);
                for (int f = 0; f < frequencies; ++f)
                    multiply_packed<T>(panels, panel, next, tiles.padded, terms, left + f * left_plane,
                                       right + f * right_plane, sum + f * sum_plane + own_row * tiles.padded, k > 0);
            }
        }
        scatter_tiles<T, Taps>(args, tiles, row, rows, sum, sum_plane,
                               args.bias ? args.bias + group * s.rows + row : nullptr);
    }
}

}  // namespace

template <class T>
void winograd_pack(const WinogradPackArgs<T>& args, int64_t begin, int64_t end, void*) {
    args.weights.taps == 3 ? pack_weights<T, 3>(args, begin, end) : pack_weights<T, 5>(args, begin, end);
}

template <class T>
void winograd(const WinogradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    args.shape.taps == 3 ? convolve<T, 3>(args, begin, end, scratch) : convolve<T, 5>(args, begin, end, scratch);
}

ADVCORE_INSTANTIATE(winograd_pack, WinogradPackArgs)
ADVCORE_INSTANTIATE(winograd, WinogradArgs)

}  // namespace advcore::ADVCORE_LEVEL
