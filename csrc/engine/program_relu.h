// The ReLUs of programs: of each output a bit is kept, which is all that the way back needs.
#pragma once

#include <vector>

#include "pointwise.h"
#include "program.h"

namespace advcore {

// In elements: the bits of so many of a ReLU's outputs.
template <class T>
int64_t bits_size(int64_t size) {
    return rectified_words(size) * static_cast<int64_t>(sizeof(uint64_t) / sizeof(T));
}

template <class T>
void keep_bits(const T* x, T* bits, int64_t samples, int64_t size) {
    if (bits) rectified_bits(x, reinterpret_cast<uint64_t*>(bits), samples, size);
}

template <class T>
Buffer emit_relu_grad(Program<T>& p, Buffer bits, Buffer grad_output) {
    const int64_t size = p.size_of(grad_output);
    return p.emit({bits, grad_output}, size, [size](const Operands<T>& at, int64_t samples) {
        rectified_grad(reinterpret_cast<const uint64_t*>(at.in(0)), at.in(1), at.out(), samples, size);
    });
}

// Adds a step whose forward function may apply a ReLU at its end.
template <class T, class Forward, class Backward>
Buffer add_step_with_relu(Program<T>& p, bool relu, const std::vector<Buffer>& inputs, int64_t size, Forward forward,
                          Backward backward) {
    if (!relu) return p.add_step(inputs, size, forward, backward);
    const Buffer result = p.add_step(
        inputs, size,
        [=](const Operands<T>& at, int64_t samples) {
            forward(at, samples);
            keep_bits(at.out(), at.out(1), samples, size);
        },
        [=](Program<T>& q, Buffer output, Buffer grad_output) {
            const bool done = q.is_rectified(output, grad_output);
            return backward(q, output, done ? grad_output : emit_relu_grad(q, output + 1, grad_output));
        },
        {bits_size<T>(size)});
    p.set_rectified(result);
    return result;
}

}  // namespace advcore
