#pragma once

/// @file
/// The contract of lab 06: processes that take turns.
///
/// You write these classes and functions, in posix.cpp or in win32.cpp. main.cpp uses them and is given; so is, for the
/// posix track, named_object.hpp.
///
/// **Names.** An object is called by a plain name (main.cpp refuses an empty one, one with `/` or `\`, one of more than 200
/// bytes). On POSIX the object NAME lies in the shared memory object `/NAME`, so `ls /dev/shm` shows it; on Windows it is
/// the kernel object `Local\NAME`. Whoever comes first makes it. Kinds share the names: who asks for a mutex where there is
/// a semaphore, or something that this lab has not made, gets an error.
///
/// **Life.** An object lives as long as somebody has it open. The last one to close it removes the name; nobody else ever
/// does. A process that is killed closes what it had open: on Windows that may be the end of the object; on POSIX the
/// name of an object whose last user was killed stays until the next user of that name has closed it.
///
/// **Deadlines** are on a clock that nobody can set. One that has passed already still takes what is free at once.
/// While it waits, a process uses no processor.

#include "ipc/clock.hpp"
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

/// Lab 06, synchronization: what is to be implemented.
namespace synchronization {

/// How a wait for a mutex came out.
enum class Taken {
    yes,
    abandoned,  ///< taken, but its last owner ended while holding it: what it protects may be half changed
    timed_out,  ///< not taken
};

/// A lock with an owner: one thread of one process at a time.
class Mutex {
public:
    /// Opens the mutex `name`, or makes it; nobody owns a new one.
    /// @throws std::system_error the system refuses, or `name` is something else than a mutex
    /// @see pthread_mutexattr_setpshared(3), pthread_mutexattr_setrobust(3), pthread_mutexattr_settype(3); CreateMutexW
    explicit Mutex(const std::string& name);
    /// Closes it. Whoever owns it has to give it back before.
    ~Mutex();
    const std::string& name() const noexcept { return name_; }

    /// Waits until the calling thread owns it. The owner may take it again, and gives it back as often as it took it.
    ///
    /// If the owner ended without giving it back, the next one gets Taken::abandoned, once: after that the mutex is as good
    /// as new.
    /// @see pthread_mutex_clocklock(3), EOWNERDEAD and pthread_mutex_consistent(3); WaitForSingleObject, WAIT_ABANDONED
    Taken lock(ipc::Deadline deadline = {});
    /// Gives it back once.
    /// @throws std::system_error the calling thread does not own it (EPERM; ERROR_NOT_OWNER)
    void unlock();

private:
    std::string name_;
    struct State;
    std::unique_ptr<State> state_;
};

/// Takes both mutexes, or neither, before the one deadline.
///
/// Two processes that name the same two in opposite orders do not block each other for ever. Both may be the same mutex;
/// it is then taken twice.
/// @return Taken::abandoned if the last owner of either ended while holding it. (A warning that came with the first is lost
///         when the second is not to be had in time: neither system lets you hand it back.)
Taken lock_both(Mutex& first, Mutex& second, ipc::Deadline deadline = {});

/// A number of permits, and no owner: who releases need not be the one who acquired, and what a killed process had
/// acquired is not given back by anybody.
class Semaphore {
public:
    /// Opens the semaphore `name`, or makes it with all of `permits` free.
    /// @param permits  at least 1; how many there are, and the most that there can ever be
    /// @throws std::system_error the system refuses; `name` is something else than a semaphore; or, on POSIX, it has another
    ///         number of permits (Windows does not tell, and the number of the first one holds)
    /// @see sem_init(3) with pshared, sem_overview(7); CreateSemaphoreW
    Semaphore(const std::string& name, unsigned permits);
    ~Semaphore();

    /// Waits for a permit and takes it. @return whether it got one
    /// @see sem_clockwait(3); WaitForSingleObject
    bool acquire(ipc::Deadline deadline = {});
    /// Gives a permit back.
    /// @throws std::system_error all of them are free already (EOVERFLOW; ERROR_TOO_MANY_POSTS); nothing has changed then
    void release();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Something that has happened, or has not yet.
///
/// Signalled is a state, not a moment: a signal that comes before the wait is not lost.
class Event {
public:
    enum class Reset {
        automatic,  ///< each signal lets one waiter through, and is used up by it
        manual,     ///< a signal lets everybody through until reset() is called
    };

