// Normalisation, (x - mean) / sqrt(variance + eps) * weight + bias, and its gradients.
#pragma once

#include <stdint.h>

namespace advcore {

constexpr int64_t norm_columns = 64;  // channels of one number that an item takes together
constexpr int64_t norm_rows = 256;    // rows that an item takes of them where they are independent
constexpr int64_t norm_block =
    16384;  // elements of x that stay in the cache while sums of columns follow those of rows

// Arrays are (samples, channels, plane). What shares a mean and a variance: a channel of all samples, or each group of
// neighbouring channels of a sample.
struct NormShape {
    int64_t samples, channels, plane;
    int64_t groups;    // of a sample; 0: a channel of all samples
    int64_t together;  // channels of a group
    [[gnu::always_inline]] bool across_samples() const { return groups == 0; }
    [[gnu::always_inline]] int64_t column_blocks() const { return (channels + norm_columns - 1) / norm_columns; }
    [[gnu::always_inline]] int64_t row_blocks() const { return (samples + norm_rows - 1) / norm_rows; }
    // Channels of one number lie side by side and are taken by the block.
    [[gnu::always_inline]] int64_t items() const {
        if (!across_samples()) return samples * groups;
        return plane == 1 ? column_blocks() : channels;
    }
};

// An item is what shares a mean, or a block of such channels (NormShape::items).
template <class T>
struct NormalizeArgs {
    const T* x;
    const T* weight;  // of the channels, as bias; null: ones, zeros
    const T* bias;
    T* out;
    T* mean;           // of all that share one, as those that follow; written
    T* rstd;           // 1 / sqrt(variance + eps)
    double* variance;  // mean square of the distance; null where nobody asks
    double eps;
    NormShape shape;
};

// out = (x - mean) / sqrt(variance + eps) * weight + bias with the channels' own mean and variance. An item is a plane,
// or norm_rows of a block of channels of one number.
template <class T>
struct NormalizeFixedArgs {
    const T* x;
    const T* weight;
    const T* bias;
    const T* mean;  // null: zeros
    const T* variance;
    T* out;
    double eps;
    NormShape shape;
    [[gnu::always_inline]] int64_t items() const {
        return shape.plane == 1 ? shape.row_blocks() * shape.column_blocks() : shape.samples * shape.channels;
    }
};

// The gradient for x, and those for weight and bias: of the channels, or in parts to be added. Items as forward.
template <class T>
struct NormalizeGradArgs {
    const T* grad;  // of the output
    const T* x;
    const T* weight;
    const T* mean;
    const T* rstd;
    T* grad_x;
    T* weight_grad;  // with bias_grad; a channel's, or a part a sample where samples are apart; null where nobody asks
    T* bias_grad;
    bool fixed;  // mean and variance do not depend on x
    NormShape shape;
};

// The same where a sample's channels are single numbers, so that weights belong to elements. An item is a part: so many
// samples, with the sums over them.
template <class T>
struct NormalizeRowsGradArgs {
    NormalizeGradArgs<T> grad;  // null sums: only grad_x and shift
    T* shift;                   // of each row: what completes (x - mean) * rstd, as mean is rounded
    int64_t samples_per_part;
};

// The sums over all samples after that. An item is a block of norm_columns channels of a group.
template <class T>
struct NormalizeRowsSumsArgs {
    NormalizeRowsGradArgs<T> rows;
    [[gnu::always_inline]] int64_t blocks() const {
        return (rows.grad.shape.together + norm_columns - 1) / norm_columns;
    }
};

}  // namespace advcore
