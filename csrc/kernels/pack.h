// Packing: copies a strip of a matrix into a panel, depth by depth, in the order in which the product reads it.
#pragma once

#include "shuffle.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// The rows of a strip of the left factor: as many as one pass of the product multiplies in registers.
constexpr int most_strip_rows = vector_registers == 32 ? 14 : 6;

ADVCORE_INLINE constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
ADVCORE_INLINE constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
ADVCORE_INLINE constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A number that is known when compiling, as an argument.
template <int N>
struct Constant {
    static constexpr int value = N;
};

// Calls f with the step as a constant where there is fast code for it, else with 0.
template <class F>
ADVCORE_INLINE void with_step(int64_t step, const F& f) {
    if (step == 1)
        f(Constant<1>{});
    else if (step == 2)
        f(Constant<2>{});
    else if (step == 3)
        f(Constant<3>{});
    else if (step == 4)
        f(Constant<4>{});
    else
        f(Constant<0>{});
}

// Turns Rows <= lanes rows into columns of a panel, whole registers at a time, as long as what a register stores too
// much stays within `room` elements, where it is stored over later. Returns how far it went along the depth.
template <class T, int Rows>
inline int64_t transpose_rows(const T* from, int64_t row_stride, int64_t width, int64_t depth, int64_t room, T* to) {
    constexpr int L = lanes<T>;
    const T* row[Rows];
    for (int i = 0; i < Rows; ++i) row[i] = from + i * row_stride;
    int64_t k = 0;
    for (; k + L <= depth && (Rows == L || (k + L - 1) * width + L <= room); k += L, to += L * width) {
        // The strip after this one: its rows begin too far apart for the hardware to see them coming.
        if (k % (2 * L) == 0)
            for (int i = 0; i < Rows; ++i) prefetch(row[i] + k, width * row_stride);
        Vec<T> block[L];
        load_transposed<T>([&](int i) { return row[i < Rows ? i : 0] + k; }, block);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store(to + i * width, block[i]);
    }
    return k;
}

// Turns `count` rows (each contiguous along depth) into panel[k * width + row], zeros where row >= count.
template <class T>
inline void pack_transposed(const T* from, int64_t row_stride, int64_t count, int64_t width, int64_t depth, T* panel) {
    constexpr int L = lanes<T>;
    for (int64_t row = (width - 1) / L * L; row >= 0; row -= L) {  // from the end: registers spill forward
        const int rows = static_cast<int>(larger(0, smaller(L, count - row)));
        const int stored = static_cast<int>(smaller(L, width - row));
        const T* const source = from + row * row_stride;
        T* const to = panel + row;
        int64_t k = 0;
        if (rows == L) k = transpose_rows<T, L>(source, row_stride, width, depth, 0, to);
        if constexpr (constexpr int rest = most_strip_rows % L; rest > 0)
            if (rows == rest && rows == stored)
                k = transpose_rows<T, rest>(source, row_stride, width, depth, depth * width - row, to);
        for (; k < depth; k += L) {
            const int terms = static_cast<int>(smaller(L, depth - k));
            Vec<T> block[L];
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) block[i] = i < rows ? load_part(source + i * row_stride + k, terms) : Vec<T>{};
            transpose<T>(block);
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i)
                if (i < terms) store_part(to + (k + i) * width, block[i], stored);
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
