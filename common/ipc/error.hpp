#pragma once

/// @file
/// Errors that carry the name of the call and the system's own code.

#include <string>
#include <string_view>
#include <system_error>

namespace ipc {

/// The code of the call that just failed: errno, or GetLastError() on Windows.
std::error_code last_error() noexcept;

/// Throws std::system_error "CALL(ABOUT): the system's words" with last_error().
///
/// Call it at once: everything in between may overwrite the code.
/// @param call   the function that failed, as its manual page is named
/// @param about  what it was called on, if that helps the reader
[[noreturn]] void throw_last_error(std::string_view call, std::string_view about = {});

/// The same with a code that the call returned instead of storing it.
[[noreturn]] void throw_error(int code, std::string_view call, std::string_view about = {});

/// `result` of a POSIX-style call, or throw_last_error() if it is -1.
template <class Integer>
Integer check(Integer result, std::string_view call, std::string_view about = {}) {
    if (result == -1)
        throw_last_error(call, about);
    return result;
}

}  // namespace ipc
