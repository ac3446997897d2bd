#include "reach.h"

#include <algorithm>

#include "parallel.h"

namespace advcore {
namespace {

template <class Function>
Reach each(const Reach& reach, Function f) {
    Reach result(reach.size());
    for (std::size_t i = 0; i < reach.size(); ++i)
        if (reach[i].size() > 0) result[i] = f(reach[i]);
    return result;
}

}  // namespace

Reach reach_of_input(int64_t extent) {
    Reach result;
    for (int64_t i = 0; i < extent; ++i) result.push_back({i, i + 1});
    return result;
}

Reach reach_through(const Reach& reach, const ReachAxis& a) {
    return each(reach, [&](Interval in) {
        const int64_t before = in.first + a.padding - (a.taps - 1) * a.dilation;  // of the first output, times stride
        const int64_t first = before > 0 ? ceil_div(before, a.stride) : 0;
        return Interval{first, std::max(first, std::min(a.output, (in.end - 1 + a.padding) / a.stride + 1))};
    });
}

Reach reach_of_all(const Reach& reach) {
    return each(reach, [](Interval) { return Interval{0, 1}; });
}

Reach reach_of_windows(const Reach& reach, const std::vector<Interval>& windows) {
    return each(reach, [&](Interval in) {
        Interval out;
        for (std::size_t i = 0; i < windows.size(); ++i) {
            if (windows[i].end <= in.first || windows[i].first >= in.end) continue;
            if (out.size() == 0) out.first = static_cast<int64_t>(i);
            out.end = static_cast<int64_t>(i) + 1;
        }
        return out;
    });
}

Reach reach_of_both(const Reach& a, const Reach& b) {
    Reach result(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i].size() == 0 || b[i].size() == 0)
            result[i] = a[i].size() ? a[i] : b[i];
        else
            result[i] = {std::min(a[i].first, b[i].first), std::max(a[i].end, b[i].end)};
    }
    return result;
}

int64_t longest(const Reach& reach) {
    int64_t most = 0;
    for (const Interval& interval : reach) most = std::max(most, interval.size());
    return most;
}

std::vector<int64_t> products_in(const Reach& reach, const ReachAxis& a) {
    std::vector<int64_t> counts;
    for (const Interval& in : reach) {
        int64_t count = 0;
        for (int64_t i = in.first; i < in.end; ++i)
            for (int64_t t = 0; t < a.taps; ++t) {
                const int64_t at = i + a.padding - t * a.dilation;
                count += at >= 0 && at % a.stride == 0 && at / a.stride < a.output;
            }
        counts.push_back(count);
    }
    return counts;
}

}  // namespace advcore
