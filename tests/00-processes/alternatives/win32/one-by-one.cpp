// A thread that waits for the process and a condition variable with a time limit; the members of the job are ended one
// by one until there are none. The environment is changed in place around the start,
// not copied.

#include "processes.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <windows.h>

namespace processes {
namespace {

// Every argument in quotes: backslashes doubled where a quote follows, the quote itself escaped.
void append_quoted(std::wstring& line, const std::wstring& argument) {
    line += L'"';
    for (auto it = argument.begin();; ++it) {
        const auto first = it;
        it = std::find_if(it, argument.end(), [](wchar_t c) { return c != L'\\'; });
        const auto slashes = static_cast<std::size_t>(it - first);
        const bool before_quote = it == argument.end() || *it == L'"';
        line.append(before_quote ? 2 * slashes : slashes, L'\\');
        if (it == argument.end())
            break;
        if (*it == L'"')
            line += L'\\';
        line += *it;
    }
    line += L'"';
}

// Our own environment with the changes for as long as it lives; the child copies it.
class ChangedEnvironment {
public:
    explicit ChangedEnvironment(const std::map<std::string, std::string>& changes) {
        for (const auto& [name, value] : changes) {
            const std::wstring wide = ipc::to_wide(name);
            std::wstring old(32768, L'\0');
            SetLastError(0);
            const DWORD size = GetEnvironmentVariableW(wide.c_str(), old.data(), static_cast<DWORD>(old.size()));
            old.resize(size);
            before_.push_back({wide, old, size != 0 || GetLastError() != ERROR_ENVVAR_NOT_FOUND});
            SetEnvironmentVariableW(wide.c_str(), nullptr);  // or the name would keep the case it has
            SetEnvironmentVariableW(wide.c_str(), ipc::to_wide(value).c_str());
        }
    }
    ChangedEnvironment(const ChangedEnvironment&) = delete;
    ~ChangedEnvironment() {
        for (const Variable& one : before_)
            SetEnvironmentVariableW(one.name.c_str(), one.there ? one.value.c_str() : nullptr);
    }

private:
    struct Variable {
        std::wstring name, value;
        bool there;
    };
    std::vector<Variable> before_;
};

struct Started {
    ipc::unique_handle process, thread;
    DWORD id = 0;
};

Started start(const Command& command, const Surroundings& surroundings, DWORD flags, HANDLE job = nullptr) {
    std::wstring line;
    for (const std::string& word : command) {
        if (!line.empty())
            line += L' ';
        append_quoted(line, ipc::to_wide(word));
    }
    STARTUPINFOEXW startup{};
    startup.StartupInfo.cb = sizeof startup;
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.StartupInfo.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.StartupInfo.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    std::vector<HANDLE> handles;
    for (HANDLE handle : {startup.StartupInfo.hStdInput, startup.StartupInfo.hStdOutput, startup.StartupInfo.hStdError})
        if (handle && handle != INVALID_HANDLE_VALUE && std::find(handles.begin(), handles.end(), handle) == handles.end() &&
            SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT))
            handles.push_back(handle);

    SIZE_T size = 0;
    InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
    std::vector<char> memory(size);
    const auto attributes = reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(memory.data());
    InitializeProcThreadAttributeList(attributes, 1, 0, &size);
    UpdateProcThreadAttribute(attributes, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles.data(), handles.size() * sizeof(HANDLE), nullptr, nullptr);
    startup.lpAttributeList = attributes;

    const ChangedEnvironment environment(surroundings.environment);
    const std::wstring directory = ipc::to_wide(surroundings.directory);
    if (job)
        flags |= CREATE_SUSPENDED;
    PROCESS_INFORMATION made{};
    const BOOL done = CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE,
                                     flags | EXTENDED_STARTUPINFO_PRESENT, nullptr,
                                     directory.empty() ? nullptr : directory.c_str(), &startup.StartupInfo, &made);
    const DWORD error = GetLastError();
    DeleteProcThreadAttributeList(attributes);
    if (!done)
        ipc::throw_error(static_cast<int>(error), "CreateProcessW", error == ERROR_DIRECTORY ? surroundings.directory : command[0]);
    Started started{ipc::unique_handle(made.hProcess), ipc::unique_handle(made.hThread), made.dwProcessId};
    if (job) {
        AssignProcessToJobObject(job, made.hProcess);
        ResumeThread(made.hThread);
    }
    return started;
}

Ended how_it_ended(HANDLE process) {
    DWORD code = 0;
    GetExitCodeProcess(process, &code);
    return {(code >> 30) == 3 ? Ended::How::killed : Ended::How::exited, static_cast<unsigned>(code)};
}

