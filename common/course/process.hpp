#pragma once

/// @file
/// Running another program to its end, with its output in hand and Ctrl-C passed on.

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace course {

struct Command {
    std::vector<std::string> arguments;        ///< the program (looked up in PATH) and what it is given
    std::filesystem::path directory;           ///< where it runs; empty: here
    std::chrono::milliseconds limit{600'000};  ///< after which it is ended
    std::vector<std::string> environment;      ///< NAME=VALUE in addition to ours
    std::size_t most_output = static_cast<std::size_t>(-1);  ///< bytes kept of each stream; the rest is read and dropped
};

struct Outcome {
    int code = 0;             ///< exit code, or 128 + signal
    int signal = 0;           ///< the signal that ended it, or 0
    bool over_limit = false;  ///< it was ended because of the limit
    std::string output;       ///< standard output
    std::string errors;       ///< standard error
};

/// Runs `command` in a process group of its own, with an empty standard input. Returns when the program has
/// ended, even if something it left behind still holds its output open. On Ctrl-C the group gets SIGINT, time
/// to clean up, and then SIGKILL.
/// @throws Interrupted when the program has ended after Ctrl-C
/// @throws Failure (machine) if it cannot be started
Outcome run(const Command& command);

/// From now on what our children leave behind becomes our child, and run() buries it. Wine starts each program as an
/// orphan, and in a container nobody else may be there to bury them: thousands would fill the process table.
void adopt_orphans();

/// Kills what was adopted, whose program file's name contains `word`, and which has `variable` (NAME=VALUE) in its
/// environment; and buries it.
void end_adopted(const std::string& word, const std::string& variable);

/// Whether `program` is found in PATH; where.
std::filesystem::path find_program(const std::string& program);

/// The command as one would type it, for messages.
std::string shell_line(const std::vector<std::string>& arguments);

}  // namespace course
