#include "lid.h"

#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void lid(const LidArgs<T>& args, int64_t begin, int64_t end, void*) {
    for (int64_t query = begin; query < end; ++query) {
        const T* const distance = args.distance + query * args.k;
        const double farthest = static_cast<double>(distance[args.k - 1]);
        double sum = 0;
        for (int64_t i = 0; i < args.k; ++i) sum += __builtin_log(static_cast<double>(distance[i]) / farthest);
        // A duplicate is a point of dimension zero; equal distances fit every dimension.
        const bool duplicate = distance[0] == 0;
        args.lid[query] = static_cast<T>(duplicate  ? 0
                                         : sum == 0 ? __builtin_inf()
                                                    : -static_cast<double>(args.k) / sum);
    }
}

ADVCORE_INSTANTIATE(lid, LidArgs)

}  // namespace advcore::ADVCORE_LEVEL
