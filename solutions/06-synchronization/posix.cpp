// Lab 06, posix track: the reference solution.

#include "synchronization.hpp"

#include "ipc/error.hpp"
#include "named_object.hpp"
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <ctime>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace synchronization {
namespace {

// steady_clock is CLOCK_MONOTONIC: the ...clock... functions below can be told so, the older ...timed... ones cannot.
timespec monotonic(ipc::Deadline deadline) {
    const auto since_boot = deadline.at().time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
    return {static_cast<time_t>(seconds.count()), static_cast<long>(std::chrono::nanoseconds(since_boot - seconds).count())};
}

void check_code(int code, const char* call, const std::string& about = {}) {
    if (code != 0)
        ipc::throw_error(code, call, about);
}

// An error that we find ourselves, in the system's words where it has some.
[[noreturn]] void refuse(int code, const std::string& why) { throw std::system_error(code, std::system_category(), why); }

// A mutex for several processes, with an owner that may die, and that may take it twice.
void make_mutex(pthread_mutex_t& mutex) {
    pthread_mutexattr_t attributes;
    ::pthread_mutexattr_init(&attributes);
    ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    ::pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    const int code = ::pthread_mutex_init(&mutex, &attributes);
    ::pthread_mutexattr_destroy(&attributes);
    check_code(code, "pthread_mutex_init");
}

}  // namespace

// ---- mutex ----------------------------------------------------------------------------------------------------------

struct Mutex::State {
    explicit State(const std::string& name) : mutex(name, ObjectKind::mutex, Opening::open_or_create, make_mutex) {}
    NamedObject<pthread_mutex_t> mutex;
};

Mutex::Mutex(const std::string& name) : name_(name), state_(std::make_unique<State>(name)) {}
Mutex::~Mutex() = default;

Taken Mutex::lock(ipc::Deadline deadline) {
    pthread_mutex_t& mutex = *state_->mutex;
    const timespec until = monotonic(deadline);
    const int code = deadline.bounded() ? ::pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until)
                                        : ::pthread_mutex_lock(&mutex);
    if (code == ETIMEDOUT)
        return Taken::timed_out;
    if (code == EOWNERDEAD) {
        // We own it, but nobody ever will again (ENOTRECOVERABLE) unless we say now that we take care of what it protects.
        check_code(::pthread_mutex_consistent(&mutex), "pthread_mutex_consistent");
        return Taken::abandoned;
    }
    check_code(code, "pthread_mutex_lock", name_);
    return Taken::yes;
}

void Mutex::unlock() { check_code(::pthread_mutex_unlock(&*state_->mutex), "pthread_mutex_unlock", name_); }

