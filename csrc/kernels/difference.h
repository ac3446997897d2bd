// Differences: how far a layer's values are from those of a sample when one number of the sample has moved.
//
// A probe's differences at a layer fill a window of the layer's map, [rows][cols][pitch], channels last; `pitch` is the
// number of channels rounded up to whole columns blocks. Outside of the window they are zero.
#pragma once

#include <stdint.h>

#include "pool.h"

namespace advcore {

struct DifferenceWindow {
    int64_t row, col, rows, cols;
};

constexpr int64_t difference_rows = 6;  // of a panel
template <class T>
constexpr int64_t difference_columns = 64 / static_cast<int64_t>(sizeof(T));  // of a block of weights

// The terms of a product that are not zero, for each panel: six rows of differences that lie anywhere. After a ReLU the
// rows of probes near each other have the same zeros, most of the time. An item is a panel.
template <class T>
struct DifferenceTermsArgs {
    const T* in;
    const int64_t* in_offset;  // [panels][difference_rows]
    int64_t first, last;       // the terms to look at, at most block_depth
    int32_t *terms, *counts;   // [panels][block_depth], [panels]
};

// Adds weights times differences to rows that lie anywhere: out[out_offset[r] + c] += sum over the panel's terms k of
// in[in_offset[r] + k] * weight[k, c]. An item is a panel.
template <class T>
struct DifferenceProductArgs {
    const T* in;
    const int64_t* in_offset;
    const int32_t *terms, *counts;
    const T* weight;  // [column blocks][depth][difference_columns]
    T* out;
    const int64_t* out_offset;  // [panels][difference_rows]
    int64_t unused;             // the out_offset of rows that are left out; it is written to, too
    int64_t depth, cols;        // cols: of whole blocks
};

// Each channel by itself: out += in * weight at every tap. An item is a probe.
template <class T>
struct DifferenceDepthwiseArgs {
    const T* in;
    T* out;
    const DifferenceWindow *in_windows, *out_windows;
    int64_t in_size, out_size;  // from probe to probe
    const T* weight;            // [taps][pitch]
    int64_t pitch;
    PoolAxis rows, cols;  // kernel: taps
};

// What is done element by element, in place. An item is a probe. `kinked` is set for a probe where the result is not
// the opposite of what the opposite differences would have given; it may be null.
template <class T>
struct DifferenceClipArgs {
    const T* const* base;  // [probes]: the values before the function, [rows][cols][pitch] of the whole map
    const DifferenceWindow* windows;
    T* differences;
    int64_t size, map_cols, pitch;  // size: from probe to probe
    uint8_t* kinked;
    T low, high;  // min(max(x, low), high), and
    T slope;      // of what lies outside
};

// In double precision: nothing is left of small differences otherwise. An item is a probe.
enum class DifferenceFunction : int32_t { sigmoid, tanh, gelu, gelu_tanh };

template <class T>
struct DifferenceSmoothArgs {
    const T* const* base;
    const DifferenceWindow* windows;
    T* differences;
    int64_t size, map_cols, pitch;
    DifferenceFunction function;
};

// Maximum of windows, with the ReLU that follows if there is one. An item is a probe.
template <class T>
struct DifferenceMaxPoolArgs {
    const T *const *base, *const *base_out;  // [probes]: the pooling's inputs and outputs, without the ReLU
    const DifferenceWindow *in_windows, *out_windows;
    const T* in;
    T* out;
    int64_t in_size, out_size;
    int64_t pitch;
    PoolAxis rows, cols;
    uint8_t* kinked;
    bool relu;
};

}  // namespace advcore
