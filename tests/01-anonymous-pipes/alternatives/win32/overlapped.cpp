// Alternative: our ends of the pipes are overlapped, which anonymous pipes cannot be: so each is a named pipe with a name
// that nobody knows. A write to the child can then be given up without cancelling a thread.

#include "anonymous_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <memory>
#include <thread>
#include <windows.h>

namespace anonymous_pipes {
namespace {

struct Ends {
    ipc::unique_file ours, childs;
};

Ends overlapped_pipe(DWORD direction) {
    static unsigned serial = 0;
    const std::wstring name = L"\\\\.\\pipe\\ipc-labs-overlapped-" + std::to_wstring(::GetCurrentProcessId()) + L"-" + std::to_wstring(++serial) +
                              L"-" + std::to_wstring(::GetTickCount64());
    Ends ends;
    ends.ours.reset(::CreateNamedPipeW(name.c_str(), direction | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
                                       PIPE_TYPE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1, 65536, 65536, 0, nullptr));
    if (!ends.ours)
        ipc::throw_last_error("CreateNamedPipeW");
    SECURITY_ATTRIBUTES inheritable{sizeof inheritable, nullptr, TRUE};
    const DWORD access = direction == PIPE_ACCESS_INBOUND ? GENERIC_WRITE : GENERIC_READ;
    ends.childs.reset(::CreateFileW(name.c_str(), access, 0, &inheritable, OPEN_EXISTING, 0, nullptr));
    if (!ends.childs)
        ipc::throw_last_error("CreateFileW");
    return ends;
}

Ends between_stages() {
    HANDLE read_end, write_end;
    SECURITY_ATTRIBUTES inheritable{sizeof inheritable, nullptr, TRUE};
    if (!::CreatePipe(&read_end, &write_end, &inheritable, 0))
        ipc::throw_last_error("CreatePipe");
    return {ipc::unique_file(read_end), ipc::unique_file(write_end)};
}

void add_quoted(std::wstring& line, const std::wstring& word) {
    if (!line.empty())
        line += L' ';
    if (!word.empty() && word.find_first_of(L" \t\"") == std::wstring::npos) {
        line += word;
        return;
    }
    std::wstring reversed = L"\"";  // from behind, a backslash knows whether a quotation mark follows
    bool before_mark = true;
    for (auto c = word.rbegin(); c != word.rend(); ++c) {
        reversed += *c;
        if (*c == L'"' || (*c == L'\\' && before_mark))
            reversed += L'\\';
        before_mark = *c == L'"' || (*c == L'\\' && before_mark);
    }
    line += L'"' + std::wstring(reversed.rbegin(), reversed.rend());
}

class Child {
public:
    Child(const Command& command, HANDLE input, HANDLE output) {
        std::wstring line;
        for (const std::string& word : command)
            add_quoted(line, ipc::to_wide(word));
        HANDLE given[3] = {input ? input : own(STD_INPUT_HANDLE), output ? output : own(STD_OUTPUT_HANDLE), own(STD_ERROR_HANDLE)};
        alignas(16) char storage[256];
        SIZE_T size = sizeof storage;
        auto* list = reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(storage);
        if (!::InitializeProcThreadAttributeList(list, 1, 0, &size) ||
            !::UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, given, sizeof given, nullptr, nullptr))
            ipc::throw_last_error("UpdateProcThreadAttribute");
        STARTUPINFOEXW info{};
        info.StartupInfo = {};
        info.StartupInfo.cb = sizeof info;
        info.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        info.StartupInfo.hStdInput = given[0];
        info.StartupInfo.hStdOutput = given[1];
        info.StartupInfo.hStdError = given[2];
        info.lpAttributeList = list;
        PROCESS_INFORMATION started{};
        if (!::CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE, EXTENDED_STARTUPINFO_PRESENT, nullptr, nullptr,
                              &info.StartupInfo, &started))
            ipc::throw_last_error("CreateProcessW", command[0]);
        ::CloseHandle(started.hThread);
        process_.reset(started.hProcess);
    }
    ExitCode wait() const {
        DWORD code = 0;
        ::WaitForSingleObject(process_.get(), INFINITE);
        ::GetExitCodeProcess(process_.get(), &code);
        return code;
    }

private:
    HANDLE own(DWORD which) {
        HANDLE copy = nullptr;
        if (!::DuplicateHandle(::GetCurrentProcess(), ::GetStdHandle(which), ::GetCurrentProcess(), &copy, 0, TRUE, DUPLICATE_SAME_ACCESS))
            ipc::throw_last_error("DuplicateHandle");
        copies_.emplace_back(copy);
        return copy;
    }
    std::vector<ipc::unique_handle> copies_;  // kept while the child lives; no end of a pipe of ours is among them
    ipc::unique_handle process_;
};

