// Propagations: what a network's outputs differ by when one number of its input moves.
#include "../engine/propagation.h"

#include <array>

#include "arrays.h"

namespace advcore {
namespace {

using Pair = std::pair<int64_t, int64_t>;  // of (rows, cols)

PoolAxis axis(int64_t input, int64_t output, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    return {input, output, kernel, stride, padding, dilation, nullptr};
}

std::vector<Interval> intervals(const std::vector<Pair>& pairs) {
    std::vector<Interval> result;
    for (const auto& [first, end] : pairs) result.push_back({first, end});
    return result;
}

template <class T>
void bind(py::module_& m, const char* name) {
    using P = Propagation<T>;
    const auto fixed = py::arg().noconvert();
    py::class_<P>(m, name)
        .def(py::init<int64_t, int64_t, int64_t>())
        .def("base_like", &P::base_like)
        .def("conv2d",
             [](P& p, int x, const Array<T>& weight, Pair input, Pair output, const std::array<int64_t, 7>& o) {
                 const ConvShape shape{1,
                                       o[6],
                                       extent(weight, 1),
                                       extent(weight, 0) / o[6],
                                       {input.first, output.first, extent(weight, 2), o[0], o[2], o[4]},
                                       {input.second, output.second, extent(weight, 3), o[1], o[3], o[5]}};
                 return p.convolve(x, shape, weight.data());
             })
        .def("linear",
             [](P& p, int x, const Array<T>& weight) { return p.linear(x, extent(weight, 0), weight.data()); })
        .def("scale", &P::scale)
        .def("clip", &P::clip)
        .def("smooth", [](P& p, int x, int base,
                          int function) { return p.smooth(x, base, static_cast<DifferenceFunction>(function)); })
        .def("max_pool",
             [](P& p, int x, int base, int base_out, Pair input, Pair output, Pair kernel, Pair stride, Pair padding,
                Pair dilation, bool relu) {
                 return p.max_pool(
                     x, base, base_out,
                     axis(input.first, output.first, kernel.first, stride.first, padding.first, dilation.first),
                     axis(input.second, output.second, kernel.second, stride.second, padding.second, dilation.second),
                     relu);
             })
        .def("mean",
             [](P& p, int x, const std::vector<Pair>& rows, const std::vector<Pair>& cols, std::vector<T> row_divisors,
                std::vector<T> col_divisors) {
                 return p.mean(x, intervals(rows), intervals(cols), std::move(row_divisors), std::move(col_divisors));
             })
        .def("softmax", &P::softmax)
        .def("sum", &P::sum)
        .def("concatenate", &P::concatenate)
        .def("product", &P::product)
        .def("gather",
             [](P& p, int x, const Array<int64_t>& source, const std::vector<Pair>& rows,
                const std::vector<Pair>& cols) {
                 return p.gather(x, source.data(), extent(source, 0), intervals(rows), intervals(cols));
             })
        .def("normalize", [](P& p, int x, int base, int64_t groups, bool by_position, const Array<T>& weight,
                             double eps) { return p.normalize(x, base, groups, by_position, weight.data(), eps); })
        .def("recurrent",
             [](P& p, int x, int base, int cell, const Array<T>& w_ih, const Array<T>& w_hh, bool reverse, bool last) {
                 const RecurrentWeights<T> weights{static_cast<DifferenceCell>(cell), extent(w_hh, 1), w_ih.data(),
                                                   w_hh.data()};
                 return p.recurrent(x, base, weights, reverse, last);
             })
        .def("base_of", &P::base_of)
        .def("finish", &P::finish)
        .def("prepare",
             [](P& p, const std::vector<Array<T>>& bases, int64_t samples) {
                 std::vector<const T*> data;
                 for (const Array<T>& base : bases) data.push_back(base.data());
                 const py::gil_scoped_release unlocked;
                 p.prepare(data, samples);
             })
        .def(
            "run",
            [](P& p, const Array<int64_t>& sample, const Array<int64_t>& coordinate, const Array<T>& step, Array<T> out,
               Array<uint8_t> kinked) {
                T* const to = out.mutable_data();
                uint8_t* const flags = kinked.mutable_data();
                const py::gil_scoped_release unlocked;
                p.run(sample.data(), coordinate.data(), step.data(), static_cast<int64_t>(step.size()), to, flags);
            },
            fixed, fixed, fixed, fixed, fixed)
        // Of each layer: multiply-adds of a pair, of a full pass, done so far; pairs by row and by column; the window.
        .def("costs", [](const P& p) {
            py::list result;
            for (const LayerCost& c : p.costs())
                result.append(py::make_tuple(c.per_product, c.full, c.done, c.by_row, c.by_col,
                                             Pair{c.window_rows, c.window_cols}));
            return result;
        });
}

}  // namespace

void bind_propagation(py::module_& m) {
    bind<float>(m, "Propagation32");
    bind<double>(m, "Propagation64");
}

}  // namespace advcore
