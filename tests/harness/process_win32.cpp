// Starting a subject, watching its tree of processes, ending it.

#include "platform.hpp"

#include "handles_win32.hpp"
#include "ipc/error.hpp"
#include "ipc/text.hpp"
#include "picture_win32.hpp"
#include "security_win32.hpp"
#include <algorithm>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <windows.h>

namespace judge {

namespace fs = std::filesystem;
using ipc::throw_last_error;
using ipc::to_utf8;
using ipc::to_wide;
using ipc::unique_file;
using ipc::unique_handle;

// ---- how a process ended
// ------------------------------------------------------------------------------------------

namespace {

const char* exception_name(std::uint32_t code) {
    switch (code) {
    case 0xC0000005:
        return "access violation";
    case 0xC000001D:
        return "illegal instruction";
    case 0xC0000025:
        return "noncontinuable exception";
    case 0xC000008C:
        return "array bounds exceeded";
    case 0xC0000094:
        return "integer division by zero";
    case 0xC00000FD:
        return "stack overflow";
    case 0xC0000135:
        return "a DLL was not found";
    case 0xC0000139:
        return "a function was not found in a DLL";
    case 0xC000013A:
        return "ended by Ctrl-C or Ctrl-Break, or killed";
    case 0xC0000374:
        return "heap corruption";
    case 0xC0000409:
        return "abort or stack buffer overrun";
    case 0x80000003:
        return "breakpoint";
    case 0x40000015:
        return "fatal application exit";
    case 0x20474343:
        return "C++ exception that nobody caught";  // GCC's
    case 0xE06D7363:
        return "C++ exception that nobody caught";  // MSVC's
    default:
        return nullptr;
    }
}

constexpr UINT killed_code = 0xC000013A;

}  // namespace

std::string Ended::text() const {
    if (how == How::exited)
        return "exit code " + std::to_string(code);
    const char* name = exception_name(code);
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08X", static_cast<unsigned>(code));
    return std::string("exception 0x") + digits + (name ? std::string(" (") + name + ")" : "");
}

// ---- starting
// -----------------------------------------------------------------------------------------------------

namespace {

// So that CommandLineToArgvW and every C runtime find the same argument again: a backslash counts only before
// a quote.
std::wstring quoted_argument(const std::wstring& argument) {
    if (!argument.empty() && argument.find_first_of(L" \t\n\v\"") == std::wstring::npos)
        return argument;
    std::wstring text = L"\"";
    std::size_t backslashes = 0;
    for (wchar_t c : argument) {
        if (c == L'"')
            text.append(backslashes + 1, L'\\');
        backslashes = c == L'\\' ? backslashes + 1 : 0;
        text += c;
    }
    text.append(backslashes, L'\\');
    return text + L'"';
}

std::wstring command_line(const std::vector<std::string>& command) {
    std::wstring line;
    for (const std::string& argument : command)
        line += (line.empty() ? L"" : L" ") + quoted_argument(to_wide(argument));
    return line;
}

struct IgnoringCase {
    bool operator()(const std::wstring& a, const std::wstring& b) const {
        return CompareStringOrdinal(a.data(), static_cast<int>(a.size()), b.data(),
                                    static_cast<int>(b.size()), TRUE) == CSTR_LESS_THAN;
    }
};

// Names are compared without regard to case, and the block has to be sorted so.
std::wstring environment_block(const std::map<std::string, std::optional<std::string>>& changes) {
    std::map<std::wstring, std::wstring, IgnoringCase> all;
    wchar_t* ours = GetEnvironmentStringsW();
    for (const wchar_t* entry = ours; *entry; entry += std::wcslen(entry) + 1) {
        const std::wstring text = entry;
        const auto equals = text.find(L'=', 1);  // "=C:=C:\folder" is a name that begins with '='
        if (equals != std::wstring::npos)
            all[text.substr(0, equals)] = text.substr(equals + 1);
    }
    FreeEnvironmentStringsW(ours);
    for (const auto& [name, value] : changes) {
        all.erase(to_wide(name));
        if (value)
            all[to_wide(name)] = to_wide(*value);
    }
    std::wstring block;
    for (const auto& [name, value] : all)
        block.append(name).append(L"=").append(value).append(1, L'\0');
    return block.append(1, L'\0');
}

// Exactly these handles go to the child, whatever else is inheritable here at this moment.
class HandleList {
public:
    explicit HandleList(std::vector<HANDLE> handles) : handles_(std::move(handles)) {
        std::sort(handles_.begin(), handles_.end());
        handles_.erase(std::unique(handles_.begin(), handles_.end()),
                       handles_.end());  // a handle twice is an error
        SIZE_T size = 0;
        InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
        buffer_.resize(size);
        if (!InitializeProcThreadAttributeList(get(), 1, 0, &size))
            throw_last_error("InitializeProcThreadAttributeList");
        if (!UpdateProcThreadAttribute(get(), 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles_.data(),
                                       handles_.size() * sizeof(HANDLE), nullptr, nullptr)) {
            DeleteProcThreadAttributeList(get());
            throw_last_error("UpdateProcThreadAttribute", "PROC_THREAD_ATTRIBUTE_HANDLE_LIST");
        }
    }
    HandleList(const HandleList&) = delete;
    HandleList& operator=(const HandleList&) = delete;
    ~HandleList() { DeleteProcThreadAttributeList(get()); }
    LPPROC_THREAD_ATTRIBUTE_LIST get() {
        return reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(buffer_.data());
    }

private:
    std::vector<HANDLE> handles_;
    std::vector<char> buffer_;
};

// A console event reaches only processes on the sender's console; on Wine there is none and none is needed.
void have_a_console() {
    static const bool done = [] {
        if (nt::under_wine() || GetConsoleCP() != 0)
            return true;
        HANDLE kept[3];
        constexpr DWORD which[3] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
        for (int i = 0; i < 3; ++i)
            kept[i] = GetStdHandle(which[i]);
        // By hand, since linking user32.dll would bring the window system into every judge.
        using Show = BOOL(WINAPI*)(HWND, int);
        const HMODULE windows = AllocConsole() ? LoadLibraryW(L"user32.dll") : nullptr;
        if (windows)
            reinterpret_cast<Show>(reinterpret_cast<void*>(GetProcAddress(windows, "ShowWindow")))(
                GetConsoleWindow(), SW_HIDE);
        for (int i = 0; i < 3; ++i)
            SetStdHandle(which[i], kept[i]);
        return true;
    }();
    (void)done;
}

}  // namespace

struct Process::State {
    DWORD id = 0;
    unique_handle process, job;
    unique_handle decoy_event;
    std::string decoy;
    bool over = false, ended = false;
    std::set<DWORD> suspended;
    Picture picture;
    std::string seen;
    std::chrono::steady_clock::time_point looked_at{};
    std::chrono::microseconds used{-1};  // processor time at the last look
};

Process::Process(std::unique_ptr<State> state) : state_(std::move(state)) {}
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}

