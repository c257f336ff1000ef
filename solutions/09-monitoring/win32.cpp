// Lab 09, win32 track: the reference solution.

#include "monitoring.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <bit>
#include <bitset>
#include <map>
// clang-format off
#include <windows.h>
#include <psapi.h>
#include <tlhelp32.h>
// clang-format on

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 0x00000002  // since Windows 10 1803; older headers lack it
#endif

namespace monitoring {

// ---- Exercise 1: a process, seen from outside -----------------------------------------------------------------------

namespace {

bool has_ended(HANDLE process) {
    // Not by GetExitCodeProcess: STILL_ACTIVE is 259, and a process may end with 259.
    return ::WaitForSingleObject(process, 0) == WAIT_OBJECT_0;
}

microseconds from(const FILETIME& time) {  // in units of 100 ns
    return microseconds(((static_cast<std::uint64_t>(time.dwHighDateTime) << 32) | time.dwLowDateTime) / 10);
}

void add_name(Reading& reading, HANDLE process) {
    std::wstring path(32768, L'\0');
    auto size = static_cast<DWORD>(path.size());
    if (!::QueryFullProcessImageNameW(process, 0, path.data(), &size))
        ipc::throw_last_error("QueryFullProcessImageNameW");
    path.resize(size);
    reading.name = ipc::to_utf8(path.substr(path.find_last_of(L'\\') + 1));
}

void add_times(Reading& reading, HANDLE process) {
    FILETIME begin, end, kernel, user, now;
    if (!::GetProcessTimes(process, &begin, &end, &kernel, &user))
        ipc::throw_last_error("GetProcessTimes");
    reading.at = clock::now();
    ::GetSystemTimePreciseAsFileTime(&now);
    reading.cpu_time = from(kernel) + from(user);
    reading.age = from(now) - from(begin);
}

void add_memory(Reading& reading, HANDLE process) {
    PROCESS_MEMORY_COUNTERS counters{};
    counters.cb = sizeof counters;
    if (!::GetProcessMemoryInfo(process, &counters, sizeof counters))
        ipc::throw_last_error("GetProcessMemoryInfo");
    reading.memory = counters.WorkingSetSize;  // now; the Peak of it is a record of the past
}

// A snapshot has the threads of everybody.
void add_threads(Reading& reading, ProcessId id) {
    const ipc::unique_file snapshot(::CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0));
    if (!snapshot)
        ipc::throw_last_error("CreateToolhelp32Snapshot");
    THREADENTRY32 entry{};
    entry.dwSize = sizeof entry;
    for (BOOL more = ::Thread32First(snapshot.get(), &entry); more; more = ::Thread32Next(snapshot.get(), &entry))
        reading.threads += entry.th32OwnerProcessID == id;
}

void add_handles(Reading& reading, HANDLE process) {
    DWORD count = 0;
    if (::GetProcessHandleCount(process, &count))
        reading.descriptors = count;
    else
        reading.refused = ipc::last_error();
}

// Signalled at `due`; at once if that has passed. A negative time counts from now, in units of 100 ns.
void arm(HANDLE timer, clock::time_point due) {
    LARGE_INTEGER from_now{};
    from_now.QuadPart = -std::max<long long>(0, std::chrono::duration_cast<nanoseconds>(due - clock::now()).count() / 100);
    if (!::SetWaitableTimer(timer, &from_now, 0, nullptr, nullptr, FALSE))
        ipc::throw_last_error("SetWaitableTimer");
}

}  // namespace

struct Target::State {
    ProcessId id = 0;            // nobody else's while we hold the handle
    ipc::unique_handle process;  // this process, for ever; signalled when it has ended
};

Target::Target(ProcessId id) : state_(new State) {
    state_->id = id;
    // No more rights than needed: these are given where PROCESS_QUERY_INFORMATION and PROCESS_VM_READ are refused.
    state_->process.reset(::OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, id));
    if (!state_->process)
        ipc::throw_last_error("OpenProcess", std::to_string(id));
}

Target::~Target() = default;

std::optional<Reading> Target::read() const {
    const HANDLE process = state_->process.get();
    if (has_ended(process))
        return std::nullopt;
    Reading reading;
    try {
        add_times(reading, process);
        add_memory(reading, process);
        add_threads(reading, state_->id);
        add_handles(reading, process);
        add_name(reading, process);
    } catch (const std::system_error&) {
        if (!has_ended(process))
            throw;
    }
    // Asked last as well: what the system says of a process that has ended is no reading.
    if (has_ended(process))
        return std::nullopt;
    return reading;
}

