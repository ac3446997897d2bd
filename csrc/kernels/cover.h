// Rows that are no whole number of registers.
#pragma once

#include "pack.h"

namespace advcore::ADVCORE_LEVEL {
namespace {

// Calls f(at, used) for registers that cover [0, count): whole ones, the last of which may overlap the one before it,
// or a single part where count is below a register.
template <class T, class Function>
ADVCORE_INLINE void cover(int64_t count, Function f) {
    constexpr int L = lanes<T>;
    if (count < L) return f(int64_t{0}, static_cast<int>(count));
    for (int64_t i = 0; i < count; i += L) f(smaller(i, count - L), L);
}

template <class T>
ADVCORE_INLINE Vec<T> load_used(const T* from, int used) {
    return used == lanes<T> ? load(from) : load_part(from, used);
}
template <class T>
ADVCORE_INLINE void store_used(T* to, Vec<T> x, int used) {
    if (used == lanes<T>)
        store(to, x);
    else
        store_part(to, x, used);
}

}  // namespace
}  // namespace advcore::ADVCORE_LEVEL
