// The layers of a propagation that have no weights.
#include <algorithm>
#include <cmath>
#include <memory>

#include "dispatch.h"
#include "propagation.h"
#include "propagation_windows.h"

namespace advcore {
namespace {

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
        each_position(g, y, [&](T* d, int64_t probe, int64_t row, int64_t col) {
            const T* const base = g.base_at(base_out, y, probe, row, col);
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

// (a + da) (b + db) - a b = da (b + db) + a db
template <class T>
auto Propagation<T>::product(Value x, Value y, int base_x, int base_y) -> Value {
    struct Factor {
        Value value;
        int base;
        int64_t channels, rows, cols;
        const T* at(const ProbeGroup<T>& g, int64_t probe, int64_t row, int64_t col) const {
            return g.base_at(base, value, probe, std::min(row, rows - 1), std::min(col, cols - 1));
        }
        const T* difference(const ProbeGroup<T>& g, int64_t probe, int64_t row, int64_t col) const {
            return differences_at(g, value, probe, std::min(row, rows - 1), std::min(col, cols - 1));
        }
        int64_t channel(int64_t c) const { return std::min(c, channels - 1); }
    };
    const DifferenceMap<T> a = map(x), b = map(y);
    const auto stretched = [](const Reach& reach, int64_t extent, int64_t to) {
        return reach_of_windows(reach, extent == to ? reach_of_input(to) : Reach(static_cast<std::size_t>(to), {0, 1}));
    };
    const int64_t channels = std::max(a.channels, b.channels);
    const int64_t rows = std::max(a.rows, b.rows), cols = std::max(a.cols, b.cols);
    DifferenceMap<T> to(channels, rows, cols,
                        reach_of_both(stretched(a.row_reach, a.rows, rows), stretched(b.row_reach, b.rows, rows)),
                        reach_of_both(stretched(a.col_reach, a.cols, cols), stretched(b.col_reach, b.cols, cols)));
    const Factor first{x, base_x, a.channels, a.rows, a.cols}, second{y, base_y, b.channels, b.rows, b.cols};
    const Value result = static_cast<Value>(maps_.size());
    return add_step({x, y}, std::move(to), [=](ProbeGroup<T>& g) {
        const int64_t pitch = g.propagation->map(result).pitch;
        each_position(g, result, [&](T* d, int64_t probe, int64_t row, int64_t col) {
            std::fill(d, d + pitch, T(0));
            const T* const da = first.difference(g, probe, row, col);
            const T* const db = second.difference(g, probe, row, col);
            const T *const p = first.at(g, probe, row, col), *const q = second.at(g, probe, row, col);
            for (int64_t c = 0; c < channels; ++c) {
                const int64_t i = first.channel(c), j = second.channel(c);
                const T moved = db ? db[j] : T(0);
                d[c] = (da ? da[i] * (q[j] + moved) : T(0)) + p[i] * moved;
            }
        });
        std::fill(g.kinked.begin(), g.kinked.end(), uint8_t{1});
    });
}

template <class T>
auto Propagation<T>::gather(Value x, const int64_t* source, int64_t channels, const std::vector<Interval>& rows,
                            const std::vector<Interval>& cols) -> Value {
    const DifferenceMap<T> from = map(x);
    DifferenceMap<T> to(channels, static_cast<int64_t>(rows.size()), static_cast<int64_t>(cols.size()),
                        reach_of_windows(from.row_reach, rows), reach_of_windows(from.col_reach, cols));
    struct Element {
        int32_t channel, row, col;  // channel -1: none
    };
    auto elements = std::make_shared<std::vector<Element>>();  // [rows][cols][channels]
    for (int64_t row = 0; row < to.rows; ++row)
        for (int64_t col = 0; col < to.cols; ++col)
            for (int64_t c = 0; c < channels; ++c) {
                const int64_t at = source[(c * to.rows + row) * to.cols + col], position = at % (from.rows * from.cols);
                elements->push_back(at < 0 ? Element{-1, 0, 0}
                                           : Element{static_cast<int32_t>(at / (from.rows * from.cols)),
                                                     static_cast<int32_t>(position / from.cols),
                                                     static_cast<int32_t>(position % from.cols)});
            }
    const Value y = static_cast<Value>(maps_.size());
    return add_step({x}, std::move(to), [=, to_cols = static_cast<int64_t>(cols.size())](ProbeGroup<T>& g) {
        const int64_t pitch = g.propagation->map(y).pitch;
        each_position(g, y, [&](T* d, int64_t probe, int64_t row, int64_t col) {
            std::fill(d, d + pitch, T(0));
            const Element* const own = elements->data() + (row * to_cols + col) * channels;
            for (int64_t c = 0; c < channels; ++c) {
                if (own[c].channel < 0) continue;
                if (const T* const moved = differences_at(g, x, probe, own[c].row, own[c].col))
                    d[c] = moved[own[c].channel];
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
    template int Propagation<T>::concatenate(const std::vector<int>&);                                   \
    template int Propagation<T>::product(int, int, int, int);                                            \
    template int Propagation<T>::gather(int, const int64_t*, int64_t, const std::vector<Interval>&,      \
                                        const std::vector<Interval>&);
ADVCORE_PROPAGATION(float)
ADVCORE_PROPAGATION(double)

}  // namespace advcore
