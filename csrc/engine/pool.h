// Memory that one call takes after another: large pieces are kept for the next, since the system clears what it hands
// out, page by page, and that takes longer than many a small search.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace advcore {

class Pool {
public:
    static void* take(std::size_t bytes) {
        if (bytes >= smallest) {
            const std::lock_guard<std::mutex> guard(lock());
            auto& kept = pieces();
            const auto found = std::find_if(kept.begin(), kept.end(), [bytes](const Piece& piece) {
                return piece.bytes >= bytes && piece.bytes <= 2 * bytes;
            });
            if (found != kept.end()) {
                void* const memory = found->memory;
                kept.erase(found);
                return memory;
            }
        }
        return ::operator new(bytes);
    }

    // `bytes` may be less than what the piece has.
    static void give(void* memory, std::size_t bytes) {
        if (bytes >= smallest && bytes <= largest) {
            const std::lock_guard<std::mutex> guard(lock());
            if (pieces().size() < most) return pieces().push_back({memory, bytes});
        }
        ::operator delete(memory);
    }

private:
    struct Piece {
        void* memory;
        std::size_t bytes;
    };
    static constexpr std::size_t smallest = 32 << 10, largest = 4 << 20, most = 8;

    // Never destroyed: a thread may give something back while the process ends.
    static std::mutex& lock() {
        static std::mutex& mutex = *new std::mutex;
        return mutex;
    }
    static std::vector<Piece>& pieces() {
        static std::vector<Piece>& kept = *new std::vector<Piece>;
        return kept;
    }
};

struct GiveBack {
    std::size_t bytes = 0;
    void operator()(void* memory) const { Pool::give(memory, bytes); }
};

// An array of plain numbers that are not set to zero first.
template <class T>
using Buffer = std::unique_ptr<T[], GiveBack>;

template <class T>
Buffer<T> buffer(int64_t count) {
    const std::size_t bytes = static_cast<std::size_t>(std::max<int64_t>(count, 1)) * sizeof(T);
    return Buffer<T>(static_cast<T*>(Pool::take(bytes)), GiveBack{bytes});
}

}  // namespace advcore
