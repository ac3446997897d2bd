// Which part of every layer's map one number of the input reaches: intervals of rows and of columns, worked out once
// for each row and each column of the input. The window of a probe is a pair of them.
#pragma once

#include <cstdint>
#include <vector>

namespace advcore {

struct Interval {
    int64_t first = 0, end = 0;
    int64_t size() const { return end > first ? end - first : 0; }
};

// Taps of an axis, as in ConvAxis and PoolAxis.
struct ReachAxis {
    int64_t input, output, taps, stride, padding, dilation;
};

// [i]: what row (or column) i of the network's input reaches along one axis of a layer.
using Reach = std::vector<Interval>;

Reach reach_of_input(int64_t extent);
Reach reach_through(const Reach& reach, const ReachAxis& axis);
Reach reach_of_all(const Reach& reach);  // a single output, which takes everything
Reach reach_of_windows(const Reach& reach, const std::vector<Interval>& windows);
Reach reach_of_both(const Reach& a, const Reach& b);  // the smallest intervals that hold both

int64_t longest(const Reach& reach);

// How many (element, tap) pairs there are in each interval whose output exists.
std::vector<int64_t> products_in(const Reach& reach, const ReachAxis& axis);

}  // namespace advcore
