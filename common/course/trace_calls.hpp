#pragma once

/// @file
/// What strace(1) wrote down, read back: system calls with their times, arguments and results.

#include <string>
#include <string_view>
#include <vector>

namespace course {

/// One line of strace's output for one thread.
struct TracedCall {
    enum class Kind { call, signal, exited, killed };
    Kind kind = Kind::call;
    double start = 0;     ///< seconds since 1970
    double duration = 0;  ///< seconds
    std::string name;     ///< "read"; the signal's name; for `exited` nothing
    std::vector<std::string> arguments;
    std::string result;   ///< "5", "3<pipe:[81]>", "-1"; "?" if it did not return; the exit code of `exited`
    std::string error;    ///< "EPIPE", or empty

    double end() const { return start + duration; }
    bool failed() const { return !error.empty(); }
};

/// One thread's calls, in order.
struct TracedThread {
    int id = 0;
    int program = 0;  ///< which of the programs on the command line it belongs to
    std::vector<TracedCall> calls;
};

/// Reads what `strace -ff -ttt -T -yy` wrote for one thread. Lines that it does not understand are left out.
std::vector<TracedCall> traced_calls(std::string_view log);

/// "3<pipe:[81]>" → 3 and "pipe:[81]"; a plain number has no target; -1 where there is no number.
struct TracedDescriptor {
    int number = -1;
    std::string target;
};
TracedDescriptor traced_descriptor(std::string_view argument);

}  // namespace course
