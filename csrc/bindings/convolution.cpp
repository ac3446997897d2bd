// Convolution, its ways and its gradients.
#include <array>
#include <memory>

#include "../engine/conv2d.h"
#include "../engine/winograd.h"
#include "../engine/winograd_input_grad.h"
#include "../engine/winograd_shape.h"
#include "arrays.h"

namespace advcore {
namespace {

// Stride, padding (before the first element) and dilation, each vertical and horizontal, and groups.
using Options = std::array<int64_t, 7>;
using PlaneSize = std::array<int64_t, 2>;

template <class T>
ConvShape shape_of(const Array<T>& input, const Array<T>& output, int64_t taps_y, int64_t taps_x, const Options& o) {
    return {extent(input, 0),
            o[6],
            extent(input, 1) / o[6],
            extent(output, 1) / o[6],
            {extent(input, 2), extent(output, 2), taps_y, o[0], o[2], o[4]},
            {extent(input, 3), extent(output, 3), taps_x, o[1], o[3], o[5]}};
}

template <class T>
ConvShape shape_of(const Array<T>& input, const Array<T>& output, const Array<T>& weight, const Options& o) {
    return shape_of(input, output, extent(weight, 2), extent(weight, 3), o);
}

Options winograd_options(int64_t padding_y, int64_t padding_x, int64_t groups) {
    return {1, 1, padding_y, padding_x, 1, 1, groups};
}

template <class T>
ConvShape weights_alone(const Array<T>& weight, int64_t groups) {
    ConvShape shape{};
    shape.groups = groups, shape.rows = extent(weight, 0) / groups, shape.channels = extent(weight, 1);
    shape.vertical.taps = extent(weight, 2), shape.horizontal.taps = extent(weight, 3);
    return shape;
}

// Returns weight[groups * rows, channels, taps] packed for planes of the sizes (height, width) of input and output.
template <class T>
Array<T> bind_pack(const Array<T>& weight, const PlaneSize& input, const PlaneSize& output, const Options& o) {
    ConvShape shape = weights_alone(weight, o[6]);
    shape.vertical = {input[0], output[0], shape.vertical.taps, o[0], o[2], o[4]};
    shape.horizontal = {input[1], output[1], shape.horizontal.taps, o[1], o[3], o[5]};
    Array<T> packed({conv2d_packed_size<T>(shape)});
    T* const to = packed.mutable_data();
    const py::gil_scoped_release unlocked;
    conv2d_pack(shape, weight.data(), to);
    return packed;
}

template <class T>
void bind_packed(Array<T> out, const Array<T>& input, const Array<T>& packed, const MaybeArray<T>& bias, int64_t taps_y,
                 int64_t taps_x, const Options& options, int activation) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    conv2d_packed(shape_of(input, out, taps_y, taps_x, options), input.data(), packed.data(), data_or_null(bias), to,
                  activation_from(activation));
}

template <class T>
void bind_conv2d(Array<T> out, const Array<T>& input, const Array<T>& weight, const MaybeArray<T>& bias,
                 const Options& options, bool flipped, int activation) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    conv2d(shape_of(input, out, weight, options), input.data(), weight.data(), flipped, data_or_null(bias), to,
           activation_from(activation));
}

template <class T>
void bind_depthwise(Array<T> out, const Array<T>& input, const Array<T>& weight, const MaybeArray<T>& bias,
                    const Options& options, int activation) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    depthwise(shape_of(input, out, weight, options), input.data(), weight.data(), data_or_null(bias), to,
              activation_from(activation));
}

template <class T>
void bind_input_grad(Array<T> out, const Array<T>& weight, const Array<T>& grad_output, const Options& options) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    conv2d_input_grad(shape_of(out, grad_output, weight, options), weight.data(), grad_output.data(), to);
}

template <class T>
void bind_depthwise_input_grad(Array<T> out, const Array<T>& weight, const Array<T>& grad_output,
                               const Options& options) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    depthwise_input_grad(shape_of(out, grad_output, weight, options), weight.data(), grad_output.data(), to);
}

template <class T>
void bind_weight_grad(Array<T> out, const Array<T>& input, const Array<T>& grad_output, const Options& options) {
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    conv2d_weight_grad(shape_of(input, grad_output, out, options), input.data(), grad_output.data(), to);
}

template <class T>
void bind_depthwise_weight_grad(Array<T> out, const Array<T>& input, const Array<T>& grad_output,
                                const Options& options) {
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    depthwise_weight_grad(shape_of(input, grad_output, out, options), input.data(), grad_output.data(), to);
}

template <class T>
void bind_winograd_forward(Array<T> out, const Array<T>& input, const Array<T>& weight, const MaybeArray<T>& bias,
                           int64_t padding_y, int64_t padding_x, int64_t groups, bool flipped, int activation) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    winograd(shape_of(input, out, weight, winograd_options(padding_y, padding_x, groups)), input.data(), weight.data(),
             flipped, data_or_null(bias), to, activation_from(activation));
}

