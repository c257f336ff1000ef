#include "platform.hpp"

#include "ipc/error.hpp"
#include "proc_posix.hpp"
#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <linux/securebits.h>
#include <mutex>
#include <poll.h>
#include <sched.h>
#include <stdexcept>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

extern char** environ;

namespace judge {

namespace fs = std::filesystem;
using ipc::check;
using ipc::throw_last_error;

// ---- streams ------------------------------------------------------------------------------------------------------

namespace {

// True once `events` are there; false when the stream was aborted meanwhile.
bool wait_for(int descriptor, short events, const std::atomic<bool>& aborted) {
    while (!aborted) {
        pollfd entry{descriptor, events, 0};
        if (::poll(&entry, 1, 20) > 0)
            return true;
    }
    return false;
}

}  // namespace

std::size_t Stream::read(char* to, std::size_t size) {
    for (;;) {
        if (!wait_for(end_.get(), POLLIN, *aborted_))
            return 0;
        const ssize_t count = ::read(end_.get(), to, size);
        if (count >= 0)
            return static_cast<std::size_t>(count);
        if (errno != EINTR && errno != EAGAIN)
            throw_last_error("read", "pipe to the subject");
    }
}

std::size_t Stream::write(const char* from, std::size_t size) {
    for (;;) {
        if (!wait_for(end_.get(), POLLOUT, *aborted_))
            return 0;
        // POLLOUT promises room for PIPE_BUF bytes; more could block beyond the reach of abort().
        const ssize_t count = ::write(end_.get(), from, std::min<std::size_t>(size, PIPE_BUF));
        if (count >= 0)
            return static_cast<std::size_t>(count);
        if (errno == EPIPE)
            return 0;
        if (errno != EINTR && errno != EAGAIN)
            throw_last_error("write", "pipe to the subject");
    }
}

void Stream::abort() { *aborted_ = true; }

std::pair<Stream, Stream> make_pipe(std::size_t capacity) {
    int ends[2];
    check(::pipe2(ends, O_CLOEXEC), "pipe2");
    std::pair<Stream, Stream> pipe{Stream(ipc::unique_file(ends[0])), Stream(ipc::unique_file(ends[1]))};
    if (capacity > 0)
        ::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(capacity));  // a wish: the user's limit may be lower
    return pipe;
}

// ---- how a process ended ------------------------------------------------------------------------------------------

std::string Ended::text() const {
    if (how == How::exited)
        return "exit code " + std::to_string(code);
    const char* name = ::sigabbrev_np(static_cast<int>(code));
    const char* meaning = ::sigdescr_np(static_cast<int>(code));
    return "killed by " + (name ? std::string("SIG") + name : "signal " + std::to_string(code)) +
           (meaning ? std::string(" (") + meaning + ")" : "");
}

// ---- starting -----------------------------------------------------------------------------------------------------

namespace {

struct Strings {
    explicit Strings(std::vector<std::string> texts) : owned(std::move(texts)) {
        for (std::string& text : owned)
            pointers.push_back(text.data());
        pointers.push_back(nullptr);
    }
    std::vector<std::string> owned;
    std::vector<char*> pointers;
};

std::vector<std::string> changed_environment(const std::map<std::string, std::optional<std::string>>& changes) {
    std::vector<std::string> result;
    for (char** entry = environ; *entry; ++entry) {
        const std::string text = *entry;
        if (!changes.contains(text.substr(0, text.find('='))))
            result.push_back(text);
    }
    for (const auto& [name, value] : changes)
        if (value)
            result.push_back(name + "=" + *value);
    return result;
}

// Everything the new process does before exec; only system calls, since other threads may have held locks at fork().
struct Birth {
    int input, output, error;
    int decoy;
    int report;  // the error that stopped us goes here; closed by a successful exec
    const char* directory;
    bool confined;
    const char* const* hidden;
    const char* uid_map;
    const char* gid_map;
    char* const* arguments;
    char* const* environment;
    pid_t parent;
    bool for_debugger;  // stop before the program is there, and let anybody of this user attach
};

bool write_file(const char* path, const char* text) {
    const int file = ::open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    const bool done = ::write(file, text, std::strlen(text)) == static_cast<ssize_t>(std::strlen(text));
    ::close(file);
    return done;
}

// A mount namespace in which the hidden directories are empty, within a user namespace of its own: without that, the
// /proc/PID/root of any other process of this user would be a way around it. Where user namespaces are not to be had,
// root gets the mount namespace alone.
bool hide_directories(const Birth& birth) {
    if (!birth.hidden[0])
        return true;
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
        ::prctl(PR_SET_DUMPABLE, 1);  // or our own uid_map would belong to root; exec follows in a moment
        write_file("/proc/self/setgroups", "deny");
        if (!write_file("/proc/self/uid_map", birth.uid_map) || !write_file("/proc/self/gid_map", birth.gid_map))
            return false;
    } else if (::unshare(CLONE_NEWNS) != 0)
        return false;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return false;
    for (const char* const* path = birth.hidden; *path; ++path)
        if (::mount("none", *path, "tmpfs", MS_RDONLY, "size=4k,mode=0000") != 0)
            return false;
    return true;
}

