// Convolution of groups of one channel.
#include "conv2d_geometry.h"

namespace advcore {
namespace {

// out[n, g * rows + r] from input[n, g] and weight[g * rows + r].
template <class T>
void depthwise(Array<T> out, const Array<T>& input, const Array<T>& weight, const MaybeArray<T>& bias, int64_t stride_y,
               int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y, int64_t dilation_x,
               int64_t groups, int activation) {
    if (out.size() == 0) return;
    DepthwiseArgs<T> args{};
    args.patches = forward_patches(input, weight, out,
                                   geometry(stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups));
    args.input = input.data(), args.weight = weight.data(), args.bias = data_or_null(bias);
    args.out = out.mutable_data(), args.rows = extent(weight, 0) / groups;
    args.activation = activation_from(activation);
    const py::gil_scoped_release unlocked;
    const int64_t items = args.patches.samples * groups * args.rows;
    run(kernels<T>().depthwise, args, items, grain(static_cast<int64_t>(out.size()) * args.patches.taps(), items));
}

template <class T>
void depthwise_weight_grad(Array<T> out, const Array<T>& input, const Array<T>& grad_output, int64_t stride_y,
                           int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y,
                           int64_t dilation_x, int64_t groups) {
    DepthwiseWeightGradArgs<T> args{};
    args.patches = forward_patches(input, out, grad_output,
                                   geometry(stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups));
    args.input = input.data(), args.grad_output = grad_output.data(), args.out = out.mutable_data();
    args.rows = extent(out, 0) / groups;
    const int64_t channels = extent(out, 0);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().depthwise_weight_grad, args, channels,
        grain(static_cast<int64_t>(grad_output.size()) * args.patches.taps(), channels));
}

template <class T>
void bind(py::module_& m) {
    const auto fixed = py::arg().noconvert();
    m.def("depthwise", &depthwise<T>, fixed, fixed, fixed, fixed, py::arg(), py::arg(), py::arg(), py::arg(), py::arg(),
          py::arg(), py::arg(), py::arg());
    m.def("depthwise_weight_grad", &depthwise_weight_grad<T>, fixed, fixed, fixed, py::arg(), py::arg(), py::arg(),
          py::arg(), py::arg(), py::arg(), py::arg());
}

}  // namespace

void bind_depthwise(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
