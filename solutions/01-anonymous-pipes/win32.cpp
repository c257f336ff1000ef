// Lab 01, win32 track: the reference solution.

#include "anonymous_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <array>
#include <cwchar>
#include <string_view>
#include <windows.h>

namespace anonymous_pipes {
namespace {

struct Pipe {
    ipc::unique_handle read_end, write_end;
};

// Not inheritable: a child gets a copy of the one end that is meant for it, so no sibling can keep a pipe open that is
// none of its business.
Pipe make_pipe() {
    HANDLE read_end = nullptr, write_end = nullptr;
    if (!::CreatePipe(&read_end, &write_end, nullptr, 0))
        ipc::throw_last_error("CreatePipe");
    return {ipc::unique_handle(read_end), ipc::unique_handle(write_end)};
}

ipc::unique_handle inheritable_copy(HANDLE original) {
    HANDLE copy = nullptr;
    if (!::DuplicateHandle(::GetCurrentProcess(), original, ::GetCurrentProcess(), &copy, 0, TRUE, DUPLICATE_SAME_ACCESS))
        ipc::throw_last_error("DuplicateHandle");
    return ipc::unique_handle(copy);
}

// One word of a command line, so that CommandLineToArgvW makes the same word of it again: backslashes count double only
// before a quotation mark.
std::wstring quoted(std::wstring_view word) {
    if (!word.empty() && word.find_first_of(L" \t\"") == std::wstring_view::npos)
        return std::wstring(word);  // cmd.exe, which has rules of its own, wants its /c bare
    std::wstring text = L"\"";
    std::size_t backslashes = 0;
    for (const wchar_t c : word) {
        if (c == L'"')
            text.append(backslashes + 1, L'\\');
        backslashes = c == L'\\' ? backslashes + 1 : 0;
        text += c;
    }
    return text.append(backslashes, L'\\') + L"\"";
}

// Says which handles a child inherits: these and no others.
class HandleList {
public:
    explicit HandleList(std::vector<HANDLE> handles) : handles_(std::move(handles)) {
        SIZE_T size = 0;
        ::InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
        storage_.resize(size);
        if (!::InitializeProcThreadAttributeList(get(), 1, 0, &size))
            ipc::throw_last_error("InitializeProcThreadAttributeList");
        if (!::UpdateProcThreadAttribute(get(), 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles_.data(),
                                         handles_.size() * sizeof(HANDLE), nullptr, nullptr))
            ipc::throw_last_error("UpdateProcThreadAttribute", "PROC_THREAD_ATTRIBUTE_HANDLE_LIST");
    }
    HandleList(const HandleList&) = delete;
    ~HandleList() { ::DeleteProcThreadAttributeList(get()); }
    LPPROC_THREAD_ATTRIBUTE_LIST get() { return reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(storage_.data()); }

private:
    std::vector<HANDLE> handles_;  // the list only points to them
    std::vector<char> storage_;
};

// Starts `command` with the given standard input and output; null leaves the caller's own.
ipc::unique_handle start(const Command& command, HANDLE input, HANDLE output) {
    std::wstring line;
    for (const std::string& word : command)
        line += (line.empty() ? L"" : L" ") + quoted(ipc::to_wide(word));

    const ipc::unique_handle streams[3] = {
        inheritable_copy(input ? input : ::GetStdHandle(STD_INPUT_HANDLE)),
        inheritable_copy(output ? output : ::GetStdHandle(STD_OUTPUT_HANDLE)),
        inheritable_copy(::GetStdHandle(STD_ERROR_HANDLE)),
    };
    // Without the list a child inherits every inheritable handle of ours, also those that another thread or our own
    // parent has left lying about.
    HandleList inherited({streams[0].get(), streams[1].get(), streams[2].get()});

    STARTUPINFOEXW info{};
    info.StartupInfo.cb = sizeof info;
    info.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    info.StartupInfo.hStdInput = streams[0].get();
    info.StartupInfo.hStdOutput = streams[1].get();
    info.StartupInfo.hStdError = streams[2].get();
    info.lpAttributeList = inherited.get();
    PROCESS_INFORMATION started{};
    if (!::CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE, EXTENDED_STARTUPINFO_PRESENT, nullptr, nullptr,
                          &info.StartupInfo, &started))
        ipc::throw_last_error("CreateProcessW", command[0]);
    ::CloseHandle(started.hThread);
    return ipc::unique_handle(started.hProcess);
}

ExitCode wait_for(const ipc::unique_handle& child) {
    DWORD code = 0;
    if (::WaitForSingleObject(child.get(), INFINITE) == WAIT_FAILED)
        ipc::throw_last_error("WaitForSingleObject");
    if (!::GetExitCodeProcess(child.get(), &code))
        ipc::throw_last_error("GetExitCodeProcess");
    return code;
}

using Buffer = std::array<char, 64 * 1024>;

// Some bytes, or 0 at the end.
std::size_t read_some(HANDLE file, Buffer& buffer) {
    for (;;) {
        DWORD count = 0;
        if (!::ReadFile(file, buffer.data(), static_cast<DWORD>(buffer.size()), &count, nullptr)) {
            if (::GetLastError() == ERROR_BROKEN_PIPE)
                return 0;  // how a pipe says end of file: it has no writer left
            ipc::throw_last_error("ReadFile");
        }
        // Nothing read is the end of a file. A pipe that can still be looked into is not at its end: somebody wrote 0 bytes.
        if (count > 0 || !::PeekNamedPipe(file, nullptr, 0, nullptr, nullptr, nullptr))
            return count;
    }
}

// All of it, or false when nobody reads any more.
bool write_all(HANDLE file, const char* data, std::size_t size) {
    while (size > 0) {
        DWORD count = 0;
        if (!::WriteFile(file, data, static_cast<DWORD>(size), &count, nullptr)) {
            if (::GetLastError() == ERROR_NO_DATA || ::GetLastError() == ERROR_BROKEN_PIPE)
                return false;
            ipc::throw_last_error("WriteFile");
        }
        data += count;
        size -= count;
    }
    return true;
}

// One direction of a filter: from the source to the sink, until either is through.
void move_all(HANDLE source, HANDLE sink) {
    Buffer buffer;
    while (const std::size_t count = read_some(source, buffer))
        if (!write_all(sink, buffer.data(), count))
            break;
}

// A thread that moves standard input to the child, and closes the pipe behind itself.
class InputThread {
public:
    explicit InputThread(ipc::unique_handle sink) : sink_(std::move(sink)) {
        thread_.reset(::CreateThread(nullptr, 0, run, this, 0, nullptr));
        if (!thread_)
            ipc::throw_last_error("CreateThread");
    }
    InputThread(const InputThread&) = delete;
    ~InputThread() {
        // It may be blocked in ReadFile, for input that nobody needs any more. Again and again, because the call is
        // lost on a thread that is just between two blocking calls.
        do
            ::CancelSynchronousIo(thread_.get());
        while (::WaitForSingleObject(thread_.get(), 10) == WAIT_TIMEOUT);
    }

private:
    static DWORD WINAPI run(void* self) {
        ipc::unique_handle sink = std::move(static_cast<InputThread*>(self)->sink_);
        try {
            move_all(::GetStdHandle(STD_INPUT_HANDLE), sink.get());
        } catch (const std::system_error&) {
            // ERROR_OPERATION_ABORTED: we were cancelled. Input that cannot be read has ended, too.
        }
        return 0;
    }
    ipc::unique_handle sink_, thread_;
};

}  // namespace

