#include "conv2d.h"
#include "kernel_list.h"
#include "patch_sums.h"
#include "patches.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Which taps the rows [first, first + rows) of a channel's are, or of how many channels all taps.
template <class T>
void find_taps(const PatchMatrix& m, int64_t first, int64_t rows, PatchTile<T>& tile) {
    const int64_t taps_y = m.vertical.taps, taps_x = m.horizontal.taps;
    tile.channels = larger(1, rows / m.taps());
    tile.first_row = first / taps_x % taps_y, tile.first_column = first % taps_x;
    tile.last_row = tile.first_row + smaller(taps_y, ceil_div(rows, taps_x));
    tile.last_column = tile.first_column + smaller(taps_x, rows);
}

}  // namespace

template <class T>
void conv2d_input_grad(const Conv2dInputGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix &m = args.patches, &gradient = args.gradient;
    const int64_t depth = gradient.rows(), taps = m.taps();
    const int64_t height = m.vertical.positions, width = m.horizontal.positions;
    constexpr int64_t pitch = tile_cols<T> + lanes<T>;  // no power of two: rows fall into different cache sets
    T* const entries = static_cast<T*>(scratch) + product_scratch<T>;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t channel = item % args.channel_items * args.channels_per_item, rest = item / args.channel_items;
        const int64_t last_channel = smaller(channel + args.channels_per_item, m.channels);
        const int64_t group = rest % m.groups, sample = rest / m.groups * args.samples_per_item;
        const int64_t last_sample = smaller(sample + args.samples_per_item, m.samples);
        const auto planes = [&](int64_t n, int64_t c) {
            return args.grad_input + n * m.sample_size() + (group * m.channels + c) * m.plane();
        };
        for (int64_t n = sample; n < last_sample; ++n)
            for (T *at = planes(n, channel), *last = planes(n, last_channel); at < last; ++at) *at = T(0);

        const int64_t all_rows = (last_channel - channel) * taps;
        for (int64_t first = 0; first < all_rows; first += args.rows_per_part) {
            const RowPanels panels(smaller(args.rows_per_part, all_rows - first));
            const PackedLeft<T> left{args.packed + ((group * m.channels + channel) * taps + first) * depth,
                                     panels.rows};
            PatchTile<T> tile{};
            tile.pitch = pitch;
            find_taps(m, first, panels.rows, tile);
            // Sample by sample: the order of the additions must not depend on where in a tile a sample lies.
            for (int64_t n = sample; n < last_sample; n += args.samples_per_tile)
                for (int64_t y = 0; y < height; y += args.height_per_tile)
                    for (int64_t x = 0; x < width; x += args.width_per_tile) {
                        const int64_t samples = smaller(args.samples_per_tile, last_sample - n);
                        tile.top = y, tile.bottom = smaller(height, y + args.height_per_tile);
                        tile.left = x, tile.right = smaller(width, x + args.width_per_tile);
                        const int64_t positions = (tile.bottom - y) * (tile.right - x);
                        const RightPatches<T> right{gradient, args.grad_output, group,
                                                    n * m.positions() + y * width + x};
                        product<T>(panels, 0, panels.count, samples * positions, depth, left, right, entries, pitch,
                                   false, Finish<T>{}, static_cast<T*>(scratch));
                        for (int64_t i = 0; i < samples; ++i) {
                            tile.entries = entries + i * positions;
                            add_tile(m, tile, planes(n + i, channel + first / taps));
                        }
                    }
        }
    }
}

ADVCORE_INSTANTIATE(conv2d_input_grad, Conv2dInputGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
