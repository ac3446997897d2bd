#include "pointwise.h"

#include "activate.h"
#include "kernel_list.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// out = f(x, grad) over the items' elements.
template <class T, class Function>
ADVCORE_INLINE void map(const PointwiseArgs<T>& args, int64_t begin, int64_t end, Function f) {
    constexpr int L = lanes<T>;
    const T* const grad = args.grad ? args.grad : args.x;
    const int64_t last = smaller(end * pointwise_chunk, args.size);
    int64_t i = begin * pointwise_chunk;
    for (; i + L <= last; i += L) store(args.out + i, f(load(args.x + i), load(grad + i)));
    if (i < last) {
        const int count = static_cast<int>(last - i);
        store_part(args.out + i, f(load_part(args.x + i, count), load_part(grad + i, count)), count);
    }
}

}  // namespace

template <class T>
void pointwise(const PointwiseArgs<T>& args, int64_t begin, int64_t end, void*) {
    using V = Vec<T>;
    switch (args.op) {
        case Pointwise::relu:
            return map(args, begin, end, [](V x, V) { return relu<T>(x); });
        case Pointwise::sigmoid:
            return map(args, begin, end, [](V x, V) { return sigmoid<T>(x); });
        case Pointwise::tanh:
            return map(args, begin, end, [](V x, V) { return tanh<T>(x); });
        case Pointwise::gelu:
            return map(args, begin, end, [](V x, V) { return gelu<T>(x); });
        case Pointwise::gelu_tanh:
            return map(args, begin, end, [](V x, V) { return gelu_tanh<T>(x); });
        case Pointwise::relu_grad:
            return map(args, begin, end, [](V x, V grad) { return select<T>(x <= T(0), V{}, grad); });
        case Pointwise::sigmoid_grad:
            return map(args, begin, end, [](V y, V grad) { return grad * (T(1) - y) * y; });
        case Pointwise::tanh_grad:
            return map(args, begin, end, [](V y, V grad) { return grad * (T(1) - y * y); });
        case Pointwise::gelu_grad:
            return map(args, begin, end, [](V x, V grad) { return grad * gelu_slope<T>(x); });
        case Pointwise::gelu_tanh_grad:
            return map(args, begin, end, [](V x, V grad) { return grad * gelu_tanh_slope<T>(x); });
        case Pointwise::add:
            return map(args, begin, end, [](V x, V y) { return x + y; });
        case Pointwise::add_relu:
            return map(args, begin, end, [](V x, V y) { return relu<T>(x + y); });
        case Pointwise::multiply:
            return map(args, begin, end, [](V x, V y) { return x * y; });
    }
}

ADVCORE_INSTANTIATE(pointwise, PointwiseArgs)

}  // namespace advcore::ADVCORE_LEVEL
