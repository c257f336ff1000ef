#pragma once

/// @file
/// The contract of lab 09: to see what a process uses, and to measure what a message takes.
///
/// You write these functions, in posix.cpp or in win32.cpp. main.cpp calls them and is given; so are links.hpp (the
/// mechanisms that `bench` measures) and report.hpp (tables and charts).
///
/// All moments are on the steady clock, which nobody can set.

#include "ipc/clock.hpp"
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

/// Lab 09, monitoring: what is to be implemented.
namespace monitoring {

using clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// ---- Exercise 1: a process, seen from outside -----------------------------------------------------------------------

using ProcessId = std::uint32_t;

/// What the system has counted of a process, at one moment.
struct Reading {
    std::string name;           ///< the program's, as the system keeps it (POSIX: at most 15 bytes), UTF-8
    clock::time_point at;       ///< when it was read
    microseconds age{};         ///< how long ago the process started
    microseconds cpu_time{};    ///< user and system time of all its threads, also of those that have ended, since it started
    std::uint64_t memory = 0;   ///< bytes of physical memory that it has now: resident set, working set
    unsigned threads = 0;       ///< that live
    std::optional<unsigned> descriptors;  ///< open descriptors or handles; none if we may not look
    std::error_code refused;              ///< why not
};

/// Takes one reading; `turn` says which multiple of the interval it belongs to.
using Seen = std::function<void(const Reading& reading, std::uint64_t turn)>;

/// One process, whoever started it.
///
/// It stays this process: when it has ended and its number belongs to another one, the Target has ended too.
class Target {
public:
    /// @throws std::system_error no process has this number (ESRCH; ERROR_INVALID_PARAMETER), or it may not even be asked
    ///         (ERROR_ACCESS_DENIED). Nothing more than needed is asked for: what others may see of a process is enough.
    /// @see pidfd_open(2); OpenProcess with PROCESS_QUERY_LIMITED_INFORMATION and SYNCHRONIZE
    explicit Target(ProcessId id);
    ~Target();

    /// What it uses now; nothing if it has ended. One that waits for its parent to ask how it ended (a zombie), has ended;
    /// one whose first thread has ended while others go on, has not.
    ///
    /// Who may not look at the descriptors still gets everything else.
    /// @see proc_pid_stat(5), proc_pid_statm(5), proc_pid_fd(5); GetProcessTimes, GetProcessMemoryInfo,
    ///      CreateToolhelp32Snapshot, GetProcessHandleCount, QueryFullProcessImageNameW
    std::optional<Reading> read() const;

    /// Hands a reading to `seen` at once (turn 0) and at each multiple of `interval` from now on, `count` in all.
    ///
    /// The turns are counted from the beginning: they do not drift, however long `seen` takes. Turns that come while it is
    /// busy are left out, but counted: the next reading follows at once, and its turn is the latest that has come.
    /// Between the turns it uses no processor, and learns of the target's end at once, not at the next turn.
    /// @param count  at least 1
    /// @return whether the target ended before the last reading
    /// @see timerfd_create(2), poll(2); CreateWaitableTimerExW, WaitForMultipleObjects
    bool watch(milliseconds interval, std::uint64_t count, const Seen& seen) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Processor use between two readings, in percent of one processor: 50 is half of one, 200 is two.
/// 0 if no time has passed between them.
double cpu_percent(const Reading& earlier, const Reading& later);

/// The same on the average since the process started: what a single reading can tell. 0 if it has just started.
double cpu_percent(const Reading& only);

// ---- Exercise 2: many numbers, and what is worth knowing of them ------------------------------------------------------

/// Counts values in a fixed amount of memory, and knows their percentiles to within 1 %.
///
/// Values of about the same size share a counter. The counters are as close together as 1 % of the value asks for: one
/// for each number where the numbers are small, one for thousands where they are large.
class Histogram {
public:
    /// At most 256 KiB, whatever comes.
    Histogram();

    void record(std::uint64_t value);
    /// As if what `other` has recorded had been recorded here as well.
    void add(const Histogram& other);

    std::uint64_t count() const { return count_; }
    std::uint64_t min() const { return min_; }  ///< exact; 0 if nothing was recorded
    std::uint64_t max() const { return max_; }  ///< exact; 0 if nothing was recorded

