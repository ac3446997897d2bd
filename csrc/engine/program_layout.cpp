#include "program_layout.h"

#include "channels_last.h"

namespace advcore {
namespace {

// The step from[sample, row, col] to [sample, col, row], and back for gradients.
template <class T>
Buffer add_rearrangement(Program<T>& p, Buffer x, int64_t rows, int64_t cols) {
    const Buffer result = p.add_step(
        {x}, rows * cols,
        [=](const Operands<T>& at, int64_t samples) { rearrange(at.in(0), at.out(), samples, rows, cols); },
        [=](Program<T>& q, Buffer, Buffer grad_output) {
            return std::vector<Buffer>{emit_rearrangement(q, grad_output, cols, rows)};
        });
    p.set_twins(x, result);
    return result;
}

}  // namespace

template <class T>
Buffer emit_rearrangement(Program<T>& p, Buffer from, int64_t rows, int64_t cols) {
    return p.emit({from}, rows * cols,
                  [=](const Operands<T>& at, int64_t samples) { rearrange(at.in(0), at.out(), samples, rows, cols); });
}

template <class T>
Buffer in_planes(Program<T>& p, Buffer x) {
    const int64_t channels = p.channels_last(x);
    if (channels == 0) return x;
    if (const auto twin = p.twin(x)) return *twin;
    return add_rearrangement(p, x, p.size_of(x) / channels, channels);
}

template <class T>
Buffer in_channels_last(Program<T>& p, Buffer x, int64_t channels) {
    if (p.channels_last(x) != 0) return x;
    if (const auto twin = p.twin(x)) return *twin;
    const Buffer result = add_rearrangement(p, x, channels, p.size_of(x) / channels);
    p.set_channels_last(result, channels);
    return result;
}

#define ADVCORE_LAYOUT(T)                                                         \
    template Buffer emit_rearrangement<T>(Program<T>&, Buffer, int64_t, int64_t); \
    template Buffer in_planes<T>(Program<T>&, Buffer);                            \
    template Buffer in_channels_last<T>(Program<T>&, Buffer, int64_t);
ADVCORE_LAYOUT(float)
ADVCORE_LAYOUT(double)

}  // namespace advcore
