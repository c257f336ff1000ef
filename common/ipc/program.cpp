#include "ipc/program.hpp"

#include "ipc/error.hpp"
#include <algorithm>
#include <cstdio>
#include <cstring>

#ifdef _WIN32
#include "ipc/text.hpp"
#include <fcntl.h>
#include <io.h>
#include <windows.h>
#else
#include <cerrno>
#include <unistd.h>
#endif

namespace ipc {
namespace {

// "ipc::exit_status capture(const std::vector<…>&)" → "capture"
std::string plain_name(std::string_view signature) {
    const auto end = signature.find('(');
    std::string_view head = signature.substr(0, end);
    const auto start = head.find_last_of(" :*&");
    return std::string(start == std::string_view::npos ? head : head.substr(start + 1));
}

std::vector<std::string> utf8_arguments([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {
#ifdef _WIN32
    return split_command_line(GetCommandLineW());  // argv is in the code page; only this has every character
#else
    return {argv, argv + argc};
#endif
}

Arguments split(std::vector<std::string> all) {
    Arguments arguments;
    if (!all.empty())
        arguments.program = all[0];
    for (std::size_t i = 1; i < all.size(); ++i) {
        if (arguments.has_command)
            arguments.command.push_back(std::move(all[i]));
        else if (all[i] == "--")
            arguments.has_command = true;
        else
            arguments.options.push_back(std::move(all[i]));
    }
    return arguments;
}

int report(const char* text, int code) {
    std::fprintf(stderr, "%s\n", text);
    return code;
}

}  // namespace

not_implemented::not_implemented(std::source_location where)
    : text_("not implemented yet: " + plain_name(where.function_name()) + " (" + where.file_name() + ":" +
            std::to_string(where.line()) + ")") {}

int run_program(int argc, char** argv, int (*body)(const Arguments&)) {
#ifdef _WIN32
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
#endif
    try {
        return body(split(utf8_arguments(argc, argv)));
    } catch (const not_implemented& error) {
        return report(error.what(), exit_code::not_implemented);
    } catch (const usage_error& error) {
        return report(error.what(), exit_code::usage);
    } catch (const std::exception& error) {
        return report(error.what(), exit_code::failure);
    }
}

void say_ready(std::string_view detail) {
    std::string line = "ready";
    if (!detail.empty())
        line.append(" ").append(detail);
    print(line + "\n");
}

void print(std::string_view bytes) {
    while (!bytes.empty()) {
#ifdef _WIN32
        DWORD written = 0;
        const auto part = static_cast<DWORD>(std::min<std::size_t>(bytes.size(), 64 * 1024));  // consoles refuse much more
        if (!WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), bytes.data(), part, &written, nullptr))
            throw_last_error("WriteFile", "standard output");
        bytes.remove_prefix(written);
#else
        const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (written < 0) {
            if (errno == EINTR)
                continue;
            throw_last_error("write", "standard output");
        }
        bytes.remove_prefix(static_cast<std::size_t>(written));
#endif
    }
}

void print_signal_safe(const char* text) noexcept {
#ifdef _WIN32
    DWORD written = 0;
    WriteFile(GetStdHandle(STD_ERROR_HANDLE), text, static_cast<DWORD>(std::strlen(text)), &written, nullptr);
#else
    const int kept = errno;
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
    errno = kept;
#endif
}

int report_start_failure(const std::system_error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    const int code = error.code().value();
#ifdef _WIN32
    if (code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND)
        return 127;
    if (code == ERROR_ACCESS_DENIED || code == ERROR_BAD_EXE_FORMAT)
        return 126;
#else
    if (code == ENOENT)
        return 127;
    if (code == EACCES || code == ENOEXEC)
        return 126;
#endif
    return exit_code::failure;
}

}  // namespace ipc