// One overlapped call at a time on a pipe.
class Call {
public:
    Call() : event_(::CreateEventW(nullptr, TRUE, FALSE, nullptr)) {}
    // The bytes moved, 0 when the other side has gone, or when `stop` is set before the call is done.
    DWORD finish(HANDLE file, BOOL begun, HANDLE stop = nullptr) {
        if (!begun && ::GetLastError() != ERROR_IO_PENDING) {
            if (::GetLastError() == ERROR_BROKEN_PIPE || ::GetLastError() == ERROR_NO_DATA)
                return 0;
            ipc::throw_last_error("ReadFile or WriteFile");
        }
        const HANDLE either[2] = {event_.get(), stop};
        if (::WaitForMultipleObjects(stop ? 2 : 1, either, FALSE, INFINITE) == WAIT_OBJECT_0 + 1)
            ::CancelIoEx(file, &overlapped_);
        DWORD count = 0;
        if (!::GetOverlappedResult(file, &overlapped_, &count, TRUE))
            return 0;
        return count;
    }
    OVERLAPPED* fresh() {
        overlapped_ = {};
        overlapped_.hEvent = event_.get();
        return &overlapped_;
    }

private:
    ipc::unique_handle event_;
    OVERLAPPED overlapped_{};
};

DWORD read_overlapped(HANDLE file, std::vector<char>& buffer) {
    Call call;
    return call.finish(file, ::ReadFile(file, buffer.data(), static_cast<DWORD>(buffer.size()), nullptr, call.fresh()));
}

bool write_overlapped(HANDLE file, const char* data, DWORD size, HANDLE stop = nullptr) {
    while (size > 0) {
        Call call;
        const DWORD count = call.finish(file, ::WriteFile(file, data, size, nullptr, call.fresh()), stop);
        if (count == 0)
            return false;
        data += count;
        size -= count;
    }
    return true;
}

// Reads standard input, which is not overlapped.
DWORD read_input(std::vector<char>& buffer) {
    DWORD count = 0;
    return ::ReadFile(::GetStdHandle(STD_INPUT_HANDLE), buffer.data(), static_cast<DWORD>(buffer.size()), &count, nullptr) ? count : 0;
}

bool print(const char* data, DWORD size) {
    for (DWORD count = 0; size > 0; data += count, size -= count)
        if (!::WriteFile(::GetStdHandle(STD_OUTPUT_HANDLE), data, size, &count, nullptr))
            return false;
    return true;
}

}  // namespace

Captured capture(const Command& command) {
    Ends out = overlapped_pipe(PIPE_ACCESS_INBOUND);
    const Child child(command, nullptr, out.childs.get());
    out.childs.reset();
    Captured captured;
    std::vector<char> buffer(65536);
    while (const DWORD count = read_overlapped(out.ours.get(), buffer))
        captured.output.append(buffer.data(), count);
    captured.exit_code = child.wait();
    return captured;
}

ExitCode feed(const Command& command) {
    Ends in = overlapped_pipe(PIPE_ACCESS_OUTBOUND);
    const Child child(command, in.childs.get(), nullptr);
    in.childs.reset();
    std::vector<char> buffer(65536);
    while (const DWORD count = read_input(buffer))
        if (!write_overlapped(in.ours.get(), buffer.data(), count))
            break;
    in.ours.reset();
    return child.wait();
}

ExitCode filter(const Command& command) {
    Ends in = overlapped_pipe(PIPE_ACCESS_OUTBOUND), out = overlapped_pipe(PIPE_ACCESS_INBOUND);
    const Child child(command, in.childs.get(), out.childs.get());
    in.childs.reset();
    out.childs.reset();
    const ipc::unique_handle stop(::CreateEventW(nullptr, TRUE, FALSE, nullptr)), sent(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
    std::thread sender([&] {
        std::vector<char> buffer(65536);
        while (const DWORD count = read_input(buffer))
            if (!write_overlapped(in.ours.get(), buffer.data(), count, stop.get()))
                break;
        in.ours.reset();
        ::SetEvent(sent.get());
    });
    std::vector<char> buffer(65536);
    while (const DWORD count = read_overlapped(out.ours.get(), buffer))
        if (!print(buffer.data(), count))
            break;
    out.ours.reset();
    ::SetEvent(stop.get());
    // Standard input is not overlapped: a sender that is blocked there has to be called back.
    while (::WaitForSingleObject(sent.get(), 5) == WAIT_TIMEOUT)
        ::CancelIoEx(::GetStdHandle(STD_INPUT_HANDLE), nullptr);
    sender.join();
    return child.wait();
}

std::vector<ExitCode> pipeline(const std::vector<Command>& stages) {
    std::vector<std::unique_ptr<Child>> children;
    std::vector<ExitCode> codes;
    Ends before;
    try {
        for (std::size_t i = 0; i < stages.size(); ++i) {
            Ends after = i + 1 < stages.size() ? between_stages() : Ends{};
            const HANDLE input = before.ours ? before.ours.get() : nullptr, output = after.childs ? after.childs.get() : nullptr;
            children.push_back(std::make_unique<Child>(stages[i], input, output));
            after.childs.reset();
            before = std::move(after);
        }
    } catch (...) {
        before = {};
        for (const auto& child : children)
            child->wait();
        throw;
    }
    for (const auto& child : children)
        codes.push_back(child->wait());
    return codes;
}

}  // namespace anonymous_pipes
