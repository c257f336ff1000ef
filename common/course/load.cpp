#include "load.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <exception>
#include <mutex>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace course {

unsigned processors() {
    return std::max(1u, std::thread::hardware_concurrency());
}

BusyProcessors::BusyProcessors() {
    for (unsigned i = 0; i < processors(); ++i) {
        const pid_t parent = ::getpid();
        const pid_t child = ::fork();
        if (child == 0) {
            // The signal dispositions are ours: without the default, Ctrl-C would be remembered and not
            // obeyed.
            for (const int signal : {SIGINT, SIGTERM, SIGHUP})
                std::signal(signal, SIG_DFL);
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != parent)
                ::_exit(0);
            for (volatile unsigned long count = 0;;)
                count = count + 1;
        }
        if (child > 0)
            burners_.push_back(child);
    }
}

BusyProcessors::~BusyProcessors() {
    for (const pid_t burner : burners_) {
        ::kill(burner, SIGKILL);
        while (::waitpid(burner, nullptr, 0) == -1 && errno == EINTR) {
        }
    }
}

void at_once(unsigned at_once, std::size_t count, const std::function<void(std::size_t)>& work) {
    std::atomic<std::size_t> next = 0;
    std::exception_ptr first;
    std::mutex mutex;
    const auto worker = [&] {
        for (std::size_t mine; (mine = next++) < count;) {
            try {
                work(mine);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (!first)
                    first = std::current_exception();
                next = count;
            }
        }
    };
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < std::min<std::size_t>(at_once, count); ++i)
            threads.emplace_back(worker);
    }
    if (first)
        std::rethrow_exception(first);
}

}  // namespace course
