// The one list of kernels. Declarations and the members of every level's table come from it, so that a kernel that a
// level leaves out is a link error.
#pragma once

#include <stdint.h>

#include "batch_norm_lstm.h"
#include "channels_last.h"
#include "conv2d.h"
#include "conv2d_broadcast.h"
#include "depthwise.h"
#include "difference.h"
#include "difference_recurrent.h"
#include "fab_move.h"
#include "finite.h"
#include "knn.h"
#include "lid.h"
#include "limits.h"
#include "matmul.h"
#include "nearest_in_ball.h"
#include "normalize.h"
#include "optimizer.h"
#include "perturb.h"
#include "pointwise.h"
#include "pool.h"
#include "rectified.h"
#include "recurrent.h"
#include "signed_step.h"
#include "softmax.h"
#include "splice.h"
#include "winograd.h"
#include "winograd_few.h"
#include "winograd_input_grad.h"
#include "winograd_last.h"

// A kernel computes the work items [begin, end) of its arguments; the comment on the argument struct says what an item
// is. `scratch` is the calling thread's own: scratch_bytes, aligned to 64.
#define ADVCORE_KERNELS(KERNEL)                                 \
    KERNEL(matmul, MatmulArgs)                                  \
    KERNEL(conv2d, Conv2dArgs)                                  \
    KERNEL(conv2d_broadcast, Conv2dBroadcastArgs)               \
    KERNEL(conv2d_broadcast_pack, Conv2dBroadcastPackArgs)      \
    KERNEL(conv2d_direct, Conv2dDirectArgs)                     \
    KERNEL(conv2d_pack, Conv2dPackArgs)                         \
    KERNEL(conv2d_input_grad, Conv2dInputGradArgs)              \
    KERNEL(conv2d_weight_grad, Conv2dWeightGradArgs)            \
    KERNEL(depthwise, DepthwiseArgs)                            \
    KERNEL(depthwise_weight_grad, DepthwiseWeightGradArgs)      \
    KERNEL(sum_parts, SumPartsArgs)                             \
    KERNEL(winograd, WinogradArgs)                              \
    KERNEL(winograd_pack, WinogradPackArgs)                     \
    KERNEL(winograd_weight_grad, WinogradWeightGradArgs)        \
    KERNEL(winograd_input_grad, WinogradInputGradArgs)          \
    KERNEL(winograd_few_pack, WinogradFewPackArgs)              \
    KERNEL(winograd_few, WinogradFewArgs)                       \
    KERNEL(winograd_last_pack, WinogradLastPackArgs)            \
    KERNEL(winograd_last, WinogradLastArgs)                     \
    KERNEL(winograd_last_grad, WinogradLastGradArgs)            \
    KERNEL(rearrange, RearrangeArgs)                            \
    KERNEL(max_pool_last, MaxPoolLastArgs)                      \
    KERNEL(max_pool_last_grad, MaxPoolLastGradArgs)             \
    KERNEL(pointwise, PointwiseArgs)                            \
    KERNEL(rectified_bits, RectifiedBitsArgs)                   \
    KERNEL(rectified_grad, RectifiedGradArgs)                   \
    KERNEL(softmax, SoftmaxArgs)                                \
    KERNEL(softmax_grad, SoftmaxArgs)                           \
    KERNEL(normalize, NormalizeArgs)                            \
    KERNEL(normalize_fixed, NormalizeFixedArgs)                 \
    KERNEL(normalize_grad, NormalizeGradArgs)                   \
    KERNEL(normalize_rows_grad, NormalizeRowsGradArgs)          \
    KERNEL(normalize_rows_sums, NormalizeRowsSumsArgs)          \
    KERNEL(recurrent_pack, RecurrentPackArgs)                   \
    KERNEL(recurrent_pack_gates, RecurrentPackGatesArgs)        \
    KERNEL(recurrent_forward, RecurrentForwardArgs)             \
    KERNEL(recurrent_backward, RecurrentBackwardArgs)           \
    KERNEL(column_sums, ColumnSumsArgs)                         \
    KERNEL(first_nonfinite, FiniteArgs)                         \
    KERNEL(knn_dense, KnnDenseArgs)                             \
    KERNEL(knn_few, KnnFewArgs)                                 \
    KERNEL(knn_center, KnnCenterArgs)                           \
    KERNEL(knn_project, KnnProjectArgs)                         \
    KERNEL(knn_image, KnnImageArgs)                             \
    KERNEL(knn_filter, KnnFilterArgs)                           \
    KERNEL(knn_finish, KnnFinishArgs)                           \
    KERNEL(knn_merge, KnnMergeArgs)                             \
    KERNEL(lid, LidArgs)                                        \
    KERNEL(perturb, PerturbArgs)                                \
    KERNEL(splice, SpliceArgs)                                  \
    KERNEL(fab_move, FabMoveArgs)                               \
    KERNEL(nearest_in_ball, NearestInBallArgs)                  \
    KERNEL(signed_step, SignedStepArgs)                         \
    KERNEL(update, UpdateArgs)                                  \
    KERNEL(pool, PoolArgs)                                      \
    KERNEL(max_pool, MaxPoolArgs)                               \
    KERNEL(max_pool_grad, MaxPoolGradArgs)                      \
    KERNEL(avg_pool_grad, AvgPoolGradArgs)                      \
    KERNEL(window_mean, WindowMeanArgs)                         \
    KERNEL(fma_loop, FmaLoopArgs)                               \
    KERNEL(triad, TriadArgs)                                    \
    KERNEL(batch_norm_lstm_pack, BatchNormLstmPackArgs)         \
    KERNEL(batch_norm_lstm_forward, BatchNormLstmForwardArgs)   \
    KERNEL(batch_norm_lstm_backward, BatchNormLstmBackwardArgs) \
    KERNEL(difference_terms, DifferenceTermsArgs)               \
    KERNEL(difference_product, DifferenceProductArgs)           \
    KERNEL(difference_depthwise, DifferenceDepthwiseArgs)       \
    KERNEL(difference_clip, DifferenceClipArgs)                 \
    KERNEL(difference_smooth, DifferenceSmoothArgs)             \
    KERNEL(difference_max_pool, DifferenceMaxPoolArgs)          \
    KERNEL(difference_cell, DifferenceCellArgs)                 \
    KERNEL(difference_reset, DifferenceCellArgs)

namespace advcore {

constexpr int64_t scratch_bytes = int64_t{8} << 20;

template <class T>
struct Kernels {
#define ADVCORE_MEMBER(name, Args) void (*name)(const Args<T>& args, int64_t begin, int64_t end, void* scratch);
    ADVCORE_KERNELS(ADVCORE_MEMBER)
#undef ADVCORE_MEMBER
};

struct Table {
    int64_t vector_bytes;  // of a register
    Kernels<float> f32;
    Kernels<double> f64;
};

namespace ADVCORE_LEVEL {
#define ADVCORE_DECLARE(name, Args) \
    template <class T>              \
    void name(const Args<T>& args, int64_t begin, int64_t end, void* scratch);
ADVCORE_KERNELS(ADVCORE_DECLARE)
#undef ADVCORE_DECLARE

extern const Table table;

}  // namespace ADVCORE_LEVEL
}  // namespace advcore

#define ADVCORE_INSTANTIATE(name, Args)                                                            \
    template void name<float>(const Args<float>& args, int64_t begin, int64_t end, void* scratch); \
    template void name<double>(const Args<double>& args, int64_t begin, int64_t end, void* scratch);
