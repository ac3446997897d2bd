// Threads: every parallel loop of the library goes through run().
#pragma once

#include <algorithm>
#include <cstdint>

namespace advcore {

using Task = void (*)(const void* args, int64_t begin, int64_t end, void* scratch);

void set_num_threads(int threads);  // 0: follow omp_get_max_threads()
int get_num_threads();
const char* openmp_runtime();  // the specification and the compiler whose runtime is used

// Calls task on [0, items) in pieces of `grain`, each thread with scratch memory of its own.
void parallel_for(int64_t items, int64_t grain, Task task, const void* args);

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many of `items`, which are `work` multiply-adds, a thread takes at once: no thread is woken for a few
// microseconds.
inline int64_t grain(int64_t work, int64_t items) {
    constexpr int64_t least_work = 1 << 19;
    return ceil_div(items, std::max<int64_t>(1, work / least_work));
}

// How many items `work` multiply-adds should be cut into: one for every thread, and up to `most` where that many for
// the threads to end together are worth what each of them packs.
inline int64_t wanted_items(int64_t work, int64_t most = 4) {
    constexpr int64_t worth_packing = int64_t{1} << 23;
    const int64_t threads = get_num_threads();
    return threads == 1 ? 1 : threads * std::clamp<int64_t>(work / worth_packing / threads, 1, most);
}

// Runs a kernel over all its items.
template <class Args>
void run(void (*kernel)(const Args&, int64_t, int64_t, void*), const Args& args, int64_t items, int64_t grain = 1) {
    struct Call {
        void (*kernel)(const Args&, int64_t, int64_t, void*);
        const Args& args;
    } call{kernel, args};
    parallel_for(
        items, grain,
        [](const void* erased, int64_t begin, int64_t end, void* scratch) {
            const Call& c = *static_cast<const Call*>(erased);
            c.kernel(c.args, begin, end, scratch);
        },
        &call);
}

}  // namespace advcore
