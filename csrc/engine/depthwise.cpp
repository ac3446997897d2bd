// Convolution of groups of one channel.
#include "../kernels/depthwise.h"

#include "conv2d.h"
#include "dispatch.h"

namespace advcore {

template <class T>
void depthwise(const ConvShape& s, const T* input, const T* weight, const T* bias, T* out, Activation activation) {
    const DepthwiseArgs<T> args{s.patches(), input, weight, bias, out, s.rows, activation};
    const int64_t items = s.samples * s.groups * s.rows;
    run(kernels<T>().depthwise, args, items, grain(s.work(), items));
}

template <class T>
void depthwise_weight_grad(const ConvShape& s, const T* input, const T* grad_output, T* grad_weight) {
    const DepthwiseWeightGradArgs<T> args{s.patches(), input, grad_output, grad_weight, s.rows};
    const int64_t channels = s.groups * s.rows;
    run(kernels<T>().depthwise_weight_grad, args, channels, grain(s.work(), channels));
}

#define ADVCORE_DEPTHWISE(T)                                                                    \
    template void depthwise<T>(const ConvShape&, const T*, const T*, const T*, T*, Activation); \
    template void depthwise_weight_grad<T>(const ConvShape&, const T*, const T*, T*);
ADVCORE_DEPTHWISE(float)
ADVCORE_DEPTHWISE(double)

}  // namespace advcore
