#include "rectified.h"

#include "kernel_list.h"
#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Calls f(word, first, count) for the words [begin, end): elements [first, first + count) of all samples.
template <class F>
ADVCORE_INLINE void each_word(int64_t size, int64_t begin, int64_t end, const F& f) {
    const int64_t words = rectified_words(size);
    for (int64_t word = begin; word < end;) {
        const int64_t sample = word / words, last = smaller(end, (sample + 1) * words), stop = (sample + 1) * size;
        for (int64_t first = sample * size + (word - sample * words) * word_bits; word < last; first += word_bits)
            f(word++, first, smaller(word_bits, stop - first));
    }
}

template <class T>
ADVCORE_INLINE uint64_t bits_of(Vec<T> x) {
    return lane_bits(~(x <= T(0)));
}

}  // namespace

template <class T>
void rectified_bits(const RectifiedBitsArgs<T>& args, int64_t begin, int64_t end, void*) {
    constexpr int L = lanes<T>;
    each_word(args.size, begin, end, [&](int64_t word, int64_t first, int64_t count) {
        const T* const x = args.x + first;
        uint64_t bits = 0;
        if (count == word_bits) {
#pragma GCC unroll 4
            for (int64_t i = 0; i < word_bits; i += L) bits |= bits_of<T>(load(x + i)) << i;
        } else {
            for (int64_t i = 0; i < count; i += L)
                bits |= bits_of<T>(load_part(x + i, static_cast<int>(smaller(L, count - i)))) << i;
        }
        args.bits[word] = bits;
    });
}

template <class T>
void rectified_grad(const RectifiedGradArgs<T>& args, int64_t begin, int64_t end, void*) {
    constexpr int L = lanes<T>;
    each_word(args.size, begin, end, [&](int64_t word, int64_t first, int64_t count) {
        const uint64_t bits = args.bits[word];
        const T* const grad = args.grad + first;
        T* const out = args.out + first;
        int64_t i = 0;
#pragma GCC unroll 4
        for (; i + L <= count; i += L) store(out + i, keep<T>(mask_of<T>(bits >> i), load(grad + i)));
        if (i == count) return;
        const int rest = static_cast<int>(count - i);
        store_part(out + i, keep<T>(mask_of<T>(bits >> i), load_part(grad + i, rest)), rest);
    });
}

ADVCORE_INSTANTIATE(rectified_bits, RectifiedBitsArgs)
ADVCORE_INSTANTIATE(rectified_grad, RectifiedGradArgs)

}  // namespace advcore::ADVCORE_LEVEL