Captured capture(const Command& command) {
    Pipe out = make_pipe();
    const ipc::unique_handle child = start(command, nullptr, out.write_end.get());
    out.write_end.reset();  // or the last writer would be ourselves, and end of file would never come

    // First the output, then the exit code: a child that fills the pipe cannot end before somebody has read.
    Captured captured;
    Buffer buffer;
    while (const std::size_t count = read_some(out.read_end.get(), buffer))
        captured.output.append(buffer.data(), count);
    captured.exit_code = wait_for(child);
    return captured;
}

ExitCode feed(const Command& command) {
    Pipe in = make_pipe();
    const ipc::unique_handle child = start(command, in.read_end.get(), nullptr);
    in.read_end.reset();  // or we would be a reader ourselves, and never learn that the child has gone

    move_all(::GetStdHandle(STD_INPUT_HANDLE), in.write_end.get());
    in.write_end.reset();
    return wait_for(child);
}

ExitCode filter(const Command& command) {
    Pipe in = make_pipe(), out = make_pipe();
    const ipc::unique_handle child = start(command, in.read_end.get(), out.write_end.get());
    in.read_end.reset();
    out.write_end.reset();

    // An anonymous pipe knows neither poll() nor overlapped calls, so each direction blocks in a thread of its own.
    {
        InputThread to_child(std::move(in.write_end));
        move_all(out.read_end.get(), ::GetStdHandle(STD_OUTPUT_HANDLE));
    }
    out.read_end.reset();  // a child that still writes learns that nobody reads
    return wait_for(child);
}

std::vector<ExitCode> pipeline(const std::vector<Command>& stages) {
    std::vector<ipc::unique_handle> children;
    ipc::unique_handle input;  // the read end that the next stage gets; none for the first
    try {
        for (std::size_t i = 0; i < stages.size(); ++i) {
            const bool last = i + 1 == stages.size();
            Pipe next = last ? Pipe{} : make_pipe();
            children.push_back(start(stages[i], input.get(), next.write_end.get()));
            input = std::move(next.read_end);  // the write end closes here, the read end with the next turn
        }
    } catch (...) {
        input.reset();  // those that run already get end of file, or ERROR_NO_DATA
        for (const ipc::unique_handle& child : children)
            wait_for(child);
        throw;
    }
    std::vector<ExitCode> codes;
    for (const ipc::unique_handle& child : children)
        codes.push_back(wait_for(child));
    return codes;
}

}  // namespace anonymous_pipes
