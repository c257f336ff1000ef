// The floor of all that sleeps until the other side has moved: a futex a direction, and the copies.

#include "floor_common.hpp"
#include <linux/futex.h>
#include <sys/syscall.h>

namespace {

struct Futex {
    static void tell(std::atomic<std::uint32_t>& word, std::uint32_t value) {
        word.store(value, std::memory_order_release);
        ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
    static void wait_for(std::atomic<std::uint32_t>& word, std::uint32_t value) {
        for (std::uint32_t now; (now = word.load(std::memory_order_acquire)) != value;)
            ::syscall(SYS_futex, &word, FUTEX_WAIT, now, nullptr, nullptr, 0);
    }
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::floor_client<Futex>, bench::floor_server<Futex>);
}
