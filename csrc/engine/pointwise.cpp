#include "pointwise.h"

#include "../kernels/softmax.h"
#include "dispatch.h"
#include "parallel.h"

namespace advcore {

// Threads pay off from about 16 chunks of the ops that only move memory, and 2 of those that compute.
template <class T>
void pointwise(Pointwise op, const T* x, const T* second, T* out, int64_t size) {
    const bool computes = op == Pointwise::sigmoid || op == Pointwise::tanh || op == Pointwise::gelu ||
                          op == Pointwise::gelu_tanh || op == Pointwise::gelu_grad || op == Pointwise::gelu_tanh_grad;
    run(kernels<T>().pointwise, PointwiseArgs<T>{op, second, x, out, size}, ceil_div(size, pointwise_chunk),
        computes ? 2 : 16);
}

template <class T>
void rectified_bits(const T* x, uint64_t* bits, int64_t samples, int64_t size) {
    run(kernels<T>().rectified_bits, RectifiedBitsArgs<T>{x, bits, size}, samples * rectified_words(size), 1024);
}

template <class T>
void rectified_grad(const uint64_t* bits, const T* grad_output, T* grad_input, int64_t samples, int64_t size) {
    const RectifiedGradArgs<T> args{bits, grad_output, grad_input, size};
    run(kernels<T>().rectified_grad, args, samples * rectified_words(size), 1024);
}

template <class T>
void softmax(int64_t outer, int64_t length, int64_t inner, const T* grad_output, const T* x, T* out, bool log) {
    const SoftmaxArgs<T> args{grad_output, x, out, outer, length, inner, log};
    const int64_t together = inner == 1 ? 1 : softmax_columns;
    const int64_t items = length == 0 ? 0 : outer * ceil_div(inner, together);
    run(grad_output ? kernels<T>().softmax_grad : kernels<T>().softmax, args, items, 8192 / (length * together + 1));
}

#define ADVCORE_POINTWISE(T)                                                          \
    template void pointwise<T>(Pointwise, const T*, const T*, T*, int64_t);           \
    template void rectified_bits<T>(const T*, uint64_t*, int64_t, int64_t);           \
    template void rectified_grad<T>(const uint64_t*, const T*, T*, int64_t, int64_t); \
    template void softmax<T>(int64_t, int64_t, int64_t, const T*, const T*, T*, bool);
ADVCORE_POINTWISE(float)
ADVCORE_POINTWISE(double)

}  // namespace advcore
