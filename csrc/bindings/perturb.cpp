// What attacks do with samples: one coordinate moved, windows cut out, steps to planes; the search for NaN.
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

// out (N, C, h, w) at out_at (N, 2) of kept[slots], (any, C, H, W), with region (N, C, r, s) at region_at (N, 2).
template <class T>
void splice(Array<T> out, const Array<int64_t>& out_at, const Array<T>& kept, const Array<int64_t>& slots,
            const MaybeArray<T>& region, const MaybeArray<int64_t>& region_at) {
    SpliceArgs<T> args{};
    args.kept = kept.data(), args.slots = slots.data(), args.out = out.mutable_data(), args.out_at = out_at.data();
    args.channels = extent(kept, 1), args.height = extent(kept, 2), args.width = extent(kept, 3);
    args.rows = extent(out, 2), args.cols = extent(out, 3);
    args.region = data_or_null(region), args.region_at = data_or_null(region_at);
    if (region) args.region_rows = extent(*region, 2), args.region_cols = extent(*region, 3);
    const int64_t items = extent(out, 0);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().splice, args, items,
        std::max<int64_t>(1, 65536 / std::max<int64_t>(1, args.channels * args.rows * args.cols)));
}

template <class T>
void fab_move(Array<T> out, const Array<T>& x, const Array<T>& origin, const Array<T>& normal, const Array<T>& gap,
              T low, T high, double eta, double most_share, int norm) {
    FabMoveArgs<T> args{};
    args.x = x.data(), args.origin = origin.data(), args.normal = normal.data(), args.gap = gap.data();
    args.out = out.mutable_data(), args.size = extent(x, 1), args.low = low, args.high = high;
    args.eta = eta, args.most_share = most_share, args.norm = static_cast<StepNorm>(norm);
    const int64_t items = extent(x, 0);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().fab_move, args, items, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, args.size)));
}

// lower and upper (any, D), of which slots (N) says each sample's.
template <class T>
void signed_step(Array<T> out, const Array<T>& x, const MaybeArray<T>& previous, const Array<T>& ascent,
                 const Array<T>& sizes, const Array<T>& lower, const Array<T>& upper, const Array<int64_t>& slots,
                 T momentum) {
    SignedStepArgs<T> args{};
    args.x = x.data(), args.previous = data_or_null(previous), args.ascent = ascent.data(), args.sizes = sizes.data();
    args.lower = lower.data(), args.upper = upper.data(), args.slots = slots.data();
    args.out = out.mutable_data(), args.size = extent(x, 1), args.momentum = momentum;
    const int64_t items = extent(x, 0);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().signed_step, args, items, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, args.size)));
}

// limits: lower and upper (any, D), or none where low and high hold everywhere; slots (N) says whose a sample has.
template <class T>
void nearest_in_ball(Array<T> out, const Array<T>& x, const Array<T>& origin, const MaybeArray<T>& lower,
                     const MaybeArray<T>& upper, const Array<int64_t>& slots, T low, T high, double eps) {
    NearestInBallArgs<T> args{};
    args.x = x.data(), args.origin = origin.data(), args.slots = slots.data(), args.out = out.mutable_data();
    args.lower = data_or_null(lower), args.upper = data_or_null(upper);
    args.size = extent(x, 1), args.low = low, args.high = high, args.eps = eps;
    const int64_t items = extent(x, 0);
    const py::gil_scoped_release unlocked;
    run(kernels<T>().nearest_in_ball, args, items, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, args.size)));
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
    m.def("splice", &splice<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert().none(true), py::arg().noconvert().none(true));
    m.def("fab_move", &fab_move<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg(), py::arg(), py::arg(), py::arg(), py::arg());
    m.def("signed_step", &signed_step<T>, py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert().none(true), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert(), py::arg().noconvert(), py::arg());
    m.def("nearest_in_ball", &nearest_in_ball<T>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
          py::arg().noconvert().none(true), py::arg().noconvert().none(true), py::arg().noconvert(), py::arg(),
          py::arg(), py::arg());
    m.def("first_nonfinite", &first_nonfinite<T>, py::arg().noconvert());
}

}  // namespace

void bind_perturb(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
