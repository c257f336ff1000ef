#pragma once

/// @file
/// The contract of lab 01: a parent and its child, joined by anonymous pipes.
///
/// You write these four functions, in posix.cpp or in win32.cpp. main.cpp calls them and is given.

#include <string>
#include <vector>

/// Lab 01, anonymous pipes: what is to be implemented.
namespace anonymous_pipes {

/// A program and its arguments, UTF-8. The program is looked up in PATH as a shell does it, but started directly, with
/// no shell in between: each word arrives as it is.
using Command = std::vector<std::string>;

/// How a child ended, as one number: its exit code; for a child killed by a signal 128 + the signal's number, as
/// shells report it. On Windows the exit code is whatever GetExitCodeProcess() tells, exception codes included.
using ExitCode = unsigned;

struct Captured {
    std::string output;  ///< every byte the child, or whoever inherited its standard output, wrote
    ExitCode exit_code = 0;
};

/// Runs `command` and collects its standard output until the pipe's end of file.
///
/// End of file, not the child's death, ends the output: a grandchild may go on writing when the child has ended, and a
/// child may close its output long before it ends. Standard input and standard error are the caller's own.
/// Returns once the output has ended and the child has been waited for; no zombie is left.
///
/// @throws std::system_error the command cannot be started: with the system's code (ENOENT, EACCES; ERROR_FILE_NOT_FOUND, …).
///         Nothing is left running then.
/// @see pipe(2), fork(2), execvp(3), waitpid(2); CreatePipe, CreateProcessW, ReadFile, WaitForSingleObject
Captured capture(const Command& command);

/// Runs `command` and gives it, through a pipe, everything that standard input holds, then end of file.
///
/// The child's standard output and standard error are the caller's own. A child that stops reading early is no error:
/// the rest of the input is not sent, and the child's exit code is the result as ever.
///
/// @throws std::system_error as capture()
/// @see signal(7) on SIGPIPE, write(2) on EPIPE; WriteFile with ERROR_NO_DATA and ERROR_BROKEN_PIPE
ExitCode feed(const Command& command);

/// Sends standard input through `command` to standard output, whatever the amounts and whoever goes first.
///
/// The child may write before it reads, read everything before it writes, or stop reading early. At no time does one
/// direction wait for the other, and memory does not grow with the amount of data.
/// When nobody reads our standard output any more, the child's output is closed too, so that it learns of it.
///
/// @throws std::system_error as capture()
/// @see poll(2), fcntl(2) on O_NONBLOCK; CreateThread or std::thread
ExitCode filter(const Command& command);

/// Runs several commands at once, the standard output of each being the standard input of the next, as a shell runs
/// `A | B | C`. The first reads the caller's standard input, the last writes to its standard output. They are started
/// from the first to the last, without waiting for any of them in between.
///
/// Each child has exactly its three standard streams open: no end of a pipe that belongs to its siblings.
///
/// @param stages at least one command
/// @return how each ended, in the order of `stages`
/// @throws std::system_error a stage cannot be started; then the stages already running are given end of file and waited for
std::vector<ExitCode> pipeline(const std::vector<Command>& stages);

}  // namespace anonymous_pipes
