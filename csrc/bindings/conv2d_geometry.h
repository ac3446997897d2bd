// A convolution's options as the kernels take them.
#pragma once

#include <algorithm>

#include "arrays.h"

namespace advcore {

struct AxisGeometry {
    int64_t stride, padding, dilation;  // padding: before the first element
};

struct Geometry {
    AxisGeometry vertical, horizontal;
    int64_t groups;
};

inline PatchAxis forward_axis(int64_t source, int64_t positions, int64_t taps, const AxisGeometry& g) {
    return {source, positions, taps, g.stride, -g.padding, g.dilation};
}

// The patches of an input that meet a weight: positions is the output's (height, width).
template <class T>
PatchMatrix forward_patches(const Array<T>& input, const Array<T>& weight, const Array<T>& output, const Geometry& g) {
    return {extent(input, 0), g.groups, extent(weight, 1),
            forward_axis(extent(input, 2), extent(output, 2), extent(weight, 2), g.vertical),
            forward_axis(extent(input, 3), extent(output, 3), extent(weight, 3), g.horizontal)};
}

inline Geometry geometry(int64_t stride_y, int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y,
                         int64_t dilation_x, int64_t groups) {
    return {{stride_y, padding_y, dilation_y}, {stride_x, padding_x, dilation_x}, groups};
}

// The most elements that a slab of one sample takes for `height` output rows, and what registers read beyond it;
// `rows` of the patch matrix at once.
inline int64_t slab_size(const PatchMatrix& m, int64_t height, int64_t rows) {
    const auto slots = [](const PatchAxis& axis) { return std::min(axis.step, axis.taps); };
    const auto extent = [](const PatchAxis& axis, int64_t positions) {
        return positions + (axis.taps - 1) * axis.tap_step / axis.step + 1;
    };
    const int64_t channels = std::min(m.channels, rows / m.taps() + 2);
    return channels * slots(m.vertical) * slots(m.horizontal) * extent(m.vertical, height) *
           extent(m.horizontal, m.horizontal.positions);
}

// Enough for every thread to end at about the same time.
inline int64_t wanted_items() { return get_num_threads() == 1 ? 1 : 4 * get_num_threads(); }

}  // namespace advcore
