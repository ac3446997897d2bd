#include "channels_last.h"

#include "cover.h"
#include "kernel_list.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

template <class T>
ADVCORE_INLINE T* row_of(T* data, int64_t row, int64_t width, int64_t channels) {
    return data + row * width * channels;
}

}  // namespace

template <class T>
void rearrange(const RearrangeArgs<T>& args, int64_t begin, int64_t end, void*) {
    constexpr int L = lanes<T>;
    const int64_t strips = args.strips(), rows = args.rows, cols = args.cols;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t sample = item / strips * rows * cols, first = item % strips * rearranged_rows;
        const int64_t last = smaller(rows, first + rearranged_rows);
        for (int64_t row = first; row < last; row += L) {
            const int used = static_cast<int>(smaller(L, last - row));
            const T* const from = args.from + sample + row * cols;
            T* const to = args.to + sample + row;
            cover<T>(cols, [&](int64_t col, int count) {
                Vec<T> block[L];
                if (used == L && count == L) {
                    load_transposed<T>([&](int i) { return from + i * cols + col; }, block);
                } else {
                    for (int i = 0; i < L; ++i)
                        block[i] = i < used ? load_used(from + i * cols + col, count) : Vec<T>{};
                    transpose<T>(block);
                }
#pragma GCC unroll 16
                for (int i = 0; i < L; ++i)
                    if (i < count) store_used(to + (col + i) * rows, block[i], used);
            });
        }
    }
}

// torch's order decides between equals: of equal numbers the first in the window wins, of several NaN the last.
template <class T>
void max_pool_last(const MaxPoolLastArgs<T>& args, int64_t begin, int64_t end, void*) {
    const SideBySide& w = args.windows;
    const int64_t row_step = w.in_width * w.channels;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t top = item / w.out_height * w.in_height + item % w.out_height * w.height;
        const T* from = row_of(args.input, top, w.in_width, w.channels);
        T* out = row_of(args.out, item, w.out_width, w.channels);
        T* place = args.place ? row_of(args.place, item, w.out_width, w.channels) : nullptr;
        for (int64_t x = 0; x < w.out_width; ++x, from += w.width * w.channels)
            for (int64_t c = 0; c < w.channels; c += lanes<T>, out += lanes<T>) {
                Vec<T> value = load(from + c);
                Mask<T> number{};
                Int<T> n = 0;
                for (int64_t i = 0; i < w.height; ++i)
                    for (int64_t j = 0; j < w.width; ++j, ++n) {
                        const Vec<T> other = load(from + i * row_step + j * w.channels + c);
                        const Mask<T> better = (other > value) | (other != other);
                        value = select<T>(better, other, value);
                        number = better ? Mask<T>{} + n : number;
                    }
                store(out, value);
                if (!place) continue;
                store(place, reinterpret_cast<Vec<T>>(number));
                place += lanes<T>;
            }
    }
}

template <class T>
void max_pool_last_grad(const MaxPoolLastGradArgs<T>& args, int64_t begin, int64_t end, void*) {
    const SideBySide& w = args.windows;
    const int64_t row_step = w.in_width * w.channels, used = w.out_width * w.width;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t y = item % w.out_height;
        const int64_t rows = y + 1 == w.out_height ? w.in_height - y * w.height : w.height;
        T* const first =
            row_of(args.grad_input, item / w.out_height * w.in_height + y * w.height, w.in_width, w.channels);
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t at = i < w.height ? used * w.channels : 0; at < row_step; at += lanes<T>)
                store(first + i * row_step + at, Vec<T>{});
        const T* grad = row_of(args.grad_output, item, w.out_width, w.channels);
        const T* place = row_of(args.place, item, w.out_width, w.channels);
        T* to = first;
        for (int64_t x = 0; x < w.out_width; ++x, to += w.width * w.channels)
            for (int64_t c = 0; c < w.channels; c += lanes<T>, grad += lanes<T>, place += lanes<T>) {
                const Vec<T> value = load(grad);
                const Mask<T> number = reinterpret_cast<Mask<T>>(load(place));
                Int<T> n = 0;
                for (int64_t i = 0; i < w.height; ++i)
                    for (int64_t j = 0; j < w.width; ++j, ++n)
                        store(to + i * row_step + j * w.channels + c, keep<T>(number == n, value));
            }
    }
}

ADVCORE_INSTANTIATE(rearrange, RearrangeArgs)
ADVCORE_INSTANTIATE(max_pool_last, MaxPoolLastArgs)
ADVCORE_INSTANTIATE(max_pool_last_grad, MaxPoolLastGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
