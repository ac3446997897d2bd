// Activations and their gradients.
#include "arrays.h"

namespace advcore {
namespace {

// Threads pay off from about 16 chunks of the ops that only move memory, and 2 of those that compute.
template <class T>
void run_pointwise(Pointwise op, Array<T>& out, const T* grad, const Array<T>& x) {
    PointwiseArgs<T> args{op, grad, x.data(), out.mutable_data(), static_cast<int64_t>(x.size())};
    const bool computes = op == Pointwise::sigmoid || op == Pointwise::tanh || op == Pointwise::gelu ||
                          op == Pointwise::gelu_tanh || op == Pointwise::gelu_grad || op == Pointwise::gelu_tanh_grad;
    const py::gil_scoped_release unlocked;
    run(kernels<T>().pointwise, args, ceil_div(args.size, pointwise_chunk), computes ? 2 : 16);
}

template <class T, Pointwise op>
void map(Array<T> out, const Array<T>& x) {
    run_pointwise<T>(op, out, nullptr, x);
}

template <class T, Pointwise op>
void map_grad(Array<T> out, const Array<T>& grad_output, const Array<T>& x) {
    run_pointwise<T>(op, out, grad_output.data(), x);
}

// Arrays of shape (outer, length, inner).
template <class T>
void run_softmax(Array<T>& out, const Array<T>* grad_output, const Array<T>& x, bool log) {
    SoftmaxArgs<T> args{};
    args.grad = grad_output ? grad_output->data() : nullptr;
    args.x = x.data(), args.out = out.mutable_data();
    args.outer = extent(x, 0), args.length = extent(x, 1), args.inner = extent(x, 2);
    args.log = log;
    const int64_t together = args.inner == 1 ? 1 : softmax_columns;
    const int64_t items = args.length == 0 ? 0 : args.outer * ceil_div(args.inner, together);
    const int64_t grain = 8192 / (args.length * together + 1);
    const py::gil_scoped_release unlocked;
    run(grad_output ? kernels<T>().softmax_grad : kernels<T>().softmax, args, items, grain);
}

template <class T>
void softmax(Array<T> out, const Array<T>& input, bool log) {
    run_softmax<T>(out, nullptr, input, log);
}

template <class T>
void softmax_grad(Array<T> out, const Array<T>& grad_output, const Array<T>& output, bool log) {
    run_softmax<T>(out, &grad_output, output, log);
}

template <class T>
void bind(py::module_& m) {
    const auto exact = [] { return py::arg().noconvert(); };
    m.def("relu", &map<T, Pointwise::relu>, exact(), exact());
    m.def("sigmoid", &map<T, Pointwise::sigmoid>, exact(), exact());
    m.def("tanh", &map<T, Pointwise::tanh>, exact(), exact());
    m.def("gelu", &map<T, Pointwise::gelu>, exact(), exact());
    m.def("gelu_tanh", &map<T, Pointwise::gelu_tanh>, exact(), exact());
    m.def("relu_grad", &map_grad<T, Pointwise::relu_grad>, exact(), exact(), exact());
    m.def("sigmoid_grad", &map_grad<T, Pointwise::sigmoid_grad>, exact(), exact(), exact());
    m.def("tanh_grad", &map_grad<T, Pointwise::tanh_grad>, exact(), exact(), exact());
    m.def("gelu_grad", &map_grad<T, Pointwise::gelu_grad>, exact(), exact(), exact());
    m.def("gelu_tanh_grad", &map_grad<T, Pointwise::gelu_tanh_grad>, exact(), exact(), exact());
    m.def("softmax", &softmax<T>, exact(), exact(), py::arg());
    m.def("softmax_grad", &softmax_grad<T>, exact(), exact(), exact(), py::arg());
}

}  // namespace

void bind_activations(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
