// posix_spawn instead of fork and exec; pidfd and signalfd in one poll() instead of sigtimedwait(); the child in a
// process group of its own; descendants found by walking down /proc instead of waiting until they fall to us.

#include "processes.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <cerrno>
#include <csignal>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <spawn.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace processes {
namespace {

class FileActions {
public:
    FileActions() { ::posix_spawn_file_actions_init(&actions_); }
    FileActions(const FileActions&) = delete;
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
    posix_spawn_file_actions_t* get() { return &actions_; }

private:
    posix_spawn_file_actions_t actions_;
};

class Attributes {
public:
    explicit Attributes(short flags) {
        ::posix_spawnattr_init(&attributes_);
        sigset_t set;
        ::sigemptyset(&set);
        ::posix_spawnattr_setsigmask(&attributes_, &set);
        ::sigaddset(&set, SIGPIPE);
        ::posix_spawnattr_setsigdefault(&attributes_, &set);
        ::posix_spawnattr_setpgroup(&attributes_, 0);
        ::posix_spawnattr_setflags(&attributes_, static_cast<short>(flags | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    }
    Attributes(const Attributes&) = delete;
    ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
    const posix_spawnattr_t* get() const { return &attributes_; }

private:
    posix_spawnattr_t attributes_;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (std::string& text : texts)
        pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

pid_t start(Command command, const Surroundings& surroundings, short flags) {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; *entry; ++entry)
        if (const char* equals = std::strchr(*entry, '='))
            variables[std::string(*entry, static_cast<std::size_t>(equals - *entry))] = equals + 1;
    for (const auto& [name, value] : surroundings.environment)
        variables[name] = value;
    std::vector<std::string> environment;
    for (const auto& [name, value] : variables)
        environment.push_back(name + "=" + value);

    FileActions actions;
    ipc::unique_file directory;
    if (!surroundings.directory.empty()) {
        // Opened here, so that its error is not mixed up with the program's.
        directory.reset(ipc::check(::open(surroundings.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "open", surroundings.directory));
        ::posix_spawn_file_actions_addfchdir_np(actions.get(), directory.get());
    }
    ::posix_spawn_file_actions_addclosefrom_np(actions.get(), 3);
    const Attributes attributes(flags);
    const std::string program = command[0];
    const std::vector<char*> arguments = pointers_to(command), entries = pointers_to(environment);
    pid_t child = -1;
    if (const int error = ::posix_spawnp(&child, program.c_str(), actions.get(), attributes.get(), arguments.data(), entries.data()))
        ipc::throw_error(error, "posix_spawnp", program);
    return child;
}

Ended ended(const siginfo_t& info) {
    return {info.si_code == CLD_EXITED ? Ended::How::exited : Ended::How::killed, static_cast<unsigned>(info.si_status)};
}

bool readable(int descriptor, ipc::Deadline deadline) {
    pollfd entry{descriptor, POLLIN, 0};
    int count;
    while ((count = ::poll(&entry, 1, deadline.poll_ms())) == -1 && errno == EINTR) {
    }
    return count > 0;
}

void for_each_descendant(pid_t pid, void (*act)(pid_t)) {
    const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    if (DIR* directory = ::opendir(tasks.c_str())) {
        while (const dirent* entry = ::readdir(directory)) {
            std::ifstream children(tasks + "/" + entry->d_name + "/children");
            for (pid_t child; children >> child;) {
                for_each_descendant(child, act);
                act(child);
            }
        }
        ::closedir(directory);
    }
}

// Our children, ours by birth or by inheritance, as their ends are announced.
class Nursery {
public:
    Nursery() {
        ::prctl(PR_SET_CHILD_SUBREAPER, 1);
        sigset_t set;
        ::sigemptyset(&set);
        ::sigaddset(&set, SIGCHLD);
        ::sigprocmask(SIG_BLOCK, &set, nullptr);
        announcements_.reset(ipc::check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
    }

    // Until `child` has ended, or all have if it is -1.
    bool wait(pid_t child, siginfo_t& how, ipc::Deadline deadline) {
        for (;;) {
            signalfd_siginfo drained[8];
            while (::read(announcements_.get(), drained, sizeof drained) > 0) {
            }
            for (siginfo_t info{}; ; info = {}) {
                if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == -1)
                    return true;  // ECHILD
                if (info.si_pid == 0)
                    break;
                if (info.si_pid == child) {
                    how = info;
                    return true;
                }
            }
            if (!readable(announcements_.get(), deadline))
                return false;
        }
    }

private:
    ipc::unique_file announcements_;
};

unsigned long long start_time(const std::string& id) {
    std::ifstream file("/proc/" + id + "/stat");
    std::string line, word;
    std::getline(file, line, '\0');
    if (const auto end = line.find_last_of(')'); end != std::string::npos)
        line.erase(0, end + 2);
    std::istringstream words(line);
    for (int i = 0; i < 20; ++i)
        words >> word;
    return words ? std::strtoull(word.c_str(), nullptr, 10) : 0;
}

}  // namespace

System system_version() {
    utsname names{};
    ipc::check(::uname(&names), "uname");
    return {names.sysname, names.release};
}

Ended run(const Command& command, const Surroundings& surroundings) {
    const pid_t child = start(command, surroundings, 0);
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED) == -1 && errno == EINTR) {
    }
    return ended(info);
}

std::string name_of(unsigned code) {
    switch (code) {
    case SIGHUP: return "SIGHUP";
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGKILL: return "SIGKILL";
    case SIGSEGV: return "SIGSEGV";
    case SIGABRT: return "SIGABRT";
    case SIGPIPE: return "SIGPIPE";
    default: return ::strsignal(static_cast<int>(code));
    }
}

Ended run_for(const Command& command, const Surroundings& surroundings, std::chrono::milliseconds timeout,
              std::chrono::milliseconds grace) {
    Nursery nursery;
    const pid_t child = start(command, surroundings, POSIX_SPAWN_SETPGROUP);
    siginfo_t how{};
    if (nursery.wait(child, how, ipc::Deadline::in(timeout)))
        return ended(how);
    ::kill(-child, SIGTERM);
    ::kill(-child, SIGCONT);
    const ipc::Deadline end = ipc::Deadline::in(grace);
    while (!nursery.wait(-1, how, end) && !end.expired()) {
    }
    while (!nursery.wait(-1, how, ipc::Deadline::in_ms(0))) {
        for_each_descendant(::getpid(), [](pid_t one) { ::kill(one, SIGKILL); });
        nursery.wait(-1, how, ipc::Deadline::in_ms(20));
    }
    return {Ended::How::timed_out, 0};
}

Identity spawn(const Command& command, const Surroundings& surroundings) {
    const pid_t child = start(command, surroundings, POSIX_SPAWN_SETSID);
    return {static_cast<unsigned>(child), start_time(std::to_string(child))};
}

bool stop(const Identity& process, std::chrono::milliseconds grace) {
    const ipc::unique_file held(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(process.id), 0)));
    if (!held || start_time(std::to_string(process.id)) != process.started || readable(held.get(), ipc::Deadline::in_ms(0)))
        return false;
    for (const int signal : {SIGTERM, SIGKILL}) {
        if (::syscall(SYS_pidfd_send_signal, held.get(), signal, nullptr, 0) == -1 && errno != ESRCH)
            ipc::throw_last_error("pidfd_send_signal", std::to_string(process.id));
        if (readable(held.get(), signal == SIGTERM ? ipc::Deadline::in(grace) : ipc::Deadline()))
            break;
    }
    return true;
}

}  // namespace processes
