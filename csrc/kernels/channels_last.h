// Samples whose channels lie side by side at each position, as whole networks keep them between layers that gain by it:
// what is done for a register of channels at a time needs no exchange between its lanes.
#pragma once

#include <stdint.h>

namespace advcore {

// Of which the number of channels is a multiple, so that registers of every level are full.
constexpr int64_t channels_together = 16;

// to[n, col, row] = from[n, row, col]: from planes to channels last (rows are channels) and back (rows are positions).
// An item is `rearranged_rows` rows of a sample.
constexpr int64_t rearranged_rows = 16;
template <class T>
struct RearrangeArgs {
    const T* from;
    T* to;
    int64_t samples, rows, cols;
    [[gnu::always_inline]] int64_t strips() const { return (rows + rearranged_rows - 1) / rearranged_rows; }
};

// Windows of height x width elements side by side; what is left over at the end of an axis is in none.
struct SideBySide {
    int64_t samples, channels;
    int64_t height, width;  // of a window
    int64_t in_height, in_width, out_height, out_width;
};

// out[n, y, x, c] = the maximum of a window of input[n, :, :, c]; place[n, y, x, c] = its number in the window, row by
// row, as an integer of the elements' size. An item is a row of windows.
template <class T>
struct MaxPoolLastArgs {
    SideBySide windows;
    const T* input;
    T* out;
    T* place;  // or null
};

// grad_input = grad_output where a window's maximum was, zero elsewhere. An item is a row of windows.
template <class T>
struct MaxPoolLastGradArgs {
    SideBySide windows;
    const T* place;
    const T* grad_output;
    T* grad_input;
};

}  // namespace advcore
