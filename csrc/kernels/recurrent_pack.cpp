#include "kernel_list.h"
#include "recurrent_product.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void recurrent_pack(const RecurrentPackArgs<T>& args, int64_t begin, int64_t end, void*) {
    const PackedRight<T> packed{args.packed, args.depth, args.cols};
    const int64_t first = begin * packed_strip_cols;
    const int64_t cols = smaller(end * packed_strip_cols, args.cols) - first;
    const RightMatrix<T> right{args.right + first * args.col_stride, args.depth_stride, args.col_stride};
    for (int64_t k = 0; k < args.depth; k += block_depth) {
        const int64_t terms = smaller(block_depth, args.depth - k);
        right(cols, k, terms, args.packed + packed.offset(first, k, terms));
    }
}

ADVCORE_INSTANTIATE(recurrent_pack, RecurrentPackArgs)

}  // namespace advcore::ADVCORE_LEVEL
