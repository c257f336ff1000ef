// Another way: no timer at all, only timeouts; the process's own line in a Toolhelp snapshot instead of all threads.

#include "monitoring.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <unordered_map>
// clang-format off
#include <windows.h>
#include <psapi.h>
#include <tlhelp32.h>
// clang-format on

namespace monitoring {

// ---- Exercise 1 -------------------------------------------------------------------------------------------------------

struct Target::State {
    ProcessId id = 0;
    ipc::unique_handle process;
    bool ends_within(DWORD timeout_ms) const { return ::WaitForSingleObject(process.get(), timeout_ms) == WAIT_OBJECT_0; }
};

Target::Target(ProcessId id) : state_(std::make_unique<State>()) {
    state_->id = id;
    state_->process.reset(::OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, id));
    if (!state_->process)
        ipc::throw_last_error("OpenProcess", std::to_string(id));
}

Target::~Target() = default;

std::optional<Reading> Target::read() const {
    if (state_->ends_within(0))
        return std::nullopt;
    Reading reading;
    ULARGE_INTEGER times[5];
    FILETIME raw[5];
    if (!::GetProcessTimes(state_->process.get(), &raw[0], &raw[1], &raw[2], &raw[3]))
        ipc::throw_last_error("GetProcessTimes");
    ::GetSystemTimePreciseAsFileTime(&raw[4]);
    reading.at = clock::now();
    for (int i = 0; i < 5; ++i)
        times[i] = {{raw[i].dwLowDateTime, raw[i].dwHighDateTime}};
    reading.cpu_time = microseconds((times[2].QuadPart + times[3].QuadPart) / 10);
    reading.age = microseconds(static_cast<std::int64_t>(times[4].QuadPart - times[0].QuadPart) / 10);
    PROCESS_MEMORY_COUNTERS_EX memory{};
    if (::GetProcessMemoryInfo(state_->process.get(), reinterpret_cast<PROCESS_MEMORY_COUNTERS*>(&memory), sizeof memory))
        reading.memory = memory.WorkingSetSize;
    const ipc::unique_file snapshot(::CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0));
    PROCESSENTRY32W entry{};
    entry.dwSize = sizeof entry;
    for (BOOL more = snapshot && ::Process32FirstW(snapshot.get(), &entry); more; more = ::Process32NextW(snapshot.get(), &entry))
        if (entry.th32ProcessID == state_->id) {
            reading.name = ipc::to_utf8(entry.szExeFile);
            reading.threads = entry.cntThreads;
        }
    DWORD handles = 0;
    if (::GetProcessHandleCount(state_->process.get(), &handles))
        reading.descriptors = handles;
    else
        reading.refused = ipc::last_error();
    return state_->ends_within(0) ? std::nullopt : std::optional(reading);
}

bool Target::watch(milliseconds interval, std::uint64_t count, const Seen& seen) const {
    const clock::time_point begin = clock::now();
    for (std::uint64_t turn = 0;; turn = std::max(turn + 1, static_cast<std::uint64_t>((clock::now() - begin) / interval))) {
        for (clock::duration left; (left = begin + static_cast<milliseconds::rep>(turn) * interval - clock::now()) > clock::duration::zero();)
            if (state_->ends_within(static_cast<DWORD>(std::chrono::ceil<milliseconds>(left).count())))
                return true;
        const std::optional<Reading> reading = read();
        if (!reading)
            return true;
        seen(*reading, turn);
        if (--count == 0)
            return false;
    }
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
        for (nanoseconds left; (left = due - clock::now()).count() > 0;)
            ::Sleep(static_cast<DWORD>(std::chrono::ceil<milliseconds>(left).count()));
        const clock::time_point sent = clock::now();
        round_trip();
        const clock::time_point back = clock::now();
        took.from_sent.record(static_cast<std::uint64_t>(nanoseconds(back - sent).count()));
        took.from_due.record(static_cast<std::uint64_t>(nanoseconds(back - due).count()));
    }
    return took;
}

}  // namespace monitoring
