// Measuring the machine itself, for the timings.
#include <numeric>
#include <vector>

#include "arrays.h"

namespace advcore {
namespace {

// Runs the loop once for each element of out; returns how many additions and multiplications that was.
template <class T>
int64_t fma_loop(Array<T> out, int64_t steps) {
    const int64_t items = static_cast<int64_t>(out.size());
    std::vector<int64_t> operations(static_cast<std::size_t>(items));
    const FmaLoopArgs<T> args{out.mutable_data(), operations.data(), steps};
    const py::gil_scoped_release unlocked;
    run(kernels<T>().fma_loop, args, items);
    return std::accumulate(operations.begin(), operations.end(), int64_t{0});
}

template <class T>
void triad(Array<T> out, const Array<T>& a, const Array<T>& b, T scalar) {
    const TriadArgs<T> args{a.data(), b.data(), out.mutable_data(), scalar};
    const int64_t items = static_cast<int64_t>(out.size());
    const py::gil_scoped_release unlocked;
    run(kernels<T>().triad, args, items, 1 << 16);
}

template <class T>
void bind(py::module_& m) {
    const auto fixed = py::arg().noconvert();
    m.def("fma_loop", &fma_loop<T>, fixed, py::arg());
    m.def("triad", &triad<T>, fixed, fixed, fixed, py::arg());
}

}  // namespace

void bind_limits(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
