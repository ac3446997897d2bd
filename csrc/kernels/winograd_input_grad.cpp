#include "winograd_input_grad.h"

#include "cover.h"
#include "kernel_list.h"
#include "winograd_tiles.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int taps = 3, outputs = tile_outputs(taps);
template <class T>
using GradTiles = Tiles<T, taps, input_grad_tiles>;

// What tiles add to a plane of inputs, in patches of six rows of six. Those of tiles two apart do not overlap: in four
// planes, of even and odd rows and columns of tiles, every patch is stored, with zeros beside it that make its rows
// eight long, and the sum of the four is the result. What no patch covers stays zero.
constexpr int patch_row = 8;
template <class T>
struct PatchPlanes {
    int64_t pitch, rows, size;
    int64_t place[input_grad_tiles];  // where the patch of each tile of an item begins

    PatchPlanes(const WinogradShape& s, int64_t samples)
        : pitch(outputs * (s.tiles_x + 1) + lanes<T>), rows(outputs * (s.tiles_y + 1)), size(rows * pitch) {
        int64_t* to = place;
        for (int64_t n = 0; n < samples; ++n)
            for (int64_t y = 0; y < s.tiles_y; ++y)
                for (int64_t x = 0; x < s.tiles_x; ++x)
                    *to++ = (4 * n + y % 2 * 2 + x % 2) * size + outputs * (y * pitch + x);
    }
};

// The most that the planes of an item take: those of one tile a sample take the most for each.
template <class T>
constexpr int64_t patch_planes = input_grad_tiles * 4 * (2 * outputs) * (2 * outputs + lanes<T>);
template <class T>
constexpr int64_t input_grad_scratch =
    frequencies * (block_depth * input_grad_tiles + (input_grad_channels<T> + max_panel_rows) * input_grad_tiles +
                   2 * plane_gap) +
    patch_planes<T>;
static_assert(input_grad_scratch<float> * 4 <= scratch_bytes && input_grad_scratch<double> * 8 <= scratch_bytes);

template <class T>
void gather_gradients(const WinogradInputGradArgs<T>& args, const GradTiles<T>& tiles, int64_t row, int64_t terms,
                      T* to, int64_t plane) {
    const int64_t size = args.shape.out_height * args.shape.out_width;
    gather_right_factors<T, outputs>(
        tiles, row, terms, to, plane,
        [&](const Tile<taps>& tile, int64_t r, int part, Vec<T>(&rows)[outputs]) {
            load_window<T>(tile.output, args.grad_output + r * size, args.shape.out_width, part, rows);
        },
        [](const Vec<T>(&y)[outputs], Vec<T>(&m)[tile_in]) { transform_output_back<T>(y, m); });
}

// The patches of one channel from its sums, sum[frequency * plane + tile].
template <class T>
void store_patches(const GradTiles<T>& tiles, const T* sum, int64_t plane, const PatchPlanes<T>& planes, T* patches) {
    constexpr int L = lanes<T>;
    typedef T Row __attribute__((vector_size(patch_row * sizeof(T))));
    for (int64_t first = 0; first < tiles.padded; first += L) {
        Vec<T> half[tile_in][tile_in];
#pragma GCC unroll 6
        for (int j = 0; j < tile_in; ++j) {
            Vec<T> m[tile_in], d[tile_in];
#pragma GCC unroll 6
            for (int i = 0; i < tile_in; ++i) m[i] = load(sum + first + (i * tile_in + j) * plane);
            transform_input_back<T>(m, d);
#pragma GCC unroll 6
            for (int i = 0; i < tile_in; ++i) half[i][j] = d[i];
        }
        const int used = static_cast<int>(smaller(L, tiles.count - first));
        for (int i = 0; i < tile_in; ++i) {
            Vec<T> d[tile_in], row[patch_row] = {}, ordered[patch_row];
            transform_input_back<T>(half[i], d);
#pragma GCC unroll 6
            for (int j = 0; j < tile_in; ++j) row[j] = d[j];
            order_columns<T>(row, ordered);
            T buffer[patch_row * L];
#pragma GCC unroll 8
            for (int j = 0; j < patch_row; ++j) store(buffer + j * L, ordered[j]);
            for (int lane = 0; lane < used; ++lane) {
                Row eight;
                __builtin_memcpy(&eight, buffer + lane * patch_row, sizeof eight);
                __builtin_memcpy(patches + planes.place[first + lane] + i * planes.pitch, &eight, sizeof eight);
            }
        }
    }
}

// One plane of a sample's result.
template <class T>
void add_patches(const WinogradShape& s, const PatchPlanes<T>& planes, const T* patches, T* out) {
    for (int64_t y = 0; y < s.height; ++y, out += s.width) {
        const T* const row = patches + (y + s.padding_y) * planes.pitch + s.padding_x;
        cover<T>(s.width, [&](int64_t x, int used) {
            const auto at = [&](int64_t plane) { return load(row + plane * planes.size + x); };
            store_used(out + x, (at(0) + at(1)) + (at(2) + at(3)), used);
        });
    }
}

}  // namespace

template <class T>
void winograd_input_grad(const WinogradInputGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const WinogradShape& s = args.shape;
    const RowPanels panels(s.channels);
    const int64_t depth = smaller(block_depth, s.rows), tiles_of_one = s.tiles_y * s.tiles_x;
    const int64_t left_plane = s.channels * s.rows + plane_gap;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t channel_item = item % args.channel_items, rest = item / args.channel_items;
        const int64_t sample = rest % args.sample_items * args.samples_per_item, group = rest / args.sample_items;
        const int64_t samples = smaller(args.samples_per_item, s.samples - sample);
        const int64_t first = channel_item * panels.count / args.channel_items;
        const int64_t last = (channel_item + 1) * panels.count / args.channel_items;
        const int64_t channel = panels.begin(first), channels = panels.begin(last) - channel;
        const GradTiles<T> tiles(s, group, sample * tiles_of_one, samples * tiles_of_one);
        const PatchPlanes<T> planes(s, samples);
        const int64_t right_plane = depth * tiles.padded + plane_gap, sum_plane = channels * tiles.padded + plane_gap;
        T* const right = static_cast<T*>(scratch);
        T* const sum = right + frequencies * right_plane;
        T* const patches = sum + frequencies * sum_plane;
        for (int64_t k = 0; k < s.rows; k += block_depth) {
            const int64_t terms = smaller(block_depth, s.rows - k);
            gather_gradients(args, tiles, k, terms, right, right_plane);
            const T* const left =
                args.transformed + group * frequencies * left_plane + k * s.channels + channel * terms;
            for (int f = 0; f < frequencies; ++f)
                multiply_packed<T>(panels, first, last, tiles.padded, terms, left + f * left_plane,
                                   right + f * right_plane, sum + f * sum_plane, k > 0);
        }
        __builtin_memset(patches, 0, static_cast<uint64_t>(4 * samples * planes.size) * sizeof(T));
        for (int64_t c = 0; c < channels; ++c) {
            store_patches(tiles, sum + c * tiles.padded, sum_plane, planes, patches);
            for (int64_t n = 0; n < samples; ++n) {
                const int64_t plane = ((sample + n) * s.groups + group) * s.channels + channel + c;
                add_patches(s, planes, patches + 4 * n * planes.size, args.grad_input + plane * s.height * s.width);
            }
        }
    }
}

ADVCORE_INSTANTIATE(winograd_input_grad, WinogradInputGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
