// Normalisations of a propagation: a difference changes its group's mean and variance, and so the whole group.
#include <algorithm>
#include <cmath>
#include <memory>

#include "propagation.h"
#include "propagation_windows.h"

namespace advcore {
namespace {

struct Moments {
    double mean = 0, variance = 0;
};

// Of some channels of some positions, which lie `pitch` apart.
template <class T>
Moments moments_of(const T* x, int64_t channels, int64_t positions, int64_t pitch) {
    const double count = double(channels * positions);
    Moments m;
    for (int64_t p = 0; p < positions; ++p)
        for (int64_t c = 0; c < channels; ++c) m.mean += double(x[p * pitch + c]);
    m.mean /= count;
    for (int64_t p = 0; p < positions; ++p)
        for (int64_t c = 0; c < channels; ++c) {
            const double from_mean = double(x[p * pitch + c]) - m.mean;
            m.variance += from_mean * from_mean;
        }
    m.variance /= count;
    return m;
}

// How a group's normalised values change: y' - y = weight ((d - shift) scale + (x - mean) slope), where
// var' - var = (sum (2 (x - mean) d + d^2)) / n - shift^2, shift = sum d / n.
struct Change {
    double mean, shift = 0, growth = 0, scale = 0, slope = 0;

    explicit Change(double of_mean) : mean(of_mean) {}
    template <class T>
    void add(const T* x, const T* d, int64_t channels) {
        for (int64_t c = 0; c < channels; ++c) {
            const double moved = double(d[c]);
            shift += moved;
            growth += (2 * (double(x[c]) - mean) + moved) * moved;
        }
    }
    void finish(int64_t count, double variance, double eps) {
        shift /= double(count);
        growth = growth / double(count) - shift * shift;
        const double before = std::sqrt(variance + eps), after = std::sqrt(std::max(variance + growth, 0.0) + eps);
        scale = 1 / after;
        slope = -growth / (before * after * (before + after));
    }
    template <class T>
    void write(T* y, const T* x, const T* d, const T* weight, int64_t channels) const {
        for (int64_t c = 0; c < channels; ++c) {
            const double moved = d ? double(d[c]) : 0.0;
            y[c] = T(double(weight[c]) * ((moved - shift) * scale + (double(x[c]) - mean) * slope));
        }
    }
};

template <class T>
struct Norm {
    int x, y, base;
    int64_t groups;
    double eps;
    std::vector<T> weight;  // [rows][cols][channels]
};

template <class T>
void normalize_positions(ProbeGroup<T>& g, const Norm<T>& norm) {
    const DifferenceMap<T>& m = g.propagation->map(norm.y);
    const int64_t own = m.channels / norm.groups;
    each_position(g, norm.y, [&](T* y, int64_t probe, int64_t row, int64_t col) {
        const T* const x = g.base_at(norm.base, norm.x, probe, row, col);
        const T* const d = differences_at(g, norm.x, probe, row, col);
        const T* const weight = norm.weight.data() + (row * m.cols + col) * m.channels;
        std::fill(y, y + m.pitch, T(0));
        for (int64_t first = 0; first < m.channels; first += own) {
            const Moments before = moments_of(x + first, own, 1, m.pitch);
            Change change(before.mean);
            change.add(x + first, d + first, own);
            change.finish(own, before.variance, norm.eps);
            change.write(y + first, x + first, d + first, weight + first, own);
        }
    });
}

template <class T>
void normalize_maps(ProbeGroup<T>& g, const Norm<T>& norm) {
    const DifferenceMap<T>& m = g.propagation->map(norm.y);
    const int64_t own = m.channels / norm.groups, positions = m.rows * m.cols;
    std::vector<Moments> before(static_cast<std::size_t>(norm.groups));
    std::vector<Change> changes;
    const T* known = nullptr;  // the sample whose moments these are
    for (int64_t probe = 0; probe < g.count; ++probe) {
        const DifferenceWindow in = g.windows_of(norm.x)[static_cast<std::size_t>(probe)];
        const DifferenceWindow out = g.windows_of(norm.y)[static_cast<std::size_t>(probe)];
        if (in.rows == 0) continue;
        const T* const x = g.base_at(norm.base, norm.x, probe, 0, 0);
        if (x != known)
            for (int64_t i = 0; i < norm.groups; ++i)
                before[static_cast<std::size_t>(i)] = moments_of(x + i * own, own, positions, m.pitch);
        known = x;
        changes.clear();
        for (const Moments& moments : before) changes.emplace_back(moments.mean);
        const T* d = g.at(norm.x) + probe * g.propagation->map(norm.x).size;
        for (int64_t row = in.row; row < in.row + in.rows; ++row)
            for (int64_t col = in.col; col < in.col + in.cols; ++col, d += m.pitch)
                for (int64_t i = 0; i < norm.groups; ++i)
                    changes[static_cast<std::size_t>(i)].add(x + (row * m.cols + col) * m.pitch + i * own, d + i * own,
                                                             own);
        for (int64_t i = 0; i < norm.groups; ++i)
            changes[static_cast<std::size_t>(i)].finish(own * positions, before[static_cast<std::size_t>(i)].variance,
                                                        norm.eps);
        T* y = g.at(norm.y) + probe * m.size;
        for (int64_t row = out.row; row < out.row + out.rows; ++row)
            for (int64_t col = out.col; col < out.col + out.cols; ++col, y += m.pitch) {
                const T* const moved = differences_at(g, norm.x, probe, row, col);
                const int64_t at = row * m.cols + col;
                std::fill(y, y + m.pitch, T(0));
                for (int64_t i = 0; i < norm.groups; ++i)
                    changes[static_cast<std::size_t>(i)].write(y + i * own, x + at * m.pitch + i * own,
                                                               moved ? moved + i * own : nullptr,
                                                               norm.weight.data() + at * m.channels + i * own, own);
            }
    }
}

// All of an axis, for what reaches any of it.
Reach reach_of_whole(const Reach& reach, int64_t extent) {
    Reach result;
    for (const Interval& in : reach) result.push_back({0, in.size() == 0 ? 0 : extent});
    return result;
}

}  // namespace

template <class T>
auto Propagation<T>::normalize(Value x, int base, int64_t groups, bool by_position, const T* weight, double eps)
    -> Value {
    const DifferenceMap<T> m = map(x);
    const Value y = static_cast<Value>(maps_.size());
    const auto norm = std::make_shared<Norm<T>>(Norm<T>{x, y, base, groups, eps, {}});
    const int64_t positions = m.rows * m.cols;
    for (int64_t p = 0; p < positions; ++p)
        for (int64_t c = 0; c < m.channels; ++c) norm->weight.push_back(weight[c * positions + p]);
    DifferenceMap<T> to = by_position
                              ? m
                              : DifferenceMap<T>(m.channels, m.rows, m.cols, reach_of_whole(m.row_reach, m.rows),
                                                 reach_of_whole(m.col_reach, m.cols));
    return add_step({x}, std::move(to), [=](ProbeGroup<T>& g) {
        by_position ? normalize_positions(g, *norm) : normalize_maps(g, *norm);
        std::fill(g.kinked.begin(), g.kinked.end(), uint8_t{1});  // the opposite of d gives no opposite
    });
}

template Propagation<float>::Value Propagation<float>::normalize(Value, int, int64_t, bool, const float*, double);
template Propagation<double>::Value Propagation<double>::normalize(Value, int, int64_t, bool, const double*, double);

}  // namespace advcore
