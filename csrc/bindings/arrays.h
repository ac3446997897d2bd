// What every binding needs: arrays of exactly one element type, and their extents.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>

#include "../engine/dispatch.h"
#include "../engine/parallel.h"

namespace advcore {

namespace py = pybind11;

// An argument's array. pybind11 makes an empty array for each argument of its own class before it looks at what came.
template <class T, int Flags>
struct ArrayArgument : py::array_t<T, Flags> {
    using py::array_t<T, Flags>::array_t;
};

// advcore/ops hands over C-contiguous arrays of the right type; anything else is refused, never converted.
template <class T>
using Array = ArrayArgument<T, py::array::c_style>;
template <class T>
using StridedArray = ArrayArgument<T, 0>;
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

void bind_activations(py::module_& m);
void bind_batch_norm_lstm(py::module_& m);
void bind_checks(py::module_& m);
void bind_convolution(py::module_& m);
void bind_limits(py::module_& m);
void bind_memory(py::module_& m);
void bind_neighbors(py::module_& m);
void bind_normalize(py::module_& m);
void bind_optimizer(py::module_& m);
void bind_perturb(py::module_& m);
void bind_random(py::module_& m);
void bind_recurrent(py::module_& m);
void bind_pooling(py::module_& m);
void bind_products(py::module_& m);
void bind_program(py::module_& m);
void bind_propagation(py::module_& m);

}  // namespace advcore

template <class T, int Flags>
struct pybind11::detail::pyobject_caster<advcore::ArrayArgument<T, Flags>> {
    using Array = advcore::ArrayArgument<T, Flags>;
    static constexpr auto name = handle_type_name<array_t<T, Flags>>::name;
    template <class>
    using cast_op_type = Array;
    bool load(handle source, bool) {
        if (!Array::check_(source)) return false;
        array = source;
        return true;
    }
    operator Array() { return reinterpret_borrow<Array>(array); }
    static handle cast(const handle& source, return_value_policy, handle) { return source.inc_ref(); }
    handle array;
};
