#include "kernel_list.h"
#include "recurrent_product.h"

namespace advcore::ADVCORE_LEVEL {

template <class T>
void recurrent_pack(const RecurrentPackArgs<T>& args, int64_t begin, int64_t end, void*) {
    const PackedRight<T> packed{args.packed, args.depth, args.cols};
    const int64_t first = begin * packed_strip_cols;
    const int64_t cols = smaller(end * packed_strip_cols, args.cols) - first;
    const RightMatrix<T> right{args.right + first, args.cols, 1};
    for (int64_t k = 0; k < args.depth; k += block_depth) {
        const int64_t terms = smaller(block_depth, args.depth - k);
        right(cols, k, terms, args.packed + packed.offset(first, k, terms));
    }
}

template <class T>
void recurrent_pack_gates(const RecurrentPackGatesArgs<T>& args, int64_t begin, int64_t end, void*) {
    const int64_t last_unit = smaller(end * packed_strip_cols, args.hidden);
    for (int64_t unit = begin * packed_strip_cols; unit < last_unit; unit += units_at_once<T>) {
        const int64_t units = smaller(units_at_once<T>, args.hidden - unit), cols = args.gates * units;
        T* const block = args.packed + unit * args.gates * args.depth;
        const PackedRight<T> packed{block, args.depth, cols};
        for (int64_t k = 0; k < args.depth; k += block_depth) {
            const int64_t terms = smaller(block_depth, args.depth - k);
            const auto row = [&](int64_t col) {
                return args.weight + (col / units * args.hidden + unit + col % units) * args.depth + k;
            };
            for (int64_t col = 0; col < cols; col += panel_cols<T>) {
                T* const panel = block + packed.offset(col, k, terms);
                const int64_t used = smaller(panel_cols<T>, cols - col), width = panel_width<T>(used);
                if (units == units_at_once<T>) {
                    pack_strip(row(col), args.depth, 1, used, width, terms, panel);
                    continue;
                }
                for (int64_t i = 0; i < width; ++i)  // the last units: a panel mixes gates
                    for (int64_t term = 0; term < terms; ++term)
                        panel[term * width + i] = i < used ? row(col + i)[term] : T(0);
            }
        }
    }
}

ADVCORE_INSTANTIATE(recurrent_pack, RecurrentPackArgs)
ADVCORE_INSTANTIATE(recurrent_pack_gates, RecurrentPackGatesArgs)

}  // namespace advcore::ADVCORE_LEVEL
