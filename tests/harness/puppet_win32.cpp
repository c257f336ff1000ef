#include "puppet_system.hpp"

#include "handles_win32.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <cstring>
#include <windows.h>

namespace puppet {

struct Channel::State {
    ipc::unique_file pipe;
    std::vector<char> ahead;  // the judge's lines are read by the byte, the pipe is not
    std::size_t taken = 0;
};

Channel::Channel(const std::string& endpoint) : state_(new State) {
    const std::wstring name = ipc::to_wide(endpoint);
    for (;;) {
        // No SECURITY_ATTRIBUTES: our children do not inherit it.
        state_->pipe.reset(CreateFileW(name.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, OPEN_EXISTING,
                                       SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, nullptr));
        if (state_->pipe)
            return;
        if (GetLastError() != ERROR_PIPE_BUSY || !WaitNamedPipeW(name.c_str(), 5000))
            ExitProcess(121);
    }
}

Channel::~Channel() = default;

void Channel::read(char* to, std::size_t size) {
    while (size > 0) {
        if (state_->taken == state_->ahead.size()) {
            state_->ahead.resize(64 * 1024);
            state_->taken = 0;
            DWORD count = 0;
            if (!ReadFile(state_->pipe.get(), state_->ahead.data(), static_cast<DWORD>(state_->ahead.size()),
                          &count, nullptr))
                ExitProcess(122);  // the judge is gone
            state_->ahead.resize(count);
        }
        const std::size_t part = std::min(size, state_->ahead.size() - state_->taken);
        std::copy_n(state_->ahead.data() + state_->taken, part, to);
        state_->taken += part;
        to += part;
        size -= part;
    }
}

void Channel::write(const char* from, std::size_t size) {
    while (size > 0) {
        DWORD count = 0;
        if (!WriteFile(state_->pipe.get(), from, static_cast<DWORD>(std::min<std::size_t>(size, 1 << 20)),
                       &count, nullptr))
            ExitProcess(122);
        from += count;
        size -= count;
    }
}

namespace {

DWORD standard(Standard which) {
    return which == Standard::input    ? STD_INPUT_HANDLE
           : which == Standard::output ? STD_OUTPUT_HANDLE
                                       : STD_ERROR_HANDLE;
}

std::string error_name(DWORD code) {
    switch (code) {
    case ERROR_NO_DATA:
        return "ERROR_NO_DATA";
    case ERROR_BROKEN_PIPE:
        return "ERROR_BROKEN_PIPE";
    case ERROR_PIPE_NOT_CONNECTED:
        return "ERROR_PIPE_NOT_CONNECTED";
    case ERROR_INVALID_HANDLE:
        return "ERROR_INVALID_HANDLE";
    case ERROR_ACCESS_DENIED:
        return "ERROR_ACCESS_DENIED";
    case ERROR_OPERATION_ABORTED:
        return "ERROR_OPERATION_ABORTED";
    default:
        return "error " + std::to_string(code);
    }
}

ipc::unique_handle spawned;

}  // namespace

Moved standard_write(Standard which, const char* data, std::size_t size) {
    Moved moved;
    const HANDLE stream = GetStdHandle(standard(which));
    while (moved.count < size) {
        // WriteFile on a pipe that breaks does not tell how much of the piece had gone through. And below 64
        // KiB, for Wine: a process that is looked at by the judge in the middle of a larger write may die
        // (see explain_win32.cpp).
        const DWORD piece = static_cast<DWORD>(std::min<std::size_t>(size - moved.count, 32 * 1024));
        DWORD count = 0;
        if (!WriteFile(stream, data + moved.count, piece, &count, nullptr)) {
            moved.error = error_name(GetLastError());
            return moved;
        }
        moved.count += count;
    }
    return moved;
}

Moved standard_read(char* to, std::size_t size) {
    const HANDLE stream = GetStdHandle(STD_INPUT_HANDLE);
    for (;;) {
        DWORD count = 0;
        if (!ReadFile(stream, to, static_cast<DWORD>(std::min<std::size_t>(size, 1 << 20)), &count,
                      nullptr)) {
            const DWORD error = GetLastError();
            return {0, error == ERROR_BROKEN_PIPE || error == ERROR_HANDLE_EOF ? "" : error_name(error)};
        }
        // A pipe hands over a write of no bytes as a read of no bytes; only a file ends so.
        if (count > 0 || GetFileType(stream) != FILE_TYPE_PIPE)
            return {count, ""};
    }
}

void close_standard(Standard which) {
    CloseHandle(GetStdHandle(standard(which)));
    SetStdHandle(standard(which), nullptr);
}

std::uint32_t own_id() {
    return GetCurrentProcessId();
}

std::vector<std::string> arguments(int, char**) {
    std::vector<std::string> all = ipc::split_command_line(GetCommandLineW());
    std::wstring program(32768, L'\0');
    program.resize(GetModuleFileNameW(nullptr, program.data(), static_cast<DWORD>(program.size())));
    all[0] = ipc::to_utf8(program);
    return all;
}

std::vector<std::string> odd_signals() {
    return {};
}

std::map<std::string, std::string> environment() {
    std::map<std::string, std::string> all;
    wchar_t* block = GetEnvironmentStringsW();
    for (const wchar_t* entry = block; *entry; entry += std::wcslen(entry) + 1) {
        const std::string text = ipc::to_utf8(entry);
        const auto equals = text.find('=', 1);  // "=C:=…" is a drive's directory, not a variable
        if (text[0] != '=' && equals != std::string::npos)
            all.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    FreeEnvironmentStringsW(block);
    return all;
}

std::string current_directory() {
    std::wstring path(GetCurrentDirectoryW(0, nullptr), L'\0');
    path.resize(GetCurrentDirectoryW(static_cast<DWORD>(path.size()), path.data()));
    return ipc::to_utf8(path);
}

std::vector<std::string> descriptors(const Channel&) {
    std::vector<std::string> found;
    for (const judge::nt::HandleEntry& entry : judge::nt::all_handles())
        if (entry.process == GetCurrentProcessId() && entry.inheritable)
            found.push_back(judge::nt::text_of(entry.value, reinterpret_cast<HANDLE>(entry.value)));
    return found;
}

void ignore_polite_requests() {
    SetConsoleCtrlHandler([](DWORD) -> BOOL { return TRUE; }, TRUE);
}

std::uint32_t spawn(const std::string& program, const std::string& endpoint, bool detached) {
    std::wstring command = ipc::to_wide("\"" + program + "\" " + endpoint);
    STARTUPINFOW info{};
    info.cb = sizeof info;
    info.dwFlags = STARTF_USESTDHANDLES;
    info.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    info.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    info.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION process{};
    const DWORD flags = detached ? DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP : 0;
    if (!CreateProcessW(ipc::to_wide(program).c_str(), command.data(), nullptr, nullptr, TRUE, flags, nullptr,
                        nullptr, &info, &process))
        ExitProcess(123);
    CloseHandle(process.hThread);
    spawned.reset(process.hProcess);
    return process.dwProcessId;
}

std::uint32_t reap() {
    DWORD code = 0;
    WaitForSingleObject(spawned.get(), INFINITE);
    GetExitCodeProcess(spawned.get(), &code);
    return code;
}

void end(std::uint32_t code) {
    ExitProcess(code);
}

void crash(const std::string& how) {
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);  // no dialogue that waits for a click
    if (how == "segv") {
        auto* forbidden =
            static_cast<volatile char*>(VirtualAlloc(nullptr, 4096, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS));
        *forbidden = 1;
    }
    if (how == "kill")
        TerminateProcess(GetCurrentProcess(), 0xC000013A);
    RaiseException(0xC0000409, EXCEPTION_NONCONTINUABLE, 0, nullptr);
    ExitProcess(124);
}

void hold() {
    for (;;)
        Sleep(INFINITE);
}

}  // namespace puppet