// Where processes are limited a subject gets three quarters of them: who takes them all shall not take its judge's.
void leave_processes_to_the_judge() {
    rlimit processes{};
    if (::getrlimit(RLIMIT_NPROC, &processes) != 0 || processes.rlim_cur == RLIM_INFINITY)
        return;
    processes.rlim_cur = processes.rlim_max = processes.rlim_cur / 4 * 3;
    ::setrlimit(RLIMIT_NPROC, &processes);
}

// Even as root a subject is an ordinary user: it cannot trace or read a process that is not dumpable.
void drop_privileges() {
    ::prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                   SECBIT_KEEP_CAPS_LOCKED);
    for (unsigned long capability = 0; ::prctl(PR_CAPBSET_DROP, capability) == 0; ++capability) {
    }
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

[[noreturn]] void be_born(const Birth& birth) {
    // 1. Standard streams, through high copies so that no dup2 overwrites a source.
    const int sources[3] = {birth.input, birth.output, birth.error};
    int high[3];
    for (int i = 0; i < 3; ++i)
        high[i] = ::fcntl(sources[i], F_DUPFD_CLOEXEC, 900 + 10 * i);
    const int report = ::fcntl(birth.report, F_DUPFD_CLOEXEC, 950);
    const int decoy = birth.decoy >= 0 ? ::fcntl(birth.decoy, F_DUPFD_CLOEXEC, 960) : -1;
    for (int i = 0; i < 3; ++i)
        ::dup2(high[i], i);
    ::syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (decoy >= 0)
        ::dup2(decoy, 7);

    // 2. A process group of its own, default signals, no core file, and death with the judge.
    ::setpgid(0, 0);
    for (int signal = 1; signal < SIGRTMIN; ++signal)
        if (signal != SIGKILL && signal != SIGSTOP)
            ::signal(signal, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    if (birth.directory[0] && ::chdir(birth.directory) != 0)
        goto failed;
    if (birth.confined) {
        hide_directories(birth);  // prepare_case_process() has said whether this can work here
        if (birth.directory[0] && ::chdir(birth.directory) != 0)
            goto failed;
        leave_processes_to_the_judge();
        drop_privileges();
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != birth.parent)
        ::_exit(125);
    if (birth.for_debugger) {
        ::prctl(PR_SET_DUMPABLE, 1);
        ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
        ::raise(SIGSTOP);
    }
    ::execve(birth.arguments[0], birth.arguments, birth.environment);
failed:
    const int error = errno;
    [[maybe_unused]] const ssize_t told = ::write(report, &error, sizeof error);
    ::_exit(125);
}

// `./course debug` sets IPC_LABS_DEBUG to N: the N-th subject that a case starts is to be held for a debugger.
bool is_for_debugger(const StartRequest& request) {
    static std::atomic<int> started = 0;
    const char* wanted = std::getenv("IPC_LABS_DEBUG");
    return wanted && request.confined && ++started == std::atoi(wanted);
}

// Waits until the child has stopped itself, and says so to whoever brings the debugger.
void hand_to_debugger(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, WUNTRACED) == -1 && errno == EINTR) {
    }
    if (WIFSTOPPED(status))
        std::fprintf(stderr, "waiting for a debugger: %d\n", static_cast<int>(child));
}

// From fork() until the child is known as a subject, nobody may look for strays: it would be taken for one.
std::mutex birth_mutex;

bool contains(const std::string& directory, const std::string& path) {
    return path.compare(0, directory.size(), directory) == 0 && path.size() > directory.size() &&
           path[directory.size()] == '/';
}

}  // namespace

struct Process::State {
    pid_t pid = -1;
    ipc::unique_file pidfd;
    bool over = false;
    Ended how;
    std::string decoy;
    bool owned = true;
};

Process::Process(std::unique_ptr<State> state) : state_(std::move(state)) {}
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}

