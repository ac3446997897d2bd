#include "conv2d.h"
#include "kernel_list.h"
#include "patches.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void conv2d_input_grad(const Conv2dInputGradArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    const PatchMatrix &m = args.patches, &gradient = args.gradient;
    const int64_t depth = gradient.rows(), taps = m.taps();
    constexpr int64_t pitch = tile_cols<T> + lanes<T>;  // no power of two: rows fall into different cache sets
    T* const tile = static_cast<T*>(scratch) + product_scratch<T>;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t channel = item % args.channel_items * args.channels_per_item, rest = item / args.channel_items;
        const int64_t last_channel = smaller(channel + args.channels_per_item, m.channels);
        const int64_t group = rest % m.groups, sample = rest / m.groups * args.samples_per_item;
        const int64_t last_sample = smaller(sample + args.samples_per_item, m.samples);

        for (int64_t n = sample; n < last_sample; ++n) {
            T* const planes = args.grad_input + n * m.sample_size() + (group * m.channels + channel) * m.plane();
            for (int64_t i = 0; i < (last_channel - channel) * m.plane(); ++i) planes[i] = T(0);
        }
        const RowPanels panels((last_channel - channel) * taps);
        const PackedLeft<T> left{args.packed + (group * m.channels + channel) * taps * depth, panels.rows};
        const int64_t last_col = last_sample * m.positions();
        for (int64_t col = sample * m.positions(); col < last_col; col += args.columns_per_tile) {
            const int64_t cols = smaller(args.columns_per_tile, last_col - col);
            const RightPatches<T> right{gradient, args.grad_output, group, col};
            constexpr int64_t panels_at_once = tile_rows / max_panel_rows;
            for (int64_t first = 0; first < panels.count; first += panels_at_once) {
                const int64_t last = smaller(first + panels_at_once, panels.count);
                product<T>(panels, first, last, cols, depth, left, right, tile, pitch, false, Finish<T>{},
                           static_cast<T*>(scratch));
                // Sample by sample: the order of the additions must not depend on where in a tile a sample lies.
                for (int64_t done = 0; done < cols; done += m.positions())
                    add_patches(m, args.grad_input, group, channel, last_channel, col + done,
                                smaller(m.positions(), cols - done), channel * taps + panels.begin(first),
                                panels.begin(last) - panels.begin(first), tile + done, pitch);
            }
        }
    }
}

ADVCORE_INSTANTIATE(conv2d_input_grad, Conv2dInputGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
