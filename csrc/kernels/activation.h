// The activations that a product or convolution can apply while its result is still in registers.
#pragma once

#include <stdint.h>

namespace advcore {

enum class Activation : int32_t { none = 0, relu = 1, gelu = 2 };

}  // namespace advcore
