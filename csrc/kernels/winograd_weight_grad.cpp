#include "kernel_list.h"
#include "winograd_tiles.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T, int Taps>
using GradTiles = Tiles<T, Taps, winograd_grad_depth>;

// The frequencies of `count` planes of all tiles, the depth counting the tiles: to[frequency * plane + tile * width +
// ...]. `load_rows(tile, plane, part, rows)` reads a window. A register may spill over into what is written next.
template <class T, int Size, int Taps, class Load>
ADVCORE_INLINE void gather_planes(const GradTiles<T, Taps>& tiles, int64_t count, int64_t width, T* to, int64_t plane,
                                  const Load& load_rows) {
    for (int64_t i = 0; i < tiles.count; ++i)
        for (int64_t first = 0; first < width; first += lanes<T>) {
            transform_windows<T, Size>(
                [&](int lane, int part, Vec<T>(&rows)[Size]) {  // lanes beyond the last plane repeat it
                    load_rows(tiles.tile[i], smaller(first + lane, count - 1), part, rows);
                },
                to + i * width + first, plane);
        }
}

// The input's planes [first, first + count) as right factors.
template <class T, int Taps>
inline void gather_inputs(const WinogradWeightGradArgs<T>& args, const GradTiles<T, Taps>& tiles, int64_t first,
                          int64_t count, T* to, int64_t plane) {
    const int64_t size = args.shape.height * args.shape.width;
    each_panel<T>(count, tiles.count, to, [&](int64_t col, int64_t used, int64_t width, T* panel) {
        const T* const planes = args.input + (first + col) * size;
        gather_planes<T, tile_in>(tiles, used, width, panel, plane,
                                  [&](const Tile<Taps>& t, int64_t i, int part, Vec<T>(&rows)[tile_in]) {
                                      load_window<T>(t.input, planes + i * size, args.shape.width, part, rows);
                                  });
    });
}

// The gradient's planes of panels [first, last) as left factors.
template <class T, int Taps>
inline void gather_gradients(const WinogradWeightGradArgs<T>& args, const GradTiles<T, Taps>& tiles,
                             const RowPanels& panels, int64_t first, int64_t last, T* to, int64_t plane) {
    constexpr int outputs = tile_outputs(Taps);
    const int64_t size = args.shape.out_height * args.shape.out_width;
    for (int64_t panel = first; panel < last; ++panel) {
        const int64_t row = panels.begin(panel), width = panels.begin(panel + 1) - row;
        const T* const planes = args.grad_output + row * size;
        gather_planes<T, outputs>(tiles, width, width, to + (row - panels.begin(first)) * tiles.count, plane,
                                  [&](const Tile<Taps>& t, int64_t i, int part, Vec<T>(&rows)[outputs]) {
                                      load_window<T>(t.output, planes + i * size, args.shape.out_width, part, rows);
                                  });
    }
}

// weight_grad[row, channel, :, :] of a block from its sums, sum[frequency * plane + row * channels + channel].
template <class T, int Taps>
inline void scatter_taps(const T* sum, int64_t plane, int64_t rows, int64_t channels, T* to, int64_t row_stride) {
    constexpr int L = lanes<T>, taps = Taps * Taps;
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t channel = 0; channel < channels; channel += L) {
            const int count = static_cast<int>(smaller(L, channels - channel));
            const T* const from = sum + row * channels + channel;
            Vec<T> half[Taps][tile_in];
            for (int j = 0; j < tile_in; ++j) {
                Vec<T> m[tile_in], y[Taps];
#pragma GCC unroll 6
                for (int i = 0; i < tile_in; ++i) m[i] = load_part(from + (i * tile_in + j) * plane, count);
                transform_output<T>(m, y);
#pragma GCC unroll 5
                for (int i = 0; i < Taps; ++i) half[i][j] = y[i];
            }
            T tap[taps][L];
            for (int i = 0; i < Taps; ++i) {
                Vec<T> y[Taps];
                transform_output<T>(half[i], y);
#pragma GCC unroll 5
                for (int j = 0; j < Taps; ++j) store(tap[Taps * i + j], y[j]);
            }
            T* const place = to + row * row_stride + channel * taps;
            for (int c = 0; c < count; ++c)
                for (int t = 0; t < taps; ++t) place[c * taps + t] = tap[t][c];
        }
}

template <class T>
constexpr int64_t most_side = winograd_grad_side<T> + max_panel_rows;
template <class T>
constexpr bool scratch_suffices =
    frequencies *
        (winograd_grad_depth * (winograd_grad_side<T> + panel_cols<T> + most_side<T>)+winograd_grad_side<T> *
             most_side<T> +
         3 * plane_gap) *
        int64_t(sizeof(T)) <=
    scratch_bytes;
static_assert(scratch_suffices<float> && scratch_suffices<double>);

template <class T, int Taps>
void multiply_segments(const WinogradWeightGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    constexpr int64_t taps = Taps * Taps;
    const WinogradShape& s = args.shape;
    const RowPanels panels(s.rows);
    const int64_t tiles_a_sample = s.tiles_y * s.tiles_x;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row_item = item % args.row_items, rest = item / args.row_items;
        const int64_t channel_item = rest % args.channel_items;
        const int64_t group = rest / args.channel_items % s.groups, segment = rest / args.channel_items / s.groups;
        const int64_t first = row_item * panels.count / args.row_items;
        const int64_t last = (row_item + 1) * panels.count / args.row_items;
        const int64_t row = panels.begin(first), rows = panels.begin(last) - row;
        const int64_t channel = channel_item * s.channels / args.channel_items;
        const int64_t channels = (channel_item + 1) * s.channels / args.channel_items - channel;
        const int64_t first_tile = segment * args.samples_per_segment * tiles_a_sample;
        const int64_t last_tile = smaller((segment + 1) * args.samples_per_segment, s.samples) * tiles_a_sample;

        const int64_t padded = ceil_div(channels, panel_cols<T>) * panel_cols<T>;
        const int64_t right_plane = winograd_grad_depth * padded + plane_gap;
        const int64_t left_plane = winograd_grad_depth * rows + plane_gap, sum_plane = rows * channels + plane_gap;
        T* const right = static_cast<T*>(scratch);
        T* const left = right + frequencies * right_plane;
        T* const sum = left + frequencies * left_plane;
        for (int64_t tile = first_tile; tile < last_tile; tile += winograd_grad_depth) {
            const GradTiles<T, Taps> tiles(s, group, tile, smaller(winograd_grad_depth, last_tile - tile));
            gather_inputs<T, Taps>(args, tiles, channel, channels, right, right_plane);
            gather_gradients<T, Taps>(args, tiles, panels, first, last, left, left_plane);
            for (int f = 0; f < frequencies; ++f)
                multiply_packed<T>(panels, first, last, channels, tiles.count, left + f * left_plane,
                                   right + f * right_plane, sum + f * sum_plane, tile > first_tile);
        }
        T* const part = args.parts + (((segment * s.groups + group) * s.rows + row) * s.channels + channel) * taps;
        scatter_taps<T, Taps>(sum, sum_plane, rows, channels, part, s.channels * taps);
    }
}

}  // namespace

template <class T>
void winograd_weight_grad(const WinogradWeightGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    args.shape.taps == 3 ? multiply_segments<T, 3>(args, begin, end, scratch)
                         : multiply_segments<T, 5>(args, begin, end, scratch);
}

ADVCORE_INSTANTIATE(winograd_weight_grad, WinogradWeightGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
