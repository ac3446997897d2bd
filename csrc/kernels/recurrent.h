// Recurrent layers through time: the steps of one layer in one direction, forward and backward, for all samples.
//
// The products with the input are done for all steps at once before (forward) and after (backward) these kernels. What
// is left is sequential in time and independent between samples, so an item is a group of samples that runs through
// all its steps alone.
#pragma once

#include <stdint.h>

namespace advcore {

// The gates of a step lie side by side, each `hidden` wide: rnn h; gru r, z, n; lstm i, f, g, o.
enum class Cell : int32_t { rnn_tanh = 0, gru_after = 1, gru_before = 2, lstm = 3 };

[[gnu::always_inline]] constexpr int64_t gate_count(Cell cell) {
    return cell == Cell::rnn_tanh ? 1 : cell == Cell::lstm ? 4 : 3;
}

// A packed matrix is cut into strips of this many columns: whole panels at every level.
constexpr int64_t packed_strip_cols = 32;

// Packs right[depth, cols] for the product of recurrent_product.h. An item is one strip.
template <class T>
struct RecurrentPackArgs {
    const T* right;
    int64_t depth, cols;
    int64_t depth_stride, col_stride;
    T* packed;  // depth * cols elements, cols rounded up to whole strips
};

constexpr int64_t max_samples_per_item = 84;  // 6 panels of 14, 14 of 6

// What both directions share. `states` and `cells` have a slot before the first step and one after each: a step of
// the forward direction goes from slot t to t + 1, of the reverse direction from slot t + 1 to t.
template <class T>
struct RecurrentSteps {
    Cell cell;
    bool reverse;
    int64_t steps, samples, hidden;
    int64_t samples_per_item;
    const int64_t* lengths;      // one a sample, or null; later steps leave the state as it is
    const T* packed_weight;      // w_hh; of a gru its rows of r and z. Transposed for forward
    const T* packed_new_weight;  // of a gru the rows of n
};

// An item is a group of `samples_per_item` samples.
template <class T>
struct RecurrentForwardArgs : RecurrentSteps<T> {
    const T* new_bias;  // gru_after: what is added to the state's part of n before r multiplies it, or null
    T* gates;           // [steps][samples][gates][hidden]: the input's part on entry, activated on return
    T* states;          // [slot][samples][hidden]
    T* cells;           // lstm: [slot][samples][hidden]
    T* extra;  // [steps][samples][hidden]: gru_after the state's part of n, gru_before r * state, lstm tanh(cell)
    int64_t slot_stride;   // of states and cells; 0: one slot, overwritten
    int64_t extra_stride;  // of a step's extra; 0 likewise
    T* output;             // [steps][samples][hidden] by strides; zero after a sample's length
    int64_t output_step, output_sample;
};

// An item is a group of `samples_per_item` samples.
template <class T>
struct RecurrentBackwardArgs : RecurrentSteps<T> {
    const T *gates, *states, *cells, *extra;  // as forward left them, every slot and step kept
    const T* grad_output;
    int64_t output_step, output_sample;
    T* grad_gates;               // before activation: [steps][samples][gates][hidden]
    T* grad_extra;               // [steps][samples][hidden]: gru_after the gradient of extra; gru_before workspace
    int64_t grad_extra_stride;   // of a step; 0: one slot, overwritten
    T *grad_state, *grad_cells;  // [samples][hidden]: of the last state on entry, of the first on return
};

}  // namespace advcore
