#include "platform.hpp"

#include "handles_win32.hpp"
#include "ipc/error.hpp"
#include "ipc/text.hpp"
#include "security_win32.hpp"
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>
#include <thread>
#include <windows.h>

namespace judge {

namespace fs = std::filesystem;
using ipc::throw_last_error;
using ipc::to_utf8;
using ipc::to_wide;
using ipc::unique_file;
using ipc::unique_handle;

// ---- streams
// ------------------------------------------------------------------------------------------------------

std::size_t Stream::read(char* to, std::size_t size) {
    close_this_thread();
    const auto progress = progress_;
    for (;;) {
        progress->calling = true;
        DWORD count = 0;
        const bool tried = !progress->aborted;
        const bool done =
            tried && ReadFile(end_.get(), to, static_cast<DWORD>(std::min<std::size_t>(size, 1 << 20)),
                              &count, nullptr);
        const DWORD error = tried && !done ? GetLastError() : 0;
        progress->calling = false;
        if (!tried || error == ERROR_BROKEN_PIPE || error == ERROR_OPERATION_ABORTED)
            return 0;
        if (!done)
            ipc::throw_error(static_cast<int>(error), "ReadFile", "pipe to the subject");
        if (count > 0)
            return count;  // a read of no bytes is a write of no bytes, not the end
    }
}

std::size_t Stream::write(const char* from, std::size_t size) {
    close_this_thread();
    const auto progress = progress_;
    progress->calling = true;
    DWORD count = 0;
    const bool tried = !progress->aborted;
    const bool done =
        tried && WriteFile(end_.get(), from, static_cast<DWORD>(std::min<std::size_t>(size, 1 << 20)), &count,
                           nullptr);
    const DWORD error = tried && !done ? GetLastError() : 0;
    progress->calling = false;
    if (!tried || error == ERROR_NO_DATA || error == ERROR_BROKEN_PIPE || error == ERROR_OPERATION_ABORTED)
        return 0;
    if (!done)
        ipc::throw_error(static_cast<int>(error), "WriteFile", "pipe to the subject");
    return count;
}

void Stream::abort() {
    const auto progress = progress_;
    if (!progress)
        return;
    progress->aborted = true;
    // The thread may be on its way into the call that is to be cancelled: again until it is out.
    while (progress->calling) {
        CancelIoEx(end_.get(), nullptr);
        Sleep(1);
    }
}

std::pair<Stream, Stream> make_pipe(std::size_t capacity) {
    HANDLE read_end = nullptr, write_end = nullptr;
    if (!CreatePipe(&read_end, &write_end, nullptr, static_cast<DWORD>(capacity)))
        throw_last_error("CreatePipe");
    return {Stream(unique_handle(read_end)), Stream(unique_handle(write_end))};
}

// ---- ourselves
// ----------------------------------------------------------------------------------------------------

std::string make_private_directory() {
    wchar_t base[MAX_PATH + 1];
    if (GetTempPathW(MAX_PATH + 1, base) == 0)
        throw_last_error("GetTempPath");
    const std::wstring path = base + to_wide("ipc-labs-" + random_name());
    Security only_us(L"D:P(A;OICI;FA;;;" + own_user() + L")(A;OICI;FA;;;SY)");
    if (!CreateDirectoryW(path.c_str(), only_us.attributes()))
        throw_last_error("CreateDirectory", to_utf8(path));
    return to_utf8(path);
}

std::string own_program() {
    std::wstring path(32768, L'\0');
    path.resize(GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    if (path.empty())
        throw_last_error("GetModuleFileName");
    return to_utf8(path);
}

std::string puppet_program() {
    return to_utf8((fs::path(to_wide(own_program())).parent_path() / L"puppet.exe").wstring());
}

std::vector<std::string> leftover_names(const std::string& token) {
    std::set<std::string> found;
    if (nt::under_wine()) {
        // Wine does not list \\.\pipe\, but tells what everyone's handles are called.
        const unsigned file_type = nt::type_number(nt::null_device().get());
        for (const nt::HandleEntry& entry : nt::all_handles()) {
            if (entry.type != file_type)
                continue;
            const bool ours =
                entry.process == GetCurrentProcessId();  // we do not open ourselves: close_object()
            const unique_handle process(ours ? nullptr
                                             : OpenProcess(PROCESS_DUP_HANDLE, FALSE, entry.process));
            const unique_handle copy =
                ours || process ? nt::borrow(ours ? GetCurrentProcess() : process.get(), entry.value)
                                : unique_handle();
            const std::string name = copy ? nt::name_of(copy.get()) : std::string();
            if (name.starts_with("\\\\.\\pipe\\") && name.find(token) != std::string::npos)
                found.insert(name);
        }
        return {found.begin(), found.end()};
    }
    WIN32_FIND_DATAW entry;
    const HANDLE search = FindFirstFileW(L"\\\\.\\pipe\\*", &entry);
    if (search == INVALID_HANDLE_VALUE)
        return {};
    do {
        const std::string name = to_utf8(entry.cFileName);
        if (name.find(token) != std::string::npos)
            found.insert("\\\\.\\pipe\\" + name);
    } while (FindNextFileW(search, &entry));
    FindClose(search);
    return {found.begin(), found.end()};
}

bool under_wine() {
    return nt::under_wine();
}

std::string prepare_case_process(const std::vector<std::string>& hidden) {
    // The coordinator holds the job that we are in: when it dies, so do we. A crash ends a subject at once,
    // with no dialogue.
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    const bool shut = close_judge();
    std::string text = !shut ? "the judge is NOT closed to other processes of this user"
                       : nt::under_wine()
                           ? "the judge is closed to other processes as far as Wine enforces it"
                           : "the judge is closed to other processes of this user";
    text += hidden.empty() ? ", nothing hidden"
                           : ", solutions and judges NOT hidden (not possible " +
                                 std::string(nt::under_wine() ? "under Wine" : "on Windows") + ")";
    return text;
}

namespace {
std::atomic<bool> was_interrupted = false;
}

void catch_interrupts() {
    // The coordinator takes the verdicts in, so it is closed as well.
    close_judge();
    SetConsoleCtrlHandler(
        [](DWORD) -> BOOL {
            was_interrupted = true;
            return TRUE;
        },
        TRUE);
}

bool interrupted() {
    return was_interrupted;
}

unsigned processor_count() {
    return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace judge
