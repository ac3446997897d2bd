// An LSTM whose two products and whose cell are normalised over the batch (Cooijmans et al. 2017), one step at a time.
//
// The statistics couple the samples, so an item is a block of hidden units with all samples: their columns of the
// product with the last state, their statistics and their cells. The next step needs the states of all units, so a call
// is one step.
#pragma once

#include <stdint.h>

namespace advcore {

// What is normalised, side by side in the statistics: the input's part of the gates i, f, g, o, the state's, the cell.
constexpr int64_t batch_norm_lstm_parts = 9;

// Packs w_hh for the product of every step: for forward transposed, each gate by itself. An item is one block of units.
template <class T>
struct BatchNormLstmPackArgs {
    const T* weight;  // [4 hidden][hidden]
    bool transposed;
    int64_t hidden, block_units;
    T* packed;  // 4 * hidden * block_units elements a block
};

// What both directions share. An item is a block of `block_units` units.
template <class T>
struct BatchNormLstmStep {
    int64_t t, samples, hidden, block_units;
    bool training;  // statistics of this batch, not of earlier ones
    T eps;
    const T* packed_weight;
    const T *bias, *gamma_ih, *gamma_hh;  // [4][hidden]
    const T *gamma_c, *beta_c;            // [hidden]
    T *mean, *variance;                   // of this step: [batch_norm_lstm_parts][hidden]; the variance divided by N
    T* input_part;                        // of this step: [samples][4][hidden]
    T* state_part;                        // likewise
    T* gates;                             // workspace like them
    T *state, *cell;                      // before the step: [samples][hidden]
    T* next_cell;
    T* tanh_cell;  // of the normalised cell: [samples][hidden]
};

template <class T>
struct BatchNormLstmForwardArgs : BatchNormLstmStep<T> {
    T* next_state;
    T* output;
    int64_t output_sample;  // from a sample to the next
};

template <class T>
struct BatchNormLstmBackwardArgs : BatchNormLstmStep<T> {
    const T* later_grad;  // grad_state_part of the step after; null at the last step
    bool only_product;    // before the first step: nothing but the gradient of the first state
    const T* grad_output;
    int64_t output_sample;
    T *grad_input_part, *grad_state_part;  // [samples][4][hidden]
    T *grad_state, *grad_cell;             // [samples][hidden]: of the last state on entry, of the first on return
    T *grad_bias, *grad_gamma_ih, *grad_gamma_hh, *grad_gamma_c, *grad_beta_c;  // added to
};

}  // namespace advcore
