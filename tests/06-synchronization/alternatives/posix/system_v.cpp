// Lab 06, posix track, written otherwise: everything is made of System V semaphores. The kernel has the lists of waiters and
// carries out their operations for them, several at once or none; whoever dies is settled by SEM_UNDO.

#include "synchronization.hpp"

#include "ipc/error.hpp"
#include "named_object.hpp"
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <initializer_list>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <unistd.h>

namespace synchronization {
namespace {

struct Set {
    int id;
    unsigned maximum;
    pid_t owner;  // of a mutex: who has not given it back
    std::atomic<unsigned> signals;  // of an event: how many there have been
};

// A set with these values.
void make_set(Set& set, std::initializer_list<int> values) {
    set.id = ipc::check(::semget(IPC_PRIVATE, static_cast<int>(values.size()), 0600), "semget");
    int index = 0;
    for (const int value : values)
        ipc::check(::semctl(set.id, index++, SETVAL, value), "semctl");
}
void remove_set(Set& set) { ::semctl(set.id, 0, IPC_RMID); }

// All operations at once; 0, or the errno: EAGAIN when the time is over.
int operate(int id, std::initializer_list<sembuf> given, ipc::Deadline deadline = {}, const std::function<bool()>& interrupted = [] { return false; }) {
    sembuf operations[2];
    std::copy(given.begin(), given.end(), operations);
    for (;;) {
        const auto left = std::max(deadline.at() - ipc::Deadline::clock::now(), ipc::Deadline::clock::duration::zero());
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        const timespec timeout{static_cast<time_t>(seconds.count()), static_cast<long>(std::chrono::nanoseconds(left - seconds).count())};
        if (::semtimedop(id, operations, given.size(), deadline.bounded() ? &timeout : nullptr) == 0)
            return 0;
        if (errno != EINTR)
            return errno;
        if (interrupted())
            return 0;
    }
}

bool operate_in_time(int id, std::initializer_list<sembuf> operations, ipc::Deadline deadline,
                     const std::function<bool()>& interrupted = [] { return false; }) {
    const int error = operate(id, operations, deadline, interrupted);
    if (error != 0 && error != EAGAIN)
        ipc::throw_error(error, "semtimedop");
    return error == 0;
}

}  // namespace

// ---- mutex ----------------------------------------------------------------------------------------------------------

struct Mutex::State {
    explicit State(const std::string& name)
        : set(name, ObjectKind::mutex, Opening::open_or_create, [](Set& body) { make_set(body, {1}); }, remove_set) {}
    NamedObject<Set> set;
    unsigned depth = 0;
};

Mutex::Mutex(const std::string& name) : name_(name), state_(std::make_unique<State>(name)) {}
Mutex::~Mutex() = default;

Taken Mutex::lock(ipc::Deadline deadline) {
    // This process may have opened the same mutex twice: who owns it stands in the object.
    if (state_->set->owner == ::getpid()) {
        ++state_->depth;
        return Taken::yes;
    }
    if (!operate_in_time(state_->set->id, {{0, -1, SEM_UNDO}}, deadline))
        return Taken::timed_out;
    const bool abandoned = state_->set->owner != 0;  // whoever unlocks crosses himself out first
    state_->set->owner = ::getpid();
    return abandoned ? Taken::abandoned : Taken::yes;
}

void Mutex::unlock() {
    if (state_->set->owner != ::getpid())
        ipc::throw_error(EPERM, "unlock", name_);
    if (state_->depth > 0) {
        --state_->depth;
        return;
    }
    state_->set->owner = 0;
    operate(state_->set->id, {{0, 1, SEM_UNDO}});
}

Taken lock_both(Mutex& first, Mutex& second, ipc::Deadline deadline) {
    Mutex* order[2] = {&first, &second};
    if (first.name() < second.name())  // any order will do, if it is everybody's
        std::swap(order[0], order[1]);
    const Taken one = order[0]->lock(deadline);
    if (one == Taken::timed_out)
        return one;
    const Taken other = order[1]->lock(deadline);
    if (other == Taken::timed_out)
        order[0]->unlock();
    return other == Taken::yes ? one : other;
}

// ---- semaphore --------------------------------------------------------------------------------------------------------

// Two counts, the free and the taken permits; together they are always the maximum.
struct Semaphore::State {
    State(const std::string& name, unsigned permits)
        : set(name, ObjectKind::semaphore, Opening::open_or_create, [permits](Set& body) {
              make_set(body, {static_cast<int>(permits), 0});
              body.maximum = permits;
          }, remove_set) {}
    NamedObject<Set> set;
};

Semaphore::Semaphore(const std::string& name, unsigned permits) : state_(std::make_unique<State>(name, permits)) {
    if (state_->set->maximum != permits)
        ipc::throw_error(EINVAL, "semaphore " + name, "it has another number of permits");
}
Semaphore::~Semaphore() = default;

bool Semaphore::acquire(ipc::Deadline deadline) { return operate_in_time(state_->set->id, {{0, -1, 0}, {1, 1, 0}}, deadline); }

void Semaphore::release() {
    if (operate(state_->set->id, {{1, -1, IPC_NOWAIT}, {0, 1, 0}}) != 0)
        ipc::throw_error(EOVERFLOW, "release", "all permits are free already");
}

// ---- event ------------------------------------------------------------------------------------------------------------

struct Event::State {
    State(const std::string& name, Opening opening, Reset reset)
        : set(name, ObjectKind::event, opening, [reset](Set& body) {
              make_set(body, {0});
              body.maximum = reset == Reset::automatic;
          }, remove_set) {}
    NamedObject<Set> set;
};

Event::Event(const std::string& name, Reset reset) : state_(std::make_unique<State>(name, Opening::open_or_create, reset)) {}
Event::Event(const std::string& name) : state_(std::make_unique<State>(name, Opening::open_existing, Reset::automatic)) {}
Event::~Event() = default;

bool Event::wait(ipc::Deadline deadline) {
    if (state_->set->maximum)
        return operate_in_time(state_->set->id, {{0, -1, 0}}, deadline);
    // A look that waits. Who is stopped is no longer in the kernel's list, and has missed what came meanwhile.
    const unsigned before = state_->set->signals;
    return operate_in_time(state_->set->id, {{0, -1, 0}, {0, 1, 0}}, deadline, [&] { return state_->set->signals != before; });
}

// Setting the value wakes whoever can go on with it, and what they waited to do has been done when this returns.
void Event::signal() {
    ++state_->set->signals;
    ipc::check(::semctl(state_->set->id, 0, SETVAL, 1), "semctl");
}
void Event::reset() { ipc::check(::semctl(state_->set->id, 0, SETVAL, 0), "semctl"); }

// ---- limit ------------------------------------------------------------------------------------------------------------

namespace {

volatile sig_atomic_t command_pid = 0;

void pass_on(int signal, siginfo_t* info, void*) {
    if (info->si_code != SI_KERNEL && command_pid > 0)
        ::kill(static_cast<pid_t>(command_pid), signal);
}

}  // namespace

ExitCode limit(const std::string& name, unsigned slots, ipc::Deadline deadline, const Command& command) {
    const NamedObject<Set> set(name, ObjectKind::limit, Opening::open_or_create, [slots](Set& body) {
        make_set(body, {static_cast<int>(slots)});
        body.maximum = slots;
    }, remove_set);
    if (set->maximum != slots)
        ipc::throw_error(EINVAL, "limit " + name, "it has another number of slots");
    std::vector<char*> arguments;
    for (const std::string& word : command)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    int report[2];
    ipc::check(::pipe2(report, O_CLOEXEC), "pipe2");
    const ipc::unique_file read_end(report[0]);
    ipc::unique_file write_end(report[1]);

    ::signal(SIGCHLD, SIG_DFL);  // a caller that ignores it leaves that to us, and then there is no status to wait for
    constexpr int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    sigset_t all, before;
    ::sigemptyset(&all);
    for (const int signal : signals)
        ::sigaddset(&all, signal);
    ::sigprocmask(SIG_BLOCK, &all, &before);
    const pid_t parent = ::getpid();
    const pid_t child = ipc::check(::fork(), "fork");
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent)
            ::_exit(1);
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
        int answer[2] = {0, operate(set->id, {{0, -1, SEM_UNDO}}, deadline)};
        if (answer[1] == 0) {
            ::execvp(arguments[0], arguments.data());
            answer[0] = 1;
            answer[1] = errno;
        }
        if (::write(write_end.get(), answer, sizeof answer) < 0)
            ::_exit(2);
        ::_exit(1);
    }
    write_end.reset();
    command_pid = child;
    struct sigaction action {}, old[4];
    action.sa_sigaction = pass_on;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    for (int i = 0; i < 4; ++i)
        ::sigaction(signals[i], &action, &old[i]);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    int status = 0;
    while (::waitpid(child, &status, 0) == -1 && errno == EINTR) {
    }
    command_pid = 0;
    for (int i = 0; i < 4; ++i)
        ::sigaction(signals[i], &old[i], nullptr);

    int answer[2];
    if (::read(read_end.get(), answer, sizeof answer) == static_cast<ssize_t>(sizeof answer)) {
        if (answer[0] == 1)
            throw not_started(answer[1], std::system_category(), "execvp(" + command[0] + ")");
        if (answer[1] == EAGAIN)
            throw timed_out();
        ipc::throw_error(answer[1], "semtimedop");
    }
    return static_cast<ExitCode>(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
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
