#include "ipc/error.hpp"

#ifdef _WIN32
#include <winsock2.h>
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

#ifdef _WIN32
// The system's words, or what it is called and its number where it has none: Wine has no words for Winsock's errors.
std::string name_without_words(std::error_code code) {
    if (code.message() != "Unknown error code")
        return {};
    const std::string number = std::to_string(code.value());
    switch (code.value()) {
    case WSAEACCES: return "WSAEACCES, " + number;
    case WSAEADDRINUSE: return "WSAEADDRINUSE, " + number;
    case WSAEADDRNOTAVAIL: return "WSAEADDRNOTAVAIL, " + number;
    case WSAEAFNOSUPPORT: return "WSAEAFNOSUPPORT, " + number;
    case WSAECONNABORTED: return "WSAECONNABORTED, " + number;
    case WSAECONNREFUSED: return "WSAECONNREFUSED, " + number;
    case WSAECONNRESET: return "WSAECONNRESET, " + number;
    case WSAEINVAL: return "WSAEINVAL, " + number;
    case WSAEMFILE: return "WSAEMFILE, " + number;
    case WSAEMSGSIZE: return "WSAEMSGSIZE, " + number;
    case WSAENOTCONN: return "WSAENOTCONN, " + number;
    case WSAETIMEDOUT: return "WSAETIMEDOUT, " + number;
    case WSAHOST_NOT_FOUND: return "WSAHOST_NOT_FOUND, " + number;
    default: return "error " + number;
    }
}
#else
std::string name_without_words(std::error_code) { return {}; }
#endif

[[noreturn]] void throw_code(std::error_code code, std::string_view call, std::string_view about) {
    std::string what(call);
    if (!about.empty())
        what.append("(").append(about).append(")");
    if (const std::string name = name_without_words(code); !name.empty())
        what.append(" [").append(name).append("]");
    throw std::system_error(code, what);
}

}  // namespace

void throw_last_error(std::string_view call, std::string_view about) { throw_code(last_error(), call, about); }

void throw_error(int code, std::string_view call, std::string_view about) {
    throw_code({code, std::system_category()}, call, about);
}

}  // namespace ipc
