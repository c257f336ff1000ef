// Lab 06, win32 track: the reference solution.

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

// What Create... or Open... answered, or the error. A handle to an object that was there already (ERROR_ALREADY_EXISTS)
// is as good as any; there is none at all if the name is that of an object of another kind.
ipc::unique_handle opened(HANDLE handle, const char* call, const std::string& name) {
    if (!handle && ::GetLastError() == ERROR_INVALID_HANDLE)
        throw std::system_error(ERROR_INVALID_HANDLE, std::system_category(),
                                std::string(call) + ": '" + name + "' is the name of an object of another kind; take another name");
    if (!handle)
        ipc::throw_last_error(call, name);
    return ipc::unique_handle(handle);
}

ipc::unique_handle make_mutex(const std::string& name) {
    return opened(::CreateMutexW(nullptr, FALSE, object_name(name).c_str()), "CreateMutexW", name);
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
    explicit State(const std::string& name) : mutex(make_mutex(name)) {}
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
    // One order for everybody: then there is no circle of processes, each waiting for what the next one has.
    // (WaitForMultipleObjects with bWaitAll takes all at once too, but not the same mutex twice.)
    const bool ordered = first.name() < second.name();
    Mutex& lower = ordered ? first : second;
    Mutex& upper = ordered ? second : first;
    const Taken one = lower.lock(deadline);
    if (one == Taken::timed_out)
        return one;
    const Taken other = upper.lock(deadline);
    if (other == Taken::timed_out)
        lower.unlock();
    return other == Taken::yes ? one : other;
}

// ---- semaphore --------------------------------------------------------------------------------------------------------

struct Semaphore::State {
    State(const std::string& name, LONG maximum)
        : semaphore(opened(::CreateSemaphoreW(nullptr, maximum, maximum, object_name(name).c_str()),
                           "CreateSemaphoreW", name)) {}
    ipc::unique_handle semaphore;
};

Semaphore::Semaphore(const std::string& name, unsigned permits)
    : state_(std::make_unique<State>(name, static_cast<LONG>(permits))) {}
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
    : state_(new State{opened(::CreateEventW(nullptr, reset == Reset::manual, FALSE, object_name(name).c_str()),
                              "CreateEventW", name)}) {}
Event::Event(const std::string& name)
    : state_(new State{opened(::OpenEventW(EVENT_MODIFY_STATE | SYNCHRONIZE, FALSE, object_name(name).c_str()),
                              "OpenEventW", name)}) {}
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

// A semaphore has no owner, so nobody gives back what a killed process had taken. A mutex has: one for each slot, and
// the one of a killed process comes to the next as abandoned.
namespace {

class Slots {
public:
    Slots(const std::string& name, unsigned count) {
        // A page of memory for the number of slots; new pages are zero, and the first one who writes decides.
        memory_ = opened(::CreateFileMappingW(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0, 4096,
                                              object_name(name).c_str()), "CreateFileMappingW", name);
        void* const view = ::MapViewOfFile(memory_.get(), FILE_MAP_ALL_ACCESS, 0, 0, sizeof(LONG));
        if (!view)
            ipc::throw_last_error("MapViewOfFile", name);
        const LONG decided = ::InterlockedCompareExchange(static_cast<volatile LONG*>(view), static_cast<LONG>(count), 0);
        ::UnmapViewOfFile(view);
        if (decided != 0 && decided != static_cast<LONG>(count))
            throw std::system_error(ERROR_INVALID_PARAMETER, std::system_category(),
                                    "limit '" + name + "' has " + std::to_string(decided) +
                                        " slots; name that number, not " + std::to_string(count));
        for (unsigned i = 0; i < count; ++i) {
            mutexes_.push_back(make_mutex(name + "-slot-" + std::to_string(i)));
            handles_.push_back(mutexes_.back().get());
        }
    }

    // Whichever is free first. It stays taken until this thread ends or gives it back: an owner is a thread.
    HANDLE take(ipc::Deadline deadline) const {
        const auto count = static_cast<DWORD>(handles_.size());
        const DWORD answer = ::WaitForMultipleObjects(count, handles_.data(), FALSE, deadline.wait_ms());
        if (answer == WAIT_FAILED)
            ipc::throw_last_error("WaitForMultipleObjects");
        if (answer == WAIT_TIMEOUT)
            throw timed_out();
        return handles_[answer < WAIT_ABANDONED_0 ? answer - WAIT_OBJECT_0 : answer - WAIT_ABANDONED_0];
    }

private:
    ipc::unique_handle memory_;
    std::vector<ipc::unique_handle> mutexes_;
    std::vector<HANDLE> handles_;
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
    if (!::CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE, CREATE_SUSPENDED, nullptr, nullptr, &startup,
                          &started))
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
    const Slots all(name, slots);
    const ipc::unique_handle job = make_deadly_job();
    struct Slot {
        HANDLE mutex;
        ~Slot() { ::ReleaseMutex(mutex); }
    } const slot{all.take(deadline)};

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

// One event for each direction, used up by the one whom it is for: nobody clears what the other has still to see.
struct Turns {
    explicit Turns(const std::string& name)
        : vendors(name + "-vendor", Event::Reset::automatic), customers(name + "-customer", Event::Reset::automatic) {}
    Event vendors, customers;
};

}  // namespace

void vendor(const std::string& name, unsigned rounds, const Say& say) {
    Turns turns(name);
    for (unsigned round = 0; round < rounds; ++round) {
        turns.vendors.wait();
        say(line::serve);
        turns.customers.signal();
        turns.vendors.wait();
        say(line::thank);
        turns.customers.signal();
    }
}

void customer(const std::string& name, unsigned rounds, const Say& say) {
    Turns turns(name);
    for (unsigned round = 0; round < rounds; ++round) {
        say(line::order);
        turns.vendors.signal();
        turns.customers.wait();
        say(line::eat);
        say(line::pay);
        turns.vendors.signal();
        turns.customers.wait();
    }
}

}  // namespace synchronization
