// Random numbers: the seed, stream and step come from Python; the rows are the samples.
#include <algorithm>

#include "../engine/philox.h"
#include "arrays.h"

namespace advcore {
namespace {

template <class T>
void random_numbers(Array<T> out, const Array<int64_t>& samples, uint64_t seed, uint32_t step, uint32_t stream,
                    uint32_t kind, double shift, double scale) {
    RandomArgs<T> args{};
    args.out = out.mutable_data(), args.samples = samples.data();
    args.row = {seed, 0, step, stream, static_cast<Draw>(kind)};
    args.rows = extent(out, 0), args.size = extent(out, 1);
    args.shift = shift, args.scale = scale;
    const py::gil_scoped_release unlocked;
    run(&draw<T>, args, args.rows * ceil_div(args.size, numbers_per_item));
}

void random_choice(Array<int64_t> out, const Array<int64_t>& samples, uint64_t seed, uint32_t step, uint32_t stream,
                   int64_t range) {
    ChoiceArgs args{};
    args.out = out.mutable_data(), args.samples = samples.data();
    args.row = {seed, 0, step, stream, Draw::choice};
    args.rows = extent(out, 0), args.count = extent(out, 1), args.range = range;
    const py::gil_scoped_release unlocked;
    // Every piece of rows writes down 0 .. range - 1 once.
    run(&choose, args, args.rows, ceil_div(args.rows, get_num_threads()));
}

template <class T>
void bind(py::module_& m) {
    m.def("random_numbers", &random_numbers<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg(), py::arg(),
          py::arg(), py::arg(), py::arg(), py::arg());
}

}  // namespace

void bind_random(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
    m.def("random_choice", &random_choice, py::arg().noconvert(), py::arg().noconvert(), py::arg(), py::arg(),
          py::arg(), py::arg());
}

}  // namespace advcore
