#pragma once

/// @file
/// The seam between the harness and the system: everything a judge needs of Linux or Windows to start a subject,
/// watch it from outside, and leave nothing of it behind. platform_posix.cpp and platform_win32.cpp implement it;
/// explain_posix.cpp and explain_win32.cpp hold the hang diagnosis.

#include "ipc/clock.hpp"
#include "ipc/handle.hpp"
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace judge {

using ipc::Deadline;
using std::chrono::milliseconds;

/// One end of an anonymous pipe, blocking, never inherited unless given to a process as a standard stream.
class Stream {
public:
#ifdef _WIN32
    using native = ipc::unique_handle;
#else
    using native = ipc::unique_file;
#endif
    Stream() = default;
    explicit Stream(native end) : end_(std::move(end)) {}

    /// Waits for at least one byte. 0: every write end is closed.
    std::size_t read(char* to, std::size_t size);
    /// Writes some bytes. 0: every read end is closed (no signal is raised).
    std::size_t write(const char* from, std::size_t size);
    void close() { end_.reset(); }
    explicit operator bool() const { return static_cast<bool>(end_); }
    native::value_type get() const { return end_.get(); }
    /// Wakes a thread of ours that is blocked in read() or write() on this stream for good: it returns 0.
    void abort();

private:
    native end_;
#ifdef _WIN32
    /// Shared, since abort() comes from another thread.
    struct Progress {
        std::atomic<bool> calling = false, aborted = false;
    };
    std::shared_ptr<Progress> progress_ = std::make_shared<Progress>();
#else
    std::shared_ptr<std::atomic<bool>> aborted_ = std::make_shared<std::atomic<bool>>(false);
#endif
};

/// {read end, write end}. `capacity` bytes are asked for; 0 takes the system's default.
std::pair<Stream, Stream> make_pipe(std::size_t capacity = 0);

/// How a process ended.
struct Ended {
    enum class How { exited, killed };
    How how = How::exited;
    /// Exit code; for `killed`, the signal's number, or on Windows the exception code (0xC0000005, …).
    std::uint32_t code = 0;
    /// "exit code 3", "killed by SIGSEGV", "exception 0xC0000005 (access violation)"
    std::string text() const;
};

/// What to start, and what it gets.
struct StartRequest {
    std::vector<std::string> command;  ///< program and arguments, UTF-8; quoted as the system wants it
    std::map<std::string, std::optional<std::string>> environment;  ///< changes to ours; nullopt removes
    std::string directory;                                          ///< where it starts; empty: where we are
    Stream input, output, error;  ///< the child's ends; an empty stream is the null device
    bool confined = false;        ///< a subject: no privileges beyond a plain user's, `hidden` not to be seen
    std::vector<std::string> hidden;
    bool share_error = false;  ///< the child gets our own standard error instead of `error`
    /// Additionally leaks one inheritable descriptor/handle into the child on purpose (see Process::decoy): a subject
    /// that passes its descriptors on to its children without choosing passes this one too.
    bool with_decoy = false;
};

/// One process as seen from outside.
struct ProcessInfo {
    std::uint32_t id = 0;
    std::string name;  ///< the program's file name
    bool zombie = false;
};

/// Somebody, most likely a subject, has stopped a process that was being started.
struct StoppedAtBirth : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A process that we started, and all its descendants.
///
/// On Linux descendants that lose their parent become children of this process (a child subreaper); on Windows they
/// are in one job object. So the tree can be listed, watched and ended whatever it does. The destructor ends it.
class Process {
public:
    /// @throws std::system_error when the program cannot be started; then nothing was left running
    static Process start(StartRequest request);
    Process(Process&&) noexcept;
    Process& operator=(Process&&) noexcept;
    ~Process();

    std::uint32_t id() const;
    /// Waits until the process itself (not its descendants) has ended.
    bool wait(Deadline deadline);
    /// How it ended, once wait() said true.
    Ended ended() const;

    void interrupt();  ///< SIGINT; Windows: CTRL_BREAK_EVENT to its process group
    void terminate();  ///< SIGTERM; Windows: CTRL_BREAK_EVENT too, the nearest polite request there is
    void kill();       ///< SIGKILL / TerminateProcess, the process itself only
    void suspend();    ///< SIGSTOP and wait until it is stopped / SuspendThread on each thread
    void resume();     ///< SIGCONT / ResumeThread

    /// The process and its living descendants, zombies included, the process itself first while it lives.
    std::vector<ProcessInfo> tree() const;
    /// Ends whatever of the tree still runs, and reaps it. Bounded; throws std::runtime_error naming what would not die.
    void end_tree();

    /// Processor time that the living tree has used so far, user and system.
    std::chrono::microseconds cpu_time() const;
    /// How often the threads of the living tree were put on a processor after having waited (voluntary context
    /// switches); nullopt where the system does not tell (Wine).
    std::optional<std::uint64_t> wakeups() const;
    /// A text that stays the same exactly as long as every thread of the tree is blocked and nothing moves; empty when
    /// some thread runs, is runnable, or waits with a timeout of its own, or when the system does not tell. Two equal non-empty answers some time apart
    /// mean: stuck in between.
    std::string stillness() const;
    /// Whether some thread of the living tree uses a processor now, or waits only for one; false as well where the
    /// system does not tell (Wine).
    bool wants_processor() const;

    /// The number (value) of the descriptor or handle that with_decoy leaked, and a text that names its object the way
    /// the puppet's `descriptors` command lists it. Empty without a decoy.
    std::string decoy() const;
    /// Descriptors (handles) open in the process right now; on Linux `N target` each; empty under Wine.
    std::vector<std::string> descriptors() const;

private:
    struct State;
    explicit Process(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
    friend std::vector<std::string> explain_hang(const Process&);
};

/// Why the tree does not go on: for each process of it, one sentence with the blocked call, the object, and who else
/// holds that object. Must be asked before anything is killed. On Windows, what the system does not tell is said so.
std::vector<std::string> explain_hang(const Process& process);

/// One line of talk with a puppet: a stream connection on a local name, with a known peer.
class Connection {
public:
    Connection(Connection&&) noexcept;
    Connection& operator=(Connection&&) noexcept;
    ~Connection();
    /// Exactly `size` bytes, or false at end of stream / deadline.
    bool read(char* to, std::size_t size, Deadline deadline);
    /// All bytes, or false when the peer is gone / deadline.
    bool write(const char* from, std::size_t size, Deadline deadline);
    std::uint32_t peer_id() const;
    /// The peer's program file, as the system (not the peer) tells it.
    std::string peer_program() const;

private:
    friend class Listener;
    struct State;
    explicit Connection(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

/// Where a puppet reports: an AF_UNIX stream socket in `directory`, or a byte-mode named pipe of a random name.
class Listener {
public:
    explicit Listener(const std::string& directory);
    Listener(Listener&&) noexcept;
    ~Listener();
    /// What the puppet is given as its first argument.
    const std::string& endpoint() const;
    std::optional<Connection> accept(Deadline deadline);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Makes a new directory that only this user can enter, and returns its path.
std::string make_private_directory();

/// The path of the running executable.
std::string own_program();

/// The puppet's program file, beside the judge's own.
std::string puppet_program();

/// Names containing `token` that are left in the system's own name spaces: /dev/shm and /dev/mqueue, as paths; on Windows
/// named pipes (objects of other kinds vanish with their last handle).
std::vector<std::string> leftover_names(const std::string& token);

/// Whether this is Wine and not Windows; always false on Linux.
bool under_wine();

/// Called once by a case's process before it starts anything: nobody may trace it or read its memory and descriptors
/// (Linux: not dumpable), orphans of its subjects come to it, and it dies with the coordinator.
/// @return a short text for the verdict on how subjects will be confined here ("capabilities dropped, solutions hidden")
std::string prepare_case_process(const std::vector<std::string>& hidden);

/// Makes Ctrl-C (and SIGTERM) set a flag instead of ending us. Called by the coordinator.
void catch_interrupts();
bool interrupted();

unsigned processor_count();

}  // namespace judge
