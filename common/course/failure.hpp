#pragma once

/// @file
/// How a command of the course ends: its exit codes, and the exception that carries one.

#include <stdexcept>
#include <string>

namespace course {

/// Exit codes of `./course`; docs/exit-codes.md explains them to its users.
struct exit_code {
    static constexpr int full_marks = 0;        ///< full marks, or the command did what was asked
    static constexpr int points_missing = 1;    ///< judged, and points are missing; or a check failed
    static constexpr int usage = 2;             ///< an unknown lab, case, track or option
    static constexpr int does_not_compile = 3;  ///< the student's file does not compile
    static constexpr int machine = 4;  ///< this machine is not ready: tool missing, disk full, no permission
    static constexpr int judge_error = 5;    ///< the judge failed, not the student
    static constexpr int interrupted = 130;  ///< Ctrl-C or a request to end
};

/// Ends the command: the message is for the person, the code for scripts.
class Failure : public std::runtime_error {
public:
    Failure(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
    int code() const noexcept { return code_; }

private:
    int code_;
};

/// Ctrl-C, or a request to end. Everything that was started has ended when this is thrown.
class Interrupted : public Failure {
public:
    Interrupted() : Failure(exit_code::interrupted, "interrupted") {}
};

}  // namespace course
