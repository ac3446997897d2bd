// Arrays for results, in memory that earlier ones have left.
#include "../engine/pool.h"
#include "arrays.h"

namespace advcore {
namespace {

py::array new_array(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
    std::size_t bytes = static_cast<std::size_t>(dtype.itemsize());
    for (const py::ssize_t extent : shape) bytes *= static_cast<std::size_t>(extent);
    auto owned = std::make_unique<Pooled<char>>(pooled<char>(static_cast<int64_t>(bytes)));
    void* const data = owned->get();
    const py::capsule owner(owned.get(), [](void* memory) { delete static_cast<Pooled<char>*>(memory); });
    owned.release();
    return py::array(dtype, shape, {}, data, owner);
}

}  // namespace

void bind_memory(py::module_& m) {
    m.def("new_array", &new_array);
    m.def("kept_bytes", &Pool::kept_bytes);
}

}  // namespace advcore
