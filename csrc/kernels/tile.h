// How large a piece of a product one work item may be: its packed block of the right factor stays in the second-level
// cache, and its scratch memory within scratch_bytes.
#pragma once

#include <stdint.h>

namespace advcore {

constexpr int64_t block_depth = 256;  // terms of a sum that are added up in registers
constexpr int64_t tile_rows = 252;    // 18 panels of 14, 42 of 6
template <class T>
constexpr int64_t tile_cols = 1024 / static_cast<int64_t>(sizeof(T));
template <class T>
constexpr int64_t direct_tile_pitch = tile_cols<T> + 64 / static_cast<int64_t>(sizeof(T));  // no power of two

constexpr int64_t few_rows = 3;  // of a result, whose tiles of a direct convolution are as much wider
constexpr int64_t few_rows_wider = 16;

}  // namespace advcore