Process::~Process() {
    if (state_) {
        try {
            end_tree();
        } catch (const std::exception&) {
            // said when it was asked for by name; a destructor can only have tried
        }
    }
}

Process Process::start(StartRequest request) {
    auto state = std::make_unique<State>();
    ipc::unique_file null(check(::open("/dev/null", O_RDWR | O_CLOEXEC), "open", "/dev/null"));
    Strings arguments(request.command);
    Strings environment(changed_environment(request.environment));
    std::vector<std::string> hidden_paths;
    const std::string program = fs::weakly_canonical(request.command.at(0)).string();
    for (const std::string& path : request.hidden)
        if (fs::is_directory(path) && !contains(fs::canonical(path).string(), program))
            hidden_paths.push_back(fs::canonical(path).string());
    Strings hidden(hidden_paths);
    const std::string uid_map = std::to_string(::getuid()) + " " + std::to_string(::getuid()) + " 1\n";
    const std::string gid_map = std::to_string(::getgid()) + " " + std::to_string(::getgid()) + " 1\n";

    std::pair<Stream, Stream> decoy;
    if (request.with_decoy) {
        decoy = make_pipe();
        state->decoy = "7 " + fs::read_symlink("/proc/self/fd/" + std::to_string(decoy.second.get())).string();
    }
    auto [report_read, report_write] = make_pipe();
    auto end_of = [&](const Stream& stream) { return stream ? stream.get() : null.get(); };
    const Birth birth{end_of(request.input),
                      end_of(request.output),
                      request.share_error ? STDERR_FILENO : end_of(request.error),
                      request.with_decoy ? decoy.second.get() : -1,
                      report_write.get(),
                      request.directory.c_str(),
                      request.confined,
                      hidden.pointers.data(),
                      uid_map.c_str(),
                      gid_map.c_str(),
                      arguments.pointers.data(),
                      environment.pointers.data(),
                      ::getpid(),
                      is_for_debugger(request)};
    {
        const std::lock_guard lock(birth_mutex);
        state->pid = check(::fork(), "fork");
        if (state->pid == 0)
            be_born(birth);
        proc::remember_subject(state->pid);
    }
    state->pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, state->pid, 0)));
    if (birth.for_debugger)
        hand_to_debugger(state->pid);
    report_write.close();
    // Who stops everybody that it may send a signal to stops also those that are just being born, and these never tell.
    pollfd told{report_read.get(), POLLIN, 0};
    for (int stopped = 0, events = 0; !birth.for_debugger && (events = ::poll(&told, 1, 100)) != 1;) {
        stopped = events == 0 && proc::state(state->pid) == 'T' ? stopped + 1 : 0;
        if (stopped < 10)
            continue;
        ::kill(state->pid, SIGKILL);
        ::waitpid(state->pid, nullptr, 0);
        proc::forget_subject(state->pid);
        throw StoppedAtBirth(request.command[0] + " was stopped by somebody before it began");
    }
    int error = 0;
    if (report_read.read(reinterpret_cast<char*>(&error), sizeof error) == sizeof error) {
        ::waitpid(state->pid, nullptr, 0);
        proc::forget_subject(state->pid);
        ipc::throw_error(error, "execve", request.command[0]);
    }
    return Process(std::move(state));
}

std::uint32_t Process::id() const { return static_cast<std::uint32_t>(state_->pid); }

bool Process::wait(Deadline deadline) {
    while (!state_->over) {
        pollfd entry{state_->pidfd.get(), POLLIN, 0};
        const int count = ::poll(&entry, 1, deadline.poll_ms());
        if (count == 0)
            return false;
        if (count < 0)
            continue;  // EINTR; the deadline still holds
        siginfo_t info{};
        // WNOWAIT: it stays a zombie until end_tree(), so that its number cannot be given to anyone else meanwhile.
        if (::waitid(P_PID, static_cast<id_t>(state_->pid), &info, WEXITED | WNOWAIT) != 0)
            continue;
        state_->over = true;
        state_->how.how = info.si_code == CLD_EXITED ? Ended::How::exited : Ended::How::killed;
        state_->how.code = static_cast<std::uint32_t>(info.si_status);
    }
    return true;
}

Ended Process::ended() const { return state_->how; }

void Process::interrupt() { ::kill(state_->pid, SIGINT); }
void Process::terminate() { ::kill(state_->pid, SIGTERM); }
void Process::kill() { ::kill(state_->pid, SIGKILL); }
void Process::resume() { ::kill(state_->pid, SIGCONT); }

void Process::suspend() {
    ::kill(state_->pid, SIGSTOP);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(state_->pid), &info, WSTOPPED | WEXITED | WNOWAIT);
}

