// Packing: copies a strip of a matrix into a panel, depth by depth, in the order in which the product reads it.
#pragma once

#include "shuffle.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

ADVCORE_INLINE constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
ADVCORE_INLINE constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
ADVCORE_INLINE constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A number that is known when compiling, as an argument.
template <int N>
struct Constant {
    static constexpr int value = N;
};

// Turns `count` rows (each contiguous along depth) into panel[k * width + row], zeros where row >= count.
template <class T>
inline void pack_transposed(const T* from, int64_t row_stride, int64_t count, int64_t width, int64_t depth, T* panel) {
    constexpr int L = lanes<T>;
    for (int64_t row = 0; row < width; row += L) {
        const int rows = static_cast<int>(larger(0, smaller(L, count - row)));
        const int stored = static_cast<int>(smaller(L, width - row));
        for (int64_t k = 0; k < depth; k += L) {
            const int terms = static_cast<int>(smaller(L, depth - k));
            const T* source = from + row * row_stride + k;
            T* to = panel + k * width + row;
            // The strip after this one: its rows begin too far apart for the hardware to see them coming.
            if (k % (2 * L) == 0)
                for (int i = 0; i < rows; ++i) prefetch(source, (count + i) * row_stride);
            Vec<T> block[L];
            if (terms == L && rows == stored) {  // lanes beyond are not kept
                load_transposed<T>([=](int i) { return source + (i < rows ? i : 0) * row_stride; }, block);
            } else {
#pragma GCC unroll 16
                for (int i = 0; i < L; ++i) block[i] = i < rows ? load_part(source + i * row_stride, terms) : Vec<T>{};
                transpose<T>(block);
            }
            // In a panel of less than a vector a whole store may spill over into what is written next.
            const bool spill = width < L && (k + L - 1) * width + L <= depth * width;
            if (terms == L && (stored == L || spill)) {
#pragma GCC unroll 16
                for (int i = 0; i < L; ++i) store(to + i * width, block[i]);
            } else {
#pragma GCC unroll 16
                for (int i = 0; i < L; ++i)
                    if (i < terms) store_part(to + i * width, block[i], stored);
            }
        }
    }
}

// Copies strips that already lie side by side: panel[k * width + i] = from[k * depth_stride + i].
template <class T>
inline void pack_rows(const T* from, int64_t depth_stride, int64_t count, int64_t width, int64_t depth, T* panel) {
    constexpr int L = lanes<T>;
    for (int64_t i = 0; i < width; i += L) {
        const int stored = static_cast<int>(smaller(L, width - i));
        const int read = static_cast<int>(larger(0, smaller(L, count - i)));
        const T* source = from + i;
        T* to = panel + i;
        if (stored == L && read == L) {
            for (int64_t k = 0; k < depth; ++k) store(to + k * width, load(source + k * depth_stride));
        } else {
            int64_t k = 0;
            // A narrow panel takes whole registers too, while what they read and write too much lies in rows to come.
            if (width < L && read == stored && depth_stride >= L)
                for (; k + 1 < depth && k * width + L <= depth * width; ++k)
                    store(to + k * width, load(source + k * depth_stride));
            for (; k < depth; ++k) store_part(to + k * width, load_part(source + k * depth_stride, read), stored);
        }
    }
}

// panel[k * width + i] = from[i * lane_stride + k * depth_stride] for i < count, zeros up to width.
template <class T>
inline void pack_strip(const T* from, int64_t lane_stride, int64_t depth_stride, int64_t count, int64_t width,
                       int64_t depth, T* panel) {
    if (lane_stride == 1) return pack_rows(from, depth_stride, count, width, depth, panel);
    if (depth_stride == 1) return pack_transposed(from, lane_stride, count, width, depth, panel);
    for (int64_t k = 0; k < depth; ++k)
        for (int64_t i = 0; i < width; ++i)
            panel[k * width + i] = i < count ? from[i * lane_stride + k * depth_stride] : T(0);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
