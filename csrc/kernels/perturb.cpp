#include "perturb.h"

#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void perturb(const PerturbArgs<T>& args, int64_t begin, int64_t end, void*) {
    const int64_t rows_per_sample = args.keep + 2 * args.count;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t sample = (args.first_row + item) / rows_per_sample;
        const int64_t copy = (args.first_row + item) % rows_per_sample - args.keep;
        T* const row = args.batch + item * args.size;
        __builtin_memcpy(row, args.x + sample * args.size, static_cast<uint64_t>(args.size) * sizeof(T));
        if (copy < 0) continue;
        const int64_t at = sample * args.count + copy % args.count;
        row[args.coordinates[at]] = (copy < args.count ? args.upper : args.lower)[at];
    }
}

ADVCORE_INSTANTIATE(perturb, PerturbArgs)

}  // namespace advcore::ADVCORE_LEVEL
