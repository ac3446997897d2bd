// Memory that one call takes after another: large pieces are kept for the next, since the system clears what it hands
// out, page by page, and that takes longer than many a kernel.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace advcore {

class Pool {
public:
    static void* take(std::size_t bytes);
    static void give(void* memory, std::size_t bytes);  // what take(bytes) returned
    static std::size_t kept_bytes();
};

struct GiveBack {
    std::size_t bytes = 0;
    void operator()(void* memory) const { Pool::give(memory, bytes); }
};

// An array of plain numbers that are not set to zero first.
template <class T>
using Pooled = std::unique_ptr<T[], GiveBack>;

template <class T>
Pooled<T> pooled(int64_t count) {
    const std::size_t bytes = static_cast<std::size_t>(std::max<int64_t>(count, 1)) * sizeof(T);
    return Pooled<T>(static_cast<T*>(Pool::take(bytes)), GiveBack{bytes});
}

}  // namespace advcore