bool Target::watch(milliseconds interval, std::uint64_t count, const Seen& seen) const {
    const ipc::unique_handle timer(::CreateWaitableTimerW(nullptr, FALSE, nullptr));
    if (!timer)
        ipc::throw_last_error("CreateWaitableTimerW");
    const clock::time_point begin = clock::now();

    for (std::uint64_t turn = 0;;) {
        const std::optional<Reading> reading = read();
        if (!reading)
            return true;
        seen(*reading, turn);
        if (--count == 0)
            return false;
        // A periodic timer forgets how often it was signalled; so the turns are counted by the clock.
        const auto passed = [&] { return static_cast<std::uint64_t>((clock::now() - begin) / interval); };
        while (passed() == turn) {
            const clock::time_point next = begin + static_cast<milliseconds::rep>(turn + 1) * interval;
            arm(timer.get(), next);
            const HANDLE either[2] = {state_->process.get(), timer.get()};
            if (::WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0)
                return true;
        }
        turn = passed();
    }
}

static double percent(std::chrono::duration<double> used, std::chrono::duration<double> passed) {
    return passed.count() > 0 ? 100 * (used / passed) : 0;
}

double cpu_percent(const Reading& earlier, const Reading& later) {
    return percent(later.cpu_time - earlier.cpu_time, later.at - earlier.at);
}

double cpu_percent(const Reading& only) { return percent(only.cpu_time, only.age); }

// ---- Exercise 2: many numbers, and what is worth knowing of them ------------------------------------------------------

namespace {

// Values below 2 * per_octave have a counter each. Above, each power of two is cut into per_octave equal pieces: a piece is
// never wider than 1/128 of the values in it.
constexpr unsigned octave_bits = 7;
constexpr std::uint64_t per_octave = 1u << octave_bits;

std::size_t bucket_of(std::uint64_t value) {
    if (value < per_octave)
        return static_cast<std::size_t>(value);
    // So far that octave_bits + 1 bits are left.
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - octave_bits - 1;
    return static_cast<std::size_t>(shift * per_octave + (value >> shift));
}

std::uint64_t largest_in(std::size_t bucket) {
    if (bucket < 2 * per_octave)
        return bucket;
    const std::uint64_t shift = bucket / per_octave - 1, leading = bucket % per_octave + per_octave;
    return (leading << shift) + ((std::uint64_t{1} << shift) - 1);
}

}  // namespace

Histogram::Histogram() : counts_(bucket_of(~std::uint64_t{0}) + 1) {}

void Histogram::record(std::uint64_t value) {
    ++counts_[bucket_of(value)];
    min_ = count_ == 0 ? value : std::min(min_, value);
    max_ = std::max(max_, value);
    ++count_;
}

void Histogram::add(const Histogram& other) {
    if (other.count_ == 0)
        return;  // its min is none
    for (std::size_t i = 0; i < counts_.size(); ++i)
        counts_[i] += other.counts_[i];
    min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
    count_ += other.count_;
}

std::uint64_t Histogram::value_at(unsigned per_mille) const {
    // In whole numbers: 99.9 % of 1000 is 999, and not a little more than that.
    const std::uint64_t rank = std::max<std::uint64_t>(1, (count_ * per_mille + 999) / 1000);
    std::uint64_t passed = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i)
        if ((passed += counts_[i]) >= rank)
            return std::clamp(largest_in(i), min_, max_);
    return 0;
}

// ---- Exercise 3: a log, and what is missing in it ---------------------------------------------------------------------

namespace {

// What is remembered of a sender: counters, and for each number of the window whether it has come.
class Track {
public:
    explicit Track(std::string name) { seen_.name = std::move(name); }

    void take(const Entry& entry) {
        seen_.first_us = seen_.entries == 0 ? entry.time_us : std::min(seen_.first_us, entry.time_us);
        seen_.last_us = std::max(seen_.last_us, entry.time_us);
        ++seen_.entries;
        if (entry.number > highest_)
            advance_to(entry.number);
        else if (highest_ - entry.number >= Audit::window)
            ++seen_.stale;
        else if (has_come(entry.number))
            ++seen_.duplicates;
        else {
            ++seen_.reordered;
            arrive(entry.number);
        }
    }

