#pragma once

/// @file
/// Deadlines on a clock that nobody can set.

#include <algorithm>
#include <chrono>

namespace ipc {

/// A moment on the monotonic clock until which something is waited for.
///
/// Make one where the waiting begins and hand it down: each call then waits only for what is left, so that a
/// wait that is interrupted or done in pieces never takes longer in all.
class Deadline {
public:
    using clock = std::chrono::steady_clock;

    /// Never expires.
    Deadline() noexcept = default;
    static Deadline in(std::chrono::milliseconds timeout) noexcept {
        Deadline deadline;
        deadline.at_ = clock::now() + timeout;
        deadline.bounded_ = true;
        return deadline;
    }
    /// A timeout as a command line gives it: milliseconds, negative for 'for ever'.
    static Deadline in_ms(long long timeout) noexcept {
        return timeout < 0 ? Deadline() : in(std::chrono::milliseconds(timeout));
    }

    bool bounded() const noexcept { return bounded_; }
    bool expired() const noexcept { return bounded_ && clock::now() >= at_; }
    /// Milliseconds left, rounded up and at least 0; -1 for ever: as poll(2) takes it.
    int poll_ms() const noexcept {
        if (!bounded_)
            return -1;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(at_ - clock::now()).count();
        return static_cast<int>(std::clamp<long long>(left, 0, 0x7fffffff));
    }
    /// The same as WaitForSingleObject takes it: 0xffffffff (INFINITE) for ever.
    unsigned long wait_ms() const noexcept { return bounded_ ? static_cast<unsigned long>(poll_ms()) : 0xffffffffUL; }
    clock::time_point at() const noexcept { return bounded_ ? at_ : clock::time_point::max(); }

private:
    clock::time_point at_{};
    bool bounded_ = false;
};

}  // namespace ipc
