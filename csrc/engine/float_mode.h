// The floating-point mode is a thread's own and other libraries change it (flush-to-zero, rounding): while one of these
// lives, the thread computes in the default mode, so that results do not depend on who called before.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace advcore {

class DefaultFloatMode {
public:
#if defined(__x86_64__)
    DefaultFloatMode() : saved_(_mm_getcsr()) { _mm_setcsr(0x1F80); }
    ~DefaultFloatMode() { _mm_setcsr(saved_); }

private:
    unsigned saved_;
#elif defined(__aarch64__)
    DefaultFloatMode() {
        asm volatile("mrs %0, fpcr" : "=r"(saved_));
        asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}));
    }
    ~DefaultFloatMode() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

private:
    uint64_t saved_;
#else
    DefaultFloatMode() {}
#endif

public:
    DefaultFloatMode(const DefaultFloatMode&) = delete;
    DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;
};

}  // namespace advcore
