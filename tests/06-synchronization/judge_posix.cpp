// What only the posix track has: signals, stopped processes, clocks that can be set, names in /dev/shm.

#include "shared.hpp"

#include "ipc/handle.hpp"
#include <fcntl.h>
#include <fstream>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

using namespace judge;

namespace {

// Whether it is blocked in futex(2) with an end of time on the wall clock, which an administrator or a time server sets.
bool waits_by_the_wall_clock(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/syscall");
    long number = -1;
    std::uint64_t address = 0, operation = 0;
    file >> number >> std::hex >> address >> operation;
    return number == SYS_futex && (operation & FUTEX_CLOCK_REALTIME);
}

}  // namespace

EXERCISE("Exercise 2: a semaphore") {

CASE("6.20 a timeout runs on a clock that nobody can set" * points(3) * section("how-long-to-wait") *
     hints("Somebody sets the clock an hour back while you wait for 300 ms. When do you wake up?",
           "pthread_mutex_timedlock() and sem_timedwait() take a time of day. steady_clock is CLOCK_MONOTONIC.",
           "pthread_mutex_clocklock() and sem_clockwait() with CLOCK_MONOTONIC, and the deadline's own moment as a timespec.")) {
    const std::string lock = stage.name("lock"), permits = stage.name("permits");
    stage.by_hand("sleep 9 | lab-06 hold A & sleep 1; strace -e futex lab-06 try A --timeout 300    # FUTEX_CLOCK_REALTIME?");
    try_says(stage, {"try", lock, "--timeout", "200"}, "taken", "");
    try_says(stage, {"try", permits, "--permits", "1", "--timeout", "200"}, "taken", "");
    Subject owner = hold(stage, {"hold", lock}), holder = hold(stage, {"hold", permits, "--permits", "1"});
    owner.ready();
    holder.ready();
    for (const std::vector<std::string>& words : {std::vector<std::string>{"try", lock, "--timeout", "200"}, {"try", permits, "--permits", "1", "--timeout", "200"},
                                                  {"wait", stage.name("event"), "--timeout", "200"}}) {
        Subject waiter = stage.start(words);
        stage.await([&](Deadline deadline) {
            while (!deadline.expired()) {
                if (waiter.process().wait(Deadline::in(milliseconds(5))))
                    return true;
                stage.require(!waits_by_the_wall_clock(static_cast<pid_t>(waiter.process().id())),
                              {"it waits for a moment on the monotonic clock", "it waits in futex() with FUTEX_CLOCK_REALTIME: until a time of day", "", "", "wall-clock"});
            }
            return false;
        }, "it gives up when the time is over", "timeout-not-seen");
        ends_with(stage, waiter, time_over, "it gives up when the time is over", "");
    }
    lets_go(owner);
    lets_go(holder);
}

}

EXERCISE("Exercise 3: an event") {

CASE("6.21 who waits when a manual event is signalled goes even if reset follows at once" * points(3) * section("lost-wake-ups") *
     hints("You are woken, but before you can look it has been reset. Was there a signal?",
           "A flag tells what is now. That something has happened since you came needs a memory of its own.",
           "Count the signals in the same word as the flag; wait() goes through when the count is another than when it came.")) {
    const std::string name = stage.name("event");
    stage.by_hand("lab-06 wait E --manual & sleep 1; kill -STOP $!; lab-06 signal E; lab-06 reset E; kill -CONT $!");
    Subject waiter = stage.start({"wait", name, "--manual"});
    waiter.ready();
    blocks(stage, waiter, "it waits", "");
    waiter.process().suspend();
    does(stage, {"signal", name});
    does(stage, {"reset", name});
    waiter.process().resume();
    comes_to(stage, waiter, "ready\nsignalled\n", "it waited when the signal came, and goes through", "signal-forgotten-by-reset");
    waiter.exits(0);
}

}

EXERCISE("Exercise 4: limit") {

CASE("6.22 signals to limit reach the command" * points(3) * section("signals-pass-through") *
     hints("kill PID, with limit's PID: who should end, and who decides?",
           "limit is only in front of the command. It passes the signal on and then waits as before: the command may have something to finish.",
           "Block the signals before fork(), unblock them in the child, and take them with sigwaitinfo() in the parent: SIGCHLD means waitpid(), the others kill(child, signal).")) {
    const std::string name = stage.name("limit");
    stage.by_hand("lab-06 limit L --slots 1 -- sleep 100 & sleep 1; kill $!; wait $!; echo $?");
    Puppet obeys = stage.puppet(), insists = stage.puppet(), never = stage.puppet();
    Subject first = stage.start(limit(name, 1, obeys));
    obeys.started();
    const std::vector<std::string> odd = obeys.odd_signals();
    stage.require(odd.empty(), {"the command starts with no signal blocked or ignored", odd.empty() ? "" : odd.front(), "", "", "signals-left-blocked"});
    // One that has not got a slot yet has no command that could answer: it ends itself.
    Subject waiting = stage.start(limit(name, 1, never));
    blocks(stage, waiting, "it waits for the slot", "");
    waiting.process().terminate();
    ends_with(stage, waiting, 128 + 15, "SIGTERM ends the wait for a slot", "signals-not-forwarded");
    first.process().terminate();
    ends_with(stage, first, 128 + 15, "SIGTERM ends the command, and limit ends as it did", "signals-not-forwarded");

    Subject second = stage.start(limit(name, 1, insists));
    insists.started();
    insists.ignore_polite_requests();
    second.process().terminate();
    second.process().interrupt();
    blocks(stage, second, "a command that ignores SIGTERM and SIGINT runs on, and limit waits for it", "signals-not-forwarded");
    insists.exit(5);
    second.exits(5, "signals-not-forwarded");
}

CASE("6.23 somebody else's shared memory is neither used nor removed" * points(1) * section("names-are-shared") *
     hints("What does your program do with a file in /dev/shm that is not its own?",
           "NamedObject looks at the first bytes before it believes anything, and never removes what it did not open.",
           "Let its exceptions pass: do not catch them, and do not shm_unlink() by yourself.")) {
    const std::string mine = stage.name("mine"), foreign = stage.name("foreign"), closed = stage.name("closed");
    try_says(stage, {"try", mine}, "taken", "");
    const std::string words = stage.random().word(500);
    for (const auto& [name, mode] : {std::pair(foreign, 0600), std::pair(closed, 0000)}) {
        const ipc::unique_file file(::shm_open(("/" + name).c_str(), O_RDWR | O_CREAT | O_EXCL, mode));
        if (!file || ::write(file.get(), words.data(), words.size()) != static_cast<ssize_t>(words.size()))
            throw std::runtime_error("cannot make /dev/shm/" + name);
        for (const std::vector<std::string>& verb : {std::vector<std::string>{"try", name, "--timeout", "0"}, {"wait", name, "--timeout", "0"}, {"signal", name}}) {
            Subject lab = stage.start(verb);
            ends_with(stage, lab, 1, "what has that name is none of this lab's objects, or closed to us", "");
            lab.complains(name);
        }
        std::string left(words.size() + 1, '\0');
        left.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::pread(file.get(), left.data(), left.size(), 0))));
        const bool there = ::shm_unlink(("/" + name).c_str()) == 0;
        stage.require(there && left == words, {"it is there still, and as it was", there ? difference(left, words) : "its name has been removed", "", "", ""});
    }
}

}
