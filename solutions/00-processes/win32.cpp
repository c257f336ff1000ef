// Lab 00, win32 track: the reference solution.

#include "processes.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <array>
#include <memory>
#include <windows.h>

namespace processes {
namespace {

// One argument so that CommandLineToArgvW, and every C runtime, takes it apart as it was: within quotes a backslash
// means itself, unless a quote comes behind it, ours at the end included. Plain words stay plain, for programs that
// split by rules of their own, as cmd does.
std::wstring quoted(const std::wstring& argument) {
    if (!argument.empty() && argument.find_first_of(L" \t\n\v\"") == std::wstring::npos)
        return argument;
    std::wstring text = L"\"";
    std::size_t backslashes = 0;
    for (const wchar_t c : argument) {
        if (c == L'"')
            text.append(backslashes + 1, L'\\');
        backslashes = c == L'\\' ? backslashes + 1 : 0;
        text += c;
    }
    text.append(backslashes, L'\\');
    return text + L'"';
}

std::wstring command_line(const Command& command) {
    std::wstring line;
    for (const std::string& word : command)
        line += (line.empty() ? L"" : L" ") + quoted(ipc::to_wide(word));
    return line;
}

// Windows finds variables by name whatever the case, and wants the block sorted so.
struct ByName {
    bool operator()(const std::wstring& a, const std::wstring& b) const {
        return CompareStringOrdinal(a.c_str(), -1, b.c_str(), -1, TRUE) == CSTR_LESS_THAN;
    }
};

std::wstring environment_with(const std::map<std::string, std::string>& changes) {
    std::map<std::wstring, std::wstring, ByName> all;
    const std::unique_ptr<wchar_t, decltype(&FreeEnvironmentStringsW)> own(GetEnvironmentStringsW(), FreeEnvironmentStringsW);
    for (const wchar_t* entry = own.get(); *entry; entry += std::wcslen(entry) + 1) {
        const std::wstring text = entry;
        const auto equals = text.find(L'=', 1);  // names like "=C:" hold each drive's directory
        all[text.substr(0, equals)] = text.substr(equals + 1);
    }
    for (const auto& [name, value] : changes) {
        all.erase(ipc::to_wide(name));
        all[ipc::to_wide(name)] = ipc::to_wide(value);
    }
    std::wstring block;
    for (const auto& [name, value] : all)
        block += name + L"=" + value + L'\0';
    return block + L'\0';
}

// Copies of our standard handles for one child: inheritable for certain, and each a value of its own, for a list of
// handles that names one twice is refused.
struct StandardHandles {
    std::array<ipc::unique_handle, 3> owned;
    std::vector<HANDLE> list;

    StandardHandles() {
        const DWORD which[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
        for (std::size_t i = 0; i < owned.size(); ++i) {
            HANDLE copy = nullptr;
            if (DuplicateHandle(GetCurrentProcess(), GetStdHandle(which[i]), GetCurrentProcess(), &copy, 0, TRUE,
                                DUPLICATE_SAME_ACCESS)) {
                owned[i].reset(copy);
                list.push_back(copy);
            }
        }
    }
};

// The attribute that makes exactly these handles inherited: without it bInheritHandles means every inheritable one.
class HandleList {
public:
    explicit HandleList(std::vector<HANDLE>& handles) {
        SIZE_T size = 0;
        InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
        memory_.resize(size);
        if (!InitializeProcThreadAttributeList(get(), 1, 0, &size))
            ipc::throw_last_error("InitializeProcThreadAttributeList");
        if (!UpdateProcThreadAttribute(get(), 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles.data(),
                                       handles.size() * sizeof(HANDLE), nullptr, nullptr))
            ipc::throw_last_error("UpdateProcThreadAttribute", "PROC_THREAD_ATTRIBUTE_HANDLE_LIST");
    }
    HandleList(const HandleList&) = delete;
    ~HandleList() { DeleteProcThreadAttributeList(get()); }
    LPPROC_THREAD_ATTRIBUTE_LIST get() { return reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(memory_.data()); }

private:
    std::vector<char> memory_;
};

// Two handles come back from CreateProcess, and both are ours to close.
struct Child {
    ipc::unique_handle process, thread;
    DWORD id = 0;
};

Child start(const Command& command, const Surroundings& surroundings, DWORD flags) {
    std::wstring line = command_line(command);  // CreateProcessW may write into it
    std::wstring environment = environment_with(surroundings.environment);
    const std::wstring directory = ipc::to_wide(surroundings.directory);
    StandardHandles standard;
    HandleList inherited(standard.list);

    STARTUPINFOEXW startup{};
    startup.StartupInfo.cb = sizeof startup;
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdInput = standard.owned[0].get();
    startup.StartupInfo.hStdOutput = standard.owned[1].get();
    startup.StartupInfo.hStdError = standard.owned[2].get();
    startup.lpAttributeList = inherited.get();
    PROCESS_INFORMATION made{};
    if (!CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE,
                        flags | EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT, environment.data(),
                        directory.empty() ? nullptr : directory.c_str(), &startup.StartupInfo, &made)) {
        if (GetLastError() == ERROR_DIRECTORY)
            ipc::throw_last_error("CreateProcessW, directory", surroundings.directory);
        ipc::throw_last_error("CreateProcessW", command[0]);
    }
    return {ipc::unique_handle(made.hProcess), ipc::unique_handle(made.hThread), made.dwProcessId};
}

// False when the time is up. Never ask GetExitCodeProcess whether it still runs: STILL_ACTIVE is an exit code too, 259.
bool wait_for(HANDLE process, ipc::Deadline deadline) {
    const DWORD result = WaitForSingleObject(process, deadline.wait_ms());
    if (result == WAIT_FAILED)
        ipc::throw_last_error("WaitForSingleObject", "process");
    return result == WAIT_OBJECT_0;
}

Ended ended(HANDLE process) {
    DWORD code = 0;
    if (!GetExitCodeProcess(process, &code))
        ipc::throw_last_error("GetExitCodeProcess");
    // An exception that nobody handles becomes the exit code. Who says the same by ExitProcess cannot be told apart.
    return {code >= 0xC0000000 ? Ended::How::killed : Ended::How::exited, static_cast<unsigned>(code)};
}

// A job object: the system's own list of a process and all that descends from it. The port tells when the list is empty.
struct Job {
    ipc::unique_handle job{CreateJobObjectW(nullptr, nullptr)};
    ipc::unique_handle port{CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1)};

