// Lab 09, posix track: the reference solution.

#include "monitoring.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <poll.h>
#include <sstream>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace monitoring {

// ---- Exercise 1: a process, seen from outside -----------------------------------------------------------------------

namespace {

bool is_readable(int descriptor) {
    pollfd entry{descriptor, POLLIN, 0};
    return ipc::check(::poll(&entry, 1, 0), "poll") > 0;
}

// A file in /proc is made at the moment when it is read, in one piece. Empty if the process has gone meanwhile.
std::string contents(const std::string& path) {
    const ipc::unique_file file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 4096> text;
    const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : -1;
    if (size < 0 && errno != ENOENT && errno != ESRCH)
        ipc::throw_last_error(file ? "read" : "open", path);
    return std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
}

microseconds ticks(std::uint64_t count) {
    static const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return microseconds(count * 1'000'000 / per_second);
}

// The start of a process is counted from boot, on the clock that goes on while the machine sleeps.
microseconds since_boot() {
    timespec now{};
    ipc::check(::clock_gettime(CLOCK_BOOTTIME, &now), "clock_gettime");
    return std::chrono::seconds(now.tv_sec) + microseconds(now.tv_nsec / 1000);
}

void add_stat(Reading& reading, const std::string& stat) {
    // 4711 (name) S 1 ...: the name may contain blanks and parentheses itself; only the last one ends it.
    const std::size_t open = stat.find('('), close = stat.rfind(')');
    reading.name = stat.substr(open + 1, close - open - 1);
    std::istringstream rest(stat.substr(close + 1));
    std::vector<std::string> fields(3);  // so that fields[n] is field n of proc_pid_stat(5)
    for (std::string field; rest >> field;)
        fields.push_back(field);
    reading.cpu_time = ticks(std::stoull(fields.at(14))) + ticks(std::stoull(fields.at(15)));  // in user mode, in the kernel
    reading.threads = static_cast<unsigned>(std::stoul(fields.at(20)));
    reading.age = since_boot() - ticks(std::stoull(fields.at(22)));
}

void add_descriptors(Reading& reading, const std::string& folder) {
    unsigned count = 0;
    std::filesystem::directory_iterator entry(folder, reading.refused);
    for (; !reading.refused && entry != std::filesystem::directory_iterator(); entry.increment(reading.refused))
        ++count;
    if (!reading.refused)
        reading.descriptors = count;
}

}  // namespace

struct Target::State {
    std::string folder;        // /proc/PID: whoever has that number
    ipc::unique_file process;  // this process, for ever; readable when it has ended
};

Target::Target(ProcessId id) : state_(new State) {
    state_->folder = "/proc/" + std::to_string(id);
    state_->process.reset(static_cast<int>(ipc::check(::syscall(SYS_pidfd_open, id, 0), "pidfd_open", std::to_string(id))));
}

Target::~Target() = default;

std::optional<Reading> Target::read() const {
    Reading reading;
    const std::string stat = contents(state_->folder + "/stat");
    reading.at = clock::now();
    const std::string statm = contents(state_->folder + "/statm");
    if (!stat.empty())
        add_stat(reading, stat);
    if (!statm.empty())  // pages: all, resident...
        reading.memory = std::stoull(statm.substr(statm.find(' '))) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    add_descriptors(reading, state_->folder + "/fd");
    // Asked last: if it lives now, then the number has been its own all the while, and so was everything that we have read.
    if (is_readable(state_->process.get()))
        return std::nullopt;
    return reading;
}

bool Target::watch(milliseconds interval, std::uint64_t count, const Seen& seen) const {
    // The kernel counts the turns, and does not wait for us.
    const ipc::unique_file timer(ipc::check(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), "timerfd_create"));
    const timespec each{interval.count() / 1000, interval.count() % 1000 * 1'000'000};
    const itimerspec from_now_on{each, each};
    ipc::check(::timerfd_settime(timer.get(), 0, &from_now_on, nullptr), "timerfd_settime");

    for (std::uint64_t turn = 0;;) {
        const std::optional<Reading> reading = read();
        if (!reading)
            return true;
        seen(*reading, turn);
        if (--count == 0)
            return false;
        pollfd either[2] = {{state_->process.get(), POLLIN, 0}, {timer.get(), POLLIN, 0}};
        while (::poll(either, 2, -1) == -1)
            if (errno != EINTR)
                ipc::throw_last_error("poll");
        if (either[0].revents)
            return true;
        std::uint64_t passed = 0;  // more than one if `seen` took its time
        ipc::check(::read(timer.get(), &passed, sizeof passed), "read", "timerfd");
        turn += passed;
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

void sleep_until(clock::time_point due) {
    // steady_clock is CLOCK_MONOTONIC here. An absolute time: what passes before the call is not slept twice.
    const nanoseconds at = due.time_since_epoch();
    const timespec moment{at.count() / 1'000'000'000, at.count() % 1'000'000'000};
    while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, nullptr) == EINTR) {
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
    const clock::time_point begin = clock::now();
    for (std::uint64_t i = 0; i < count; ++i) {
        // From the beginning, not from the last one: a late message does not put off those behind it.
        const clock::time_point due = begin + static_cast<nanoseconds::rep>(i) * interval;
        sleep_until(due);  // returns at once if it has passed
        const clock::time_point sent = clock::now();
        round_trip();
        took.from_sent.record(nanoseconds_since(sent));
        took.from_due.record(nanoseconds_since(due));
    }
    return took;
}

}  // namespace monitoring
