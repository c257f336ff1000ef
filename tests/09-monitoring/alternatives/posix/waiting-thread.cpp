// Another way: a thread waits for the end of the process, the caller sleeps on a condition variable.

#include "monitoring.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <atomic>
#include <bit>
#include <bitset>
#include <cerrno>
#include <cmath>
#include <condition_variable>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <poll.h>
#include <sstream>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace monitoring {

// ---- Exercise 1 -------------------------------------------------------------------------------------------------------

// Knows when the process has ended, because a thread of its own waits for it.
struct Target::State {
    explicit State(ProcessId id) : number(id) {
        process.reset(static_cast<int>(ipc::check(::syscall(SYS_pidfd_open, id, 0), "pidfd_open", std::to_string(id))));
        enough.reset(ipc::check(::eventfd(0, EFD_CLOEXEC), "eventfd"));
        pollfd now{process.get(), POLLIN, 0};
        ended = ::poll(&now, 1, 0) == 1;
        waiter = std::thread([this] {
            pollfd either[2] = {{process.get(), POLLIN, 0}, {enough.get(), POLLIN, 0}};
            while (::poll(either, 2, -1) == -1) {
            }
            const std::lock_guard lock(mutex);
            ended = ended || either[0].revents != 0;
            changed.notify_all();
        });
    }
    ~State() {
        ::eventfd_write(enough.get(), 1);
        waiter.join();
    }

    ProcessId number;
    ipc::unique_file process, enough;
    std::mutex mutex;
    std::condition_variable changed;
    bool ended = false;
    std::thread waiter;
};

Target::Target(ProcessId id) : state_(std::make_unique<State>(id)) {}

Target::~Target() = default;

std::optional<Reading> Target::read() const {
    Reading reading;
    const std::string folder = "/proc/" + std::to_string(state_->number) + "/";
    clockid_t used{};
    timespec cpu{}, now{};
    if (::clock_getcpuclockid(static_cast<pid_t>(state_->number), &used) == 0)
        ::clock_gettime(used, &cpu);  // finer than ticks
    reading.at = clock::now();
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    reading.cpu_time = std::chrono::seconds(cpu.tv_sec) + microseconds(cpu.tv_nsec / 1000);
    std::ifstream comm(folder + "comm"), stat(folder + "stat"), status(folder + "status");
    std::getline(comm, reading.name);
    std::string line((std::istreambuf_iterator<char>(stat)), {}), word;
    std::istringstream fields(line.substr(line.rfind(')') + 1));
    for (int field = 3; field <= 22 && fields >> word; ++field)
        if (field == 22)
            reading.age = std::chrono::seconds(now.tv_sec) + microseconds(now.tv_nsec / 1000) - microseconds(std::stoll(word) * 1'000'000 / ::sysconf(_SC_CLK_TCK));
    while (status >> word) {
        std::uint64_t value = 0;
        if (word == "VmRSS:" && status >> value)
            reading.memory = value * 1024;
        else if (word == "Threads:")
            status >> reading.threads;
    }
    namespace fs = std::filesystem;
    unsigned open = 0;
    for (fs::directory_iterator at(folder + "fd", reading.refused), end; !reading.refused && at != end; at.increment(reading.refused))
        ++open;
    if (!reading.refused)
        reading.descriptors = open;
    pollfd ended{state_->process.get(), POLLIN, 0};
    return ::poll(&ended, 1, 0) == 1 ? std::nullopt : std::optional(reading);
}

bool Target::watch(milliseconds interval, std::uint64_t count, const Seen& seen) const {
    const clock::time_point begin = clock::now();
    for (std::uint64_t turn = 0;; turn = std::max(turn + 1, static_cast<std::uint64_t>((clock::now() - begin) / interval))) {
        {
            std::unique_lock lock(state_->mutex);
            if (state_->changed.wait_until(lock, begin + static_cast<milliseconds::rep>(turn) * interval, [&] { return state_->ended; }))
                return true;
        }
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

// ---- Exercise 2: many numbers, and what is worth knowing of them ------------------------------------------------------

namespace {

// Values below 2 * per_octave have a counter each. Above, each power of two is cut into per_octave equal pieces: a piece is
// never wider than 1/128 of the values in it.
constexpr unsigned octave_bits = 7;
constexpr std::uint64_t per_octave = 1u << octave_bits;

std::size_t bucket_of(std::uint64_t value) {
    if (value < per_octave)
        return static_cast<std::size_t>(value);
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - octave_bits - 1;  // what is left has octave_bits + 1 bits
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
        while (clock::now() < due)  // it may wake up early
            std::this_thread::sleep_until(due);
        const clock::time_point sent = clock::now();
        round_trip();
        const clock::time_point back = clock::now();
        took.from_sent.record(static_cast<std::uint64_t>(nanoseconds(back - sent).count()));
        took.from_due.record(static_cast<std::uint64_t>(nanoseconds(back - due).count()));
    }
    return took;
}

}  // namespace monitoring
