// In which order a program's values lie: plane by plane, or with their channels side by side (Program::channels_last).
#pragma once

#include "program.h"

namespace advcore {

// The buffer of the same value plane by plane, or with its channels last; a step that brings it there is appended
// where there is none yet.
template <class T>
Buffer in_planes(Program<T>& p, Buffer x);
template <class T>
Buffer in_channels_last(Program<T>& p, Buffer x, int64_t channels);

// An instruction of the backward pass: [sample, row, col] to [sample, col, row].
template <class T>
Buffer emit_rearrangement(Program<T>& p, Buffer from, int64_t rows, int64_t cols);

}  // namespace advcore
