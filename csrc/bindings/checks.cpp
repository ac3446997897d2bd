// The quick half of advcore._check, asked of every array of every call: whether it can be used as it is. What is
// refused here is looked at again in Python, which repairs it or says what is wrong. Plain C calls: pybind11's take
// three times as long.
#include "arrays.h"

namespace advcore {
namespace {

using py::detail::npy_api;

PyTypeObject* ndarray;  // found when the module is made: a thread that finds it lets others run, who would wait for it

const py::detail::PyArray_Proxy* as_array(PyObject* value) {  // null unless exactly a numpy.ndarray
    return Py_TYPE(value) == ndarray ? py::detail::array_proxy(value) : nullptr;
}

bool has_flags(const py::detail::PyArray_Proxy* array, int flags) { return (array->flags & flags) == flags; }

// A native float32 or float64, and that of `wanted` unless it is None.
bool has_dtype(const py::detail::PyArray_Proxy* array, PyObject* wanted) {
    const auto* const dtype = py::detail::array_descriptor_proxy(array->descr);
    return dtype->byteorder == '=' &&
           (dtype->type_num == npy_api::NPY_FLOAT_ || dtype->type_num == npy_api::NPY_DOUBLE_) &&
           (wanted == array->descr || wanted == Py_None);
}

// Whether a tuple has these extents; None stands for any.
bool has_shape(const py::detail::PyArray_Proxy* array, PyObject* wanted) {
    if (!PyTuple_CheckExact(wanted) || PyTuple_GET_SIZE(wanted) != array->nd) return false;
    for (int axis = 0; axis < array->nd; ++axis) {
        PyObject* const extent = PyTuple_GET_ITEM(wanted, axis);
        if (extent == Py_None) continue;
        if (!PyLong_CheckExact(extent) || PyLong_AsSsize_t(extent) != array->dimensions[axis]) {
            PyErr_Clear();  // an integer beyond all extents
            return false;
        }
    }
    return true;
}

struct Range {
    const char *begin, *end;
};
Range memory_of(const py::detail::PyArray_Proxy* array) {
    py::ssize_t size = py::detail::array_descriptor_proxy(array->descr)->type_num == npy_api::NPY_FLOAT_ ? 4 : 8;
    for (int axis = 0; axis < array->nd; ++axis) size *= array->dimensions[axis];
    return {array->data, array->data + size};
}

constexpr int usable = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_ALIGNED_;

// is_plain(value, dtype, shape, least axes, most axes)
PyObject* is_plain(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (count != 5) return PyErr_Format(PyExc_TypeError, "is_plain takes 5 arguments, got %zd", count);
    const auto* const array = as_array(args[0]);
    return PyBool_FromLong(array && has_flags(array, usable) && has_dtype(array, args[1]) &&
                           (args[2] == Py_None || has_shape(array, args[2])) && array->nd >= PyLong_AsLong(args[3]) &&
                           array->nd <= PyLong_AsLong(args[4]));
}

// can_receive(out, shape, dtype, arrays that it may not overlap, or None in their places)
PyObject* can_receive(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (count != 4) return PyErr_Format(PyExc_TypeError, "can_receive takes 4 arguments, got %zd", count);
    const auto* const out = as_array(args[0]);
    if (!(out && has_flags(out, usable | npy_api::NPY_ARRAY_WRITEABLE_) && has_dtype(out, args[2]) &&
          args[2] != Py_None && has_shape(out, args[1]) && PyTuple_CheckExact(args[3])))
        Py_RETURN_FALSE;
    const Range mine = memory_of(out);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[3]); ++i) {
        PyObject* const input = PyTuple_GET_ITEM(args[3], i);
        if (input == Py_None) continue;
        const auto* const array = as_array(input);
        if (!(array && has_flags(array, usable) && has_dtype(array, Py_None))) Py_RETURN_FALSE;
        const Range other = memory_of(array);
        if (mine.begin < other.end && other.begin < mine.end) Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
}

PyCFunction fast_call(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace

void bind_checks(py::module_& m) {
    ndarray = npy_api::get().PyArray_Type_;
    static PyMethodDef functions[] = {{"is_plain", fast_call(is_plain), METH_FASTCALL, nullptr},
                                      {"can_receive", fast_call(can_receive), METH_FASTCALL, nullptr},
                                      {nullptr, nullptr, 0, nullptr}};
    if (PyModule_AddFunctions(m.ptr(), functions) < 0) throw py::error_already_set();
}

}  // namespace advcore
