// Walking through what a group of probes reaches of a map.
#pragma once

#include "propagation.h"

namespace advcore {

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

}  // namespace advcore
