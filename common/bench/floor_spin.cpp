// The floor of all that spins: a cache line that two processors write in turn, and the copies. It needs two
// processors.

#include "floor_common.hpp"
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace {

// Leaves the other half of the core, and the cache line, alone for a moment.
void relax() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

struct Spin {
    static void tell(std::atomic<std::uint32_t>& word, std::uint32_t value) {
        word.store(value, std::memory_order_release);
    }
    static void wait_for(std::atomic<std::uint32_t>& word, std::uint32_t value) {
        while (word.load(std::memory_order_acquire) != value)
            relax();
    }
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::floor_client<Spin>, bench::floor_server<Spin>);
}
