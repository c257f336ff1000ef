#pragma once

/// @file
/// Where a stranger's code is compiled and run: behind walls as strong as this machine has.

#include "ipc/handle.hpp"
#include "process.hpp"
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace course {

/// From weakest to strongest.
enum class Isolation {
    none,        ///< as the grader itself, with limits on time and memory
    user,        ///< as another user: needs root
    namespaces,  ///< in namespaces of its own (bubblewrap): no network, its own /tmp, /dev/shm, queues and process ids
};

std::string name_of(Isolation level);
/// @throws Failure (usage)
Isolation isolation_named(const std::string& name);

/// The users whose processes run in sandboxes where root grades; nobody's files are theirs.
constexpr unsigned first_sandbox_user = 61100, sandbox_users = 300;

/// One of them, which no other sandbox on this machine has as long as this lives. The kernel counts processes by user: two
/// sandboxes of one user would take each other's, and a program would fail for what somebody else's does.
class SandboxUser {
public:
    /// @throws Failure (machine) if all are taken
    SandboxUser();
    unsigned id() const { return id_; }

private:
    unsigned id_ = first_sandbox_user;
    ipc::unique_file claim_;
};

/// Sees to it that this process may give its sandboxes what they need of files and processes.
/// @throws Failure (machine) where that was taken from it for good, as in containers with narrow limits
void allow_for_sandboxes();

/// The strongest level that works here; tried, not guessed.
/// @param why_not_stronger  what was in the way of `namespaces`, in words
Isolation strongest_isolation(std::string& why_not_stronger);

/// Control groups for one sandbox at a time: what all its processes together may use. Only root can make them, and only
/// where the controllers are to be had; elsewhere there are the limits on each process, and `works()` is false.
class ControlGroups {
public:
    /// @param name  of this machine's groups no other has it; a group left by an earlier grader of that name is taken over
    explicit ControlGroups(const std::string& name);
    ~ControlGroups();
    ControlGroups(const ControlGroups&) = delete;
    ControlGroups& operator=(const ControlGroups&) = delete;

    bool works() const { return !folders_.empty(); }
    /// Ends whatever is in it. bwrap's first process in a sandbox has another user than bwrap itself, which has given up the right
    /// to end it: what has to stop before it comes to its end is ended from here.
    void end_all() const;
    const std::vector<std::filesystem::path>& folders() const { return folders_; }
    void limit(unsigned long long memory_bytes, unsigned processes);

private:
    std::vector<std::filesystem::path> folders_;
    std::vector<ipc::unique_file> locks_;  ///< a group that nobody has locked was left behind, and any grader removes it
    std::filesystem::path memory_, processes_;
};

/// What one sandbox holds, and how much it may use.
struct Box {
    Isolation level = Isolation::namespaces;
    unsigned user = first_sandbox_user;  ///< whose processes they are, where root can say so
    std::vector<std::pair<std::filesystem::path, std::filesystem::path>> read_only;  ///< {here, there}
    std::vector<std::pair<std::filesystem::path, std::filesystem::path>> writable;
    std::vector<std::filesystem::path> empty;  ///< folders that exist in it, writable and gone afterwards
    std::vector<std::string> environment;      ///< NAME=VALUE besides PATH, HOME, LANG and TMPDIR
    std::filesystem::path directory = "/";     ///< where the command starts
    std::chrono::seconds cpu{60}, wall{120};
    unsigned long long file_bytes = 256ull << 20;
    unsigned long long memory_bytes = 2ull << 30;  ///< of all processes together, or of each where there are no control groups
    unsigned processes = 400;
    bool reserves_memory = false;        ///< the command maps much more than it uses (Wine): address space is not limited
    bool first_process = false;          ///< the command is process 1: nobody in the box can end or stop it
    const ControlGroups* groups = nullptr;
};

/// `command` within the box. At levels below `namespaces` paths are as they are here, so read_only pairs should name the
/// same path twice.
/// Ends what is in control groups when this process is killed and cannot do it any more, and removes them.
class Guardian {
public:
    explicit Guardian(const std::vector<std::filesystem::path>& groups);
    ~Guardian();
    Guardian(const Guardian&) = delete;
    Guardian& operator=(const Guardian&) = delete;

private:
    ipc::unique_file line_;  ///< at its end somebody has killed us
    pid_t process_ = -1;
};

/// Runs it in the box to its end; nothing of it is left then.
Outcome run_boxed(const Box& box, const std::vector<std::string>& command);
Command boxed(const Box& box, const std::vector<std::string>& command);

}  // namespace course