// ---- the tree -----------------------------------------------------------------------------------------------------

namespace {

// The subject's descendants. Those that lost their parent are our own children by now; every other child of ours is
// a subject with a Process of its own, and is known by its process group.
std::vector<pid_t> tree_of(pid_t root) {
    const std::lock_guard lock(birth_mutex);
    std::vector<pid_t> all = proc::descendants(root);
    for (pid_t child : proc::children(::getpid())) {
        if (child == root || proc::is_subject(child))
            continue;
        all.push_back(child);
        for (pid_t below : proc::descendants(child))
            all.push_back(below);
    }
    return all;
}

}  // namespace

std::vector<ProcessInfo> Process::tree() const {
    std::vector<ProcessInfo> found;
    std::vector<pid_t> all = tree_of(state_->pid);
    if (!state_->over)
        all.insert(all.begin(), state_->pid);
    for (pid_t pid : all)
        if (const char status = proc::state(pid); status != 0)
            found.push_back({static_cast<std::uint32_t>(pid), proc::name(pid), status == 'Z' || status == 'X'});
    return found;
}

void Process::end_tree() {
    if (state_->pid < 0 || !state_->owned)
        return;
    const Deadline deadline = Deadline::in(milliseconds(5000));
    ::kill(state_->pid, SIGKILL);
    wait(deadline);
    // Killing a parent sends its children to us; so again until nobody is left.
    for (;;) {
        std::vector<pid_t> left = tree_of(state_->pid);
        for (pid_t pid : left)
            ::kill(pid, SIGKILL);
        for (pid_t pid : left)
            ::waitpid(pid, nullptr, WNOHANG);
        if (left.empty())
            break;
        if (deadline.expired())
            throw std::runtime_error("could not end process " + std::to_string(left.front()) + " (" +
                                     proc::name(left.front()) + ")");
        ::poll(nullptr, 0, 1);
    }
    ::waitpid(state_->pid, nullptr, 0);
    proc::forget_subject(state_->pid);
    state_->owned = false;
}

std::chrono::microseconds Process::cpu_time() const {
    std::chrono::microseconds total{0};
    for (const ProcessInfo& process : tree())
        total += proc::cpu_time(static_cast<pid_t>(process.id));
    return total;
}

std::optional<std::uint64_t> Process::wakeups() const {
    std::uint64_t total = 0;
    for (const ProcessInfo& process : tree())
        for (pid_t thread : proc::threads(static_cast<pid_t>(process.id)))
            total += proc::voluntary_switches(static_cast<pid_t>(process.id), thread);
    return total;
}

std::string Process::decoy() const { return state_->decoy; }

std::vector<std::string> Process::descriptors() const {
    std::vector<std::string> open;
    for (const proc::Descriptor& descriptor : proc::descriptors(state_->pid))
        open.push_back(std::to_string(descriptor.number) + " " + descriptor.target);
    return open;
}

// ---- the line to a puppet -----------------------------------------------------------------------------------------

struct Connection::State {
    ipc::unique_file socket;
    ucred peer{};
    std::string program;
};