ConvShape winograd_shape(int64_t rows, int64_t channels, int64_t taps, const PlaneSize& output, int64_t groups) {
    ConvShape shape{};
    shape.groups = groups, shape.rows = rows, shape.channels = channels;
    shape.vertical.taps = shape.horizontal.taps = taps;
    shape.vertical.output = output[0], shape.horizontal.output = output[1];
    return shape;
}

// Returns packed[groups, ...] of weight[groups * rows, channels, taps, taps] for planes of outputs of a size.
template <class T>
Array<T> bind_winograd_pack(const Array<T>& weight, const PlaneSize& output, int64_t groups) {
    const ConvShape shape =
        winograd_shape(extent(weight, 0) / groups, extent(weight, 1), extent(weight, 2), output, groups);
    Array<T> packed({groups, winograd_packed_size<T>(shape) / groups});
    T* const to = packed.mutable_data();
    const py::gil_scoped_release unlocked;
    winograd_pack(shape, weight.data(), to);
    return packed;
}

template <class T>
void bind_winograd_packed(Array<T> out, const Array<T>& input, const Array<T>& packed, const MaybeArray<T>& bias,
                          int64_t taps, int64_t padding_y, int64_t padding_x, int activation) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    winograd_packed(shape_of(input, out, taps, taps, winograd_options(padding_y, padding_x, extent(packed, 0))),
                    input.data(), packed.data(), data_or_null(bias), to, activation_from(activation));
}

template <class T>
void bind_winograd_weight_grad(Array<T> out, const Array<T>& input, const Array<T>& grad_output, int64_t padding_y,
                               int64_t padding_x, int64_t groups) {
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    winograd_weight_grad(shape_of(input, grad_output, out, winograd_options(padding_y, padding_x, groups)),
                         input.data(), grad_output.data(), to);
}

template <class T>
void bind_winograd_input_grad(Array<T> out, const Array<T>& weight, const Array<T>& grad_output, int64_t padding_y,
                              int64_t padding_x, int64_t groups) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    winograd_input_grad(shape_of(out, grad_output, weight, winograd_options(padding_y, padding_x, groups)),
                        weight.data(), grad_output.data(), to);
}

template <class T>
void bind(py::module_& m) {
    const auto fixed = py::arg().noconvert();
    const py::arg plain;
    m.def("conv2d", &bind_conv2d<T>, fixed, fixed, fixed, fixed, plain, plain, plain);
    m.def("conv2d_pack", &bind_pack<T>, fixed, plain, plain, plain);
    m.def("conv2d_packed", &bind_packed<T>, fixed, fixed, fixed, fixed, plain, plain, plain, plain);
    m.def("conv2d_input_grad", &bind_input_grad<T>, fixed, fixed, fixed, plain);
    m.def("conv2d_weight_grad", &bind_weight_grad<T>, fixed, fixed, fixed, plain);
    m.def("depthwise", &bind_depthwise<T>, fixed, fixed, fixed, fixed, plain, plain);
    m.def("depthwise_input_grad", &bind_depthwise_input_grad<T>, fixed, fixed, fixed, plain);
    m.def("depthwise_weight_grad", &bind_depthwise_weight_grad<T>, fixed, fixed, fixed, plain);
    m.def("winograd", &bind_winograd_forward<T>, fixed, fixed, fixed, fixed, plain, plain, plain, plain, plain);
    m.def("winograd_pack", &bind_winograd_pack<T>, fixed, plain, plain);
    m.def("winograd_packed", &bind_winograd_packed<T>, fixed, fixed, fixed, fixed, plain, plain, plain, plain);
    m.def("winograd_input_grad", &bind_winograd_input_grad<T>, fixed, fixed, fixed, plain, plain, plain);
    m.def("winograd_weight_grad", &bind_winograd_weight_grad<T>, fixed, fixed, fixed, plain, plain, plain);
}

}  // namespace

void bind_convolution(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
    m.attr("scratch_bytes") = scratch_bytes;
    m.def("conv2d_weight_grad_segments",
          [](bool wide, int64_t samples, int64_t positions, int64_t groups, int64_t rows, int64_t patch_rows) {
              return (wide ? conv2d_weight_grad_segments<double>
                           : conv2d_weight_grad_segments<float>)(samples, positions, groups, rows, patch_rows);
          });
    m.def("winograd_packed_size",
          [](bool wide, int64_t rows, int64_t channels, int64_t taps, const PlaneSize& output, int64_t groups) {
              const ConvShape shape = winograd_shape(rows, channels, taps, output, groups);
              return (wide ? winograd_packed_size<double> : winograd_packed_size<float>)(shape);
          });
    m.def("winograd_input_grad_packed_size",
          [](int64_t rows, int64_t channels, int64_t groups) { return frequencies_size(groups, channels, rows); });
    m.def("winograd_weight_grad_segments",
          [](bool wide, int64_t samples, int64_t tiles, int64_t groups, int64_t rows, int64_t channels) {
              return (wide ? winograd_weight_grad_segments<double>
                           : winograd_weight_grad_segments<float>)(samples, tiles, groups, rows, channels);
          });
}

}  // namespace advcore
