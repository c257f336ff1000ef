#pragma once

/// @file
/// Owners of operating-system handles: what is opened is closed, once, also when an exception flies past.

#include <utility>

#ifdef _WIN32
#include <windows.h>
#else
#include <unistd.h>
#endif

namespace ipc {

/// Owns one handle. `Kind` says what the handle is, which value means 'none', and how it is closed.
///
/// A moved-from or released owner holds none. Closing never throws; who must know whether close() succeeded
/// calls release() and closes by hand.
template <class Kind>
class unique_resource {
public:
    using value_type = typename Kind::value_type;

    unique_resource() noexcept = default;
    explicit unique_resource(value_type value) noexcept : value_(value) {}
    unique_resource(unique_resource&& other) noexcept : value_(other.release()) {}
    unique_resource& operator=(unique_resource&& other) noexcept {
        if (this != &other)
            reset(other.release());
        return *this;
    }
    unique_resource(const unique_resource&) = delete;
    unique_resource& operator=(const unique_resource&) = delete;
    ~unique_resource() { reset(); }

    value_type get() const noexcept { return value_; }
    explicit operator bool() const noexcept { return value_ != Kind::none(); }
    /// Gives the handle away: the caller closes it.
    [[nodiscard]] value_type release() noexcept { return std::exchange(value_, Kind::none()); }
    /// Closes what is owned, if anything, and owns `value` instead.
    void reset(value_type value = Kind::none()) noexcept {
        value_type old = std::exchange(value_, value);
        if (old != Kind::none())
            Kind::close(old);
    }

private:
    value_type value_ = Kind::none();
};

#ifdef _WIN32

struct handle_kind {
    using value_type = HANDLE;
    static value_type none() noexcept { return nullptr; }
    static void close(value_type value) noexcept { CloseHandle(value); }
};

struct file_kind {
    using value_type = HANDLE;
    static value_type none() noexcept { return INVALID_HANDLE_VALUE; }
    static void close(value_type value) noexcept { CloseHandle(value); }
};

/// A process, thread, event, mutex, job, pipe end of CreatePipe…: its functions answer NULL when they fail.
using unique_handle = unique_resource<handle_kind>;
/// A file, named pipe or mailslot: its functions answer INVALID_HANDLE_VALUE when they fail.
/// The two nothings differ, so the two owners are different types.
using unique_file = unique_resource<file_kind>;

#else

struct descriptor_kind {
    using value_type = int;
    static value_type none() noexcept { return -1; }
    static void close(value_type value) noexcept { ::close(value); }
};

/// A file descriptor. See close(2): on Linux it is never retried, not even after EINTR.
using unique_file = unique_resource<descriptor_kind>;

#endif

}  // namespace ipc
