#include "parallel.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

#include "../kernels/kernel_list.h"
#include "float_mode.h"
#include "pool.h"

#ifndef _WIN32
#include <pthread.h>
#endif

namespace advcore {
namespace {

std::atomic<int> requested_threads{0};
std::atomic<bool> has_run_threads{false};
std::atomic<bool> child_of_fork{false};

// The OpenMP runtime's threads do not survive a fork, and a child that waits for them hangs.
void stay_on_one_thread() {
    if (has_run_threads) child_of_fork = true;
}

#ifndef _WIN32
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, stay_on_one_thread);
#endif

void* thread_scratch() {
    thread_local const Pooled<char> memory = pooled<char>(scratch_bytes);
    return memory.get();
}

}  // namespace

void set_num_threads(int threads) { requested_threads = threads; }

int get_num_threads() {
    if (child_of_fork || omp_in_parallel()) return 1;
    const int requested = requested_threads;
    return requested > 0 ? requested : omp_get_max_threads();
}

const char* openmp_runtime() {
#define ADVCORE_TEXT(x) #x
#define ADVCORE_NUMBER(x) ADVCORE_TEXT(x)
#if defined(__clang__)
    return "libomp (OpenMP " ADVCORE_NUMBER(_OPENMP) ")";
#else
    return "libgomp (OpenMP " ADVCORE_NUMBER(_OPENMP) ")";
#endif
}

void parallel_for(int64_t items, int64_t grain, Task task, const void* args) {
    if (items <= 0) return;
    grain = std::max<int64_t>(grain, 1);
    const int64_t pieces = (items + grain - 1) / grain;
    const int threads = static_cast<int>(std::min<int64_t>(get_num_threads(), pieces));
    if (threads == 1) {
        const DefaultFloatMode mode;
        task(args, 0, items, thread_scratch());
        return;
    }
    has_run_threads = true;
    std::atomic<int64_t> next{0};
    std::exception_ptr failure;  // an exception must not leave the parallel region
    std::mutex failure_lock;
#pragma omp parallel num_threads(threads)
    {
        try {
            const DefaultFloatMode mode;
            void* scratch = thread_scratch();
            for (int64_t piece; (piece = next++) < pieces;)
                task(args, piece * grain, std::min(items, (piece + 1) * grain), scratch);
        } catch (...) {
            const std::lock_guard<std::mutex> guard(failure_lock);
            if (!failure) failure = std::current_exception();
        }
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace advcore
