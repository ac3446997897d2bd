// Activations and their gradients.
#include "../engine/pointwise.h"
#include "arrays.h"

namespace advcore {
namespace {

template <class T, Pointwise op>
void map(Array<T> out, const Array<T>& x) {
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    pointwise<T>(op, x.data(), nullptr, to, static_cast<int64_t>(x.size()));
}

template <class T, Pointwise op>
void map_grad(Array<T> out, const Array<T>& grad_output, const Array<T>& x) {
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    pointwise<T>(op, x.data(), grad_output.data(), to, static_cast<int64_t>(x.size()));
}

template <class T>
void bind_softmax(Array<T> out, const Array<T>& x, bool log) {
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    softmax<T>(extent(x, 0), extent(x, 1), extent(x, 2), nullptr, x.data(), to, log);
}

template <class T>
void bind_softmax_grad(Array<T> out, const Array<T>& grad_output, const Array<T>& x, bool log) {
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    softmax<T>(extent(x, 0), extent(x, 1), extent(x, 2), grad_output.data(), x.data(), to, log);
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
    m.def("softmax", &bind_softmax<T>, exact(), exact(), py::arg());
    m.def("softmax_grad", &bind_softmax_grad<T>, exact(), exact(), exact(), py::arg());
}

}  // namespace

void bind_activations(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
