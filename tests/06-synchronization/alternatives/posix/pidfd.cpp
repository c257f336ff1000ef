// Lab 06, posix track, written otherwise: the semaphore is a futex, lock_both() backs off instead of keeping an order, and a slot
// is held by a process id: who waits, waits by poll() for one of those processes to end.

#include "synchronization.hpp"

#include "ipc/error.hpp"
#include "named_object.hpp"
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <ctime>
#include <fstream>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/signalfd.h>
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

void check_code(int code, const char* call) {
    if (code != 0)
        ipc::throw_error(code, call);
}

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
    const int code = deadline.bounded() ? ::pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until) : ::pthread_mutex_lock(&mutex);
    if (code == ETIMEDOUT)
        return Taken::timed_out;
    if (code == EOWNERDEAD) {
        // We own it, but nobody ever will again (ENOTRECOVERABLE) unless we say now that we take care of what it protects.
        check_code(::pthread_mutex_consistent(&mutex), "pthread_mutex_consistent");
        return Taken::abandoned;
    }
    check_code(code, "pthread_mutex_lock");
    return Taken::yes;
}

void Mutex::unlock() { check_code(::pthread_mutex_unlock(&*state_->mutex), "pthread_mutex_unlock"); }

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

namespace {

// Sleeps unless `word` has changed from what the caller has seen: looking and falling asleep are one step, and no signal
// can come in between. False: the time is over.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, ipc::Deadline deadline) {
    const timespec until = monotonic(deadline);
    if (::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, seen, deadline.bounded() ? &until : nullptr, nullptr, FUTEX_BITSET_MATCH_ANY) == 0)
        return true;
    if (errno == ETIMEDOUT)
        return false;
    if (errno != EAGAIN && errno != EINTR)
        ipc::throw_last_error("futex");
    return true;
}

struct Permits {
    std::atomic<std::uint32_t> free;
    std::uint32_t maximum;
};

}  // namespace

struct Semaphore::State {
    State(const std::string& name, unsigned maximum)
        : permits(name, ObjectKind::semaphore, Opening::open_or_create, [maximum](Permits& body) { body.free = body.maximum = maximum; }) {}
    NamedObject<Permits> permits;
};

Semaphore::Semaphore(const std::string& name, unsigned permits) : state_(std::make_unique<State>(name, permits)) {
    if (state_->permits->maximum != permits)
        ipc::throw_error(EINVAL, "semaphore " + name, "it has another number of permits");
}
Semaphore::~Semaphore() = default;

bool Semaphore::acquire(ipc::Deadline deadline) {
    std::atomic<std::uint32_t>& free = state_->permits->free;
    for (std::uint32_t seen = free.load();;) {
        if (seen > 0) {
            if (free.compare_exchange_weak(seen, seen - 1))
                return true;
            continue;
        }
        if (!futex_wait(free, 0, deadline))
            return false;
        seen = free.load();
    }
}

