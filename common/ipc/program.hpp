#pragma once

/// @file
/// What every lab program does the same way: arguments, exit codes, `ready`, and 'not implemented yet'.

#include <exception>
#include <source_location>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace ipc {

/// How a lab program ends. Verbs that run another program pass on that program's code instead.
struct exit_code {
    static constexpr int success = 0;
    static constexpr int failure = 1;           ///< something the system refused; said on standard error
    static constexpr int usage = 2;             ///< the command line is wrong; said with the usage
    static constexpr int not_implemented = 79;  ///< a starter's function that still throws not_implemented
};

/// Thrown by the starters: this function is still to be written.
class not_implemented : public std::exception {
public:
    explicit not_implemented(std::source_location where = std::source_location::current());
    const char* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};

/// A command line that cannot be understood; the message says what would be right.
class usage_error : public std::exception {
public:
    explicit usage_error(std::string text) : text_(std::move(text)) {}
    const char* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};

/// A command line in UTF-8, split at the first `--`.
struct Arguments {
    std::string program;               ///< as it was called
    std::vector<std::string> options;  ///< what stands before the first `--`
    std::vector<std::string> command;  ///< what stands behind it, each argument untouched
    bool has_command = false;          ///< whether there was a `--` at all
};

/// Runs a lab program: gets the arguments, calls `body`, and turns what it throws into a message on standard error
/// and an exit code of exit_code. Standard output is binary on every system: what is written is what arrives.
int run_program(int argc, char** argv, int (*body)(const Arguments&));

/// Prints `ready`, or `ready DETAIL`, as a line on standard output and flushes it: from now on the peer may come.
void say_ready(std::string_view detail = {});

/// Writes bytes or text to standard output, all of them, at once.
/// @throws std::system_error EPIPE / ERROR_NO_DATA when nobody reads any more
void print(std::string_view bytes);

/// Writes to standard error with nothing but write(2): for signal handlers.
void print_signal_safe(const char* text) noexcept;

/// Says on standard error why a command could not be started, as shells do, and gives the exit code that says the same:
/// 127 not found, 126 found but not to be run, 1 for an error of another kind.
int report_start_failure(const std::system_error& error);

}  // namespace ipc
