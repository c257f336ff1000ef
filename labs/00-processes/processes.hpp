#pragma once

/// @file
/// The contract of lab 00: start a process, wait for it, stop it.
///
/// You write these functions, in posix.cpp or in win32.cpp. main.cpp calls them and is given.

#include <chrono>
#include <map>
#include <string>
#include <vector>

/// Lab 00, processes: what is to be implemented.
namespace processes {

/// A program and its arguments, UTF-8. The program is looked up in PATH as a shell does it.
using Command = std::vector<std::string>;

struct System {
    std::string name;     ///< as uname(2) tells it, "Linux"; on Windows "Windows"
    std::string version;  ///< the release uname(2) tells, "6.1.0-18-amd64"; on Windows MAJOR.MINOR.BUILD, "10.0.19045"
};

/// The system that this program runs on, as the system itself reports it.
///
/// @see uname(2); RtlGetVersion, and not GetVersionEx: that one answers what the program's manifest claims to know
System system_version();

/// What a new process finds itself in. Everything that is not named here is the caller's own.
struct Surroundings {
    std::string directory;                           ///< where it starts; empty: where the caller is
    std::map<std::string, std::string> environment;  ///< variables added to the caller's, or put in their place
};

/// How a process ended.
struct Ended {
    enum class How {
        exited,     ///< by itself: `code` is its exit code
        killed,     ///< by a signal: `code` is its number; on Windows by an exception: `code` is 0xC0000000 or above
        timed_out,  ///< it was still there when its time was up, and has been stopped; `code` means nothing
    };
    How how = How::exited;
    unsigned code = 0;
};

/// Starts `command`, waits until it has ended, and tells how.
///
/// The command gets exactly the arguments that are given, whatever characters they hold, and has exactly the caller's
/// three standard streams open: no other descriptor or handle of the caller reaches it. No signal is ignored or
/// blocked in it on account of the caller, who ignores SIGPIPE.
/// What it has started itself and left running goes on running; it is not waited for.
/// Afterwards the system remembers nothing of the process: no zombie, no open handle.
///
/// @throws std::system_error the command cannot be started: the system's code (ENOENT, EACCES; ERROR_FILE_NOT_FOUND,
///         ERROR_BAD_EXE_FORMAT, …), and in what() the program's name, or the directory's where that is to blame.
///         Nothing is left running then.
/// @see fork(2), execvp(3), waitpid(2), close_range(2); CreateProcessW, UpdateProcThreadAttribute with
///      PROC_THREAD_ATTRIBUTE_HANDLE_LIST, WaitForSingleObject, GetExitCodeProcess
Ended run(const Command& command, const Surroundings& surroundings);

/// The name of what killed a process, for people.
///
/// @param code Ended::code of a killed process
/// @return "SIGSEGV"; on Windows "EXCEPTION_ACCESS_VIOLATION" (0xC0000005), "EXCEPTION_INT_DIVIDE_BY_ZERO" (0xC0000094),
///         "EXCEPTION_STACK_OVERFLOW" (0xC00000FD), "STATUS_CONTROL_C_EXIT" (0xC000013A), "STATUS_STACK_BUFFER_OVERRUN"
///         (0xC0000409), and "unknown" for those that you do not know
/// @see sigabbrev_np(3); the NTSTATUS values in ntstatus.h
std::string name_of(unsigned code);

/// As run(), but only for so long; what is still there when the time is up is stopped, first politely, then surely.
///
/// When the time is up:
/// 1. The command and what it has started are asked to end: SIGTERM to the process group; on Windows CTRL_BREAK_EVENT
///    to the process group, if there is a console to send it through. If there is none, the next step follows at once.
/// 2. Who is left after `grace` is ended: the command and everything that descends from it, also what has moved to a
///    process group or session of its own. If all are gone before, the rest of `grace` is not waited for.
///
/// When it returns `timed_out`, no process of the tree is left. The processor sleeps while it waits.
///
/// @param timeout from the start of the command
/// @param grace   between the polite request and the sure end
/// @throws std::system_error as run()
/// @see setpgid(2), kill(2), sigtimedwait(2) or pidfd_open(2), PR_SET_CHILD_SUBREAPER in prctl(2);
///      CreateJobObjectW, AssignProcessToJobObject, TerminateJobObject, GenerateConsoleCtrlEvent
Ended run_for(const Command& command, const Surroundings& surroundings, std::chrono::milliseconds timeout,
              std::chrono::milliseconds grace);

/// Which process is meant: its number alone does not say, for the system gives numbers again.
struct Identity {
    unsigned id = 0;                 ///< process id
    unsigned long long started = 0;  ///< Linux: field 22 of /proc/ID/stat; Windows: its creation time as a FILETIME
};

/// Starts `command` and does not wait for it: it goes on when the caller has ended.
///
/// As run() otherwise. It is in a session of its own, so that neither Ctrl-C in the caller's terminal nor the end of
/// that terminal concerns it; on Windows in a process group of its own.
///
/// @throws std::system_error as run()
/// @see setsid(2), proc_pid_stat(5); CREATE_NEW_PROCESS_GROUP, GetProcessTimes
Identity spawn(const Command& command, const Surroundings& surroundings);

/// Stops the process that is meant, and no other.
///
/// It is asked politely (SIGTERM), and ended if it is still there after `grace`. On Windows no polite request reaches
/// a process of another console: it is ended at once, with exit code 1. Its children are not touched.
///
/// @return true once it has ended; false if it had gone before, its number perhaps belonging to another process now:
///         then nobody was touched
/// @throws std::system_error it may not be stopped (EPERM; ERROR_ACCESS_DENIED)
/// @see pidfd_open(2), pidfd_send_signal(2), poll(2); OpenProcess, GetProcessTimes, TerminateProcess
bool stop(const Identity& process, std::chrono::milliseconds grace);

}  // namespace processes