Process::~Process() {
    if (state_) {
        try {
            end_tree();
        } catch (const std::exception&) {
            // said when it was asked for by name; a destructor can only have tried
        }
    }
}

Process Process::start(StartRequest request) {
    have_a_console();
    auto state = std::make_unique<State>();
    state->job.reset(CreateJobObjectW(nullptr, nullptr));
    if (!state->job)
        throw_last_error("CreateJobObject");
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
    if (!SetInformationJobObject(state->job.get(), JobObjectExtendedLimitInformation, &limits, sizeof limits))
        throw_last_error("SetInformationJobObject", "JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE");

    const unique_file null = nt::null_device();
    auto end_of = [&](const Stream& stream) {
        if (!stream)
            return null.get();
        SetHandleInformation(stream.get(), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
        return stream.get();
    };
    STARTUPINFOEXW info{};
    info.StartupInfo.cb = sizeof info;
    info.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    info.StartupInfo.hStdInput = end_of(request.input);
    info.StartupInfo.hStdOutput = end_of(request.output);
    info.StartupInfo.hStdError = end_of(request.error);
    unique_handle our_error;
    if (request.share_error) {
        HANDLE copy = nullptr;
        if (DuplicateHandle(GetCurrentProcess(), GetStdHandle(STD_ERROR_HANDLE), GetCurrentProcess(), &copy,
                            0, TRUE, DUPLICATE_SAME_ACCESS)) {
            our_error.reset(copy);
            info.StartupInfo.hStdError = copy;
        }
    }
    std::vector<HANDLE> inherited{info.StartupInfo.hStdInput, info.StartupInfo.hStdOutput,
                                  info.StartupInfo.hStdError};
    if (request.with_decoy) {
        SECURITY_ATTRIBUTES inheritable{sizeof inheritable, nullptr, TRUE};
        state->decoy_event.reset(CreateEventW(&inheritable, TRUE, FALSE,
                                              to_wide("Local\\ipc-labs-decoy-" + random_name()).c_str()));
        if (!state->decoy_event)
            throw_last_error("CreateEvent", "decoy");
        state->decoy =
            nt::text_of(reinterpret_cast<std::uintptr_t>(state->decoy_event.get()), state->decoy_event.get());
        inherited.push_back(state->decoy_event.get());
    }
    HandleList list(inherited);
    info.lpAttributeList = list.get();

    fs::path program = fs::path(to_wide(request.command.at(0))).make_preferred();
    if (!program.has_extension())
        program += L".exe";
    std::wstring line = command_line(request.command);
    std::wstring environment = environment_block(request.environment);
    const std::wstring directory = to_wide(request.directory);
    // Wine has no Ctrl-Break, and a group of its own would make the process deaf to what stands in for it:
    // see terminate().
    const DWORD group = nt::under_wine() ? 0 : CREATE_NEW_PROCESS_GROUP;
    PROCESS_INFORMATION started{};
    // Suspended until it is in the job: whatever it starts is in there too.
    const auto create = [&] {
        return CreateProcessW(program.c_str(), line.data(), nullptr, nullptr, TRUE,
                              CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT | group,
                              environment.data(), directory.empty() ? nullptr : directory.c_str(),
                              &info.StartupInfo, &started) != FALSE;
    };
    // Wine gives a new process ten seconds to say hello, and on a very busy machine that is too short now and then.
    for (int again = 0; !create(); ++again)
        if (!nt::under_wine() || again == 2 || GetLastError() != ERROR_INTERNAL_ERROR)
            throw_last_error("CreateProcess", request.command[0]);
    const unique_handle thread(started.hThread);
    state->process.reset(started.hProcess);
    state->id = started.dwProcessId;
    if (!AssignProcessToJobObject(state->job.get(), state->process.get())) {
        const auto error = static_cast<int>(GetLastError());
        TerminateProcess(state->process.get(), killed_code);
        ipc::throw_error(error, "AssignProcessToJobObject", request.command[0]);
    }
    ResumeThread(thread.get());
    return Process(std::move(state));
}

std::uint32_t Process::id() const {
    return state_->id;
}

bool Process::wait(Deadline deadline) {
    if (!state_->over)
        state_->over = WaitForSingleObject(state_->process.get(), deadline.wait_ms()) == WAIT_OBJECT_0;
    return state_->over;
}

Ended Process::ended() const {
    DWORD code = 0;
    GetExitCodeProcess(state_->process.get(), &code);
    // An unhandled exception's code becomes the exit code; nothing else tells the two apart.
    const bool exception = code >= 0xC0000000 || exception_name(code);
    return {exception ? Ended::How::killed : Ended::How::exited, static_cast<std::uint32_t>(code)};
}

void Process::interrupt() {
    terminate();
}

void Process::terminate() {
    if (!nt::under_wine()) {
        GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, state_->id);
        return;
    }
    // Wine has no CTRL_BREAK_EVENT. What Windows does for it can be done by hand: a new thread of the process
    // runs CtrlRoutine, which calls the process's handlers. kernelbase.dll has the same address in all
    // processes.
    auto* routine = reinterpret_cast<LPTHREAD_START_ROUTINE>(
        reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"kernelbase.dll"), "CtrlRoutine")));
    if (routine)
        unique_handle(CreateRemoteThread(
            state_->process.get(), nullptr, 0, routine,
            reinterpret_cast<void*>(static_cast<std::uintptr_t>(CTRL_BREAK_EVENT)), 0, nullptr));
}

