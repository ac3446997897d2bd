#include "conv2d.h"
#include "kernel_list.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void conv2d_pack(const Conv2dPackArgs<T>& args, int64_t begin, int64_t end, void*) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t k = item % args.blocks * block_depth, rest = item / args.blocks;
        const int64_t row = rest % args.parts * args.part_rows, group = rest / args.parts;
        const LeftMatrix<T> matrix{args.matrix + group * args.group_stride + row * args.row_stride, args.row_stride,
                                   args.depth_stride};
        pack_left<T>(matrix, smaller(args.part_rows, args.rows - row), args.depth, k,
                     args.packed + (group * args.rows + row) * args.depth);
    }
}

ADVCORE_INSTANTIATE(conv2d_pack, Conv2dPackArgs)

}  // namespace advcore::ADVCORE_LEVEL
