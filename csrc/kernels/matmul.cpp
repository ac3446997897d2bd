#include "matmul.h"

#include "kernel_list.h"
#include "narrow_product.h"
#include "thin_product.h"

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
        const int64_t rows = smaller(args.rows_per_tile, args.rows - row);
        const int64_t cols = smaller(args.cols_per_tile, args.cols - col);
        T* const c = args.c + (matrix * args.rows + row) * args.cols + col;
        if (rows <= most_thin_rows && args.b_depth == 1)
            thin_product<T>(rows, cols, args.depth, left.data, args.a_row, args.a_depth, right.data, args.b_col, c,
                            args.cols, args.accumulate, finish);
        else if (args.b_depth == 1 && !args.accumulate && is_narrow<T>(rows, args.depth))
            narrow_product<T>(rows, cols, args.depth, left, right.data, args.b_col, c, args.cols, finish,
                              static_cast<T*>(scratch));
        else
            product<T>(rows, cols, args.depth, left, right, c, args.cols, args.accumulate, finish,
                       static_cast<T*>(scratch));
    }
}

ADVCORE_INSTANTIATE(matmul, MatmulArgs)

}  // namespace advcore::ADVCORE_LEVEL
