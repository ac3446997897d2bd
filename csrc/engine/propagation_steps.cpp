// The layers of a propagation that have no weights.
#include <algorithm>
#include <cmath>
#include <memory>

#include "dispatch.h"
#include "propagation.h"

namespace advcore {
namespace {

// Calls f(position's differences, probe) for every position of the windows of a map.
template <class T, class Function>
void each_position(const ProbeGroup<T>& g, int value, const Function& f) {
    const DifferenceMap<T>& m = g.propagation->map(value);
    for (int64_t i = 0; i < g.count; ++i) {
        const DifferenceWindow& w = g.windows_of(value)[static_cast<std::size_t>(i)];
        T* at = g.at(value) + i * m.size;
        for (int64_t row = w.row; row < w.row + w.rows; ++row)
            for (int64_t col = w.col; col < w.col + w.cols; ++col, at += m.pitch) f(at, i, row, col);
    }
}

// A probe's differences at a position of another map, null outside of its window there.
template <class T>
const T* differences_at(const ProbeGroup<T>& g, int value, int64_t probe, int64_t row, int64_t col) {
    const DifferenceMap<T>& m = g.propagation->map(value);
    const DifferenceWindow& w = g.windows_of(value)[static_cast<std::size_t>(probe)];
    if (row < w.row || row >= w.row + w.rows || col < w.col || col >= w.col + w.cols) return nullptr;
    return g.at(value) + probe * m.size + ((row - w.row) * w.cols + col - w.col) * m.pitch;
}

ReachAxis reach_axis(const PoolAxis& a) { return {a.input, a.output, a.kernel, a.stride, a.padding, a.dilation}; }

}  // namespace

template <class T>
auto Propagation<T>::scale(Value x, std::vector<T> factors) -> Value {
    const auto factor = std::make_shared<const std::vector<T>>(std::move(factors));
    return add_in_place(x, [=](ProbeGroup<T>& g, Value y) {
        each_position(g, y, [&](T* d, int64_t, int64_t, int64_t) {
            for (std::size_t c = 0; c < factor->size(); ++c) d[c] *= (*factor)[c];
        });
    });
}

template <class T>
auto Propagation<T>::clip(Value x, int base, T low, T high, T slope) -> Value {
    return add_in_place(x, [=](ProbeGroup<T>& g, Value y) {
        const DifferenceMap<T>& m = g.propagation->map(y);
        const auto bases = g.base(base);
        DifferenceClipArgs<T> args{};
        args.base = bases.data(), args.windows = g.windows_of(y).data(), args.differences = g.at(y);
        args.size = m.size, args.map_cols = m.cols, args.pitch = m.pitch;
        args.low = low, args.high = high, args.slope = slope, args.kinked = g.kinked.data();
        kernels<T>().difference_clip(args, 0, g.count, g.scratch);
    });
}

template <class T>
auto Propagation<T>::smooth(Value x, int base, DifferenceFunction function) -> Value {
    return add_in_place(x, [=](ProbeGroup<T>& g, Value y) {
        const DifferenceMap<T>& m = g.propagation->map(y);
        const auto bases = g.base(base);
        DifferenceSmoothArgs<T> args{};
        args.base = bases.data(), args.windows = g.windows_of(y).data(), args.differences = g.at(y);
        args.size = m.size, args.map_cols = m.cols, args.pitch = m.pitch, args.function = function;
        kernels<T>().difference_smooth(args, 0, g.count, g.scratch);
        std::fill(g.kinked.begin(), g.kinked.end(), uint8_t{1});  // the opposite of d gives no opposite
    });
}

template <class T>
auto Propagation<T>::max_pool(Value x, int base, int base_out, const PoolAxis& rows, const PoolAxis& cols, bool relu)
    -> Value {
    const DifferenceMap<T> from = map(x);
    DifferenceMap<T> to(from.channels, rows.output, cols.output, reach_through(from.row_reach, reach_axis(rows)),
                        reach_through(from.col_reach, reach_axis(cols)));
    const Value y = static_cast<Value>(maps_.size());
    bases_[static_cast<std::size_t>(base_out)].like = y;
    return add_step({x}, std::move(to), [=, in_size = from.size](ProbeGroup<T>& g) {
        const auto bases = g.base(base), bases_out = g.base(base_out);
        DifferenceMaxPoolArgs<T> args{};
        args.base = bases.data(), args.base_out = bases_out.data();
        args.in_windows = g.windows_of(x).data(), args.out_windows = g.windows_of(y).data();
        args.in = g.at(x), args.out = g.at(y), args.in_size = in_size, args.out_size = g.propagation->map(y).size;
        args.pitch = g.propagation->map(y).pitch, args.rows = rows, args.cols = cols;
        args.kinked = g.kinked.data(), args.relu = relu;
        kernels<T>().difference_max_pool(args, 0, g.count, g.scratch);
    });
}

template <class T>
auto Propagation<T>::mean(Value x, std::vector<Interval> rows, std::vector<Interval> cols, std::vector<T> row_divisors,
                          std::vector<T> col_divisors) -> Value {
    const DifferenceMap<T> from = map(x);
    DifferenceMap<T> to(from.channels, static_cast<int64_t>(rows.size()), static_cast<int64_t>(cols.size()),
                        reach_of_windows(from.row_reach, rows), reach_of_windows(from.col_reach, cols));
    const Value y = static_cast<Value>(maps_.size());
    return add_step({x}, std::move(to), [=, pitch = from.pitch](ProbeGroup<T>& g) {
        each_position(g, y, [&](T* sum, int64_t probe, int64_t row, int64_t col) {
            std::fill(sum, sum + pitch, T(0));
            const auto r = static_cast<std::size_t>(row), c = static_cast<std::size_t>(col);
            const DifferenceWindow& w = g.windows_of(x)[static_cast<std::size_t>(probe)];
            for (int64_t i = std::max(rows[r].first, w.row); i < std::min(rows[r].end, w.row + w.rows); ++i)
                for (int64_t j = std::max(cols[c].first, w.col); j < std::min(cols[c].end, w.col + w.cols); ++j) {
                    const T* const d = differences_at(g, x, probe, i, j);
                    for (int64_t k = 0; k < pitch; ++k) sum[k] += d[k];
                }
            const T divisor = row_divisors[r] * col_divisors[c];
            for (int64_t k = 0; k < pitch; ++k) sum[k] /= divisor;
        });
    });
}

// With p = softmax(a): softmax(a + d) - p = p (expm1(d) - e) / (1 + e), e = sum p expm1(d); the logarithm's is d -
// log(1 + e).
template <class T>
auto Propagation<T>::softmax(Value x, int base_out, bool log) -> Value {
    return add_in_place(x, [=](ProbeGroup<T>& g, Value y) {
        const int64_t channels = g.propagation->map(y).channels;
        each_position(g, y, [&](T* d, int64_t probe, int64_t, int64_t) {
            const T* const base = g.propagation->base(base_out, g.probes[probe].sample);
            const auto share = [&](int64_t c) { return log ? std::exp(double(base[c])) : double(base[c]); };
            double e = 0;
            for (int64_t c = 0; c < channels; ++c) e += share(c) * std::expm1(double(d[c]));
            for (int64_t c = 0; c < channels; ++c) {
                const double moved = double(d[c]);
                d[c] = T(log ? moved - std::log1p(e) : share(c) * (std::expm1(moved) - e) / (1 + e));
            }
        });
        std::fill(g.kinked.begin(), g.kinked.end(), uint8_t{1});
    });
}

template <class T>
auto Propagation<T>::sum(const std::vector<Value>& inputs) -> Value {
    DifferenceMap<T> to = map(inputs[0]);
    for (const Value x : inputs) {
        to.row_reach = reach_of_both(to.row_reach, map(x).row_reach);
        to.col_reach = reach_of_both(to.col_reach, map(x).col_reach);
    }
    const Value y = static_cast<Value>(maps_.size());
    return add_step(inputs, DifferenceMap<T>(to.channels, to.rows, to.cols, to.row_reach, to.col_reach),
                    [=, pitch = to.pitch](ProbeGroup<T>& g) {
                        each_position(g, y, [&](T* total, int64_t probe, int64_t row, int64_t col) {
                            std::fill(total, total + pitch, T(0));
                            for (const Value x : inputs)
                                if (const T* const d = differences_at(g, x, probe, row, col))
                                    for (int64_t k = 0; k < pitch; ++k) total[k] += d[k];
                        });
                    });
}

template <class T>
auto Propagation<T>::concatenate(const std::vector<Value>& inputs) -> Value {
    DifferenceMap<T> to = map(inputs[0]);
    for (std::size_t i = 1; i < inputs.size(); ++i) {
        to.channels += map(inputs[i]).channels;
        to.row_reach = reach_of_both(to.row_reach, map(inputs[i]).row_reach);
        to.col_reach = reach_of_both(to.col_reach, map(inputs[i]).col_reach);
    }
    const Value y = static_cast<Value>(maps_.size());
    return add_step(inputs, DifferenceMap<T>(to.channels, to.rows, to.cols, to.row_reach, to.col_reach),
                    [=](ProbeGroup<T>& g) {
                        const int64_t pitch = g.propagation->map(y).pitch;
                        each_position(g, y, [&](T* all, int64_t probe, int64_t row, int64_t col) {
                            std::fill(all, all + pitch, T(0));
                            for (const Value x : inputs) {
                                const int64_t channels = g.propagation->map(x).channels;
                                if (const T* const d = differences_at(g, x, probe, row, col))
                                    std::copy(d, d + channels, all);
                                all += channels;
                            }
                        });
                    });
}

#define ADVCORE_PROPAGATION(T)                                                                           \
    template int Propagation<T>::scale(int, std::vector<T>);                                             \
    template int Propagation<T>::clip(int, int, T, T, T);                                                \
    template int Propagation<T>::smooth(int, int, DifferenceFunction);                                   \
    template int Propagation<T>::max_pool(int, int, int, const PoolAxis&, const PoolAxis&, bool);        \
    template int Propagation<T>::mean(int, std::vector<Interval>, std::vector<Interval>, std::vector<T>, \
                                      std::vector<T>);                                                   \
    template int Propagation<T>::softmax(int, int, bool);                                                \
    template int Propagation<T>::sum(const std::vector<int>&);                                           \
    template int Propagation<T>::concatenate(const std::vector<int>&);
ADVCORE_PROPAGATION(float)
ADVCORE_PROPAGATION(double)

}  // namespace advcore