    explicit Job(HANDLE process) {
        if (!job || !port)
            ipc::throw_last_error("CreateJobObjectW or CreateIoCompletionPort");
        JOBOBJECT_ASSOCIATE_COMPLETION_PORT told{nullptr, port.get()};
        if (!SetInformationJobObject(job.get(), JobObjectAssociateCompletionPortInformation, &told, sizeof told))
            ipc::throw_last_error("SetInformationJobObject", "completion port");
        if (!AssignProcessToJobObject(job.get(), process))
            ipc::throw_last_error("AssignProcessToJobObject");
    }

    // False when the time is up and somebody is left.
    bool empty(ipc::Deadline deadline) {
        DWORD message = 0;
        ULONG_PTR key = 0;
        OVERLAPPED* about = nullptr;
        while (GetQueuedCompletionStatus(port.get(), &message, &key, &about, deadline.wait_ms()))
            if (message == JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO)
                return true;
        return false;
    }
};

unsigned long long start_time(HANDLE process) {
    FILETIME created{}, exited{}, kernel{}, user{};
    if (!GetProcessTimes(process, &created, &exited, &kernel, &user))
        ipc::throw_last_error("GetProcessTimes");
    return (static_cast<unsigned long long>(created.dwHighDateTime) << 32) | created.dwLowDateTime;
}

}  // namespace

System system_version() {
    using Function = LONG(WINAPI*)(OSVERSIONINFOW*);
    const HMODULE library = GetModuleHandleW(L"ntdll.dll");
    const auto get_version = reinterpret_cast<Function>(reinterpret_cast<void*>(GetProcAddress(library, "RtlGetVersion")));
    if (!get_version)
        ipc::throw_last_error("GetProcAddress", "RtlGetVersion");
    OSVERSIONINFOW version{};
    version.dwOSVersionInfoSize = sizeof version;
    get_version(&version);
    return {"Windows", std::to_string(version.dwMajorVersion) + "." + std::to_string(version.dwMinorVersion) + "." +
                           std::to_string(version.dwBuildNumber)};
}

Ended run(const Command& command, const Surroundings& surroundings) {
    const Child child = start(command, surroundings, 0);
    wait_for(child.process.get(), {});
    return ended(child.process.get());
}

std::string name_of(unsigned code) {
    switch (code) {
    case 0xC0000005: return "EXCEPTION_ACCESS_VIOLATION";
    case 0xC0000094: return "EXCEPTION_INT_DIVIDE_BY_ZERO";
    case 0xC00000FD: return "EXCEPTION_STACK_OVERFLOW";
    case 0xC000013A: return "STATUS_CONTROL_C_EXIT";
    case 0xC0000409: return "STATUS_STACK_BUFFER_OVERRUN";
    default: return "unknown";
    }
}

Ended run_for(const Command& command, const Surroundings& surroundings, std::chrono::milliseconds timeout,
              std::chrono::milliseconds grace) {
    const ipc::Deadline deadline = ipc::Deadline::in(timeout);
    // Suspended, so that it cannot start anybody before the job knows of it.
    Child child = start(command, surroundings, CREATE_SUSPENDED | CREATE_NEW_PROCESS_GROUP);
    Job family(child.process.get());
    ResumeThread(child.thread.get());
    if (wait_for(child.process.get(), deadline))
        return ended(child.process.get());

    // The request goes through the console that we share with the group; without one there is nobody to carry it.
    if (GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, child.id) && family.empty(ipc::Deadline::in(grace)))
        return {Ended::How::timed_out, 0};
    if (!TerminateJobObject(family.job.get(), 1))
        ipc::throw_last_error("TerminateJobObject");
    family.empty({});
    return {Ended::How::timed_out, 0};
}

Identity spawn(const Command& command, const Surroundings& surroundings) {
    const Child child = start(command, surroundings, CREATE_NEW_PROCESS_GROUP);
    // While we hold the process its number is its own, even if it has ended.
    return {static_cast<unsigned>(child.id), start_time(child.process.get())};
}

bool stop(const Identity& process, std::chrono::milliseconds) {
    // First take hold of it, then look whom we hold: the handle stays with this process, the number need not.
    const ipc::unique_handle held(
        OpenProcess(PROCESS_TERMINATE | PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, process.id));
    if (!held && GetLastError() == ERROR_INVALID_PARAMETER)
        return false;
    if (!held)
        ipc::throw_last_error("OpenProcess", std::to_string(process.id));
    if (start_time(held.get()) != process.started)
        return false;
    if (wait_for(held.get(), ipc::Deadline::in_ms(0)))
        return false;  // it has ended; somebody's handle keeps the number
    if (!TerminateProcess(held.get(), 1))
        ipc::throw_last_error("TerminateProcess", std::to_string(process.id));
    wait_for(held.get(), {});
    return true;
}

}  // namespace processes