void Process::kill() {
    TerminateProcess(state_->process.get(), killed_code);
}

void Process::suspend() {
    // A thread that still runs may start another: again until nobody new is found.
    for (bool more = true; more;) {
        more = false;
        for (DWORD id : nt::threads_of(state_->id)) {
            if (!state_->suspended.insert(id).second)
                continue;
            more = true;
            const unique_handle thread(OpenThread(THREAD_SUSPEND_RESUME, FALSE, id));
            if (thread)
                SuspendThread(thread.get());
        }
    }
}

void Process::resume() {
    for (DWORD id : state_->suspended) {
        const unique_handle thread(OpenThread(THREAD_SUSPEND_RESUME, FALSE, id));
        if (thread)
            ResumeThread(thread.get());
    }
    state_->suspended.clear();
}

// ---- the tree
// -----------------------------------------------------------------------------------------------------

namespace {

std::vector<DWORD> members(HANDLE job) {
    for (std::size_t room = 64;; room *= 2) {
        std::vector<char> buffer(sizeof(JOBOBJECT_BASIC_PROCESS_ID_LIST) + room * sizeof(ULONG_PTR));
        auto* list = reinterpret_cast<JOBOBJECT_BASIC_PROCESS_ID_LIST*>(buffer.data());
        if (QueryInformationJobObject(job, JobObjectBasicProcessIdList, list,
                                      static_cast<DWORD>(buffer.size()), nullptr))
            return {list->ProcessIdList, list->ProcessIdList + list->NumberOfProcessIdsInList};
        if (GetLastError() != ERROR_MORE_DATA)
            throw_last_error("QueryInformationJobObject", "JobObjectBasicProcessIdList");
    }
}

bool is_console_host(const std::string& file) {
    static const std::string host = [] {
        wchar_t path[MAX_PATH];
        return to_utf8(std::wstring_view(path, GetSystemDirectoryW(path, MAX_PATH))) + "\\conhost.exe";
    }();
    return _stricmp(file.c_str(), host.c_str()) == 0;
}

}  // namespace

