// Matrix product and the three directions of the linear layer.
#include "../engine/linear.h"
#include "arrays.h"

namespace advcore {
namespace {

// out[batch, rows, cols] = a[batch, rows, depth] b[batch, depth, cols] by their strides (0 where one matrix serves
// all).
template <class T>
void bind_matmul(Array<T> out, const StridedArray<T>& a, const StridedArray<T>& b) {
    const auto stride = [](const StridedArray<T>& x, int axis) {  // NumPy leaves any number where it plays no part
        return x.shape(axis) > 1 ? static_cast<int64_t>(x.strides(axis)) / static_cast<int64_t>(sizeof(T)) : 0;
    };
    MatmulArgs<T> args{};
    args.a = a.data(), args.b = b.data(), args.c = out.mutable_data();
    args.batch = extent(out, 0), args.rows = extent(out, 1), args.cols = extent(out, 2);
    args.depth = static_cast<int64_t>(a.shape(2));
    args.a_batch = stride(a, 0), args.a_row = stride(a, 1), args.a_depth = stride(a, 2);
    args.b_batch = stride(b, 0), args.b_depth = stride(b, 1), args.b_col = stride(b, 2);
    const py::gil_scoped_release unlocked;
    matmul(args);
}

template <class T>
void bind_linear(Array<T> out, const Array<T>& input, const Array<T>& weight, const MaybeArray<T>& bias,
                 int activation) {
    const LinearShape shape{extent(input, 0), extent(weight, 1), extent(weight, 0)};
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    linear(shape, input.data(), weight.data(), data_or_null(bias), to, activation_from(activation));
}

template <class T>
void bind_linear_input_grad(Array<T> out, const Array<T>& grad_output, const Array<T>& weight) {
    const LinearShape shape{extent(out, 0), extent(out, 1), extent(weight, 0)};
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    linear_input_grad(shape, grad_output.data(), weight.data(), to);
}

template <class T>
void bind_linear_weight_grad(Array<T> out, const Array<T>& grad_output, const Array<T>& input) {
    const LinearShape shape{extent(input, 0), extent(out, 1), extent(out, 0)};
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    linear_weight_grad(shape, grad_output.data(), input.data(), to);
}

template <class T>
void bind(py::module_& m) {
    const auto fixed = py::arg().noconvert();
    m.def("matmul", &bind_matmul<T>, fixed, fixed, fixed);
    m.def("linear", &bind_linear<T>, fixed, fixed, fixed, fixed, py::arg());
    m.def("linear_input_grad", &bind_linear_input_grad<T>, fixed, fixed, fixed);
    m.def("linear_weight_grad", &bind_linear_weight_grad<T>, fixed, fixed, fixed);
}

}  // namespace

void bind_products(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
