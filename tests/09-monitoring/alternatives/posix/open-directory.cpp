// Another way: /proc/PID kept open as a directory, which stays that of this process; no timer but the timeout of ppoll.

#include "monitoring.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <functional>
#include <poll.h>
#include <set>
#include <sys/syscall.h>
#include <unistd.h>
#include <unordered_map>

namespace monitoring {

// ---- Exercise 1 -------------------------------------------------------------------------------------------------------

struct Target::State {
    ipc::unique_file directory, end;

    // False: the process has gone; the directory stays its own, and is empty then.
    bool contents(const char* name, std::string& text) const {
        const ipc::unique_file file(::openat(directory.get(), name, O_RDONLY | O_CLOEXEC));
        char buffer[8192];
        const ssize_t size = file ? ::read(file.get(), buffer, sizeof buffer) : -1;
        text.assign(buffer, static_cast<std::size_t>(std::max<ssize_t>(0, size)));
        return size > 0;
    }
    bool has_ended() const {
        pollfd entry{end.get(), POLLIN, 0};
        return ::poll(&entry, 1, 0) == 1;
    }
};

Target::Target(ProcessId id) : state_(std::make_unique<State>()) {
    state_->end.reset(static_cast<int>(ipc::check(::syscall(SYS_pidfd_open, id, 0), "pidfd_open", std::to_string(id))));
    const std::string path = "/proc/" + std::to_string(id);
    state_->directory.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!state_->directory || state_->has_ended())  // whose directory have we got?
        ipc::throw_error(ESRCH, "open", path);
}

Target::~Target() = default;