Connection::Connection(std::unique_ptr<State> state) : state_(std::move(state)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

bool Connection::read(char* to, std::size_t size, Deadline deadline) {
    while (size > 0) {
        pollfd entry{state_->socket.get(), POLLIN, 0};
        if (::poll(&entry, 1, deadline.poll_ms()) == 0)
            return false;
        const ssize_t count = ::recv(state_->socket.get(), to, size, MSG_DONTWAIT);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (count <= 0)
            return false;
        to += count;
        size -= static_cast<std::size_t>(count);
    }
    return true;
}

bool Connection::write(const char* from, std::size_t size, Deadline deadline) {
    while (size > 0) {
        pollfd entry{state_->socket.get(), POLLOUT, 0};
        if (::poll(&entry, 1, deadline.poll_ms()) == 0)
            return false;
        const ssize_t count = ::send(state_->socket.get(), from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (count <= 0)
            return false;
        from += count;
        size -= static_cast<std::size_t>(count);
    }
    return true;
}

std::uint32_t Connection::peer_id() const { return static_cast<std::uint32_t>(state_->peer.pid); }
std::string Connection::peer_program() const { return state_->program; }

struct Listener::State {
    ipc::unique_file socket;
    std::string path;
};

Listener::Listener(const std::string& directory) : state_(std::make_unique<State>()) {
    static int count = 0;
    state_->path = directory + "/p" + std::to_string(++count);
    state_->socket.reset(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket", "AF_UNIX"));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (state_->path.size() >= sizeof address.sun_path)
        throw std::runtime_error("the temporary directory's path is too long for a socket: " + state_->path +
                                 "; set TMPDIR to a shorter one");
    std::memcpy(address.sun_path, state_->path.c_str(), state_->path.size());
    check(::bind(state_->socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind", state_->path);
    check(::listen(state_->socket.get(), 16), "listen", state_->path);
}

Listener::Listener(Listener&&) noexcept = default;
Listener::~Listener() = default;
const std::string& Listener::endpoint() const { return state_->path; }

std::optional<Connection> Listener::accept(Deadline deadline) {
    pollfd entry{state_->socket.get(), POLLIN, 0};
    if (::poll(&entry, 1, deadline.poll_ms()) <= 0)
        return std::nullopt;
    auto state = std::make_unique<Connection::State>();
    state->socket.reset(::accept4(state_->socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!state->socket)
        return std::nullopt;
    socklen_t size = sizeof state->peer;
    check(::getsockopt(state->socket.get(), SOL_SOCKET, SO_PEERCRED, &state->peer, &size), "getsockopt", "SO_PEERCRED");
    state->program = proc::program(state->peer.pid);
    return Connection(std::move(state));
}

// ---- ourselves ----------------------------------------------------------------------------------------------------

std::string make_private_directory() {
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string(base && *base ? base : "/tmp") + "/ipc-labs-XXXXXX";
    if (!::mkdtemp(path.data()))
        throw_last_error("mkdtemp", path);
    return path;
}

std::string own_program() { return fs::read_symlink("/proc/self/exe").string(); }

std::string puppet_program() { return (fs::path(own_program()).parent_path() / "puppet").string(); }

std::vector<std::string> leftover_names(const std::string& token) {
    std::vector<std::string> found;
    for (const char* directory : {"/dev/shm", "/dev/mqueue"}) {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(directory, error))
            if (entry.path().filename().string().find(token) != std::string::npos)
                found.push_back(entry.path().string());
    }
    return found;
}

bool under_wine() { return false; }

std::string prepare_case_process(const std::vector<std::string>& hidden) {
    check(::prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl", "PR_SET_CHILD_SUBREAPER");
    ::signal(SIGPIPE, SIG_IGN);
    // What a killed subject leaves among System V's objects goes with the case; who may not have a namespace shares the system's.
    ::unshare(CLONE_NEWIPC);
    std::string text = "no privileges";
    if (hidden.empty())
        text += ", nothing hidden";
    else {
        // Whether hiding works is tried once, in a child of our own.
        const std::string uid_map = std::to_string(::getuid()) + " " + std::to_string(::getuid()) + " 1\n";
        const std::string gid_map = std::to_string(::getgid()) + " " + std::to_string(::getgid()) + " 1\n";
        std::vector<const char*> paths;
        for (const std::string& path : hidden)
            if (fs::is_directory(path))
                paths.push_back(path.c_str());
        const bool something = !paths.empty();
        paths.push_back(nullptr);
        Birth birth{};
        birth.hidden = paths.data();
        birth.uid_map = uid_map.c_str();
        birth.gid_map = gid_map.c_str();
        const pid_t child = check(::fork(), "fork");
        if (child == 0)
            ::_exit(hide_directories(birth) ? 0 : 1);
        int status = 0;
        ::waitpid(child, &status, 0);
        text += !something ? ", nothing to hide" : status == 0 ? ", solutions and judges hidden"
                                                                : ", solutions and judges NOT hidden (no namespaces here)";
    }
    // Last, since a process that is not dumpable may not write its own uid_map.
    check(::prctl(PR_SET_DUMPABLE, 0), "prctl", "PR_SET_DUMPABLE");
    return text;
}

namespace {
volatile std::sig_atomic_t interrupt_seen = 0;
}

void catch_interrupts() {
    struct sigaction action {};
    action.sa_flags = SA_SIGINFO;
    // As process 1 of a sandbox it can be reached by its subjects in this way only; si_pid is 0 for who is outside.
    action.sa_sigaction = [](int, siginfo_t* about, void*) {
        if (::getpid() != 1 || about->si_code > 0 || about->si_pid == 0)
            interrupt_seen = 1;
    };
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    ::sigaction(SIGHUP, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_DUMPABLE, 0);  // or a subject of the same user writes results into our pipes through /proc/PID/fd
}

bool interrupted() { return interrupt_seen != 0; }

unsigned processor_count() {
    cpu_set_t set;
    return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set)) : 1;
}

}  // namespace judge
