// Matrix product and the three directions of the linear layer: all are one kernel with other strides.
#include "products.h"

namespace advcore {
namespace {

// out[batch, rows, cols] = a[batch, rows, depth] b[batch, depth, cols] by their strides (0 where one matrix serves
// all).
template <class T>
void matmul(Array<T> out, const py::array_t<T, 0>& a, const py::array_t<T, 0>& b) {
    const auto stride = [](const py::array_t<T, 0>& x, int axis) {  // NumPy leaves any number where it plays no part
        return x.shape(axis) > 1 ? static_cast<int64_t>(x.strides(axis)) / static_cast<int64_t>(sizeof(T)) : 0;
    };
    MatmulArgs<T> args{};
    args.a = a.data(), args.b = b.data(), args.c = out.mutable_data();
    args.batch = extent(out, 0), args.rows = extent(out, 1), args.cols = extent(out, 2);
    args.depth = static_cast<int64_t>(a.shape(2));
    args.a_batch = stride(a, 0), args.a_row = stride(a, 1), args.a_depth = stride(a, 2);
    args.b_batch = stride(b, 0), args.b_depth = stride(b, 1), args.b_col = stride(b, 2);
    const py::gil_scoped_release unlocked;
    run_matmul(args);
}

// out[n, o] = activation(sum_i input[n, i] weight[o, i] + bias[o])
template <class T>
void linear(Array<T> out, const Array<T>& input, const Array<T>& weight, const MaybeArray<T>& bias, int activation) {
    MatmulArgs<T> args{};
    args.a = input.data(), args.b = weight.data(), args.c = out.mutable_data(), args.bias = data_or_null(bias);
    args.batch = 1, args.rows = extent(input, 0), args.cols = extent(weight, 0), args.depth = extent(weight, 1);
    args.a_row = args.depth, args.a_depth = 1, args.b_depth = 1, args.b_col = args.depth;
    args.activation = activation_from(activation);
    const py::gil_scoped_release unlocked;
    run_matmul(args);
}

// out[n, i] = sum_o grad_output[n, o] weight[o, i]
template <class T>
void linear_input_grad(Array<T> out, const Array<T>& grad_output, const Array<T>& weight) {
    MatmulArgs<T> args{};
    args.a = grad_output.data(), args.b = weight.data(), args.c = out.mutable_data();
    args.batch = 1, args.rows = extent(out, 0), args.cols = extent(out, 1), args.depth = extent(weight, 0);
    args.a_row = args.depth, args.a_depth = 1, args.b_depth = args.cols, args.b_col = 1;
    const py::gil_scoped_release unlocked;
    run_matmul(args);
}

// out[o, i] = sum_n grad_output[n, o] input[n, i]
template <class T>
void linear_weight_grad(Array<T> out, const Array<T>& grad_output, const Array<T>& input) {
    MatmulArgs<T> args{};
    args.a = grad_output.data(), args.b = input.data(), args.c = out.mutable_data();
    args.batch = 1, args.rows = extent(out, 0), args.cols = extent(out, 1), args.depth = extent(input, 0);
    args.a_row = 1, args.a_depth = args.rows, args.b_depth = args.cols, args.b_col = 1;
    const py::gil_scoped_release unlocked;
    run_matmul(args);
}

template <class T>
void bind(py::module_& m) {
    m.def("matmul", &matmul<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert());
    m.def("linear", &linear<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg());
    m.def("linear_input_grad", &linear_input_grad<T>, py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert());
    m.def("linear_weight_grad", &linear_weight_grad<T>, py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert());
}

}  // namespace

void bind_linear(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