unsigned long long created(HANDLE process) {
    ULARGE_INTEGER value{};
    FILETIME start{}, others[3]{};
    GetProcessTimes(process, &start, &others[0], &others[1], &others[2]);
    value.LowPart = start.dwLowDateTime;
    value.HighPart = start.dwHighDateTime;
    return value.QuadPart;
}

std::vector<ipc::unique_handle> members(HANDLE job) {
    std::vector<char> memory(sizeof(JOBOBJECT_BASIC_PROCESS_ID_LIST) + 1024 * sizeof(ULONG_PTR));
    const auto list = reinterpret_cast<JOBOBJECT_BASIC_PROCESS_ID_LIST*>(memory.data());
    QueryInformationJobObject(job, JobObjectBasicProcessIdList, list, static_cast<DWORD>(memory.size()), nullptr);
    std::vector<ipc::unique_handle> handles;
    for (DWORD i = 0; i < list->NumberOfProcessIdsInList; ++i)
        if (HANDLE process = OpenProcess(SYNCHRONIZE | PROCESS_TERMINATE, FALSE, static_cast<DWORD>(list->ProcessIdList[i])))
            handles.emplace_back(process);
    return handles;
}

}  // namespace

System system_version() {
    // RtlGetVersion's cousin, which the import library knows.
    DWORD numbers[3]{};
    using Function = void(WINAPI*)(DWORD*, DWORD*, DWORD*);
    const auto ask = reinterpret_cast<Function>(reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "RtlGetNtVersionNumbers")));
    ask(&numbers[0], &numbers[1], &numbers[2]);
    return {"Windows", std::to_string(numbers[0]) + "." + std::to_string(numbers[1]) + "." + std::to_string(numbers[2] & 0xffff)};
}

Ended run(const Command& command, const Surroundings& surroundings) {
    const Started child = start(command, surroundings, 0);
    WaitForSingleObject(child.process.get(), INFINITE);
    return how_it_ended(child.process.get());
}

std::string name_of(unsigned code) {
    static const std::map<unsigned, std::string> names = {{0xC0000005, "EXCEPTION_ACCESS_VIOLATION"},
                                                          {0xC0000094, "EXCEPTION_INT_DIVIDE_BY_ZERO"},
                                                          {0xC00000FD, "EXCEPTION_STACK_OVERFLOW"},
                                                          {0xC000013A, "STATUS_CONTROL_C_EXIT"},
                                                          {0xC0000409, "STATUS_STACK_BUFFER_OVERRUN"}};
    const auto found = names.find(code);
    return found == names.end() ? "unknown" : found->second;
}

Ended run_for(const Command& command, const Surroundings& surroundings, std::chrono::milliseconds timeout,
              std::chrono::milliseconds grace) {
    const ipc::unique_handle job(CreateJobObjectW(nullptr, nullptr));
    const Started child = start(command, surroundings, CREATE_NEW_PROCESS_GROUP, job.get());
    std::mutex mutex;
    std::condition_variable changed;
    bool over = false;
    std::thread waiter([&] {
        WaitForSingleObject(child.process.get(), INFINITE);
        const std::lock_guard lock(mutex);
        over = true;
        changed.notify_all();
    });
    bool in_time = false;
    {
        std::unique_lock lock(mutex);
        in_time = changed.wait_for(lock, timeout, [&] { return over; });
    }
    if (!in_time) {
        const ipc::Deadline deadline = ipc::Deadline::in(grace);
        if (GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, child.id))
            for (const ipc::unique_handle& member : members(job.get()))
                WaitForSingleObject(member.get(), deadline.wait_ms());
        for (std::vector<ipc::unique_handle> left; !(left = members(job.get())).empty();)
            for (const ipc::unique_handle& member : left) {
                TerminateProcess(member.get(), 1);
                WaitForSingleObject(member.get(), INFINITE);
            }
    }
    waiter.join();
    return in_time ? how_it_ended(child.process.get()) : Ended{Ended::How::timed_out, 0};
}

Identity spawn(const Command& command, const Surroundings& surroundings) {
    const Started child = start(command, surroundings, CREATE_NEW_PROCESS_GROUP);
    return {static_cast<unsigned>(child.id), created(child.process.get())};
}

bool stop(const Identity& process, std::chrono::milliseconds) {
    const ipc::unique_handle held(OpenProcess(PROCESS_TERMINATE | PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, process.id));
    if (!held && GetLastError() != ERROR_INVALID_PARAMETER)
        ipc::throw_last_error("OpenProcess", std::to_string(process.id));
    if (!held || created(held.get()) != process.started || WaitForSingleObject(held.get(), 0) == WAIT_OBJECT_0)
        return false;
    TerminateProcess(held.get(), 1);
    WaitForSingleObject(held.get(), INFINITE);
    return true;
}

}  // namespace processes