    /// Opens the event `name`, or makes it, not signalled. If it is there, it is and stays of the kind that it was made.
    /// @throws std::system_error the system refuses, or `name` is something else than an event
    /// @see CreateEventW, futex(2)
    Event(const std::string& name, Reset reset);
    /// Opens the event `name`, which somebody must have open.
    /// @throws std::system_error nobody has (ENOENT; ERROR_FILE_NOT_FOUND), or as above
    explicit Event(const std::string& name);
    ~Event();

    /// Waits until it is signalled. @return whether it was, before the deadline
    ///
    /// On POSIX who waits when a manual event is signalled goes through, also if reset() follows before he could look.
    /// (Windows does not promise it: a thread that is suspended at that moment stays outside.)
    bool wait(ipc::Deadline deadline = {});
    /// Signals it. Signalling what is signalled changes nothing: two signals that nobody took are one.
    /// A waiter that was killed while it waited, used up nothing.
    void signal();
    void reset();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// How a command ended, as one number: its exit code; for one killed by a signal 128 + the signal's number, as shells report
/// it. On Windows whatever GetExitCodeProcess() tells.
using ExitCode = unsigned;

/// A program and its arguments, UTF-8. The program is looked up in PATH as a shell does it.
using Command = std::vector<std::string>;

/// Thrown by limit() when no slot became free in time; the command has not been started then.
class timed_out : public std::exception {
public:
    const char* what() const noexcept override { return "no slot became free in time"; }
};

/// Thrown by limit() when the command cannot be started, with the system's code (ENOENT, EACCES; ERROR_FILE_NOT_FOUND, …).
class not_started : public std::system_error {
public:
    using std::system_error::system_error;
};

/// Waits until fewer than `slots` commands run under `name` on this machine, runs `command`, and waits for its end.
///
/// The slot is free again when the command has ended, however it ended: also if it was killed, could not be started, or
/// if the process that called limit() was killed; then the system ends the command too (on POSIX, not what the command has
/// started in its turn).
/// The command's standard streams are the caller's own. While waiting for a slot or for the command:
/// - POSIX: SIGTERM, SIGHUP, SIGINT and SIGQUIT, sent to the caller, reach the command, and how the command takes it is the
///   outcome. One that comes before the command runs ends the wait: 128 + its number.
/// - Windows: Ctrl-C and Ctrl-Break go from the console to the command by themselves; the caller survives them and reports
///   how the command took it. One that comes before the command runs ends the caller.
///
/// @param slots  1 to 64; all callers under one name have to name the same number
/// @throws timed_out the deadline has passed; not_started; std::system_error the system refuses, `name` is something else, or
///         it has another number of slots
/// @see semop(2) on SEM_UNDO, prctl(2) on PR_SET_PDEATHSIG, sigwaitinfo(2); WaitForMultipleObjects, job objects
ExitCode limit(const std::string& name, unsigned slots, ipc::Deadline deadline, const Command& command);

/// What is said at breakfast, in this order: order, serve, eat, pay, thank.
namespace line {
inline constexpr const char* order = "customer: one breakfast, please";
inline constexpr const char* serve = "vendor: here you are";
inline constexpr const char* eat = "customer: delicious";
inline constexpr const char* pay = "customer: here is the money";
inline constexpr const char* thank = "vendor: thank you";
}  // namespace line

/// Says a line aloud; main.cpp prints it. It may take its time.
using Say = std::function<void(const char* line)>;

/// The vendor's part of `rounds` breakfasts, in one process; the customer's, in another.
///
/// Each says its own lines only, each line only when the one before it has been said, whoever of the two comes first
/// and however slow either is. The next round begins after the thanks.
/// They meet by events whose names begin with `name`.
void vendor(const std::string& name, unsigned rounds, const Say& say);
void customer(const std::string& name, unsigned rounds, const Say& say);

}  // namespace synchronization
