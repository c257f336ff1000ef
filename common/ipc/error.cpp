#include "ipc/error.hpp"

#ifdef _WIN32
#include <windows.h>
#else
#include <cerrno>
#endif

namespace ipc {

std::error_code last_error() noexcept {
#ifdef _WIN32
    return {static_cast<int>(GetLastError()), std::system_category()};
#else
    return {errno, std::system_category()};
#endif
}

namespace {

[[noreturn]] void throw_code(std::error_code code, std::string_view call, std::string_view about) {
    std::string what(call);
    if (!about.empty())
        what.append("(").append(about).append(")");
    throw std::system_error(code, what);
}

}  // namespace

void throw_last_error(std::string_view call, std::string_view about) { throw_code(last_error(), call, about); }

void throw_error(int code, std::string_view call, std::string_view about) {
    throw_code({code, std::system_category()}, call, about);
}

}  // namespace ipc
