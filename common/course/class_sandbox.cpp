#include "class_sandbox.hpp"

#include "failure.hpp"
#include "files.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <poll.h>
#include <spawn.h>
#include <sstream>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr rlim_t open_files = 4096;    ///< lab 07 has a thousand clients
constexpr rlim_t most_processes = 1000;  ///< of any box
constexpr std::size_t most_output = 16 << 20;  ///< a verdict has some 20 KiB; a compiler can be made to talk for ever

void append(std::vector<std::string>& to, const std::vector<std::string>& more) { to.insert(to.end(), more.begin(), more.end()); }

bool is_root() { return ::geteuid() == 0; }

// Into its control groups first: from then on everything counts.
std::vector<std::string> within_groups(const Box& box) {
    if (!box.groups || !box.groups->works())
        return {};
    std::vector<std::string> words = {"/bin/sh", "-c", R"(while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 4; shift; done; shift; exec "$@")", "sh"};
    for (const fs::path& folder : box.groups->folders())
        words.push_back(folder.string());
    words.push_back("--");
    return words;
}

std::vector<std::string> limits(const Box& box) {
    std::vector<std::string> words = {"prlimit", fmt::format("--cpu={}", box.cpu.count()), fmt::format("--fsize={}", box.file_bytes),
                                      fmt::format("--nproc={}", box.processes), fmt::format("--nofile={}", open_files), "--core=0", fmt::format("--data={}", box.memory_bytes)};
    // Twice as much as it may fill: the stacks of a thousand threads are reserved, not used.
    if (!box.reserves_memory)
        words.push_back(fmt::format("--as={}", 2 * box.memory_bytes));
    return words;
}

// Root's limits on processes do not hold, so root becomes somebody else first, for good.
std::vector<std::string> as_another_user(const Box& box) {
    const std::string user = std::to_string(box.user);
    return {"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"};
}

// bwrap makes the folders on the way to a place for its own user alone; ours is another one.
void append_way_to(std::vector<std::string>& words, const fs::path& place) {
    fs::path folder;
    for (const fs::path& part : place.parent_path()) {
        folder /= part;
        if (folder != "/")
            append(words, {"--dir", folder.string()});
    }
}

std::vector<std::string> walls(const Box& box) {
    std::vector<std::string> words = {"bwrap", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "lab"};
    // Root needs no user namespace, and keeps its way to folders that only root may enter, until the walls are up.
    if (is_root())
        append(words, {"--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
                       "--cap-add", "CAP_SETPCAP"});
    else
        append(words, {"--unshare-all"});
    if (box.first_process)
        append(words, {"--as-pid-1"});
    append(words, {"--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin",
                   "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", "268435456", "--tmpfs", "/tmp", "--perms", "1777", "--size", "134217728", "--tmpfs", "/dev/shm",
                   "--perms", "0777", "--dir", "/tmp/home", "--perms", "0777", "--dir", "/run",
                   "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp/home", "--setenv", "LANG", "C.UTF-8", "--setenv", "TMPDIR", "/tmp"});
    for (const std::string& entry : box.environment)
        append(words, {"--setenv", entry.substr(0, entry.find('=')), entry.substr(entry.find('=') + 1)});
    append(words, {"--dir", "/etc"});
    for (const char* file : {"/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/alternatives", "/etc/fonts"})
        append(words, {"--ro-bind-try", file, file});
    if (fs::exists("/dev/mqueue"))
        append(words, {"--mqueue", "/dev/mqueue"});
    for (const fs::path& folder : box.empty) {
        append_way_to(words, folder);
        append(words, {"--perms", "0777", "--size", "268435456", "--tmpfs", folder.string()});
    }
    for (const auto& [here, there] : box.read_only) {
        append_way_to(words, there);
        append(words, {"--ro-bind", here.string(), there.string()});
    }
    for (const auto& [here, there] : box.writable) {
        append_way_to(words, there);
        append(words, {"--bind", here.string(), there.string()});
    }
    append(words, {"--chdir", box.directory.string(), "--"});
    return words;
}

// Where a controller's groups are: cgroup2's one tree, or a tree a controller as in version 1.
fs::path control_tree(const std::string& controller) {
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream words(line);
        std::string number, parent, device, root, at, rest;
        words >> number >> parent >> device >> root >> at;
        std::getline(words, rest);
        const std::size_t type = rest.find(" - ");
        if (type == std::string::npos)
            continue;
        const std::string kind = rest.substr(type + 3);
        if (kind.starts_with("cgroup2 ") && (" " + read_file(fs::path(at) / "cgroup.subtree_control").value_or("")).find(controller) != std::string::npos)
            return at;
        if (kind.starts_with("cgroup ") && ("," + kind.substr(kind.rfind(' ') + 1) + ",").find("," + controller + ",") != std::string::npos)
            return at;
    }
    return {};
}

