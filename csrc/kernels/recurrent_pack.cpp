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
    const GateWeights<T> weights{args.weight, args.gates, args.hidden, args.depth};
    const int64_t last_unit = smaller(end * packed_strip_cols, args.hidden);
    for (int64_t unit = begin * packed_strip_cols; unit < last_unit; unit += units_at_once<T>) {
        const int64_t units = smaller(units_at_once<T>, args.hidden - unit);
        const PackedRight<T> packed{args.packed + unit * args.gates * args.depth, args.depth, args.gates * units};
        for (int64_t k = 0; k < args.depth; k += block_depth) {
            const int64_t terms = smaller(block_depth, args.depth - k);
            pack_units(weights, unit, units, k, terms,
                       args.packed + unit * args.gates * args.depth + packed.offset(0, k, terms));
        }
    }
}

ADVCORE_INSTANTIATE(recurrent_pack, RecurrentPackArgs)
ADVCORE_INSTANTIATE(recurrent_pack_gates, RecurrentPackGatesArgs)

}  // namespace advcore::ADVCORE_LEVEL
