#pragma once

/// @file
/// Single keys from the terminal.

#include <optional>
#include <termios.h>

namespace course {

/// While it lives, keys of the terminal arrive one by one and are not shown. Ctrl-C stays what it is. Does nothing
/// where standard input is no terminal.
class Keys {
public:
    Keys();
    ~Keys();
    Keys(const Keys&) = delete;
    Keys& operator=(const Keys&) = delete;

    /// For poll(2): standard input, or -1 where there is no terminal.
    int descriptor() const { return active_ ? 0 : -1; }
    /// The key that was pressed, if one was; the escape sequences of arrows and the like are none.
    std::optional<char> pressed();

    /// Gives the terminal back for another program, and takes it again.
    void suspend();
    void resume();

private:
    bool active_ = false;
    termios before_{};
};

}  // namespace course
