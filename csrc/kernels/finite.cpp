#include "finite.h"

#include "kernel_list.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void first_nonfinite(const FiniteArgs<T>& args, int64_t begin, int64_t end, void*) {
    constexpr int L = lanes<T>;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t last = smaller(args.size, (item + 1) * finite_stretch);
        int64_t at = item * finite_stretch;
        // x - x is zero for a finite x and NaN otherwise; four sums hide the latency of the addition.
        Vec<T> sum[4] = {};
        for (; at + 4 * L <= last; at += 4 * L) {
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v) {
                const Vec<T> x = load(args.data + at + v * L);
                sum[v] += x - x;
            }
        }
        const Vec<T> total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        T lane[L], rest = 0;
        store(lane, total);
        for (T value : lane) rest += value;
        for (; at < last; ++at) rest += args.data[at] - args.data[at];
        args.first[item] = args.size;
        if (rest == 0) continue;
        for (int64_t i = item * finite_stretch; i < last && args.first[item] == args.size; ++i)
            if (!(args.data[i] - args.data[i] == 0)) args.first[item] = i;
    }
}

ADVCORE_INSTANTIATE(first_nonfinite, FiniteArgs)

}  // namespace advcore::ADVCORE_LEVEL
