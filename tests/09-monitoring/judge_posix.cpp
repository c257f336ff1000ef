// What only the posix track has: /proc and its traps, and numbers that are given away again.

#include "shared.hpp"

#include "ipc/error.hpp"
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace judge;

// ---- the worker -------------------------------------------------------------------------------------------------------

namespace {

[[noreturn]] void wrong(const char* what) {
    std::printf("%s: %s\n", what, std::strerror(errno));
    std::fflush(stdout);
    ::_exit(1);
}

double own_cpu_seconds() {
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// Half of it in user mode, half in the kernel, by our own processor clock: how long it takes does not matter.
void burn(double seconds) {
    const double begin = own_cpu_seconds();
    while (own_cpu_seconds() < begin + seconds / 2)
        for (volatile int turns = 0; turns < 20'000;)
            turns = turns + 1;
    const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    static char buffer[1 << 16];
    while (own_cpu_seconds() < begin + seconds)
        if (::read(zero, buffer, sizeof buffer) < 0)
            wrong("read");
    ::close(zero);
}

void* sleep_for_ever(void*) {
    for (;;)
        ::pause();
}

// Who may not look at our descriptors: everybody who has not our privileges. Root becomes somebody else; others shut the door.
void become_a_stranger() {
    constexpr uid_t nobody = 65534;
    if (::geteuid() == 0) {
        if (::setresuid(nobody, nobody, nobody) != 0)
            wrong("setresuid");
        ::prctl(PR_SET_DUMPABLE, 1);
    } else {
        ::prctl(PR_SET_DUMPABLE, 0);
    }
}

void* obey(void*) {
    char line[128];
    char* memory = nullptr;
    std::size_t size = 0;
    while (std::fgets(line, sizeof line, stdin)) {
        line[std::strcspn(line, "\n")] = '\0';
        const char* const behind = std::strchr(line, ' ');
        const std::size_t amount = behind ? std::strtoull(behind + 1, nullptr, 10) : 0;
        const auto is = [&line](const char* order) { return std::strncmp(line, order, std::strlen(order)) == 0; };
        if (is("burn")) {
            burn(static_cast<double>(amount) / 1000);
        } else if (is("reserve")) {
            size = amount << 20;
            memory = static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
            if (memory == MAP_FAILED)
                wrong("mmap");
        } else if (is("touch")) {
            for (std::size_t at = 0; at < amount << 20; at += 4096)
                memory[at] = 1;
        } else if (is("free")) {
            ::munmap(memory, size);
        } else if (is("open")) {
            for (std::size_t i = 0; i < amount; ++i)
                if (::open("/dev/null", O_RDONLY) < 0)
                    wrong("open");
        } else if (is("threads")) {
            for (std::size_t i = 0; i < amount; ++i) {
                pthread_t thread;
                if ((errno = ::pthread_create(&thread, nullptr, sleep_for_ever, nullptr)) != 0)
                    wrong("pthread_create");
            }
        } else if (is("name")) {
            ::prctl(PR_SET_NAME, behind + 1);
        } else if (is("stranger")) {
            become_a_stranger();
        } else if (is("leave")) {  // the first thread ends, another one goes on
            pthread_t thread;
            if ((errno = ::pthread_create(&thread, nullptr, obey, nullptr)) != 0)
                wrong("pthread_create");
            ::syscall(SYS_exit, 0);
        } else if (is("exit")) {
            ::_exit(static_cast<int>(amount));
        } else if (!is("hello")) {
            errno = EINVAL;
            wrong(line);
        }
        std::printf("done\n");
        std::fflush(stdout);
    }
    ::_exit(0);
}

// Before main(): started so, this program is not a judge.
[[maybe_unused]] const bool is_worker = [] {
    if (std::getenv("IPC_LABS_WORKER")) {
        ::prctl(PR_SET_DUMPABLE, 1);  // a judge's program may be unreadable for this user; this process is there to be looked at
        obey(nullptr);
    }
    return false;
}();

}  // namespace

double judge::Worker::cpu_seconds() const {
    clockid_t clock{};
    timespec used{};
    if (const int error = ::clock_getcpuclockid(static_cast<pid_t>(id()), &clock); error != 0)
        ipc::throw_error(error, "clock_getcpuclockid");
    ipc::check(::clock_gettime(clock, &used), "clock_gettime");
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

double judge::resident_mebibytes(std::uint32_t process) {
    std::ifstream statm("/proc/" + std::to_string(process) + "/statm");
    double all = 0, resident = 0;
    statm >> all >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

bool judge::freeze(std::uint32_t process) {
    if (::kill(static_cast<pid_t>(process), SIGSTOP) != 0)
        return false;
    // It is stopped when /proc says so; a signal is only a request.
    for (std::string line;;) {
        std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
        if (!std::getline(stat, line) || line.find(") Z ") != std::string::npos)
            return false;
        if (line.find(") T ") != std::string::npos)
            return true;
        ::sched_yield();
    }
}

void judge::thaw(std::uint32_t process) { ::kill(static_cast<pid_t>(process), SIGCONT); }

// ---- the cases --------------------------------------------------------------------------------------------------------

namespace {

// A process with a number of our choice, which has just become free. It waits to be killed.
class Newcomer {
public:
    Newcomer(Stage& stage, std::uint32_t number) {
        pid_t wish = static_cast<pid_t>(number);
        clone_args how{};
        how.exit_signal = SIGCHLD;
        how.set_tid = reinterpret_cast<std::uintptr_t>(&wish);
        how.set_tid_size = 1;
        id_ = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
        if (id_ == 0) {
            ::syscall(SYS_close_range, 0, ~0U, 0);  // the ends of others' pipes
            for (;;)
                ::syscall(SYS_pause);
        }
        if (id_ == -1 && errno == EPERM)
            stage.unavailable("only root may choose the number of a new process (clone3 with set_tid)");
        ipc::check(id_, "clone3", "set_tid " + std::to_string(number));
    }
    Newcomer(const Newcomer&) = delete;
    ~Newcomer() {
        ::kill(id_, SIGKILL);
        ::waitpid(id_, nullptr, 0);
    }

private:
    pid_t id_ = -1;
};

// Until /proc shows the process as a zombie, though it lives.
void wait_for_a_zombie_in_front(Worker& worker) {
    std::string line, words;
    do {
        worker.process().wait(Deadline::in(milliseconds(1)));
        std::ifstream stat("/proc/" + worker.number() + "/stat");
        std::getline(stat, line);
        words = line.substr(std::min(line.size(), line.rfind(')') + 2), 1);
    } while (words != "Z");
    worker.tell("hello");
}

}  // namespace

EXERCISE("Exercise 1: a process, seen from outside") {

CASE("9.28 a process may have any name" * points(3) * section("names-lie") *
     hints("How do you find the third word of a line in which the second one may contain blanks?",
           "The name stands in parentheses. It may contain parentheses, too: up to 15 bytes of whatever the program likes.",
           "Search for the last ')' of the line (rfind) and count the fields from there.")) {
    stage.recognise("sto(i|l|ul|ull)|stoull|out_of_range|invalid_argument", "stat-split-at-blanks");
    stage.by_hand("cp /usr/bin/sleep 'x) R 1 (y'; './x) R 1 (y' 60 & lab-09 sample $!");
    Worker worker;
    const std::string name = ") R 1 (" + stage.random().word(2) + " " + stage.random().word(3);
    const auto threads = static_cast<unsigned>(stage.random().between(3, 6));
    worker.tell("threads", threads);
    worker.tell("name " + name);
    const Sample sample = sample_of(stage, worker, "stat-split-at-blanks");
    stage.require(sample.name == name, {"the name of the process: " + shown(name), shown(sample.name), "", "", "stat-split-at-blanks"});
    stage.require(sample.threads == threads + 1, {std::to_string(threads + 1) + " threads", std::to_string(sample.threads), "", "", "stat-split-at-blanks"});
    stage.require(sample.cpu_time < 5, {"less than 5 s of processor time", fixed(sample.cpu_time) + " s", "", "", "stat-split-at-blanks"});
}

CASE("9.29 of somebody else's process everything is told that may be seen" * points(3) * section("not-ours") *
     hints("As an ordinary user, what can you learn of process 1?",
           "/proc/1/stat and statm are for everybody, /proc/1/fd is not. One closed door is no reason to go home.",
           "Keep the error code of opening fd in Reading::refused and leave `descriptors` empty. 0 would be a lie.")) {
    stage.recognise("exit code 1.*[Pp]ermission denied", "refused-is-an-error");
    stage.by_hand("lab-09 sample 1    # not as root");
    Worker worker;
    const auto threads = static_cast<unsigned>(stage.random().between(2, 6));
    worker.tell("threads", threads);
    worker.tell("stranger");
    const Sample sample = sample_of(stage, worker, "refused-is-an-error");
    stage.require(sample.threads == threads + 1 && sample.memory > 0.1, {std::to_string(threads + 1) + " threads, and its memory",
                  std::to_string(sample.threads) + " threads, " + fixed(sample.memory, 1) + " MiB", "", "", "refused-is-an-error"});
    stage.require(sample.descriptors == "-", {"descriptors: -, for we may not look", "descriptors: " + sample.descriptors, "", "", "refused-is-zero"});
    Subject lab = watch(stage, worker, {"--count", "1"});
    const Row only = row(stage, lab);
    stage.require(only.descriptors == "-", {"descriptors: - in the table, too", shown(only.line, 120), "", "", "refused-is-zero"});
    lab.exits(0);
}

CASE("9.30 another process with the same number is another process" * points(4) * section("a-number-is-not-a-process") *
     hints("Between two of your looks the process ends, and a new one gets its number. What do you see?",
           "A process id is a number in a table with some ten thousand places. Something that you opened while it lived stays its own.",
           "pidfd_open() once, in the constructor. After reading /proc ask the pidfd (poll, timeout 0): if it is not readable, what you read was about the right one.")) {
    stage.by_hand("as root: sleep 99 & P=$!; lab-09 watch $P --interval 3000 & sleep 1; kill -9 $P; wait $P; echo $((P-1)) >/proc/sys/kernel/ns_last_pid; sleep 99 &");
    Worker worker;
    Subject lab = watch(stage, worker, {"--interval", "10", "--count", "3", "--step"});
    row(stage, lab);
    worker.process().kill();
    worker.process().end_tree();
    Newcomer newcomer(stage, worker.id());
    lab.feed("\n");
    const std::string line = lab.line();
    stage.require(line.starts_with("ended"), {"\"ended\": the process that was to be watched is no more, though another one has its number",
                                              "it goes on with the other one: " + shown(line, 120), "", "", "number-taken-for-process"});
    lab.exits(0);
}

CASE("9.31 a process lives as long as one of its threads" * points(3) * section("the-first-thread-has-ended") *
     hints("What is the state of a process whose first thread has called pthread_exit()?",
           "/proc/PID/stat shows the state of the first thread: Z, a zombie, while the others work on.",
           "Do not take 'Z' for the end. A pidfd becomes readable when the whole process has ended, and not before.")) {
    Worker worker;
    worker.tell("burn", 50);
    worker.say("leave");
    wait_for_a_zombie_in_front(worker);
    Subject lab = stage.start({"sample", worker.number()});
    lab.exits(0, "first-thread-taken-for-process");
    const Sample sample = sampled(stage, lab.output());
    stage.require(sample.cpu_time > worker.cpu_seconds() - 0.025, {"its processor time, " + fixed(worker.cpu_seconds()) + " s", fixed(sample.cpu_time) + " s", "", "", ""});
    Subject watcher = watch(stage, worker, {"--interval", "3600000"});
    row(stage, watcher, "first-thread-taken-for-process");
    watcher.idles();
    worker.say("exit 0");
    const std::string line = watcher.line("first-thread-taken-for-process");
    stage.require(line.starts_with("ended"), {"\"ended\", when the last thread has", shown(line, 120), "", "", ""});
    watcher.exits(0);
}

}
