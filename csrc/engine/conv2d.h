// Convolution: how its three directions become patch matrices, tiles of which are the items of the kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../kernels/activation.h"
#include "../kernels/conv2d.h"
#include "parallel.h"

namespace advcore {

struct ConvAxis {
    int64_t input, output, taps;
    int64_t stride, padding, dilation;  // padding: before the first element
};

// Each of `groups` has `channels` planes of the input and `rows` of the output.
struct ConvShape {
    int64_t samples, groups, channels, rows;
    ConvAxis vertical, horizontal;

    PatchMatrix patches() const {
        const auto axis = [](const ConvAxis& a) {
            return PatchAxis{a.input, a.output, a.taps, a.stride, -a.padding, a.dilation};
        };
        return {samples, groups, channels, axis(vertical), axis(horizontal)};
    }
    int64_t input_size() const { return groups * channels * vertical.input * horizontal.input; }
    int64_t output_size() const { return groups * rows * vertical.output * horizontal.output; }
    int64_t weight_size() const { return groups * rows * channels * vertical.taps * horizontal.taps; }
    int64_t work() const { return samples * vertical.output * horizontal.output * weight_size(); }
};

// The ways to convolve; which one, and whether the input's gradient is the convolution of the output's with the taps
// turned around, is decided by the shape of a layer alone (advcore/ops/_conv_algorithm.py).
// (transposed: Winograd's, of input gradients alone).
enum class ConvAlgorithm : int32_t { direct = 0, winograd = 1, depthwise = 2, transposed = 3 };

// The weight[groups * rows, channels, taps] of `s` with its taps turned around: [groups * channels, rows, taps].
template <class T>
std::vector<T> turned_around(const ConvShape& s, const T* weight);

// weight[groups * rows, channels, taps] in the order in which conv2d_packed reads it: conv2d_packed_size(s) elements.
template <class T>
int64_t conv2d_packed_size(const ConvShape& s);
template <class T>
void conv2d_pack(const ConvShape& s, const T* weight, T* packed);

template <class T>
void conv2d_packed(const ConvShape& s, const T* input, const T* packed, const T* bias, T* out, Activation activation);

// With weights as they are, or flipped: weight[groups * channels, rows, taps] with its taps turned around.
template <class T>
void conv2d(const ConvShape& s, const T* input, const T* weight, bool flipped, const T* bias, T* out,
            Activation activation);

template <class T>
void conv2d_input_grad(const ConvShape& s, const T* weight, const T* grad_output, T* grad_input);

template <class T>
void conv2d_weight_grad(const ConvShape& s, const T* input, const T* grad_output, T* grad_weight);

template <class T>
int64_t conv2d_weight_grad_segments(int64_t samples, int64_t positions, int64_t groups, int64_t rows,
                                    int64_t patch_rows);

template <class T>
void depthwise(const ConvShape& s, const T* input, const T* weight, const T* bias, T* out, Activation activation);

// For groups of one channel and one output.
template <class T>
void depthwise_input_grad(const ConvShape& s, const T* weight, const T* grad_output, T* grad_input);

template <class T>
void depthwise_weight_grad(const ConvShape& s, const T* input, const T* grad_output, T* grad_weight);

// The most elements that a slab of one sample takes for `height` output rows, and what registers read beyond it;
// `rows` of the patch matrix at once.
inline int64_t slab_size(const PatchMatrix& m, int64_t height, int64_t rows) {
    const auto slots = [](const PatchAxis& axis) { return std::min(axis.step, axis.taps); };
    const auto extent = [](const PatchAxis& axis, int64_t positions) {
        return positions + (axis.taps - 1) * axis.tap_step / axis.step + 1;
    };
    const int64_t channels = std::min(m.channels, rows / m.taps() + 2);
    return channels * slots(m.vertical) * slots(m.horizontal) *
           (extent(m.vertical, height) * extent(m.horizontal, m.horizontal.positions) + slab_gap);
}

}  // namespace advcore
