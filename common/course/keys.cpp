#include "keys.hpp"

#include <poll.h>
#include <unistd.h>

namespace course {

Keys::Keys() {
    // A background process that changes the terminal would be stopped for it.
    active_ = ::isatty(STDIN_FILENO) && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp() && ::tcgetattr(STDIN_FILENO, &before_) == 0;
    resume();
}

Keys::~Keys() { suspend(); }

void Keys::resume() {
    if (!active_)
        return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void Keys::suspend() {
    if (active_)
        ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

std::optional<char> Keys::pressed() {
    char bytes[64];
    pollfd entry{STDIN_FILENO, POLLIN, 0};
    if (!active_ || ::poll(&entry, 1, 0) <= 0)
        return std::nullopt;
    const ssize_t count = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (count <= 0) {
        active_ = false;  // the terminal has gone: nobody presses anything any more
        return std::nullopt;
    }
    if (bytes[0] == '\x1b')
        return std::nullopt;
    return bytes[0];
}

}  // namespace course