std::vector<ProcessInfo> Process::tree() const {
    std::vector<ProcessInfo> found;
    for (DWORD id : members(state_->job.get())) {
        const unique_handle process(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, id));
        if (!process || WaitForSingleObject(process.get(), 0) == WAIT_OBJECT_0)
            continue;  // ended since
        const std::string file = nt::program_of(process.get());
        if (is_console_host(file))
            continue;  // the system's own half of a console
        const auto place = id == state_->id ? found.begin() : found.end();
        found.insert(place, {static_cast<std::uint32_t>(id), nt::short_name(file), false});
    }
    return found;
}

void Process::end_tree() {
    if (state_->ended)
        return;
    const Deadline deadline = Deadline::in(milliseconds(5000));
    TerminateJobObject(state_->job.get(), killed_code);
    wait(deadline);
    for (;;) {
        const std::vector<DWORD> left = members(state_->job.get());
        if (left.empty())
            break;
        if (deadline.expired())
            throw std::runtime_error("could not end process " + std::to_string(left.front()));
        Sleep(1);  // a job object is signalled only when a limit is exceeded; nothing tells when it is empty
    }
    state_->ended = true;
}

std::chrono::microseconds Process::cpu_time() const {
    std::chrono::microseconds total{0};
    for (const ProcessInfo& member : tree())
        total += nt::cpu_time(member.id);
    return total;
}

std::optional<std::uint64_t> Process::wakeups() const {
    return std::nullopt;
}

bool Process::wants_processor() const { return false; }

std::string Process::stillness() const {
    // A look costs milliseconds and disturbs: not more than ten a second.
    const auto now = std::chrono::steady_clock::now();
    if (now - state_->looked_at >= milliseconds(100)) {
        // Who uses the processor is not still, and is left alone.
        const auto used = cpu_time();
        state_->seen = used == state_->used ? state_->picture.look(tree()) : std::string();
        state_->used = used;
        state_->looked_at = now;
    }
    return state_->seen;
}

std::string Process::decoy() const {
    return state_->decoy;
}

std::vector<std::string> Process::descriptors() const {
    std::vector<std::string> open;
    for (const nt::HandleEntry& entry : nt::all_handles())
        if (entry.process == state_->id)
            if (const unique_handle copy = nt::borrow(state_->process.get(), entry.value))
                open.push_back(nt::text_of(entry.value, copy.get()));
    return open;
}

}  // namespace judge
