#include "kernel_list.h"
#include "winograd_last.h"
#include "winograd_last_tiles.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

constexpr int taps = 3, outputs = tile_outputs(taps), overlap = tile_in - outputs;

// The patch of one tile for a register of channels, from its sums.
template <class T>
ADVCORE_INLINE void patch_of(const T* sum, int64_t plane, Vec<T> (&patch)[tile_in][tile_in]) {
    Vec<T> half[tile_in][tile_in];
#pragma GCC unroll 6
    for (int j = 0; j < tile_in; ++j) {
        Vec<T> m[tile_in], d[tile_in];
#pragma GCC unroll 6
        for (int i = 0; i < tile_in; ++i) m[i] = load(sum + (i * tile_in + j) * plane);
        transform_input_back<T>(m, d);
#pragma GCC unroll 6
        for (int i = 0; i < tile_in; ++i) half[i][j] = d[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < tile_in; ++i) transform_input_back<T>(half[i], patch[i]);
}

// Adds the patches of one sample up, for a register of channels: sum[frequency * plane + tile * channels]. Patches
// overlap by two rows and two columns. Those of a row of tiles are added first, each with its neighbour's, then the
// rows: so the sums are those of winograd_input_grad.cpp.
template <class T>
void add_patches(const WinogradShape& s, const T* sum, int64_t plane, T* out) {
    for (int64_t ty = 0; ty < s.tiles_y; ++ty) {
        Vec<T> right[tile_in][overlap];  // of the tile before
        const int64_t top = ty * outputs - s.padding_y;
        for (int64_t tx = 0; tx < s.tiles_x; ++tx, sum += s.channels) {
            Vec<T> patch[tile_in][tile_in];
            patch_of(sum, plane, patch);
            if (tx > 0)
                for (int i = 0; i < tile_in; ++i)
                    for (int j = 0; j < overlap; ++j) patch[i][j] += right[i][j];
            for (int i = 0; i < tile_in; ++i)
                for (int j = 0; j < overlap; ++j) right[i][j] = patch[i][outputs + j];
            const int64_t left = tx * outputs - s.padding_x;
            const int cols = tx + 1 < s.tiles_x ? outputs : tile_in;
            for (int i = 0; i < tile_in; ++i) {
                const int64_t y = top + i;
                if (y < 0 || y >= s.height) continue;
                T* const row = out + (y * s.width + left) * s.channels;
                const bool again = ty > 0 && i < overlap;
                for (int j = 0; j < cols; ++j) {
                    if (left + j < 0 || left + j >= s.width) continue;
                    T* const to = row + j * s.channels;
                    store(to, again ? load(to) + patch[i][j] : patch[i][j]);
                }
            }
        }
    }
}

}  // namespace

template <class T>
void winograd_last_grad(const WinogradLastGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const WinogradShape& s = args.shape;
    const int64_t of_one = s.tiles_y * s.tiles_x, right_plane = s.rows * s.channels + plane_gap;
    const auto transform = [](const Vec<T>(&y)[outputs], Vec<T>(&m)[tile_in]) { transform_output_back<T>(y, m); };
    for (int64_t item = begin; item < end; ++item) {
        const int64_t sample = item * args.samples_per_item,
                      samples = smaller(args.samples_per_item, s.samples - sample);
        const PixelTiles<T, taps> tiles(pixels_of(s), 0, sample * of_one, samples * of_one);
        const int64_t left_plane = tiles_plane(tiles.count, smaller(args.depth, s.rows));
        const int64_t sum_plane = tiles_plane(tiles.count, s.channels);
        T* const left = static_cast<T*>(scratch);
        T* const sum = left + frequencies * left_plane;
        for (int64_t k = 0; k < s.rows; k += args.depth) {
            const int64_t terms = smaller(args.depth, s.rows - k);
            transform_all_pixels<T>(
                tiles, [](const Tile<taps>& tile) -> const Window<outputs>& { return tile.output; },
                args.grad_output + k, s.out_width, s.rows, terms, left, left_plane, transform);
            multiply_tiles<T>(tiles.count, s.channels, terms, left, left_plane, args.transformed + k * s.channels,
                              right_plane, sum, sum_plane, k > 0);
        }
        for (int64_t n = 0; n < samples; ++n)
            for (int64_t c = 0; c < s.channels; c += lanes<T>)
                add_patches(s, sum + n * of_one * s.channels + c, sum_plane,
                            args.grad_input + (sample + n) * s.height * s.width * s.channels + c);
    }
}

ADVCORE_INSTANTIATE(winograd_last_grad, WinogradLastGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