Taken lock_both(Mutex& first, Mutex& second, ipc::Deadline deadline) {
    // One order for everybody: then there is no circle of processes, each waiting for what the next one has.
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

namespace {

struct Permits {
    sem_t free;
    unsigned maximum;
    pthread_mutex_t releasing;
};

}  // namespace

struct Semaphore::State {
    State(const std::string& name, unsigned maximum)
        : permits(name, ObjectKind::semaphore, Opening::open_or_create, [maximum](Permits& body) {
              ipc::check(::sem_init(&body.free, 1, maximum), "sem_init");
              body.maximum = maximum;
              make_mutex(body.releasing);
          }) {}
    NamedObject<Permits> permits;
};

Semaphore::Semaphore(const std::string& name, unsigned permits) : state_(std::make_unique<State>(name, permits)) {
    if (const unsigned maximum = state_->permits->maximum; maximum != permits)
        refuse(EINVAL, "semaphore '" + name + "' has " + std::to_string(maximum) + " permits; name that number, not " +
                           std::to_string(permits));
}
Semaphore::~Semaphore() = default;

bool Semaphore::acquire(ipc::Deadline deadline) {
    sem_t& free = state_->permits->free;
    const timespec until = monotonic(deadline);
    while ((deadline.bounded() ? ::sem_clockwait(&free, CLOCK_MONOTONIC, &until) : ::sem_wait(&free)) == -1) {
        if (errno == ETIMEDOUT)
            return false;
        if (errno != EINTR)
            ipc::throw_last_error("sem_clockwait");
    }
    return true;
}

void Semaphore::release() {
    // sem_post() knows no maximum. Looking and posting are two steps, so only one process does them at a time; the number
    // can meanwhile only fall.
    Permits& permits = *state_->permits;
    if (const int code = ::pthread_mutex_lock(&permits.releasing); code == EOWNERDEAD)
        ::pthread_mutex_consistent(&permits.releasing);
    else
        check_code(code, "pthread_mutex_lock");
    int free = 0;
    ::sem_getvalue(&permits.free, &free);
    const bool room = static_cast<unsigned>(free) < permits.maximum;
    if (room)
        ::sem_post(&permits.free);
    ::pthread_mutex_unlock(&permits.releasing);
    if (!room)
        refuse(EOVERFLOW, "cannot give back a permit: all " + std::to_string(permits.maximum) + " are free already");
}

// ---- event ------------------------------------------------------------------------------------------------------------

// A condition variable would be shorter, but it counts its waiters in shared memory: kill one, and a later signal waits
// for ever for the dead to wake up. With a futex the kernel has the list of waiters, and takes the dead off it.
namespace {

struct Signal {
    bool automatic;
    // Bit 0: signalled. The bits above count the signals, so that a waiter sees one that has been and gone.
    std::atomic<std::uint32_t> word;
    static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
};
constexpr std::uint32_t signalled = 1, one_signal = 2;

// Sleeps unless `word` has changed from what the caller has seen: looking and falling asleep are one step, and no signal
// can come in between. False: the time is over.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, ipc::Deadline deadline) {
    const timespec until = monotonic(deadline);
    if (::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, seen, deadline.bounded() ? &until : nullptr, nullptr,
                  FUTEX_BITSET_MATCH_ANY) == 0)
        return true;
    if (errno == ETIMEDOUT)
        return false;
    if (errno != EAGAIN && errno != EINTR)
        ipc::throw_last_error("futex");
    return true;
}

}  // namespace

struct Event::State {
    State(const std::string& name, Opening opening, Reset reset)
        : event(name, ObjectKind::event, opening, [reset](Signal& body) { body.automatic = reset == Reset::automatic; }) {}
    NamedObject<Signal> event;
};

Event::Event(const std::string& name, Reset reset) : state_(std::make_unique<State>(name, Opening::open_or_create, reset)) {}
Event::Event(const std::string& name) : state_(std::make_unique<State>(name, Opening::open_existing, Reset::automatic)) {}
Event::~Event() = default;

bool Event::wait(ipc::Deadline deadline) {
    Signal& event = *state_->event;
    std::uint32_t seen = event.word.load();
    const std::uint32_t before = seen / one_signal;
    for (;;) {
        if (event.automatic) {
            if ((seen & signalled) && event.word.compare_exchange_strong(seen, seen & ~signalled))
                return true;  // of several who see it, one takes it
        } else if ((seen & signalled) || seen / one_signal != before) {
            return true;
        }
        if (!(seen & signalled) && !futex_wait(event.word, seen, deadline))
            return false;
        seen = event.word.load();
    }
}