void Semaphore::release() {
    Permits& permits = *state_->permits;
    std::uint32_t seen = permits.free.load();
    do {
        if (seen == permits.maximum)
            ipc::throw_error(EOVERFLOW, "release", "all permits are free already");
    } while (!permits.free.compare_exchange_weak(seen, seen + 1));
    ::syscall(SYS_futex, &permits.free, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
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
    // All of them, also for one signal: if only one were woken and killed before he could take it, the others would sleep on.
    ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Event::reset() { state_->event->word.fetch_and(~signalled); }

// ---- limit ------------------------------------------------------------------------------------------------------------

namespace {

// A process, told apart from a later one with the same number by when it was started.
struct Holder {
    pid_t pid;
    unsigned long long since;
};

struct Slots {
    pthread_mutex_t table;
    unsigned count;
    Holder holders[64];
};

unsigned long long start_time(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    char bytes[1024];
    file.read(bytes, sizeof bytes);  // fails if it ends meanwhile
    const std::string text(bytes, static_cast<std::size_t>(file.gcount()));
    const auto end_of_name = text.rfind(')');
    if (end_of_name == std::string::npos)
        return 0;
    std::istringstream fields(text.substr(end_of_name + 1));
    std::string field;
    for (int i = 3; i <= 22; ++i)
        fields >> field;
    return std::strtoull(field.c_str(), nullptr, 10);
}

ipc::unique_file pidfd_of(pid_t pid) { return ipc::unique_file(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

// Whether it still runs; `watch` becomes readable when it ends.
bool lives(const Holder& holder, ipc::unique_file& watch) {
    if (holder.pid == 0)
        return false;
    watch = pidfd_of(holder.pid);
    pollfd ended{watch.get(), POLLIN, 0};
    return watch && start_time(holder.pid) == holder.since && ::poll(&ended, 1, 0) == 0;
}

// Enters `child` as a holder once there is room. Until then waits for a holder, the child, or the end of time.
// False: the child has ended meanwhile.
bool enter(Slots& slots, pid_t child, int signals, ipc::Deadline deadline) {
    for (;;) {
        std::vector<ipc::unique_file> watches;
        std::vector<pollfd> polled{{signals, POLLIN, 0}};
        if (::pthread_mutex_lock(&slots.table) == EOWNERDEAD)
            ::pthread_mutex_consistent(&slots.table);  // an entry is written or not; each is checked anyway
        Holder* room = nullptr;
        for (Holder* holder = slots.holders; holder != slots.holders + slots.count; ++holder) {
            ipc::unique_file watch;
            if (!lives(*holder, watch)) {
                room = holder;
            } else {
                polled.push_back({watch.get(), POLLIN, 0});
                watches.push_back(std::move(watch));
            }
        }
        if (room)
            *room = {child, start_time(child)};
        ::pthread_mutex_unlock(&slots.table);
        if (room)
            return true;
        if (::poll(polled.data(), polled.size(), deadline.poll_ms()) == 0)
            throw timed_out();
        if (polled[0].revents)
            return false;
    }
}

}  // namespace

ExitCode limit(const std::string& name, unsigned slots, ipc::Deadline deadline, const Command& command) {
    const NamedObject<Slots> object(name, ObjectKind::limit, Opening::open_or_create, [slots](Slots& body) {
        make_mutex(body.table);
        body.count = slots;
    });
    if (object->count != slots)
        ipc::throw_error(EINVAL, "limit " + name, "it has another number of slots");
    std::vector<char*> arguments;
    for (const std::string& word : command)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    int go[2], report[2];
    ipc::check(::pipe2(go, O_CLOEXEC), "pipe2");
    const ipc::unique_file go_read(go[0]);
    ipc::unique_file go_write(go[1]);
    ipc::check(::pipe2(report, O_CLOEXEC), "pipe2");
    const ipc::unique_file report_read(report[0]);
    ipc::unique_file report_write(report[1]);

    ::signal(SIGCHLD, SIG_DFL);  // a caller that ignores it leaves that to us, and then nobody is told of a child's end
    sigset_t watched, mask;
    ::sigemptyset(&watched);
    for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGCHLD})
        ::sigaddset(&watched, signal);
    ::sigprocmask(SIG_BLOCK, &watched, &mask);
    const ipc::unique_file signals(ipc::check(::signalfd(-1, &watched, SFD_CLOEXEC), "signalfd"));
    const pid_t parent = ::getpid(), child = ipc::check(::fork(), "fork");
    if (child == 0) {
        // It stands ready, with its number in the table or not, and becomes the command when it is told so.
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::sigprocmask(SIG_SETMASK, &mask, nullptr);
        char word = 0;
        if (::getppid() != parent || ::close(go_write.release()) != 0 || ::read(go_read.get(), &word, 1) != 1)
            ::_exit(1);
        ::execvp(arguments[0], arguments.data());
        const int error = errno;
        [[maybe_unused]] const ssize_t written = ::write(report_write.get(), &error, sizeof error);
        ::_exit(1);
    }
    report_write.reset();

    bool started = false;
    for (;;) {
        if (!started) {
            try {
                started = enter(*object, child, signals.get(), deadline);
            } catch (...) {
                ::kill(child, SIGKILL);
                ::waitpid(child, nullptr, 0);
                ::sigprocmask(SIG_SETMASK, &mask, nullptr);
                throw;
            }
            if (started && ::write(go_write.get(), "g", 1) != 1)
                ipc::throw_last_error("write");
            go_write.reset(started ? -1 : go_write.release());
        }
        signalfd_siginfo info{};
        if (::read(signals.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
            continue;
        if (info.ssi_signo != SIGCHLD) {
            if (info.ssi_code != SI_KERNEL)
                ::kill(child, static_cast<int>(info.ssi_signo));
            continue;
        }
        int status = 0;
        if (::waitpid(child, &status, WNOHANG) != child)
            continue;
        ::sigprocmask(SIG_SETMASK, &mask, nullptr);
        int error = 0;
        if (::read(report_read.get(), &error, sizeof error) == static_cast<ssize_t>(sizeof error))
            throw not_started(error, std::system_category(), "execvp(" + command[0] + ")");
        return static_cast<ExitCode>(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
}

// ---- breakfast --------------------------------------------------------------------------------------------------------

namespace {

// One event for each direction, used up by the one whom it is for: nobody clears what the other has still to see.
struct Turns {
    explicit Turns(const std::string& name) : vendors(name + "-vendor", Event::Reset::automatic), customers(name + "-customer", Event::Reset::automatic) {}
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
