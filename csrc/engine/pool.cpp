#include "pool.h"

#include <array>
#include <bit>
#include <mutex>
#include <new>

#ifndef _WIN32
#include <pthread.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace advcore {
namespace {

constexpr std::size_t smallest = std::size_t{32} << 10;    // worth keeping
constexpr std::size_t most_kept = std::size_t{256} << 20;  // of all pieces together
constexpr std::size_t line = 64, huge_page = std::size_t{2} << 20;

// In steps of an eighth of a power of two, so that what was given back fits who needs about as much.
std::size_t rounded(std::size_t bytes) {
    const std::size_t step = std::max(line, std::bit_floor(bytes) / 8);
    return (bytes + step - 1) / step * step;
}

// In pages of 2 MiB where there are any: they are cleared faster than as many small ones, and kernels write to dozens
// of places at once, more than the CPU keeps small pages of.
std::align_val_t alignment(std::size_t bytes) { return std::align_val_t{bytes >= 2 * huge_page ? huge_page : line}; }

void* allocate(std::size_t bytes) {
    void* const memory = ::operator new(bytes, alignment(bytes));
#ifdef __linux__
    if (bytes >= 2 * huge_page) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

struct Piece {
    void* memory;
    std::size_t bytes;
    void release() const { ::operator delete(memory, alignment(bytes)); }
};

struct Kept {
    std::mutex lock;
    std::array<Piece, 256> pieces;  // the oldest first
    std::size_t count = 0, bytes = 0;

    Piece remove(std::size_t at) {
        const Piece piece = pieces[at];
        std::copy(pieces.begin() + at + 1, pieces.begin() + count, pieces.begin() + at);
        --count, bytes -= piece.bytes;
        return piece;
    }
};

// Never destroyed: something may be given back while the process ends. Made when the library is loaded: a child forked
// while a thread makes it would wait for that thread.
Kept& kept = *new Kept;

#ifndef _WIN32
void lock() { kept.lock.lock(); }
void unlock() { kept.lock.unlock(); }
// No thread of the parent unlocks what is locked in a child.
[[maybe_unused]] const int registered = pthread_atfork(lock, unlock, unlock);
#endif

void release_all() {
    for (;;) {
        Piece oldest;
        {
            const std::lock_guard<std::mutex> guard(kept.lock);
            if (kept.count == 0) return;
            oldest = kept.remove(0);
        }
        oldest.release();
    }
}

}  // namespace

void* Pool::take(std::size_t bytes) {
    bytes = rounded(bytes);
    if (bytes >= smallest) {
        const std::lock_guard<std::mutex> guard(kept.lock);
        for (std::size_t i = kept.count; i-- > 0;)  // the newest is the likeliest to be in the caches
            if (kept.pieces[i].bytes == bytes) return kept.remove(i).memory;
    }
    try {
        return allocate(bytes);
    } catch (const std::bad_alloc&) {
        release_all();
        return allocate(bytes);
    }
}

void Pool::give(void* memory, std::size_t bytes) {
    const Piece piece{memory, rounded(bytes)};
    if (piece.bytes < smallest || piece.bytes > most_kept) return piece.release();
    for (;;) {
        Piece oldest;
        {
            const std::lock_guard<std::mutex> guard(kept.lock);
            if (kept.count < kept.pieces.size() && kept.bytes + piece.bytes <= most_kept) {
                kept.pieces[kept.count++] = piece;
                kept.bytes += piece.bytes;
                return;
            }
            oldest = kept.remove(0);
        }
        oldest.release();  // nobody need wait for the system
    }
}

std::size_t Pool::kept_bytes() {
    const std::lock_guard<std::mutex> guard(kept.lock);
    return kept.bytes;
}

}  // namespace advcore
