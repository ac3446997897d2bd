// Which instruction-set level runs: the best that the CPU has, capped by the environment variable ADVCORE_ISA.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "../kernels/kernel_list.h"

namespace advcore {

std::vector<std::string> available_levels();  // compiled in and supported by this CPU, worst first
std::string level();
void set_level(const std::string& name);  // throws std::invalid_argument for a level that is not available
void select_level();                      // reads ADVCORE_ISA; called once, when the module is loaded

const Table& active_table();
const Table& narrow_table();

template <class T>
const Kernels<T>& kernels() {
    if constexpr (std::is_same_v<T, float>)
        return active_table().f32;
    else
        return active_table().f64;
}

// For kernels whose bits do not depend on the width of a vector: AVX2 rather than AVX-512 where the CPU runs 512-bit
// instructions as two halves and pays for wide broadcasts (Zen 4), unless a level was asked for by name.
template <class T>
const Kernels<T>& narrow_kernels() {
    if constexpr (std::is_same_v<T, float>)
        return narrow_table().f32;
    else
        return narrow_table().f64;
}

}  // namespace advcore
