// The job is made before the process and kills when its last handle is closed; what is left is waited for by handles,
// not by a completion port. The standard handles themselves are inherited, each once.

#include "processes.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <cwchar>
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

std::wstring environment_block(const std::map<std::string, std::string>& changes) {
    std::vector<std::wstring> entries;
    wchar_t* const own = GetEnvironmentStringsW();
    for (const wchar_t* entry = own; *entry; entry += std::wcslen(entry) + 1)
        entries.emplace_back(entry);
    FreeEnvironmentStringsW(own);
    for (const auto& [name, value] : changes) {
        const std::wstring start = ipc::to_wide(name) + L"=";
        std::erase_if(entries, [&](const std::wstring& entry) {
            return CompareStringOrdinal(entry.c_str(), static_cast<int>(std::min(entry.size(), start.size())), start.c_str(),
                                        static_cast<int>(start.size()), TRUE) == CSTR_EQUAL;
        });
        entries.push_back(start + ipc::to_wide(value));
    }
    std::sort(entries.begin(), entries.end(), [](const std::wstring& a, const std::wstring& b) {
        return CompareStringOrdinal(a.c_str(), static_cast<int>(a.find(L'=', 1)), b.c_str(), static_cast<int>(b.find(L'=', 1)), TRUE) == CSTR_LESS_THAN;
    });
    std::wstring block;
    for (const std::wstring& entry : entries)
        block.append(entry).push_back(L'\0');
    block.push_back(L'\0');
    return block;
}

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

    std::wstring environment = environment_block(surroundings.environment);
    const std::wstring directory = ipc::to_wide(surroundings.directory);
    if (job)
        flags |= CREATE_SUSPENDED;
    PROCESS_INFORMATION made{};
    const BOOL done = CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE,
                                     flags | EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT, environment.data(),
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

void set_kill_on_close(HANDLE job, bool kill) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
    limits.BasicLimitInformation.LimitFlags = kill ? JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE : 0;
    if (!SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits))
        ipc::throw_last_error("SetInformationJobObject");
}

std::vector<ipc::unique_handle> members(HANDLE job) {
    std::vector<char> memory(sizeof(JOBOBJECT_BASIC_PROCESS_ID_LIST) + 1024 * sizeof(ULONG_PTR));
    const auto list = reinterpret_cast<JOBOBJECT_BASIC_PROCESS_ID_LIST*>(memory.data());
    QueryInformationJobObject(job, JobObjectBasicProcessIdList, list, static_cast<DWORD>(memory.size()), nullptr);
    std::vector<ipc::unique_handle> handles;
    for (DWORD i = 0; i < list->NumberOfProcessIdsInList; ++i)
        if (HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, static_cast<DWORD>(list->ProcessIdList[i])))
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
    ipc::unique_handle job(CreateJobObjectW(nullptr, nullptr));
    set_kill_on_close(job.get(), true);
    const Started child = start(command, surroundings, CREATE_NEW_PROCESS_GROUP, job.get());
    if (WaitForSingleObject(child.process.get(), static_cast<DWORD>(timeout.count())) == WAIT_OBJECT_0) {
        set_kill_on_close(job.get(), false);
        return how_it_ended(child.process.get());
    }
    if (GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, child.id)) {
        const ipc::Deadline deadline = ipc::Deadline::in(grace);
        for (const ipc::unique_handle& member : members(job.get()))
            WaitForSingleObject(member.get(), deadline.wait_ms());
    }
    const std::vector<ipc::unique_handle> left = members(job.get());
    job.reset();
    for (const ipc::unique_handle& member : left)
        WaitForSingleObject(member.get(), INFINITE);
    return {Ended::How::timed_out, 0};
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
