#include "saves.hpp"

#include "interrupt.hpp"
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr int look_every_ms = 200;
constexpr int look_now_and_then_ms = 1000;

// Whether the notifications that have arrived name `name`. Reads all of them.
bool mentioned(int descriptor, const std::string& name) {
    alignas(inotify_event) char buffer[8192];
    bool found = false;
    for (ssize_t count = 0; (count = ::read(descriptor, buffer, sizeof buffer)) > 0;) {
        for (char* at = buffer; at < buffer + count;) {
            const auto* event = reinterpret_cast<const inotify_event*>(at);
            found = found || (event->mask & IN_Q_OVERFLOW) || (event->len > 0 && name == event->name);
            at += sizeof(inotify_event) + event->len;
        }
    }
    return found;
}

}  // namespace

Saves::Saves(const fs::path& file) : file_(file) {
    changed();
    // The folder, not the file: most editors write a new file and rename it, and a watch stays with the old
    // one.
    notifications_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (notifications_ && ::inotify_add_watch(notifications_.get(), file.parent_path().c_str(),
                                              IN_CLOSE_WRITE | IN_MOVED_TO) == -1)
        notifications_.reset();
    if (!notifications_)
        fmt::print(stderr, "course: inotify is not to be had ({}); looking at the file's time instead\n",
                   std::strerror(errno));
}

bool Saves::changed() {
    std::error_code error;
    const auto time = fs::last_write_time(file_, error);
    const auto size = error ? 0 : fs::file_size(file_, error);
    if (error || (time == seen_ && size == seen_size_))
        return false;
    seen_ = time;
    seen_size_ = size;
    return true;
}

std::chrono::steady_clock::time_point Saves::wait() { return *wait_or(-1); }

std::optional<std::chrono::steady_clock::time_point> Saves::wait_or(int other) {
    for (;;) {
        pollfd waiting[] = {{notifications_.get(), POLLIN, 0}, {interrupt_descriptor(), POLLIN, 0}, {other, POLLIN, 0}};
        // The time is looked at now and then even so: what another machine saves (NFS, a container's folder) is not notified.
        ::poll(waiting, 3, notifications_ ? look_now_and_then_ms : look_every_ms);
        const auto now = std::chrono::steady_clock::now();
        stop_if_interrupted();
        if (waiting[2].revents != 0)
            return std::nullopt;
        if (notifications_)
            mentioned(notifications_.get(), file_.filename().string());
        if (changed())
            return now;
    }
}

}  // namespace course