void Event::signal() {
    std::atomic<std::uint32_t>& word = state_->event->word;
    for (std::uint32_t seen = word.load(); !(seen & signalled);)
        if (word.compare_exchange_weak(seen, (seen + one_signal) | signalled))
            break;
    // All of them, also for one signal: if only one were woken and killed before he could take it, the others would
    // sleep on.
    ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Event::reset() { state_->event->word.fetch_and(~signalled); }

// ---- limit ------------------------------------------------------------------------------------------------------------

// A semaphore in memory has no owner, so nobody gives back what a killed process had taken. The kernel's own System V
// semaphores do: with SEM_UNDO it keeps the account of each process, and settles it when the process ends.
namespace {

struct Slots {
    int semaphore;
    unsigned count;
};

void make_slots(Slots& slots, unsigned count) {
    slots.count = count;
    slots.semaphore = ipc::check(::semget(IPC_PRIVATE, 1, 0600), "semget");
    ipc::check(::semctl(slots.semaphore, 0, SETVAL, static_cast<int>(count)), "semctl");
}

// Async-signal-safe, for it runs between fork() and exec. 0, or the errno.
int take_slot(int semaphore, ipc::Deadline deadline) {
    sembuf take{0, -1, SEM_UNDO};
    for (;;) {
        const auto left = std::max(deadline.at() - ipc::Deadline::clock::now(), ipc::Deadline::clock::duration::zero());
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        const timespec timeout{static_cast<time_t>(seconds.count()),
                               static_cast<long>(std::chrono::nanoseconds(left - seconds).count())};
        if (::semtimedop(semaphore, &take, 1, deadline.bounded() ? &timeout : nullptr) == 0)
            return 0;
        if (errno != EINTR)
            return errno;
    }
}

// What the child tells when it does not become the command.
struct Refusal {
    enum Step : int { waiting, starting } step;
    int error;
};

[[noreturn]] void become(const Command& command, char* const* arguments, const Slots& slots, ipc::Deadline deadline,
                         int report, const sigset_t& mask, pid_t parent) {
    // Who kills limit with SIGKILL means the command too; without this it would run on, and nobody would wait for it.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent)
        ::_exit(1);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    // The child takes the slot, not limit: so it is the command's, through exec, and free when the command has ended.
    Refusal refusal{Refusal::waiting, take_slot(slots.semaphore, deadline)};
    if (refusal.error == 0) {
        ::execvp(command[0].c_str(), arguments);
        refusal = {Refusal::starting, errno};
    }
    [[maybe_unused]] const ssize_t written = ::write(report, &refusal, sizeof refusal);
    ::_exit(1);
}

// Waits for the child and passes on the signals that come meanwhile; all of `watched` are blocked.
ExitCode see_to_its_end(pid_t child, const sigset_t& watched) {
    for (;;) {
        siginfo_t info;
        if (::sigwaitinfo(&watched, &info) == -1)
            continue;  // EINTR: after a stop
        if (info.si_signo != SIGCHLD) {
            if (info.si_code != SI_KERNEL)  // Ctrl-C in a terminal reaches the command by itself
                ::kill(child, info.si_signo);
            continue;
        }
        int status = 0;
        if (ipc::check(::waitpid(child, &status, WNOHANG), "waitpid") == child)
            return static_cast<ExitCode>(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
}

}  // namespace

ExitCode limit(const std::string& name, unsigned slots, ipc::Deadline deadline, const Command& command) {
    const NamedObject<Slots> object(
        name, ObjectKind::limit, Opening::open_or_create, [slots](Slots& body) { make_slots(body, slots); },
        [](Slots& body) { ::semctl(body.semaphore, 0, IPC_RMID); });
    if (object->count != slots)
        refuse(EINVAL, "limit '" + name + "' has " + std::to_string(object->count) + " slots; name that number, not " +
                           std::to_string(slots));

    std::vector<char*> arguments;
    for (const std::string& word : command)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    const ipc::unique_file read_end(ends[0]);
    ipc::unique_file write_end(ends[1]);

    ::signal(SIGCHLD, SIG_DFL);  // a caller that ignores it leaves that to us, and then nobody is told of a child's end
    sigset_t watched, mask;
    ::sigemptyset(&watched);
    for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGCHLD})
        ::sigaddset(&watched, signal);
    ::sigprocmask(SIG_BLOCK, &watched, &mask);
    const pid_t parent = ::getpid(), child = ipc::check(::fork(), "fork");
    if (child == 0)
        become(command, arguments.data(), *object, deadline, write_end.get(), mask, parent);
    write_end.reset();

    const ExitCode code = see_to_its_end(child, watched);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    Refusal refusal{};
    if (::read(read_end.get(), &refusal, sizeof refusal) != static_cast<ssize_t>(sizeof refusal))
        return code;  // nothing but the end: exec has closed the other end
    if (refusal.step == Refusal::waiting && refusal.error == EAGAIN)
        throw timed_out();
    if (refusal.step == Refusal::waiting)
        ipc::throw_error(refusal.error, "semtimedop");
    throw not_started(refusal.error, std::system_category(), "execvp(" + command[0] + ")");
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
