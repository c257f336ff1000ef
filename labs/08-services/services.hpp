#pragma once

/// @file
/// The contract of lab 08: a program that nobody started by hand.
///
/// You write these seven functions, in posix.cpp or in win32.cpp. main.cpp calls them and is given; so is what the service
/// is good for (Application, in main.cpp), and how it talks to its clients (control_channel.hpp).
///
/// | | posix: systemd | win32: the Service Control Manager |
/// |---|---|---|
/// | knows a service by | a unit file, `UNIT_DIR/NAME.service` | an entry in its database, NAME |
/// | is told of progress by | datagrams to the socket `$NOTIFY_SOCKET`, lines of `KEY=VALUE` | `SetServiceStatus` |
/// | says 'reload' by | SIGHUP | `SERVICE_CONTROL_PARAMCHANGE` |
/// | says 'stop' by | SIGTERM (a person at a terminal: SIGINT) | `SERVICE_CONTROL_STOP`, `SERVICE_CONTROL_SHUTDOWN` |
/// | clients come to | the socket `RUNTIME/control.socket` | the pipe `\\.\pipe\ipc-labs-NAME` |

#include <functional>
#include <string>
#include <utility>
#include <vector>

/// Lab 08, services: what is to be implemented.
namespace services {

/// What the command line said. Paths are as they were typed, UTF-8, perhaps relative to the current directory.
struct Service {
    std::string name;      ///< letters, digits, `-`, `_`, `.` and `:`, at most 200, beginning with a letter or digit
    std::string config;    ///< the configuration's file; empty: none
    std::string log;       ///< the file where events are written; empty: standard error
    std::string unit_dir;  ///< posix: where unit files are
    std::string runtime;   ///< posix: the directory of the control socket and the lock
};

/// To be called between two steps of something long: it tells the manager that we are alive and how far we are.
/// @return false: we have been told to stop. A start is given up then; an answer is finished all the same.
using Progress = std::function<bool(const std::string& what)>;

/// Who is at the other end of a connection, as the system tells it.
struct Peer {
    unsigned long pid = 0;
    std::string user;  ///< posix: the user's number; Windows: the security identifier, `S-1-5-…`
};

/// What the service is good for. Given: main.cpp.
class Application {
public:
    virtual ~Application() = default;
    /// Reads the configuration and everything it names, which may take long: `progress` is called before each step.
    /// @return false: given up, because `progress` said so
    /// @throws std::runtime_error the configuration is no good, and why
    virtual bool load(const Progress& progress) = 0;
    /// Reads the configuration again.
    /// @throws std::runtime_error it is no good, and why; then the old one stays in force
    virtual void reload() = 0;
    /// The answer to a request. May take long, and calls `progress` after each step.
    virtual std::string answer(const std::string& request, const Progress& progress) = 0;
    /// Writes one event to the log, as one line: the time, `event=EVENT`, and each field as `key=value`.
    virtual void log(const std::string& event, const std::vector<std::pair<std::string, std::string>>& fields) = 0;
    /// For a person at a terminal: prints `ready ADDRESS`.
    virtual void ready(const std::string& address) = 0;
};

// ---- the service itself ---------------------------------------------------------------------------------------------

/// Is the service NAME, until it is told to stop.
///
/// In this order:
/// 1. Is the only one of its name. posix: holds a lock on `RUNTIME/lock` (made with RUNTIME, if need be) for as long as it
///    lives. A lock that somebody else holds is an error, and he is not disturbed. The file itself means nothing: it may be
///    there, left by somebody who was killed.
/// 2. Loads the application. Each progress is told to the manager.
/// 3. Opens the control channel, for the owner alone. posix: mode 0600 whatever the umask is; a socket that is left there is
///    removed first (we hold the lock: nobody can be using it). Windows: a local pipe that nobody else has made.
/// 4. Tells the manager that it is ready; not before, since whoever waits for us comes at once. Then calls ready().
/// 5. Serves, one request after the other. Waiting uses no processor. Each request is one event in the log,
///    `request` with the fields `pid` and `user` (of the Peer), and `text`.
/// 6. When told to reload: reloads, without losing a client, and logs `reloaded`. A configuration that is no good is logged
///    as `reload-failed`, with `error`, and leaves the old one in force.
/// 7. When told to stop: finishes the answer that it is at, and sends it; closes the channel and removes its name; returns.
///    A start is given up, without ever having been ready.
///
/// What the manager is told:
///
/// | when | posix | win32 |
/// |---|---|---|
/// | at each progress while starting | `STATUS=what`, `EXTEND_TIMEOUT_USEC=…` | `START_PENDING`, next checkpoint, wait hint; no controls accepted |
/// | ready | `READY=1`, `MAINPID=…` | `RUNNING`; accepts stop, shutdown, paramchange |
/// | at each progress while answering | `STATUS=what`, `WATCHDOG=1` if wanted | |
/// | reloading | `RELOADING=1` and `MONOTONIC_USEC=…` in one datagram; after it `READY=1` | |
/// | told to stop; at each progress from then on | `STOPPING=1`; `EXTEND_TIMEOUT_USEC=…` | `STOP_PENDING`, next checkpoint, wait hint |
/// | at the end | exit code 0 | `STOPPED`, exit code 0 |
/// | it fails | exit code 1 | `STOPPED`, an exit code other than 0 |
///
/// On posix, told to stop in the middle of an answer it says so at the next progress at the latest; on Windows at once.
/// If `WATCHDOG_USEC` is set, and `WATCHDOG_PID` is ours or not set, the manager wants to hear `WATCHDOG=1` at least that
/// often, from the one who does the work: whoever is stuck in an answer must fall silent.
/// Without `NOTIFY_SOCKET` nobody is told: it runs in the foreground, for a person. It begins with `/`, or with `@` for an
/// abstract name. Windows has no such mode.
///
/// @throws std::exception whatever keeps it from serving; it is logged as `failed`, with `error`, too. posix: a NOTIFY_SOCKET that
///         does not answer. Windows: ERROR_FAILED_SERVICE_CONTROLLER_CONNECT started by hand, with a word on what to type instead
/// @see sd_notify(3), systemd.service(5), flock(2), signalfd(2), unix(7) on abstract names and SO_PEERCRED;
///      StartServiceCtrlDispatcherW, RegisterServiceCtrlHandlerExW, SetServiceStatus, ImpersonateNamedPipeClient
void run(const Service& service, Application& application);

// ---- what the manager knows -----------------------------------------------------------------------------------------

/// Makes the service known, or changes what is known of it. Does not start it.
///
/// The manager will run this program, by its full path, with `run NAME`, and behind it, if they are given, `--config`
/// and `--log` with absolute paths. Every character of a path arrives as it is.
/// posix: writes `UNIT_DIR/NAME.service`, whole or not at all, with Type=notify, a reload by SIGHUP, `RuntimeDirectory=NAME`,
/// a watchdog, a restart after failure; then `systemctl daemon-reload`.
/// win32: a process of its own, started on demand, with a description, restarted after a failure.
///
/// @throws std::system_error EINVAL / ERROR_INVALID_NAME the name is not allowed; EACCES / ERROR_ACCESS_DENIED; else the system's code
/// @throws std::runtime_error systemctl has failed, or is not there; then the unit file is as it was before
/// @see systemd.unit(5), systemd.service(5) on 'COMMAND LINES'; CreateServiceW, ChangeServiceConfigW, ChangeServiceConfig2W
void install(const Service& service);

/// Stops the service if it runs, and makes it unknown. Nothing is left.
/// @throws std::system_error ENOENT / ERROR_SERVICE_DOES_NOT_EXIST it is not installed; EINVAL / ERROR_INVALID_NAME;
///         else as install()
/// @see systemctl(1) on disable; DeleteService
void remove(const Service& service);

// ---- driving it -----------------------------------------------------------------------------------------------------
// posix: systemctl does it, found in PATH and started without a shell; what it prints is the caller's to see.
// Each throws std::system_error with the system's own code, or std::runtime_error when systemctl has failed or is not there:
// what was asked for, of whom, how it ended, what to do next. Names that are not allowed are refused as in install().

/// Starts the service, and returns when it is ready.
/// Windows: waits as long as the checkpoints go on; ERROR_SERVICE_ALREADY_RUNNING; the service's own code if it stops instead.
void start(const std::string& name);

/// Stops it, and returns when it has stopped. One that is still starting is waited for (Windows) or interrupted (posix).
void stop(const std::string& name);

/// Makes it read its configuration again.
void reload(const std::string& name);

enum class State { not_installed, stopped, starting, running, reloading, stopping, failed };

struct Status {
    State state = State::not_installed;
    unsigned long pid = 0;  ///< 0 if it has no process
    std::string text;       ///< posix: what it said last as STATUS
};

/// What the manager knows of it at this moment. A service that the manager has never heard of is no error.
/// @see systemctl(1) on show: LoadState, ActiveState, MainPID, StatusText; QueryServiceStatusEx
Status status(const std::string& name);

}  // namespace services
