// Lab 06, win32 track, written otherwise: lock_both() backs off instead of keeping an order, a slot is held by a
// process, whose end anybody can wait for, and breakfast has an event for each step.

#include "synchronization.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <string_view>
#include <windows.h>

namespace synchronization {
namespace {

// Local\ is the session's own name space: two users who are logged in at once do not meet in it.
std::wstring object_name(const std::string& name) { return L"Local\\" + ipc::to_wide(name); }

// What Create... or Open... answered, or the error. A handle to an object that was there already (ERROR_ALREADY_EXISTS) is as
// good as any; there is none at all if the name is that of an object of another kind.
ipc::unique_handle opened(HANDLE handle, const char* call, const std::string& name) {
    if (!handle && ::GetLastError() == ERROR_INVALID_HANDLE)
        throw std::system_error(ERROR_INVALID_HANDLE, std::system_category(),
                                std::string(call) + ": '" + name + "' is the name of an object of another kind; take another name");
    if (!handle)
        ipc::throw_last_error(call, name);
    return ipc::unique_handle(handle);
}

// Windows' waits take the time that is left, measured on a clock that nobody can set.
DWORD wait_for(HANDLE object, ipc::Deadline deadline) {
    const DWORD answer = ::WaitForSingleObject(object, deadline.wait_ms());
    if (answer == WAIT_FAILED)
        ipc::throw_last_error("WaitForSingleObject");
    return answer;
}

}  // namespace

// ---- mutex ----------------------------------------------------------------------------------------------------------

struct Mutex::State {
    explicit State(const std::string& name) : mutex(opened(::CreateMutexW(nullptr, FALSE, object_name(name).c_str()), "CreateMutexW", name)) {}
    ipc::unique_handle mutex;
};

Mutex::Mutex(const std::string& name) : name_(name), state_(std::make_unique<State>(name)) {}
Mutex::~Mutex() = default;

Taken Mutex::lock(ipc::Deadline deadline) {
    switch (wait_for(state_->mutex.get(), deadline)) {
    case WAIT_OBJECT_0: return Taken::yes;
    case WAIT_ABANDONED: return Taken::abandoned;  // ours, and as good as new; what it protects may not be
    default: return Taken::timed_out;
    }
}

void Mutex::unlock() {
    if (!::ReleaseMutex(state_->mutex.get()))
        ipc::throw_last_error("ReleaseMutex", name_);
}

Taken lock_both(Mutex& first, Mutex& second, ipc::Deadline deadline) {
    // Wait for one with nothing in hand, and only try the other; if it is not to be had, give back, and wait for that one next.
    Mutex* waited = &first;
    Mutex* tried = &second;
    Taken abandoned = Taken::yes;
    for (;;) {
        const Taken one = waited->lock(deadline);
        if (one == Taken::timed_out)
            return one;
        if (one == Taken::abandoned)
            abandoned = one;
        const Taken other = tried->lock(ipc::Deadline::in_ms(0));
        if (other != Taken::timed_out)
            return other == Taken::abandoned ? other : abandoned;
        waited->unlock();
        std::swap(waited, tried);
    }
}

// ---- semaphore --------------------------------------------------------------------------------------------------------

struct Semaphore::State {
    State(const std::string& name, LONG maximum)
        : semaphore(opened(::CreateSemaphoreW(nullptr, maximum, maximum, object_name(name).c_str()), "CreateSemaphoreW", name)) {}
    ipc::unique_handle semaphore;
};

Semaphore::Semaphore(const std::string& name, unsigned permits) : state_(std::make_unique<State>(name, static_cast<LONG>(permits))) {}
Semaphore::~Semaphore() = default;

bool Semaphore::acquire(ipc::Deadline deadline) { return wait_for(state_->semaphore.get(), deadline) == WAIT_OBJECT_0; }

void Semaphore::release() {
    if (!::ReleaseSemaphore(state_->semaphore.get(), 1, nullptr))  // it knows its maximum: ERROR_TOO_MANY_POSTS
        ipc::throw_last_error("ReleaseSemaphore");
}

// ---- event ------------------------------------------------------------------------------------------------------------

struct Event::State {
    ipc::unique_handle event;
};

Event::Event(const std::string& name, Reset reset)
    : state_(new State{opened(::CreateEventW(nullptr, reset == Reset::manual, FALSE, object_name(name).c_str()), "CreateEventW", name)}) {}
Event::Event(const std::string& name)
    : state_(new State{opened(::OpenEventW(EVENT_MODIFY_STATE | SYNCHRONIZE, FALSE, object_name(name).c_str()), "OpenEventW", name)}) {}
Event::~Event() = default;

bool Event::wait(ipc::Deadline deadline) { return wait_for(state_->event.get(), deadline) == WAIT_OBJECT_0; }

void Event::signal() {
    // Not PulseEvent: it wakes those who wait at that moment, and one who is about to wait, or suspended, has missed it.
    if (!::SetEvent(state_->event.get()))
        ipc::throw_last_error("SetEvent");
}

void Event::reset() {
    if (!::ResetEvent(state_->event.get()))
        ipc::throw_last_error("ResetEvent");
}

// ---- limit ------------------------------------------------------------------------------------------------------------

namespace {

// A table of the processes that have a slot, in memory that all callers share.
class Slots {
public:
    Slots(const std::string& name, unsigned count) : count_(count) {
        guard_ = opened(::CreateMutexW(nullptr, FALSE, object_name(name + "-table").c_str()), "CreateMutexW", name);
        memory_ = opened(::CreateFileMappingW(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0, sizeof(Table), object_name(name).c_str()), "CreateFileMappingW", name);
        table_ = static_cast<Table*>(::MapViewOfFile(memory_.get(), FILE_MAP_ALL_ACCESS, 0, 0, sizeof(Table)));
        if (!table_)
            ipc::throw_last_error("MapViewOfFile", name);
        const LONG decided = ::InterlockedCompareExchange(&table_->count, static_cast<LONG>(count), 0);
        if (decided != 0 && decided != static_cast<LONG>(count))
            ipc::throw_error(ERROR_INVALID_PARAMETER, "limit " + name, "it has " + std::to_string(decided) + " slots, not " + std::to_string(count));
    }
    Slots(const Slots&) = delete;
    ~Slots() { ::UnmapViewOfFile(table_); }

