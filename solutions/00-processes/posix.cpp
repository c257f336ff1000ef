// Lab 00, posix track: the reference solution.

#include "processes.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {
#include <sys/pidfd.h>  // does not say itself, in glibc 2.36, that its functions are C
}

extern char** environ;

namespace processes {
namespace {

// Strings as exec wants them: pointers with a null pointer behind the last.
struct Strings {
    std::vector<std::string> owned;
    std::vector<char*> pointers;

    explicit Strings(std::vector<std::string> texts) : owned(std::move(texts)) {
        for (std::string& text : owned)
            pointers.push_back(text.data());
        pointers.push_back(nullptr);
    }
};

std::vector<std::string> environment_with(const std::map<std::string, std::string>& changes) {
    std::vector<std::string> all;
    for (char** entry = environ; *entry; ++entry)
        if (!changes.contains(std::string(*entry, std::strcspn(*entry, "="))))
            all.push_back(*entry);
    for (const auto& [name, value] : changes)
        all.push_back(name + "=" + value);
    return all;
}

// Why the child could not become the program: errno lives in the wrong process and has to be carried over.
struct Refusal {
    int error;
    bool directory;  // chdir's fault, not exec's
};

enum class Session { callers, own };

pid_t start(const Command& command, const Surroundings& surroundings, Session session) {
    // Whatever needs memory is made before fork(); between fork() and exec there are only system calls.
    Strings arguments(command);
    Strings environment(environment_with(surroundings.environment));
    const char* const directory = surroundings.directory.empty() ? nullptr : surroundings.directory.c_str();
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    ipc::unique_file read_end(ends[0]), write_end(ends[1]);

    const pid_t child = ipc::check(::fork(), "fork");
    if (child == 0) {
        // All but the standard streams closes at the moment of exec, also what somebody else has leaked into us.
        ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
        if (session == Session::own)
            ::setsid();
        // Ignored and blocked signals outlive exec; handlers do not.
        ::signal(SIGPIPE, SIG_DFL);
        sigset_t none;
        ::sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);

        Refusal refusal{0, false};
        if (directory && ::chdir(directory) == -1)
            refusal = {errno, true};
        else {
            ::execvpe(arguments.pointers[0], arguments.pointers.data(), environment.pointers.data());
            refusal = {errno, false};
        }
        [[maybe_unused]] const ssize_t told = ::write(write_end.get(), &refusal, sizeof refusal);
        ::_exit(127);  // not exit(): the parent's buffers and destructors are not ours to run
    }

    // A successful exec has closed the write end in the child: then there is nothing to read but the end.
    write_end.reset();
    Refusal refusal{};
    ssize_t count;
    while ((count = ::read(read_end.get(), &refusal, sizeof refusal)) == -1 && errno == EINTR) {
    }
    if (count == sizeof refusal) {
        ::waitpid(child, nullptr, 0);
        if (refusal.directory)
            ipc::throw_error(refusal.error, "chdir", surroundings.directory);
        ipc::throw_error(refusal.error, "exec", command[0]);
    }
    return child;
}

Ended ended(int status) {
    if (WIFSIGNALED(status))
        return {Ended::How::killed, static_cast<unsigned>(WTERMSIG(status))};
    return {Ended::How::exited, static_cast<unsigned>(WEXITSTATUS(status))};
}

// SIGCHLD, blocked so that it waits for sigtimedwait() and is never missed in between.
sigset_t block_child_signal() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    return set;
}

// Waits until `child` has ended, or for -1 until we have no child any more; false when the time is up. It reaps whoever
// ends meanwhile: as a subreaper we have children that we did not start, and nobody else waits for them.
bool reaped(pid_t child, int& status, const sigset_t& child_signal, ipc::Deadline deadline) {
    for (;;) {
        const pid_t found = ::waitpid(-1, &status, WNOHANG);
        if (found == -1 && errno == ECHILD)
            return true;
        if (ipc::check(found, "waitpid") > 0) {
            if (found == child)
                return true;
            continue;
        }
        const int left = deadline.poll_ms();
        const timespec timeout{left / 1000, left % 1000 * 1'000'000L};
        if (::sigtimedwait(&child_signal, nullptr, &timeout) == -1 && errno == EAGAIN && deadline.expired())
            return false;
    }
}