bool put(const fs::path& file, unsigned long long value) {
    std::ofstream out(file);
    out << value << std::flush;
    return out.good();
}

// Anybody may lower such a limit for good, and only some of root may raise it again.
void allow(decltype(RLIMIT_NOFILE) resource, rlim_t needed, const char* what, const char* ulimit, const char* container) {
    rlimit now{};
    if (::getrlimit(resource, &now) == 0 && now.rlim_max >= needed)
        return;
    const rlimit raised{needed, needed};
    if (::setrlimit(resource, &raised) != 0)
        throw Failure(exit_code::machine, fmt::format("a sandbox needs up to {} {}, and this process may have {} (setrlimit: {}). Raise that limit: 'ulimit {} {}' as root; for a container, --ulimit {}={}", needed, what,
                                                      now.rlim_max, std::strerror(errno), ulimit, needed, container, needed));
}

}  // namespace

void allow_for_sandboxes() {
    allow(RLIMIT_NOFILE, open_files, "open files", "-n", "nofile");
    allow(RLIMIT_NPROC, most_processes, "processes", "-u", "nproc");
}

std::string name_of(Isolation level) { return level == Isolation::none ? "none" : level == Isolation::user ? "user" : "namespaces"; }

Isolation isolation_named(const std::string& name) {
    for (const Isolation level : {Isolation::none, Isolation::user, Isolation::namespaces})
        if (name == name_of(level))
            return level;
    throw Failure(exit_code::usage, fmt::format("there is no isolation level '{}'; the levels are namespaces, user and none", name));
}

// A name of the abstract kind: it is free again the moment that its owner has ended, however that was.
SandboxUser::SandboxUser() {
    for (; id_ < first_sandbox_user + sandbox_users; ++id_) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const std::string name = fmt::format("ipc-labs-sandbox-user-{}", id_);
        std::copy(name.begin(), name.end(), address.sun_path + 1);
        claim_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (::bind(claim_.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())) == 0)
            return;
        if (errno != EADDRINUSE)
            throw Failure(exit_code::machine, fmt::format("cannot claim user {} for a sandbox (bind to the abstract name {}): {}", id_, name, std::strerror(errno)));
    }
    throw Failure(exit_code::machine, fmt::format("all {} users for sandboxes are taken by other graders on this machine; wait for one of them to end, or take fewer --jobs", sandbox_users));
}

Isolation strongest_isolation(std::string& why_not_stronger) {
    if (find_program("bwrap").empty())
        why_not_stronger = "bubblewrap is not installed (Debian: apt-get install bubblewrap)";
    else {
        const Outcome tried = run(boxed(Box{}, {"/usr/bin/true"}));
        if (tried.code == 0)
            return Isolation::namespaces;
        why_not_stronger = "bubblewrap cannot make namespaces here: " + visible(tried.errors.substr(0, tried.errors.find('\n')));
    }
    return is_root() ? Isolation::user : Isolation::none;
}

namespace {

// A group and its lock. Who has the lock is alive: the kernel gives it back with the last descriptor. Empty if there is no group
// to be had here.
ipc::unique_file take_group(const fs::path& folder) {
    for (;;) {
        std::error_code error;
        fs::create_directory(folder, error);
        ipc::unique_file lock(error ? -1 : ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!lock && errno == ENOENT && !error)
            continue;  // another grader took it for a leftover before it was locked
        struct stat locked {}, named {};
        if (!lock || ::flock(lock.get(), LOCK_EX) != 0 || ::fstat(lock.get(), &locked) != 0)
            return {};
        if (::stat(folder.c_str(), &named) == 0 && named.st_ino == locked.st_ino)
            return lock;
    }
}

// A grader that was killed for good cannot do it itself.
void remove_leftovers(const fs::path& tree) {
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(tree, ignored)) {
        if (!entry.path().filename().string().starts_with("course-class-"))
            continue;
        const ipc::unique_file lock(::open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0)
            ::rmdir(entry.path().c_str());  // refused as long as a process is in it
    }
}

}  // namespace

