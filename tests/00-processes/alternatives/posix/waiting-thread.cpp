// A thread that waits for children and a condition variable with a time limit; the child changes its own environment
// and closes what it should not have; errno travels in shared memory, and the pipe only tells when to look.

#include "processes.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace processes {
namespace {

enum class Place { callers, own_group, own_session };

// What the child writes for its parent before it gives up.
struct Note {
    int error;
    bool directory;
};

pid_t start(const Command& command, const Surroundings& surroundings, Place place) {
    std::vector<const char*> arguments;
    for (const std::string& word : command)
        arguments.push_back(word.c_str());
    arguments.push_back(nullptr);
    void* const shared = ::mmap(nullptr, sizeof(Note), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        ipc::throw_last_error("mmap");
    Note* const note = new (shared) Note{};

    // The read end is at its end when the child has become another program or has ended.
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    const pid_t child = ipc::check(::fork(), "fork");
    if (child == 0) {
        if (place == Place::own_session)
            ::setsid();
        else if (place == Place::own_group)
            ::setpgid(0, 0);
        struct sigaction plain {};
        plain.sa_handler = SIG_DFL;
        for (int signal = 1; signal < SIGRTMIN; ++signal)
            ::sigaction(signal, &plain, nullptr);
        for (const auto& [name, value] : surroundings.environment)
            ::setenv(name.c_str(), value.c_str(), 1);
        ::dup3(ends[1], 3, O_CLOEXEC);
        ::close_range(4, ~0U, 0);
        note->directory = !surroundings.directory.empty() && ::chdir(surroundings.directory.c_str()) == -1;
        if (!note->directory)
            ::execvp(arguments[0], const_cast<char* const*>(arguments.data()));
        note->error = errno;
        ::_exit(1);
    }
    ::close(ends[1]);
    char nothing;
    while (::read(ends[0], &nothing, 1) == -1 && errno == EINTR) {
    }
    ::close(ends[0]);
    const Note seen = *note;
    ::munmap(shared, sizeof(Note));
    if (seen.error) {
        while (::waitpid(child, nullptr, 0) == -1 && errno == EINTR) {
        }
        ipc::throw_error(seen.error, seen.directory ? "chdir" : "execvp", seen.directory ? surroundings.directory : command[0]);
    }
    return child;
}

Ended ended(int status) {
    return WIFEXITED(status) ? Ended{Ended::How::exited, static_cast<unsigned>(WEXITSTATUS(status))}
                             : Ended{Ended::How::killed, static_cast<unsigned>(WTERMSIG(status))};
}

struct Watch {
    std::mutex mutex;
    std::condition_variable changed;
    pid_t child = -1;
    int status = 0;
    bool child_gone = false, all_gone = false;
    unsigned ends = 0;

    void wait_for_children() {
        for (;;) {
            int one = 0;
            const pid_t found = ::waitpid(-1, &one, 0);
            const std::lock_guard lock(mutex);
            if (found == -1 && errno == EINTR)
                continue;
            ++ends;
            if (found == -1)
                all_gone = true;
            else if (found == child) {
                child_gone = true;
                status = one;
            }
            changed.notify_all();
            if (all_gone)
                return;
        }
    }
};

void kill_children() {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream list(task.path() / "children");
        for (pid_t child; list >> child;)
            ::kill(child, SIGKILL);
    }
}

unsigned long long start_time(unsigned id) {
    std::ifstream file("/proc/" + std::to_string(id) + "/stat");
    std::string text;
    std::getline(file, text, '\0');
    auto at = text.rfind(')');
    for (int field = 2; at != std::string::npos && field < 22; ++field)
        at = text.find(' ', at + 1);
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + 1));
}

}  // namespace

System system_version() {
    const auto line = [](const char* path) {
        std::ifstream file(path);
        std::string text;
        std::getline(file, text);
        return text;
    };
    return {line("/proc/sys/kernel/ostype"), line("/proc/sys/kernel/osrelease")};
}

Ended run(const Command& command, const Surroundings& surroundings) {
    const pid_t child = start(command, surroundings, Place::callers);
    int status = 0;
    while (::waitpid(child, &status, 0) == -1 && errno == EINTR) {
    }
    return ended(status);
}

std::string name_of(unsigned code) {
    const char* name = ::sigabbrev_np(static_cast<int>(code));
    return "SIG" + std::string(name ? name : std::to_string(code));
}

Ended run_for(const Command& command, const Surroundings& surroundings, std::chrono::milliseconds timeout,
              std::chrono::milliseconds grace) {
    const auto end = std::chrono::steady_clock::now() + timeout;
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const auto watch = std::make_shared<Watch>();
    watch->child = start(command, surroundings, Place::own_group);
    // It may wait for an orphan longer than we are here, so it shares what it writes to, and is not joined.
    std::thread([watch] { watch->wait_for_children(); }).detach();

    std::unique_lock lock(watch->mutex);
    if (watch->changed.wait_until(lock, end, [&] { return watch->child_gone; }))
        return ended(watch->status);
    ::kill(-watch->child, SIGTERM);
    ::kill(-watch->child, SIGCONT);
    if (!watch->changed.wait_for(lock, grace, [&] { return watch->all_gone; }))
        while (!watch->all_gone) {
            const unsigned before = watch->ends;
            kill_children();
            watch->changed.wait(lock, [&] { return watch->all_gone || watch->ends != before; });
        }
    return {Ended::How::timed_out, 0};
}

Identity spawn(const Command& command, const Surroundings& surroundings) {
    const pid_t child = start(command, surroundings, Place::own_session);
    return {static_cast<unsigned>(child), start_time(static_cast<unsigned>(child))};
}

bool stop(const Identity& process, std::chrono::milliseconds grace) {
    const ipc::unique_file held(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(process.id), 0)));
    if (!held || start_time(process.id) != process.started)
        return false;
    pollfd end{held.get(), POLLIN, 0};
    if (::poll(&end, 1, 0) == 1)
        return false;
    ::syscall(SYS_pidfd_send_signal, held.get(), SIGTERM, nullptr, 0);
    if (::poll(&end, 1, static_cast<int>(grace.count())) == 0) {
        ::syscall(SYS_pidfd_send_signal, held.get(), SIGKILL, nullptr, 0);
        ::poll(&end, 1, -1);
    }
    return true;
}

}  // namespace processes
