// Batches of samples with one coordinate moved, and the search for NaN and infinities.
#include <algorithm>
#include <vector>

#include "arrays.h"

namespace advcore {
namespace {

template <class T>
void perturb(Array<T> batch, const Array<T>& x, const Array<int64_t>& coordinates, const Array<T>& upper,
             const Array<T>& lower, bool keep, int64_t first_row) {
    PerturbArgs<T> args{};
    args.batch = batch.mutable_data(), args.x = x.data(), args.coordinates = coordinates.data();
    args.upper = upper.data(), args.lower = lower.data();
    args.size = extent(x, 1), args.count = extent(coordinates, 1), args.keep = keep, args.first_row = first_row;
    const int64_t rows = extent(batch, 0);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().perturb, args, rows, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, args.size)));
}

// The index of the first NaN or infinity, -1 where there is none.
template <class T>
int64_t first_nonfinite(const Array<T>& data) {
    FiniteArgs<T> args{};
    args.data = data.data(), args.size = static_cast<int64_t>(data.size());
    std::vector<int64_t> first(static_cast<size_t>(ceil_div(args.size, finite_stretch)));
    args.first = first.data();
    {
        const py::gil_scoped_release unlocked;
        run(kernels<T>().first_nonfinite, args, static_cast<int64_t>(first.size()), 4);
    }
    const auto found = std::find_if(first.begin(), first.end(), [&](int64_t at) { return at < args.size; });
    return found == first.end() ? -1 : *found;
}

template <class T>
void bind(py::module_& m) {
    m.def("perturb", &perturb<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg(), py::arg());
    m.def("first_nonfinite", &first_nonfinite<T>, py::arg().noconvert());
}

}  // namespace

void bind_perturb(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
