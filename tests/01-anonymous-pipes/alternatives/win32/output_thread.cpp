// Alternative: the ends for the child are made inheritable themselves instead of copied; in filter the output has the
// extra thread, and when it is through it calls the main thread back from standard input.

#include "anonymous_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <atomic>
#include <thread>
#include <windows.h>

namespace anonymous_pipes {
namespace {

enum class ChildGets { read_end, write_end };

// {ours, the child's}; the child's end can be inherited.
std::pair<ipc::unique_handle, ipc::unique_handle> pipe_for(ChildGets what) {
    HANDLE ends[2];
    SECURITY_ATTRIBUTES both_inheritable{sizeof both_inheritable, nullptr, TRUE};
    if (!::CreatePipe(&ends[0], &ends[1], &both_inheritable, 65536))
        ipc::throw_last_error("CreatePipe");
    const int ours = what == ChildGets::read_end ? 1 : 0;
    std::pair<ipc::unique_handle, ipc::unique_handle> pipe{ipc::unique_handle(ends[ours]), ipc::unique_handle(ends[1 - ours])};
    if (!::SetHandleInformation(ends[ours], HANDLE_FLAG_INHERIT, 0))
        ipc::throw_last_error("SetHandleInformation");
    return pipe;
}

std::wstring command_line(const Command& command) {
    std::wstring line;
    for (const std::string& word : command) {
        if (!line.empty())
            line += L' ';
        const std::wstring wide = ipc::to_wide(word);
        if (!wide.empty() && wide.find_first_of(L" \t\n\v\"") == std::wstring::npos) {
            line += wide;
            continue;
        }
        line += L'"';
        for (std::size_t i = 0; i <= wide.size(); ++i) {
            std::size_t slashes = 0;
            for (; i < wide.size() && wide[i] == L'\\'; ++i)
                ++slashes;
            if (i == wide.size())
                line.append(2 * slashes, L'\\');
            else if (wide[i] == L'"')
                line.append(2 * slashes + 1, L'\\') += L'"';
            else
                line.append(slashes, L'\\') += wide[i];
        }
        line += L'"';
    }
    return line;
}

HANDLE run(const Command& command, HANDLE input, HANDLE output) {
    HANDLE streams[3] = {input ? input : ::GetStdHandle(STD_INPUT_HANDLE), output ? output : ::GetStdHandle(STD_OUTPUT_HANDLE),
                         ::GetStdHandle(STD_ERROR_HANDLE)};
    std::vector<HANDLE> list;
    for (HANDLE stream : streams) {
        ::SetHandleInformation(stream, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
        bool known = false;  // a handle that is there twice makes the call fail
        for (HANDLE other : list)
            known = known || other == stream;
        if (!known)
            list.push_back(stream);
    }
    SIZE_T size = 0;
    ::InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
    std::vector<char> storage(size);
    auto* attributes = reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(storage.data());
    if (!::InitializeProcThreadAttributeList(attributes, 1, 0, &size) ||
        !::UpdateProcThreadAttribute(attributes, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, list.data(), list.size() * sizeof(HANDLE), nullptr, nullptr))
        ipc::throw_last_error("UpdateProcThreadAttribute");
    STARTUPINFOEXW startup{};
    startup.StartupInfo.cb = sizeof startup;
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdInput = streams[0];
    startup.StartupInfo.hStdOutput = streams[1];
    startup.StartupInfo.hStdError = streams[2];
    startup.lpAttributeList = attributes;
    PROCESS_INFORMATION info{};
    std::wstring line = command_line(command);
    const BOOL started = ::CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE, EXTENDED_STARTUPINFO_PRESENT, nullptr,
                                          nullptr, reinterpret_cast<STARTUPINFOW*>(&startup), &info);
    const DWORD error = ::GetLastError();
    ::DeleteProcThreadAttributeList(attributes);
    if (!started)
        ipc::throw_error(static_cast<int>(error), "CreateProcessW", command[0]);
    ::CloseHandle(info.hThread);
    return info.hProcess;
}

ExitCode end_of(const ipc::unique_handle& process) {
    ::WaitForSingleObject(process.get(), INFINITE);
    DWORD code = 0;
    if (!::GetExitCodeProcess(process.get(), &code))
        ipc::throw_last_error("GetExitCodeProcess");
    return code;
}

bool is_end(DWORD error) { return error == ERROR_BROKEN_PIPE || error == ERROR_NO_DATA || error == ERROR_HANDLE_EOF; }

// Hands everything to `take`, until the end, or until `take` says false or the thread is cancelled.
template <class Take>
void read_all(HANDLE from, Take take) {
    std::vector<char> buffer(16384);
    for (;;) {
        DWORD count = 0;
        if (!::ReadFile(from, buffer.data(), static_cast<DWORD>(buffer.size()), &count, nullptr)) {
            if (is_end(::GetLastError()) || ::GetLastError() == ERROR_OPERATION_ABORTED)
                return;
            ipc::throw_last_error("ReadFile");
        }
        if (count == 0 || !take(buffer.data(), count))
            return;
    }
}

bool write_whole(HANDLE to, const char* data, DWORD size) {
    for (DWORD count = 0; size > 0; data += count, size -= count)
        if (!::WriteFile(to, data, size, &count, nullptr))
            return false;
    return true;
}

}  // namespace

Captured capture(const Command& command) {
    auto [ours, its] = pipe_for(ChildGets::write_end);
    const ipc::unique_handle child(run(command, nullptr, its.get()));
    its.reset();
    Captured captured;
    read_all(ours.get(), [&text = captured.output](const char* data, DWORD size) {
        text.append(data, size);
        return true;
    });
    captured.exit_code = end_of(child);
    return captured;
}

ExitCode feed(const Command& command) {
    auto [ours, its] = pipe_for(ChildGets::read_end);
    const ipc::unique_handle child(run(command, its.get(), nullptr));
    its.reset();
    read_all(::GetStdHandle(STD_INPUT_HANDLE), [to = ours.get()](const char* data, DWORD size) { return write_whole(to, data, size); });
    ours.reset();
    return end_of(child);
}

ExitCode filter(const Command& command) {
    auto [to_child, its_input] = pipe_for(ChildGets::read_end);
    auto [from_child, its_output] = pipe_for(ChildGets::write_end);
    const ipc::unique_handle child(run(command, its_input.get(), its_output.get()));
    its_input.reset();
    its_output.reset();

    HANDLE self = nullptr;
    if (!::DuplicateHandle(::GetCurrentProcess(), ::GetCurrentThread(), ::GetCurrentProcess(), &self, 0, FALSE, DUPLICATE_SAME_ACCESS))
        ipc::throw_last_error("DuplicateHandle", "the main thread");
    const ipc::unique_handle main_thread(self);
    const ipc::unique_handle input_over(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
    std::thread printer([&, &from = from_child] {
        read_all(from.get(), [](const char* data, DWORD size) { return write_whole(::GetStdHandle(STD_OUTPUT_HANDLE), data, size); });
        from.reset();
        while (::WaitForSingleObject(input_over.get(), 5) == WAIT_TIMEOUT)
            ::CancelSynchronousIo(main_thread.get());
    });
    read_all(::GetStdHandle(STD_INPUT_HANDLE), [to = to_child.get()](const char* data, DWORD size) { return write_whole(to, data, size); });
    ::SetEvent(input_over.get());
    to_child.reset();
    printer.join();
    return end_of(child);
}

std::vector<ExitCode> pipeline(const std::vector<Command>& stages) {
    std::vector<ipc::unique_handle> children;
    auto all_codes = [&] {
        std::vector<ExitCode> codes;
        for (const ipc::unique_handle& child : children)
            codes.push_back(end_of(child));
        return codes;
    };
    ipc::unique_handle previous;
    for (const Command& stage : stages) {
        ipc::unique_handle next, output;
        if (&stage != &stages.back())
            std::tie(next, output) = pipe_for(ChildGets::write_end);
        try {
            children.emplace_back(run(stage, previous.get(), output.get()));
        } catch (...) {
            previous.reset();
            output.reset();
            next.reset();
            all_codes();
            throw;
        }
        previous = std::move(next);
    }
    return all_codes();
}

}  // namespace anonymous_pipes