std::optional<Reading> Target::read() const {
    Reading reading;
    std::string text;
    if (!state_->contents("stat", text) || state_->has_ended())
        return std::nullopt;
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    reading.at = clock::now();
    const char* const behind = std::strrchr(text.c_str(), ')') + 1;
    reading.name = text.substr(text.find('(') + 1, text.rfind(')') - text.find('(') - 1);
    unsigned long user = 0, kernel = 0;
    unsigned long long start = 0;
    std::sscanf(behind, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %u %*d %llu", &user, &kernel, &reading.threads, &start);
    const double tick = 1e6 / static_cast<double>(::sysconf(_SC_CLK_TCK));
    reading.cpu_time = microseconds(std::llround(static_cast<double>(user + kernel) * tick));
    reading.age = microseconds(std::llround(static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3 - static_cast<double>(start) * tick));
    if (state_->contents("status", text))
        if (const auto at = text.find("VmRSS:"); at != std::string::npos)
            reading.memory = std::strtoull(text.c_str() + at + 6, nullptr, 10) * 1024;
    DIR* const open = ::fdopendir(::openat(state_->directory.get(), "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!open) {
        reading.refused = ipc::last_error();
    } else {
        reading.descriptors = 0;
        while (const dirent* entry = ::readdir(open))
            *reading.descriptors += entry->d_name[0] != '.';
        ::closedir(open);
    }
    return state_->has_ended() ? std::nullopt : std::optional(reading);
}

bool Target::watch(milliseconds interval, std::uint64_t count, const Seen& seen) const {
    const clock::time_point begin = clock::now();
    std::uint64_t turn = 0;
    while (const std::optional<Reading> reading = read()) {
        seen(*reading, turn);
        if (--count == 0)
            return false;
        for (std::uint64_t now = turn; now == turn; now = static_cast<std::uint64_t>((clock::now() - begin) / interval)) {
            const nanoseconds left = std::max<nanoseconds>(nanoseconds(0), begin + static_cast<milliseconds::rep>(turn + 1) * interval - clock::now());
            const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
            pollfd end{state_->end.get(), POLLIN, 0};
            if (::ppoll(&end, 1, &timeout, nullptr) == 1)
                return true;
        }
        turn = static_cast<std::uint64_t>((clock::now() - begin) / interval);
    }
    return true;
}

double cpu_percent(const Reading& earlier, const Reading& later) {
    const double passed = std::chrono::duration<double>(later.at - earlier.at).count();
    return passed > 0 ? 100 * std::chrono::duration<double>(later.cpu_time - earlier.cpu_time).count() / passed : 0;
}

double cpu_percent(const Reading& only) {
    const double age = std::chrono::duration<double>(only.age).count();
    return age > 0 ? 100 * std::chrono::duration<double>(only.cpu_time).count() / age : 0;
}

// ---- Exercise 2 -------------------------------------------------------------------------------------------------------

namespace {

// Counter n holds the values about base^n: 0.9 % from one to the next, and the middle is told.
const double step = std::log(1.009);

std::size_t bucket_of(std::uint64_t value) { return value == 0 ? 0 : 1 + static_cast<std::size_t>(std::log(static_cast<double>(value)) / step); }

}  // namespace

Histogram::Histogram() : counts_(bucket_of(~std::uint64_t{0}) + 1) {}

void Histogram::record(std::uint64_t value) {
    ++counts_[bucket_of(value)];
    if (count_++ == 0)
        min_ = max_ = value;
    min_ = std::min(min_, value);
    max_ = std::max(max_, value);
}

void Histogram::add(const Histogram& other) {
    std::transform(counts_.begin(), counts_.end(), other.counts_.begin(), counts_.begin(), std::plus<>());
    if (count_ == 0 || (other.count_ > 0 && other.min_ < min_))
        min_ = other.min_;
    max_ = std::max(max_, other.max_);
    count_ += other.count_;
}

std::uint64_t Histogram::value_at(unsigned per_mille) const {
    if (count_ == 0)
        return 0;
    // From above: at most so many may lie above the answer.
    const std::uint64_t above = count_ * (1000 - per_mille) / 1000;
    std::uint64_t passed = 0;
    std::size_t i = counts_.size();
    while (i > 1 && passed + counts_[i - 1] <= above)
        passed += counts_[--i];
    const double middle = i == 1 ? 0 : std::round(std::exp((static_cast<double>(i) - 1.5) * step));
    if (middle >= static_cast<double>(max_))
        return max_;
    return std::max(min_, static_cast<std::uint64_t>(middle));
}

// ---- Exercise 3 -------------------------------------------------------------------------------------------------------

namespace {

// What is missing of the window, instead of what has come.
struct Track {
    Audit::Sender counts;
    std::uint64_t highest = 0, filled = 0, holes = 0;
    std::set<std::uint64_t> missing;

    void take(const Entry& entry) {
        if (counts.entries++ == 0)
            counts.first_us = counts.last_us = entry.time_us;
        counts.first_us = std::min(counts.first_us, entry.time_us);
        counts.last_us = std::max(counts.last_us, entry.time_us);
        if (entry.number > highest) {
            const std::uint64_t oldest = entry.number < Audit::window ? 1 : entry.number - Audit::window + 1;
            missing.erase(missing.begin(), missing.lower_bound(oldest));
            for (std::uint64_t hole = std::max(highest + 1, oldest); hole < entry.number; ++hole)
                missing.insert(hole);
            holes += entry.number - highest - 1;
            highest = entry.number;
        } else if (entry.number + Audit::window <= highest) {
            ++counts.stale;
        } else if (missing.erase(entry.number) > 0) {
            ++counts.reordered;
            ++filled;
        } else {
            ++counts.duplicates;
        }
    }
};

}  // namespace

struct Audit::State {
    std::unordered_map<std::string, Track> senders;
    std::uint64_t lines = 0, torn = 0, first_torn = 0, untracked = 0;
    std::string rest;
    bool skipping = false;  // the rest of a line that was too long

    void line(std::string_view text, bool whole) {
        ++lines;
        const auto entry = whole ? parse(text) : std::nullopt;
        if (!entry) {
            if (torn++ == 0)
                first_torn = lines;
            return;
        }
        const std::string name(entry->sender);
        if (!senders.contains(name) && senders.size() >= most_senders)
            ++untracked;
        else
            senders[name].take(*entry);
    }
};

Audit::Audit() : state_(std::make_unique<State>()) {}
Audit::~Audit() = default;

void Audit::take(std::string_view bytes) {
    for (const char c : bytes) {
        if (c == '\n') {
            state_->line(state_->rest, !state_->skipping);
            state_->rest.clear();
            state_->skipping = false;
        } else if (state_->rest.size() == longest_line) {
            state_->skipping = true;
        } else {
            state_->rest += c;
        }
    }
}

void Audit::finish() {
    if (!state_->rest.empty())
        state_->line({}, false);
    state_->rest.clear();
}

Audit::Report Audit::report() const {
    Report found;
    for (const auto& [name, track] : state_->senders) {
        Sender sender = track.counts;
        sender.name = name;
        sender.lost = track.holes - track.filled;
        const auto span = static_cast<double>(sender.last_us - sender.first_us) / 1e6;
        sender.rate = span > 0 ? static_cast<double>(sender.entries - 1) / span : 0;
        found.senders.push_back(sender);
    }
    std::sort(found.senders.begin(), found.senders.end(), [](const Sender& a, const Sender& b) { return a.name < b.name; });
    found.lines = state_->lines;
    found.torn = state_->torn;
    found.first_torn = state_->first_torn;
    found.untracked = state_->untracked;
    return found;
}

// ---- Exercise 4 -------------------------------------------------------------------------------------------------------

Histogram closed_loop(std::uint64_t count, const RoundTrip& round_trip) {
    Histogram took;
    clock::time_point last = clock::now();  // the end of one is the beginning of the next
    while (count-- > 0) {
        round_trip();
        const clock::time_point now = clock::now();
        took.record(static_cast<std::uint64_t>(nanoseconds(now - last).count()));
        last = now;
    }
    return took;
}

OpenLoop open_loop(std::uint64_t count, nanoseconds interval, const RoundTrip& round_trip) {
    OpenLoop took;
    clock::time_point due = clock::now();
    for (; count > 0; --count, due += interval) {
        const nanoseconds left = due - clock::now();
        const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
        if (left.count() > 0 && ::ppoll(nullptr, 0, &timeout, nullptr) == -1)
            ipc::throw_last_error("ppoll");
        const clock::time_point sent = clock::now();
        round_trip();
        const clock::time_point back = clock::now();
        took.from_sent.record(static_cast<std::uint64_t>(nanoseconds(back - sent).count()));
        took.from_due.record(static_cast<std::uint64_t>(nanoseconds(back - due).count()));
    }
    return took;
}

}  // namespace monitoring