// Ends all descendants. Only our own children can be named safely: until we reap them, their numbers are theirs. But we
// are a subreaper: whoever dies leaves his children to us, and so all come within reach.
void end_descendants() {
    do {
        std::ifstream children("/proc/thread-self/children");
        for (pid_t child; children >> child;)
            ::kill(child, SIGKILL);
    } while (::waitpid(-1, nullptr, 0) != -1 || errno == EINTR);
}

// Field 22 of /proc/ID/stat. Field 2 is the program's name in parentheses, and may itself hold blanks and parentheses.
unsigned long long start_time(unsigned id) {
    std::ifstream file("/proc/" + std::to_string(id) + "/stat");
    std::string line;
    std::getline(file, line, '\0');  // all of it: a name may hold a newline, too
    std::istringstream rest(line.substr(std::min(line.size(), line.rfind(')') + 1)));
    std::string field;
    for (int number = 3; number <= 22; ++number)
        rest >> field;
    return rest ? std::stoull(field) : 0;
}

}  // namespace

System system_version() {
    utsname names{};
    ipc::check(::uname(&names), "uname");
    return {names.sysname, names.release};
}

Ended run(const Command& command, const Surroundings& surroundings) {
    const pid_t child = start(command, surroundings, Session::callers);
    int status = 0;
    while (::waitpid(child, &status, 0) == -1)
        if (errno != EINTR)
            ipc::throw_last_error("waitpid");
    return ended(status);
}

std::string name_of(unsigned code) {
    const char* const name = ::sigabbrev_np(static_cast<int>(code));
    return name ? std::string("SIG") + name : "signal " + std::to_string(code);
}

Ended run_for(const Command& command, const Surroundings& surroundings, std::chrono::milliseconds timeout,
              std::chrono::milliseconds grace) {
    // A process group that we lead, as timeout(1) does it: what we start is in it, and so are we, so that Ctrl-C in the
    // terminal still reaches all of it. It fails for the leader of a session, who has such a group already.
    ::setpgid(0, 0);
    ipc::check(::prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl", "PR_SET_CHILD_SUBREAPER");
    const sigset_t child_signal = block_child_signal();

    const ipc::Deadline deadline = ipc::Deadline::in(timeout);
    const pid_t child = start(command, surroundings, Session::callers);
    int status = 0;
    if (reaped(child, status, child_signal, deadline))
        return ended(status);

    ::signal(SIGTERM, SIG_IGN);  // the request goes to the whole group, and we are in it
    ::kill(0, SIGTERM);
    ::kill(0, SIGCONT);  // who is stopped would hear it only when somebody continues him
    if (!reaped(-1, status, child_signal, ipc::Deadline::in(grace)))
        end_descendants();
    return {Ended::How::timed_out, 0};
}

Identity spawn(const Command& command, const Surroundings& surroundings) {
    const pid_t child = start(command, surroundings, Session::own);
    // Nobody has waited for it yet, so the number is still its own.
    const auto id = static_cast<unsigned>(child);
    return {id, start_time(id)};
}

bool stop(const Identity& process, std::chrono::milliseconds grace) {
    // First take hold of it, then look whom we hold: the descriptor stays with this process, the number need not.
    const ipc::unique_file held(::pidfd_open(static_cast<pid_t>(process.id), 0));
    if (!held && (errno == ESRCH || errno == EINVAL))
        return false;
    ipc::check(held.get(), "pidfd_open", std::to_string(process.id));
    if (start_time(process.id) != process.started)
        return false;

    pollfd end{held.get(), POLLIN, 0};  // readable when it has ended
    const auto has_ended = [&end](ipc::Deadline deadline) {
        int count;
        while ((count = ::poll(&end, 1, deadline.poll_ms())) == -1 && errno == EINTR) {
        }
        return ipc::check(count, "poll") > 0;
    };
    if (has_ended(ipc::Deadline::in_ms(0)))
        return false;  // a zombie: only its number is left
    if (::pidfd_send_signal(held.get(), SIGTERM, nullptr, 0) == -1 && errno != ESRCH)
        ipc::throw_last_error("pidfd_send_signal", std::to_string(process.id));
    if (!has_ended(ipc::Deadline::in(grace))) {
        ::pidfd_send_signal(held.get(), SIGKILL, nullptr, 0);
        has_ended({});
    }
    return true;
}

}  // namespace processes
