#include "pool_max.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T, int Stride>
void max_pool_rows(const MaxPoolArgs<T>& args, int64_t begin, int64_t end, const Scratch<T>& scratch) {
    const BufferedRows rows = rows_for_windows(args.cols);
    scratch.pad(rows);
    for (int64_t first = begin; first < end; first += rows.together) {
        const int64_t to = first * args.cols.output;
        maximum_of_group<T, Stride>(args, rows, first, smaller(end, first + rows.together), scratch.buffers,
                                    args.output + to, args.indices + to);
    }
}

}  // namespace

template <class T>
void max_pool(const MaxPoolArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    if (!args.buffered) {
        for (int64_t row = begin; row < end; ++row) {
            const int64_t to = row * args.cols.output;
            maximum_of_long_row<T>(args, row, 0, args.cols.output, args.output + to,
                                   args.indices ? args.indices + to : nullptr);
        }
    } else if (args.cols.stride == 1) {
        max_pool_rows<T, 1>(args, begin, end, Scratch<T>(scratch));
    } else if (args.cols.stride == 2) {
        max_pool_rows<T, 2>(args, begin, end, Scratch<T>(scratch));
    } else {
        max_pool_rows<T, 0>(args, begin, end, Scratch<T>(scratch));
    }
}

ADVCORE_INSTANTIATE(max_pool, MaxPoolArgs)

}  // namespace advcore::ADVCORE_LEVEL
