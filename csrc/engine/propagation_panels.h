// Weights as the products of differences want them.
#pragma once

#include <cstdint>

#include "../kernels/difference.h"
#include "parallel.h"

namespace advcore {

// weight(column, term) in blocks of columns, zeros after the last column: [blocks][depth][difference_columns].
template <class T, class Weight>
void pack_blocks(int64_t cols, int64_t depth, const Weight& weight, T* to) {
    constexpr int64_t block = difference_columns<T>;
    for (int64_t first = 0; first < cols; first += block)
        for (int64_t k = 0; k < depth; ++k)
            for (int64_t c = 0; c < block; ++c) *to++ = first + c < cols ? weight(first + c, k) : T(0);
}

template <class T>
int64_t packed_size(int64_t cols, int64_t depth) {
    return ceil_div(cols, difference_columns<T>) * difference_columns<T> * depth;
}

}  // namespace advcore