    // Enters this process, once one of those that are entered has ended or left.
    void enter(ipc::Deadline deadline) {
        for (;;) {
            std::vector<ipc::unique_handle> processes;
            std::vector<HANDLE> waited;
            wait_for(guard_.get(), {});  // also from a dead hand: an entry is written or not
            Holder* room = nullptr;
            for (Holder* holder = table_->holders; holder != table_->holders + count_; ++holder) {
                ipc::unique_handle process = living(*holder);
                if (!process) {
                    room = holder;
                } else {
                    waited.push_back(process.get());
                    processes.push_back(std::move(process));
                }
            }
            if (room)
                *room = {::GetCurrentProcessId(), started(::GetCurrentProcess())};
            ::ReleaseMutex(guard_.get());
            if (room)
                return;
            if (::WaitForMultipleObjects(static_cast<DWORD>(waited.size()), waited.data(), FALSE, deadline.wait_ms()) == WAIT_TIMEOUT)
                throw timed_out();
        }
    }

private:
    // A process, told apart from a later one with the same number by when it was started.
    struct Holder {
        DWORD id;
        unsigned long long since;
    };
    struct Table {
        volatile LONG count;
        Holder holders[64];
    };
    static unsigned long long started(HANDLE process) {
        FILETIME start{}, end, kernel, user;
        ::GetProcessTimes(process, &start, &end, &kernel, &user);
        return (static_cast<unsigned long long>(start.dwHighDateTime) << 32) | start.dwLowDateTime;
    }
    static ipc::unique_handle living(const Holder& holder) {
        ipc::unique_handle process(holder.id ? ::OpenProcess(SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, holder.id) : nullptr);
        if (process && (started(process.get()) != holder.since || ::WaitForSingleObject(process.get(), 0) == WAIT_OBJECT_0))
            process.reset();
        return process;
    }

