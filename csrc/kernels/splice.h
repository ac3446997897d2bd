// Windows of images, cut out of them and put in.
#pragma once

#include <stdint.h>

namespace advcore {

// out[item] = the patch (channels, rows, cols) at out_at[item] of kept[slots[item]], (channels, height, width), where
// region[item], (channels, region_rows, region_cols) at region_at[item], has taken its place; zero beyond the image.
// The places are row and column of the first corner. An item is an image.
template <class T>
struct SpliceArgs {
    const T* kept;
    const int64_t* slots;
    int64_t channels, height, width;
    const T* region;  // null: none
    const int64_t* region_at;
    int64_t region_rows, region_cols;
    T* out;
    const int64_t* out_at;
    int64_t rows, cols;
};

}  // namespace advcore
