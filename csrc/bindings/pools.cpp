// Pooling of arrays (planes, rows, cols), and its gradients.
#include "../engine/pooling.h"
#include "arrays.h"

namespace advcore {
namespace {

using Pair = std::pair<int64_t, int64_t>;  // of (rows, cols)

template <class T>
PoolWindows windows_of(const Array<T>& input, const Array<T>& output, Pair kernel, Pair stride, Pair padding,
                       Pair dilation, bool of_output = true) {
    return {
        {extent(input, 1), extent(output, 1), kernel.first, stride.first, padding.first, dilation.first, nullptr},
        {extent(input, 2), extent(output, 2), kernel.second, stride.second, padding.second, dilation.second, nullptr},
        of_output};
}

template <class T>
PlaneSize plane_of(const Array<T>& array) {
    return {extent(array, 1), extent(array, 2)};
}

// A result without terms.
template <class T>
bool left_zero(Array<T>& grad_input, const Array<T>& grad_output) {
    if (grad_output.size() == 0) std::fill_n(grad_input.mutable_data(), grad_input.size(), T(0));
    return grad_output.size() == 0;
}

template <class T>
void bind_max_pool(Array<T> out, MaybeArray<int64_t> indices, const Array<T>& input, Pair kernel, Pair stride,
                   Pair padding, Pair dilation) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    int64_t* const places = indices ? indices->mutable_data() : nullptr;
    const py::gil_scoped_release unlocked;
    max_pool(windows_of(input, out, kernel, stride, padding, dilation), input.data(), to, places, extent(input, 0));
}

template <class T>
bool bind_max_pool_grad(Array<T> grad_input, const Array<T>& grad_output, const MaybeArray<T>& input,
                        const MaybeArray<int64_t>& indices, Pair kernel, Pair stride, Pair padding, Pair dilation) {
    if (left_zero(grad_input, grad_output)) return true;
    T* const to = grad_input.mutable_data();
    const py::gil_scoped_release unlocked;
    return max_pool_grad(windows_of(grad_input, grad_output, kernel, stride, padding, dilation), grad_output.data(),
                         data_or_null(input), data_or_null(indices), to, extent(grad_input, 0));
}

template <class T>
void bind_avg_pool(Array<T> out, const Array<T>& input, Pair kernel, Pair stride, Pair padding,
                   bool count_include_pad) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    const PoolWindows windows = windows_of(input, out, kernel, stride, padding, {1, 1});
    const Divisors<T> divisors(windows.rows, windows.cols, count_include_pad);
    avg_pool(windows, divisors, input.data(), to, extent(input, 0));
}

template <class T>
void bind_avg_pool_grad(Array<T> grad_input, const Array<T>& grad_output, Pair kernel, Pair stride, Pair padding,
                        bool count_include_pad) {
    if (left_zero(grad_input, grad_output)) return;
    T* const to = grad_input.mutable_data();
    const py::gil_scoped_release unlocked;
    const PoolWindows windows = windows_of(grad_input, grad_output, kernel, stride, padding, {1, 1}, false);
    const Divisors<T> divisors(windows.rows, windows.cols, count_include_pad);
    avg_pool_grad(windows, divisors, grad_output.data(), to, extent(grad_input, 0));
}

template <class T>
void bind_adaptive_avg_pool(Array<T> out, const Array<T>& input) {
    if (out.size() == 0) return;
    T* const to = out.mutable_data();
    const py::gil_scoped_release unlocked;
    adaptive_avg_pool(plane_of(input), plane_of(out), input.data(), to, extent(input, 0));
}

template <class T>
void bind_adaptive_avg_pool_grad(Array<T> grad_input, const Array<T>& grad_output) {
    if (left_zero(grad_input, grad_output)) return;
    T* const to = grad_input.mutable_data();
    const py::gil_scoped_release unlocked;
    adaptive_avg_pool_grad(plane_of(grad_input), plane_of(grad_output), grad_output.data(), to, extent(grad_input, 0));
}

template <class T>
void bind(py::module_& m) {
    const auto array = [] { return py::arg().noconvert(); };
    const auto maybe = [] { return py::arg().noconvert().none(true); };
    const py::arg plain;
    m.def("max_pool2d", &bind_max_pool<T>, array(), maybe(), array(), plain, plain, plain, plain);
    m.def("avg_pool2d", &bind_avg_pool<T>, array(), array(), plain, plain, plain, plain);
    m.def("max_pool2d_grad", &bind_max_pool_grad<T>, array(), array(), maybe(), maybe(), plain, plain, plain, plain);
    m.def("avg_pool2d_grad", &bind_avg_pool_grad<T>, array(), array(), plain, plain, plain, plain);
    m.def("adaptive_avg_pool2d", &bind_adaptive_avg_pool<T>, array(), array());
    m.def("adaptive_avg_pool2d_grad", &bind_adaptive_avg_pool_grad<T>, array(), array());
}

}  // namespace

void bind_pooling(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