    unsigned count_;
    ipc::unique_handle guard_, memory_;
    Table* table_ = nullptr;
};

// One word of a command line, so that CommandLineToArgvW makes the same word of it again: see lab 01.
std::wstring quoted(std::wstring_view word) {
    if (!word.empty() && word.find_first_of(L" \t\"") == std::wstring_view::npos)
        return std::wstring(word);
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

// A job that ends whoever is in it when the last handle to it is closed. We have the only one, and the system closes it for
// us, whatever becomes of us.
ipc::unique_handle make_deadly_job() {
    ipc::unique_handle job(::CreateJobObjectW(nullptr, nullptr));
    if (!job)
        ipc::throw_last_error("CreateJobObjectW");
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION information{};
    information.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (!::SetInformationJobObject(job.get(), JobObjectExtendedLimitInformation, &information, sizeof information))
        ipc::throw_last_error("SetInformationJobObject");
    return job;
}

// Ctrl-C and Ctrl-Break come to everybody at the console: the command decides what to do about it, and we wait for it.
BOOL WINAPI leave_it_to_the_command(DWORD event) { return event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT; }

ipc::unique_handle start(const Command& command, HANDLE job) {
    std::wstring line;
    for (const std::string& word : command)
        line += (line.empty() ? L"" : L" ") + quoted(ipc::to_wide(word));
    STARTUPINFOW startup{};
    startup.cb = sizeof startup;
    PROCESS_INFORMATION started{};
    // Suspended until it is in the job: if we were killed in between, it would be nobody's.
    if (!::CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE, CREATE_SUSPENDED, nullptr, nullptr, &startup, &started))
        throw not_started(static_cast<int>(::GetLastError()), std::system_category(), "CreateProcessW(" + command[0] + ")");
    ipc::unique_handle process(started.hProcess);
    const ipc::unique_handle thread(started.hThread);
    if (!::AssignProcessToJobObject(job, process.get())) {
        const auto error = static_cast<int>(::GetLastError());
        ::TerminateProcess(process.get(), 1);
        ipc::throw_error(error, "AssignProcessToJobObject", command[0]);
    }
    ::ResumeThread(thread.get());
    return process;
}

}  // namespace

ExitCode limit(const std::string& name, unsigned slots, ipc::Deadline deadline, const Command& command) {
    Slots all(name, slots);
    const ipc::unique_handle job = make_deadly_job();
    all.enter(deadline);  // and never leave: whoever waits, waits for this process to end

    ::SetConsoleCtrlHandler(leave_it_to_the_command, TRUE);
    const ipc::unique_handle process = start(command, job.get());
    wait_for(process.get(), {});
    DWORD code = 0;
    if (!::GetExitCodeProcess(process.get(), &code))
        ipc::throw_last_error("GetExitCodeProcess");
    return code;
}

// ---- breakfast --------------------------------------------------------------------------------------------------------

namespace {

struct Table {
    explicit Table(const std::string& name)
        : ordered(name + "-ordered", Event::Reset::automatic), served(name + "-served", Event::Reset::automatic),
          paid(name + "-paid", Event::Reset::automatic), thanked(name + "-thanked", Event::Reset::automatic) {}
    Event ordered, served, paid, thanked;
};

}  // namespace

void vendor(const std::string& name, unsigned rounds, const Say& say) {
    Table table(name);
    while (rounds-- > 0) {
        table.ordered.wait();
        say(line::serve);
        table.served.signal();
        table.paid.wait();
        say(line::thank);
        table.thanked.signal();
    }
}

void customer(const std::string& name, unsigned rounds, const Say& say) {
    Table table(name);
    while (rounds-- > 0) {
        say(line::order);
        table.ordered.signal();
        table.served.wait();
        say(line::eat);
        say(line::pay);
        table.paid.signal();
        table.thanked.wait();
    }
}

}  // namespace synchronization