    Audit::Sender summary() const {
        Audit::Sender found = seen_;
        found.lost = highest_ - distinct_;
        if (const std::uint64_t span = found.last_us - found.first_us; span > 0)
            found.rate = static_cast<double>(found.entries - 1) * 1e6 / static_cast<double>(span);
        return found;
    }

private:
    bool has_come(std::uint64_t number) const { return come_[number % Audit::window]; }
    void arrive(std::uint64_t number) {
        come_[number % Audit::window] = true;
        ++distinct_;
    }
    void advance_to(std::uint64_t number) {
        if (number - highest_ >= Audit::window)
            come_.reset();  // however far it leaps: not a step for each number
        else
            for (std::uint64_t skipped = highest_ + 1; skipped < number; ++skipped)
                come_[skipped % Audit::window] = false;
        highest_ = number;
        arrive(number);
    }

    Audit::Sender seen_;
    std::uint64_t highest_ = 0, distinct_ = 0;
    std::bitset<Audit::window> come_;
};

}  // namespace

struct Audit::State {
    std::map<std::string, Track, std::less<>> senders;
    Report counts;
    std::string line;  // what has come of the line that is not complete yet
    bool too_long = false;

    void take_line(bool complete) {
        ++counts.lines;
        const std::optional<Entry> entry = complete && !too_long ? parse(line) : std::nullopt;
        if (entry)
            take_entry(*entry);
        else if (++counts.torn == 1)
            counts.first_torn = counts.lines;
        line.clear();
        too_long = false;
    }
    void take_entry(const Entry& entry) {
        auto sender = senders.find(entry.sender);
        if (sender == senders.end() && senders.size() == most_senders) {
            ++counts.untracked;
            return;
        }
        if (sender == senders.end())
            sender = senders.emplace(entry.sender, Track(std::string(entry.sender))).first;
        sender->second.take(entry);
    }
};

Audit::Audit() : state_(new State) {}

Audit::~Audit() = default;

void Audit::take(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::size_t end = bytes.find('\n');
        const std::string_view part = bytes.substr(0, end);
        if (state_->line.size() + part.size() > longest_line)
            state_->too_long = true;
        else
            state_->line += part;
        if (end == std::string_view::npos)
            return;  // the rest of the line comes with the next piece
        state_->take_line(true);
        bytes.remove_prefix(end + 1);
    }
}

void Audit::finish() {
    if (!state_->line.empty() || state_->too_long)
        state_->take_line(false);
}

Audit::Report Audit::report() const {
    Report found = state_->counts;
    for (const auto& [name, track] : state_->senders)
        found.senders.push_back(track.summary());
    return found;
}

// ---- Exercise 4: what a message takes ---------------------------------------------------------------------------------

namespace {

std::uint64_t nanoseconds_since(clock::time_point begin) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<nanoseconds>(clock::now() - begin).count());
}

// The timer may be early by what the two clocks disagree about: then once more.
void sleep_until(HANDLE timer, clock::time_point due) {
    while (clock::now() < due) {
        arm(timer, due);
        if (::WaitForSingleObject(timer, INFINITE) == WAIT_FAILED)
            ipc::throw_last_error("WaitForSingleObject", "timer");
    }
}

}  // namespace

Histogram closed_loop(std::uint64_t count, const RoundTrip& round_trip) {
    Histogram took;
    for (std::uint64_t i = 0; i < count; ++i) {
        const clock::time_point sent = clock::now();
        round_trip();
        took.record(nanoseconds_since(sent));
    }
    return took;
}

OpenLoop open_loop(std::uint64_t count, nanoseconds interval, const RoundTrip& round_trip) {
    OpenLoop took;
    // High resolution: without it a timer is only as fine as the system's tick, 15.6 ms.
    const DWORD fine = CREATE_WAITABLE_TIMER_HIGH_RESOLUTION;
    const ipc::unique_handle timer(::CreateWaitableTimerExW(nullptr, nullptr, fine, TIMER_ALL_ACCESS));
    if (!timer)
        ipc::throw_last_error("CreateWaitableTimerExW");
    const clock::time_point begin = clock::now();
    for (std::uint64_t i = 0; i < count; ++i) {
        // From the beginning, not from the last one: a late message does not put off those behind it.
        const clock::time_point due = begin + static_cast<nanoseconds::rep>(i) * interval;
        sleep_until(timer.get(), due);  // returns at once if it has passed
        const clock::time_point sent = clock::now();
        round_trip();
        took.from_sent.record(nanoseconds_since(sent));
        took.from_due.record(nanoseconds_since(due));
    }
    return took;
}

}  // namespace monitoring