    /// The smallest value that is not exceeded by at least `per_mille` thousandths of all: 500 is the median, 999 is p99.9.
    ///
    /// In a sorted list of n values it would be the one with number n * per_mille / 1000, rounded up, and at least the first.
    /// The answer is that value to within 1 %, and never below min() or above max(); 0 if nothing was recorded.
    std::uint64_t value_at(unsigned per_mille) const;

private:
    std::vector<std::uint64_t> counts_;
    std::uint64_t count_ = 0, min_ = 0, max_ = 0;
};

// ---- Exercise 3: a log, and what is missing in it ---------------------------------------------------------------------

/// One line of a log.
struct Entry {
    std::uint64_t time_us = 0;  ///< microseconds since whatever the log counts from
    std::string_view sender;    ///< points into the line
    std::uint64_t number = 0;   ///< each sender numbers its entries 1, 2, 3…
};

/// `TIME SENDER NUMBER`, separated by single blanks, and then the end or a blank and any text; TIME is in seconds and may have
/// decimals. Nothing if the line is something else. main.cpp has it.
std::optional<Entry> parse(std::string_view line);

/// Reads a log and finds what was lost, came twice or came late, in memory that does not grow with the log.
class Audit {
public:
    /// If h is the highest number so far, it is known of each of the numbers h - window + 1 … h whether it has come. Of older
    /// ones nothing is remembered.
    static constexpr std::uint64_t window = 1024;
    /// Entries of more senders than that are only counted.
    static constexpr std::size_t most_senders = 1000;
    /// A line that is longer than this is no entry, and is not kept.
    static constexpr std::size_t longest_line = 4096;

    Audit();
    ~Audit();

    /// The next piece of the log; the pieces may be cut anywhere.
    void take(std::string_view bytes);
    /// The log is at its end. What stands behind its last line break was torn off while it was written: it is no entry, even
    /// if it looks like one.
    void finish();

    struct Sender {
        std::string name;
        std::uint64_t entries = 0;     ///< that came, all of them
        std::uint64_t lost = 0;        ///< numbers from 1 to the highest that never came (or came as stale, see there)
        std::uint64_t duplicates = 0;  ///< entries whose number had come before
        std::uint64_t reordered = 0;   ///< entries that came for the first time, but after a higher number
        std::uint64_t stale = 0;       ///< entries older than the window: nobody can tell whether they are late or duplicates
        std::uint64_t first_us = 0, last_us = 0;  ///< earliest and latest time, wherever they stand in the log
        /// Entries per second: the steps from one entry to the next, divided by the time from the earliest to the latest; 0 if
        /// that is 0.
        double rate = 0;
    };
    struct Report {
        std::vector<Sender> senders;      ///< by name
        std::uint64_t lines = 0;          ///< all, torn ones and a last one without its end included
        std::uint64_t torn = 0;           ///< that are no entry
        std::uint64_t first_torn = 0;     ///< the number of the first of them, from 1; 0: none
        std::uint64_t untracked = 0;      ///< entries of the senders that were too many
    };
    Report report() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// ---- Exercise 4: what a message takes ---------------------------------------------------------------------------------

/// Sends one message and returns when its echo has come. It may throw, and that ends the measurement.
using RoundTrip = std::function<void()>;

/// `count` round trips, each as soon as the one before is over. @return what each took, in nanoseconds
Histogram closed_loop(std::uint64_t count, const RoundTrip& round_trip);

struct OpenLoop {
    Histogram from_due;   ///< from the moment when the message should have been sent to its echo: what who waits for it feels
    Histogram from_sent;  ///< from the moment when it was sent: what the mechanism took
};

/// `count` round trips, of which number i (from 0) is due at `i * interval` from now.
///
/// No message is sent before it is due. While the echo of one is awaited others may become due: they are sent as soon as it
/// has come, and none is left out. The schedule does not move, whatever happens.
/// While nothing is due it uses no processor.
/// @return both in nanoseconds
/// @see clock_nanosleep(2) with TIMER_ABSTIME; SetWaitableTimer
OpenLoop open_loop(std::uint64_t count, nanoseconds interval, const RoundTrip& round_trip);

}  // namespace monitoring
