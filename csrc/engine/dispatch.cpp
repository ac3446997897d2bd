#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace advcore {

namespace baseline {
extern const Table table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Table table;
}
namespace avx512 {
extern const Table table;
}
#elif defined(__aarch64__)
namespace neon {
extern const Table table;
}
#endif

namespace {

struct Level {
    const char* name;
    const Table* table;
    bool (*supported)();
};

bool always() { return true; }

// The features are those that CMakeLists.txt compiles each level for.
#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
// Zen 3 and Zen 4 are one family; only Zen 4 has AVX-512.
bool splits_512_bits() { return __builtin_cpu_is("amdfam19h") && has_avx512(); }
const Level levels[] = {
    {"baseline", &baseline::table, always}, {"avx2", &avx2::table, has_avx2}, {"avx512", &avx512::table, has_avx512}};
#elif defined(__aarch64__)
const Level levels[] = {{"baseline", &baseline::table, always}, {"neon", &neon::table, always}};
#else
const Level levels[] = {{"baseline", &baseline::table, always}};
#endif

std::atomic<const Level*> active{&levels[0]}, narrow{&levels[0]};

}  // namespace

std::vector<std::string> available_levels() {
    std::vector<std::string> names;
    for (const Level& candidate : levels)
        if (candidate.supported()) names.emplace_back(candidate.name);
    return names;
}

std::string level() { return active.load()->name; }

const Table& active_table() { return *active.load()->table; }
const Table& narrow_table() { return *narrow.load()->table; }

void set_level(const std::string& name) {
    for (const Level& candidate : levels)
        if (name == candidate.name && candidate.supported()) {
            active = narrow = &candidate;
            return;
        }
    std::string choices;
    for (const std::string& choice : available_levels()) choices += (choices.empty() ? "" : ", ") + choice;
    throw std::invalid_argument("instruction-set level must be one of " + choices + " on this CPU, got '" + name + "'");
}

void select_level() {
    const char* cap = std::getenv("ADVCORE_ISA");
    if (cap && *cap) {
        try {
            set_level(cap);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument(std::string("ADVCORE_ISA: ") + error.what());
        }
    } else {
        set_level(available_levels().back());
#if defined(__x86_64__)
        if (splits_512_bits()) narrow = &levels[1];
#endif
    }
}

}  // namespace advcore
