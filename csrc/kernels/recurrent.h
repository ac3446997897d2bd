// Recurrent layers through time: the steps of one layer in one direction, forward and backward, for all samples.
//
// The steps are sequential in time and independent between samples, so an item is a group of samples that runs through
// all its steps alone. Forward multiplies the inputs of some steps at once before it takes them; the products of
// backward with the weights of the input, and for the gradients of the weights, follow after each chunk of steps.
#pragma once

#include <stdint.h>

#include "tile.h"

namespace advcore {

// The gates of a step lie side by side, each `hidden` wide: rnn h; gru r, z, n; lstm i, f, g, o.
enum class Cell : int32_t { rnn_tanh = 0, gru_after = 1, gru_before = 2, lstm = 3 };

[[gnu::always_inline]] constexpr int64_t gate_count(Cell cell) {
    return cell == Cell::rnn_tanh ? 1 : cell == Cell::lstm ? 4 : 3;
}

// A packed matrix is cut into strips of this many columns (or units): whole panels at every level.
constexpr int64_t packed_strip_cols = 32;
constexpr int64_t most_lanes = 16;  // of a register at any level

// Packs right[depth, cols] for the product of recurrent_product.h. An item is one strip.
template <class T>
struct RecurrentPackArgs {
    const T* right;
    int64_t depth, cols;
    T* packed;  // depth * cols elements, cols rounded up to whole strips
};

// Packs weight[gates * hidden, depth], turned, in blocks of units, of each the columns of all gates: what the cell
// needs for a unit comes from the product at the same time. An item is one strip of units.
template <class T>
struct RecurrentPackGatesArgs {
    const T* weight;
    int64_t gates, hidden, depth;
    T* packed;  // depth * gates * hidden elements, gates * hidden rounded up to whole strips
};

constexpr int64_t max_samples_per_item = 84;  // 6 panels of 14, 14 of 6
constexpr int64_t max_thin_rows = 4;          // so few are multiplied with weights as they are

// What of forward's products is packed: nothing for so few rows, the weights ahead, or in a single step the rows alone.
enum class Packing : int32_t { none, ahead, of_rows };

// What both directions share. `states` and `cells` have a slot before the first step and one after each: a step of
// the forward direction goes from slot t to t + 1, of the reverse direction from slot t + 1 to t.
template <class T>
struct RecurrentSteps {
    Cell cell;
    bool reverse;
    int64_t steps, samples, inputs, hidden;
    int64_t samples_per_item;
    const int64_t* lengths;  // one a sample, or null; later steps leave the state as it is
};

// An item is a range of `units_per_item` units of a group of `samples_per_item` samples; ranges run fastest. There is
// more than one range only where there is one step, and the reset gate does not come before the product.
template <class T>
struct RecurrentForwardArgs : RecurrentSteps<T> {
    int64_t units_per_item;
    int64_t steps_at_once;  // whose inputs are multiplied together
    const T* input;         // [steps][samples][inputs] by strides, the last one 1
    int64_t input_step, input_sample;
    Packing packing;
    const T *w_ih, *w_hh, *w_hn;  // w_hn: of gru_before the rows of n, which w_hh lacks
    const T* bias;                // [gates][hidden], added to the input's part, or null
    const T* new_bias;            // gru_after: what is added to the state's part of n before r multiplies it, or null
    const T *first_state, *first_cell;  // [samples][hidden]: the slot before the first step
    T* states;                          // [slot][samples][hidden]
    T* cells;                           // lstm: [slot][samples][hidden]
    int64_t slot_stride;                // of states and cells; 0: one slot, overwritten
    T* gates;                           // [steps][samples][gates][hidden], activated, or null
    T* extra;   // [steps][samples][hidden] beside gates: gru_after the state's part of n, gru_before r * state, lstm
                // tanh(cell)
    T* output;  // [steps][samples][hidden] by strides; zero after a sample's length
    int64_t output_step, output_sample;
};

// The elements of scratch memory that recurrent_forward uses: rows are steps_at_once times samples_per_item.
constexpr int64_t recurrent_forward_scratch(int64_t rows, int64_t gates, int64_t hidden) {
    return rows * (3 * hidden + gates * (hidden + packed_strip_cols)) + most_lanes * hidden +
           (2 * max_samples_per_item + gates * packed_strip_cols) * block_depth;
}

// Takes the steps [first_step, last_step) back. An item is a group of `samples_per_item` samples.
template <class T>
struct RecurrentBackwardArgs : RecurrentSteps<T> {
    int64_t first_step, last_step;
    const T* packed_weight;                   // w_hh; of a gru its rows of r and z
    const T* packed_new_weight;               // of a gru the rows of n
    const T *gates, *states, *cells, *extra;  // as forward left them, every slot and step kept
    const T* grad_output;
    int64_t output_step, output_sample;
    T* grad_gates;               // before activation: [step - first_step][samples][gates][hidden]
    T* grad_extra;               // [step - first_step][samples][hidden]: gru_after the gradient of extra
    int64_t grad_extra_stride;   // of a step; 0: workspace of gru_before, overwritten
    T *grad_state, *grad_cells;  // [samples][hidden]: of the last state on entry, of the first on return
};

constexpr int64_t summed_strip_cols = 128;

// out[cols] (+)= the sum over rows, in the order of the product's chains. An item is one strip of columns.
template <class T>
struct ColumnSumsArgs {
    const T* rows;
    int64_t count, stride, cols;
    bool accumulate;
    T* out;
};

}  // namespace advcore
