// What every binding needs: arrays of exactly one element type, and their extents.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "../engine/dispatch.h"
#include "../engine/parallel.h"

namespace advcore {

namespace py = pybind11;

// advcore/ops hands over C-contiguous arrays of the right type; anything else is refused, never converted.
template <class T>
using Array = py::array_t<T, py::array::c_style>;
template <class T>
using MaybeArray = std::optional<Array<T>>;

template <class T>
const T* data_or_null(const MaybeArray<T>& array) {
    return array ? array->data() : nullptr;
}

template <class T>
int64_t extent(const Array<T>& array, int axis) {
    return static_cast<int64_t>(array.shape(axis));
}

inline Activation activation_from(int code) { return static_cast<Activation>(code); }

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many of `items`, which are `work` multiply-adds, a thread takes at once: no thread is woken for a few
// microseconds.
inline int64_t grain(int64_t work, int64_t items) {
    constexpr int64_t least_work = 1 << 19;
    return ceil_div(items, std::max<int64_t>(1, work / least_work));
}

void bind_activations(py::module_& m);
void bind_batch_norm_lstm(py::module_& m);
void bind_conv2d(py::module_& m);
void bind_conv2d_weight_grad(py::module_& m);
void bind_depthwise(py::module_& m);
void bind_limits(py::module_& m);
void bind_linear(py::module_& m);
void bind_neighbors(py::module_& m);
void bind_perturb(py::module_& m);
void bind_random(py::module_& m);
void bind_recurrent(py::module_& m);
void bind_pooling(py::module_& m);
void bind_winograd(py::module_& m);

}  // namespace advcore
