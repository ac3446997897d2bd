// Convolution of groups of one channel.
#include "../kernels/depthwise.h"

#include <algorithm>
#include <vector>

#include "conv2d.h"
#include "dispatch.h"

namespace advcore {
namespace {

// Tiles of even height whose slabs stay in the first-level cache, or single rows.
template <class T>
int64_t height_per_tile(const PatchMatrix& m) {
    constexpr int64_t enough = depthwise_slab_bytes / static_cast<int64_t>(sizeof(T));
    const int64_t positions = m.vertical.positions;
    int64_t tiles = 1;
    while (tiles < positions && slab_size(m, ceil_div(positions, tiles), 1) > enough) ++tiles;
    return ceil_div(positions, tiles);
}

template <class T>
void run_depthwise(DepthwiseArgs<T> args) {
    const PatchMatrix& m = args.patches;
    args.height_per_tile = height_per_tile<T>(m);
    const int64_t items = m.samples * m.groups;
    run(kernels<T>().depthwise, args, items, grain(items * args.rows * m.positions() * m.taps(), items));
}

}  // namespace

template <class T>
void depthwise(const ConvShape& s, const T* input, const T* weight, const T* bias, T* out, Activation activation) {
    run_depthwise(DepthwiseArgs<T>{s.patches(), 1, 1, 0, input, weight, bias, out, s.rows, activation});
}

// The convolution of grad_output, its elements a stride apart, with the taps turned around.
template <class T>
void depthwise_input_grad(const ConvShape& s, const T* weight, const T* grad_output, T* grad_input) {
    const auto turned = [](const ConvAxis& a) {
        return PatchAxis{a.output, a.input, a.taps, 1, a.padding - (a.taps - 1) * a.dilation, a.dilation};
    };
    const PatchMatrix patches{s.samples, s.groups, 1, turned(s.vertical), turned(s.horizontal)};
    std::vector<T> taps(weight, weight + s.weight_size());
    for (auto first = taps.begin(); first != taps.end(); first += patches.taps())
        std::reverse(first, first + patches.taps());
    run_depthwise(DepthwiseArgs<T>{patches, s.vertical.stride, s.horizontal.stride, 0, grad_output, taps.data(),
                                   nullptr, grad_input, 1, Activation::none});
}

template <class T>
void depthwise_weight_grad(const ConvShape& s, const T* input, const T* grad_output, T* grad_weight) {
    DepthwiseWeightGradArgs<T> args{s.patches(), 0, input, grad_output, grad_weight, s.rows};
    args.height_per_tile = height_per_tile<T>(args.patches);
    const int64_t channels = s.groups * s.rows;
    run(kernels<T>().depthwise_weight_grad, args, channels, grain(s.work(), channels));
}

#define ADVCORE_DEPTHWISE(T)                                                                    \
    template void depthwise<T>(const ConvShape&, const T*, const T*, const T*, T*, Activation); \
    template void depthwise_input_grad<T>(const ConvShape&, const T*, const T*, T*);            \
    template void depthwise_weight_grad<T>(const ConvShape&, const T*, const T*, T*);
ADVCORE_DEPTHWISE(float)
ADVCORE_DEPTHWISE(double)

}  // namespace advcore