ControlGroups::ControlGroups(const std::string& name) {
    if (!is_root())
        return;
    for (const char* controller : {"memory", "pids"}) {
        const fs::path tree = control_tree(controller);
        if (tree.empty())
            continue;
        const fs::path folder = tree / name;
        if (std::find(folders_.begin(), folders_.end(), folder) == folders_.end()) {
            remove_leftovers(tree);
            ipc::unique_file lock = take_group(folder);
            if (!lock)
                continue;
            locks_.push_back(std::move(lock));
            folders_.push_back(folder);
        }
        (controller == std::string("memory") ? memory_ : processes_) = folder;
    }
    // Half of it would be no limit that anybody could rely on.
    if (memory_.empty() || processes_.empty()) {
        for (const fs::path& folder : folders_)
            ::rmdir(folder.c_str());
        folders_.clear();
    }
    end_all();  // of an earlier grader of that name
}

void ControlGroups::end_all() const {
    for (const fs::path& folder : folders_)
        for (int look = 0; look < 400; ++look) {
            std::ifstream processes(folder / "cgroup.procs");
            bool empty = true;
            for (pid_t process = 0; processes >> process; empty = false)
                if (process > 0)  // 0 is somebody in another PID namespace; to kill() it is our own group
                    ::kill(process, SIGKILL);
            if (empty)
                break;
            ::poll(nullptr, 0, 5);
        }
}

Guardian::Guardian(const std::vector<fs::path>& groups) {
    if (groups.empty())
        return;
    // A group that is locked has a new owner already, who ends what is in it.
    std::vector<std::string> words = {"/bin/sh", "-c", R"(trap '' INT TERM HUP QUIT
read -r _ && exit
for group; do
    flock -n "$group" sh -c '
        for look in $(seq 500); do
            processes=$(cat "$1/cgroup.procs") && [ -n "$processes" ] || break
            kill -9 $processes
            sleep 0.01
        done
        rmdir "$1"' sh "$group"
done)", "sh"};
    for (const fs::path& each : groups)
        words.push_back(each.string());
    std::vector<char*> arguments;
    for (const std::string& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw Failure(exit_code::machine, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    const ipc::unique_file its_end(ends[0]);
    line_.reset(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, its_end.get(), STDIN_FILENO);
    for (const int stream : {STDOUT_FILENO, STDERR_FILENO})
        posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);  // or a signal to our whole group would end it as well
    const int code = ::posix_spawn(&process_, arguments[0], &actions, &attributes, arguments.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0)
        throw Failure(exit_code::machine, fmt::format("cannot start /bin/sh: {}", std::strerror(code)));
}

Guardian::~Guardian() {
    if (process_ == -1)
        return;
    const ssize_t told = ::write(line_.get(), "over\n", 5);
    line_.reset();
    if (told == 5)
        ::waitpid(process_, nullptr, 0);
}

// What was killed with a sandbox takes a moment to leave its group, and version 1 does not announce it.
ControlGroups::~ControlGroups() {
    end_all();
    for (const fs::path& folder : folders_)
        for (int look = 0; look < 400 && ::rmdir(folder.c_str()) != 0 && errno == EBUSY; ++look)
            ::poll(nullptr, 0, 5);
}

void ControlGroups::limit(unsigned long long memory_bytes, unsigned processes) {
    if (!works())
        return;
    const fs::path memory = memory_ / (fs::exists(memory_ / "memory.max") ? "memory.max" : "memory.limit_in_bytes");
    if (!put(memory, memory_bytes) || !put(processes_ / "pids.max", processes))
        throw Failure(exit_code::machine, fmt::format("cannot write {} or {}: the limits of a sandbox cannot be set", memory.string(), (processes_ / "pids.max").string()));
}

Outcome run_boxed(const Box& box, const std::vector<std::string>& command) {
    struct End {
        const ControlGroups* groups;
        ~End() {
            if (groups)
                groups->end_all();
        }
    };
    const End end{box.groups};
    return run(boxed(box, command));
}

Command boxed(const Box& box, const std::vector<std::string>& command) {
    Command whole;
    whole.limit = box.wall;
    whole.most_output = most_output;
    append(whole.arguments, within_groups(box));
    if (box.level == Isolation::namespaces) {
        append(whole.arguments, walls(box));
        if (is_root())
            append(whole.arguments, as_another_user(box));
        append(whole.arguments, limits(box));
    } else {
        whole.directory = box.directory;
        // Nothing else ends with a grader that is killed.
        append(whole.arguments, box.level == Isolation::user ? as_another_user(box) : std::vector<std::string>{"setpriv", "--no-new-privs"});
        append(whole.arguments, {"--pdeathsig", "KILL"});
        append(whole.arguments, limits(box));
        append(whole.arguments, {"env", "-i", "PATH=/usr/bin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8"});
        append(whole.arguments, box.environment);
    }
    append(whole.arguments, command);
    return whole;
}

}  // namespace course
