#include "matmul.h"

#include "kernel_list.h"
#include "product.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void matmul(const MatmulArgs<T>& args, int64_t begin, int64_t end, void* scratch) {
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item % args.row_tiles * args.rows_per_tile;
        const int64_t col = item / args.row_tiles % args.col_tiles * args.cols_per_tile;
        const int64_t matrix = item / (args.row_tiles * args.col_tiles);
        const LeftMatrix<T> left{args.a + matrix * args.a_batch + row * args.a_row, args.a_row, args.a_depth};
        const RightMatrix<T> right{args.b + matrix * args.b_batch + col * args.b_col, args.b_depth, args.b_col};
        Finish<T> finish;
        finish.col_bias = args.bias ? args.bias + col : nullptr;
        finish.activation = args.activation;
        product<T>(smaller(args.rows_per_tile, args.rows - row), smaller(args.cols_per_tile, args.cols - col),
                   args.depth, left, right, args.c + (matrix * args.rows + row) * args.cols + col, args.cols,
                   args.accumulate, finish, static_cast<T*>(scratch));
    }
}

ADVCORE_INSTANTIATE(matmul, MatmulArgs)

}  // namespace advcore::ADVCORE_LEVEL
