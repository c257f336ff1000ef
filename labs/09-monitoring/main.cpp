// lab-09: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "links.hpp"
#include "monitoring.hpp"
#include "report.hpp"

#include "ipc/error.hpp"
#include "ipc/program.hpp"
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>

namespace {

using namespace monitoring;
using report::text;

const char* const usage = R"(usage: lab-09 VERB ...
  sample PID                 what the process uses now; its processor use on the average since it started
  watch PID [--interval MS] [--count N]
                             a line every MS milliseconds (default 1000) until N lines are there or the process ends
        [--step]             after each line it goes on only when a line of input comes
  latency [FILE...]          numbers, one a line -> count, min, percentiles, max; of each FILE, and of all together;
                             of standard input if there is no FILE
        [--decimals D]       they have up to D digits behind the point (default 0, at most 9)
        [--svg FILE]         draws them as well
  audit                      a log on standard input, lines of TIME SENDER NUMBER [TEXT] -> what is missing in it
        [--chunk BYTES]      reads so many bytes at a time
  bench MECHANISM            round trips to a peer process, and messages one way
        [--count N] [--size BYTES] [--rate PER_SECOND] [--only closed|open|stream] [--svg FILE]
PID is a process id, or 'self'. MECHANISM is one of: )";

const char* const usage_end = R"(,
or stdio: then the peer is whoever gets our standard output and sends each line back; you can be it.
exit codes: 0 done, 2 wrong usage, 1 anything that the system refused or that is no number; said on standard error)";

std::string full_usage() { return std::string(usage) + links::Bench::mechanisms() + usage_end; }

// ---- the command line -----------------------------------------------------------------------------------------------

struct Options {
    std::vector<std::string> words;  // behind the verb
    std::uint64_t interval_ms = 1000, count = 0, chunk = 64 * 1024, size = 64, rate = 1000, decimals = 0;
    std::string only, svg;
    bool step = false;
};

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

std::uint64_t number(const std::string& what, const std::string& word, std::uint64_t least, std::uint64_t highest) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || value < least || value > highest)
        throw ipc::usage_error("lab-09: " + what + " is a number from " + std::to_string(least) + " to " +
                               std::to_string(highest) + ", not '" + word + "'");
    return value;
}

Options parse(const std::vector<std::string>& all) {
    Options options;
    std::size_t at = 1;
    auto value = [&] {
        if (at + 1 >= all.size())
            throw ipc::usage_error("lab-09: " + all[at] + " wants a value behind it");
        return all[++at];
    };
    constexpr std::uint64_t day_ms = 86'400'000, million = 1'000'000;
    for (; at < all.size(); ++at) {
        const std::string word = all[at];
        if (word == "--interval")
            options.interval_ms = number(word, value(), 1, day_ms);
        else if (word == "--count")
            options.count = number(word, value(), 1, 1000 * million);
        else if (word == "--chunk")
            options.chunk = number(word, value(), 1, 64 * 1024);
        else if (word == "--size")
            options.size = number(word, value(), 1, million);
        else if (word == "--rate")
            options.rate = number(word, value(), 1, million);
        else if (word == "--decimals")
            options.decimals = number(word, value(), 0, 9);
        else if (word == "--only")
            options.only = value();
        else if (word == "--svg")
            options.svg = value();
        else if (word == "--step")
            options.step = true;
        else if (word.starts_with("--"))
            throw ipc::usage_error("lab-09: unknown option " + word + "\n" + full_usage());
        else
            options.words.push_back(word);
    }
    if (!options.only.empty() && options.only != "closed" && options.only != "open" && options.only != "stream")
        throw ipc::usage_error("lab-09: --only takes closed, open or stream, not '" + options.only + "'");
    return options;
}

ProcessId own_id() {
#ifdef _WIN32
    return GetCurrentProcessId();
#else
    return static_cast<ProcessId>(::getpid());
#endif
}

ProcessId process_id(const std::string& verb, const Options& options) {
    if (options.words.size() != 1)
        throw ipc::usage_error("lab-09: " + verb + " wants one process id, as in: lab-09 " + verb + " 4711");
    if (options.words[0] == "self")
        return own_id();
    return static_cast<ProcessId>(number("a process id", options.words[0], 1, 0x7fffffff));
}

// Byte by byte, since it is asked for a line at a time. At the end of the input nobody steps any more.
void wait_for_a_line() {
    for (int byte = 0; byte != '\n' && byte != EOF;)
        byte = std::fgetc(stdin);
}

void save(const std::string& path, const std::string& content) {
    std::ofstream file(std::filesystem::path(std::u8string(path.begin(), path.end())), std::ios::binary);
    if (!(file << content).flush())
        throw std::runtime_error("lab-09: cannot write '" + path + "'; does its folder exist, and may you write there?");
}

double seconds(microseconds time) { return std::chrono::duration<double>(time).count(); }

// ---- sample and watch -----------------------------------------------------------------------------------------------

Target open_target(ProcessId id) {
    try {
        return Target(id);
    } catch (const std::system_error& error) {
#ifdef _WIN32
        const bool nobody = error.code().value() == ERROR_INVALID_PARAMETER;
#else
        const bool nobody = error.code() == std::errc::no_such_process;
#endif
        throw std::runtime_error("lab-09: " + std::string(nobody ? "there is no process " : "may not look at process ") +
                                 std::to_string(id) + ": " + error.what());
    }
}

std::string mebibytes(std::uint64_t bytes) { return text("%.1f MiB", static_cast<double>(bytes) / (1 << 20)); }

std::string headline(ProcessId id, const Reading& reading) {
    return reading.name + " (pid " + std::to_string(id) + "), started " + text("%.3f s ago\n", seconds(reading.age));
}

int sample(const Options& options) {
    const ProcessId id = process_id("sample", options);
    const Target target = open_target(id);
    const std::optional<Reading> reading = target.read();
    if (!reading)
        throw std::runtime_error("lab-09: process " + std::to_string(id) + " has ended");
    ipc::print(headline(id, *reading) +                                                            //
               text("cpu          %.1f %%  on the average since it started\n", cpu_percent(*reading)) +  //
               text("cpu-time     %.3f s\n", seconds(reading->cpu_time)) +                          //
               "memory       " + mebibytes(reading->memory) + "\n" +                                //
               text("threads      %u\n", reading->threads) +                                        //
               (reading->descriptors ? text("descriptors  %u\n", *reading->descriptors)
                                     : "descriptors  -  we may not look: " + reading->refused.message() + "\n"));
    return 0;
}

int watch(const Options& options) {
    const ProcessId id = process_id("watch", options);
    const Target target = open_target(id);
    const clock::time_point begin = clock::now();
    std::optional<Reading> before;
    const bool ended = target.watch(milliseconds(options.interval_ms), options.count ? options.count : most,
                                    [&](const Reading& now, std::uint64_t turn) {
        std::string line;
        if (!before)
            line = headline(id, now) + "    turn        time    cpu %    cpu time      memory  threads  descriptors\n";
        const double time = std::chrono::duration<double>(now.at - begin).count();
        line += text("%8llu  %8.3f s  %7.1f  %8.3f s", static_cast<unsigned long long>(turn), time,
                     before ? cpu_percent(*before, now) : cpu_percent(now), seconds(now.cpu_time)) +
                text("  %10s  %7u", mebibytes(now.memory).c_str(), now.threads) +
                (now.descriptors ? text("  %11u", *now.descriptors) : "            -  " + now.refused.message()) +
                (before ? "\n" : "  (cpu: on the average since it started)\n");
        ipc::print(line);
        before = now;
        if (options.step)
            wait_for_a_line();
    });
    if (ended)
        ipc::print(text("ended, %.3f s after the beginning\n", std::chrono::duration<double>(clock::now() - begin).count()));
    return 0;
}

// ---- latency --------------------------------------------------------------------------------------------------------

// Makes values of text, which comes in pieces cut anywhere.
class Numbers {
public:
    Numbers(std::string where, unsigned decimals, Histogram& to) : where_(std::move(where)), decimals_(decimals), to_(to) {}
    void take(std::string_view bytes) {
        for (const char c : bytes) {
            if (c == '\n')
                finish_line();
            else if (size_ < sizeof line_)
                line_[size_++] = c;
            else
                refuse("is no number: it is longer than any");
        }
    }
    void finish() {
        if (size_ > 0)
            finish_line();
    }

private:
    void finish_line() {
        ++number_;
        std::string_view word(line_, std::exchange(size_, 0));
        const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
        while (!word.empty() && blank(word.back()))
            word.remove_suffix(1);
        while (!word.empty() && blank(word.front()))
            word.remove_prefix(1);
        if (!word.empty())
            to_.record(value_of(word));
    }
    std::uint64_t value_of(std::string_view word) {
        std::uint64_t value = 0;
        unsigned behind = 0;
        bool point = false, digit_seen = false;
        for (const char c : word) {
            if (c == '.' && !point) {
                point = true;
            } else if (c >= '0' && c <= '9') {
                if (point && ++behind > decimals_)
                    refuse(decimals_ == 0 ? "has decimals; say how many, as in --decimals 3"
                                          : "has more decimals than --decimals says", word);
                push(value, static_cast<unsigned>(c - '0'), word);
                digit_seen = true;
            } else {
                refuse(word.front() == '-' ? "is negative, and no duration is; did a clock go backwards?"
                                           : "is no number; wanted are digits, and a point if there is --decimals", word);
            }
        }
        if (!digit_seen)
            refuse("is no number", word);
        for (; behind < decimals_; ++behind)
            push(value, 0, word);
        return value;
    }
    void push(std::uint64_t& value, unsigned digit, std::string_view word) {
        if (value > (most - digit) / 10)
            refuse("is too large: 64 bits do not hold it", word);
        value = value * 10 + digit;
    }
    [[noreturn]] void refuse(const std::string& why, std::string_view word = {}) {
        if (word.empty()) {
            ++number_;
            word = std::string_view(line_, 20);
        }
        std::string shown;
        for (const char c : word)
            shown += c >= ' ' && c <= '~' ? c : '?';
        throw std::runtime_error("lab-09: " + where_ + ", line " + std::to_string(number_) + ": '" + shown + "' " + why);
    }

    std::string where_;
    unsigned decimals_;
    Histogram& to_;
    char line_[64];
    std::size_t size_ = 0;
    std::uint64_t number_ = 0;
};

// `value` is in units of the last decimal.
std::string decimal(std::uint64_t value, unsigned decimals) {
    std::string digits = std::to_string(value);
    if (decimals == 0)
        return digits;
    if (digits.size() <= decimals)
        digits.insert(0, decimals + 1 - digits.size(), '0');
    return digits.insert(digits.size() - decimals, ".");
}

Histogram numbers_in_file(const std::string& path, unsigned decimals) {
    std::ifstream file(std::filesystem::path(std::u8string(path.begin(), path.end())), std::ios::binary);
    if (!file)
        throw std::runtime_error("lab-09: cannot read '" + path + "'; is there such a file?");
    Histogram values;
    Numbers numbers(path, decimals, values);
    std::array<char, 64 * 1024> buffer;
    while (file.read(buffer.data(), buffer.size()), file.gcount() > 0)
        numbers.take({buffer.data(), static_cast<std::size_t>(file.gcount())});
    numbers.finish();
    return values;
}

Histogram numbers_in_input(unsigned decimals) {
    Histogram values;
    Numbers numbers("standard input", decimals, values);
    std::array<char, 64 * 1024> buffer;
    while (const std::size_t count = links::read_some(links::standard_input(), buffer.data(), buffer.size()))
        numbers.take({buffer.data(), count});
    numbers.finish();
    return values;
}

int latency(const Options& options) {
    const auto decimals = static_cast<unsigned>(options.decimals);
    std::vector<std::pair<std::string, Histogram>> rows;
    for (const std::string& path : options.words)
        rows.emplace_back(path, numbers_in_file(path, decimals));
    if (options.words.empty())
        rows.emplace_back("standard input", numbers_in_input(decimals));
    if (rows.size() > 1) {
        Histogram all;
        for (const auto& [name, values] : rows)
            all.add(values);
        rows.emplace_back("all", std::move(all));
    }
    if (rows.back().second.count() == 0)
        throw std::runtime_error("lab-09: there is no number in " + rows.front().first +
                                 (rows.size() > 1 ? " or the others" : ""));

    std::vector<std::string> head = {"", "count"};
    for (const std::string& name : report::percentile_names())
        head.push_back(name);
    report::Table table(head);
    std::vector<report::Curve> curves;
    const auto shown = [&](std::uint64_t value) { return decimal(value, decimals); };
    for (const auto& [name, values] : rows) {
        std::vector<std::string> row = {name, std::to_string(values.count())};
        for (const std::string& cell : report::percentiles(values, shown))
            row.push_back(cell);
        table.add(row);
        curves.push_back({name, &values});
    }
    ipc::print(table.str() + "percentiles are right to within 1 %; count, min and max are exact\n");
    if (!options.svg.empty()) {
        double unit = 1;
        for (unsigned i = 0; i < decimals; ++i)
            unit *= 10;
        const auto beside = [&](double value) { return text("%.3g", value / unit); };
        save(options.svg, report::chart("How large the larger ones are", curves, beside));
    }
    return 0;
}

// ---- audit ----------------------------------------------------------------------------------------------------------

int audit(const Options& options) {
    if (!options.words.empty())
        throw ipc::usage_error("lab-09: audit reads standard input, as in: lab-09 audit <" + options.words[0]);
    Audit audit;
    std::vector<char> buffer(options.chunk);
    while (const std::size_t count = links::read_some(links::standard_input(), buffer.data(), buffer.size()))
        audit.take({buffer.data(), count});
    audit.finish();

    const Audit::Report found = audit.report();
    if (found.lines == found.torn)
        throw std::runtime_error("lab-09: of " + std::to_string(found.lines) + " lines none is a log entry; wanted is: "
                                 "TIME SENDER NUMBER [TEXT], as in: 12.345678 worker-1 42 done");
    report::Table table({"sender", "entries", "lost", "duplicates", "reordered", "stale", "first", "last", "per second"});
    for (const Audit::Sender& sender : found.senders) {
        std::vector<std::string> row = {sender.name};
        for (const std::uint64_t count : {sender.entries, sender.lost, sender.duplicates, sender.reordered, sender.stale})
            row.push_back(std::to_string(count));
        for (const std::uint64_t time_us : {sender.first_us, sender.last_us})
            row.push_back(text("%.6f", static_cast<double>(time_us) / 1e6));
        row.push_back(text("%.1f", sender.rate));
        table.add(std::move(row));
    }
    std::string words = table.str() + std::to_string(found.lines) + " lines, " + std::to_string(found.torn) + " torn";
    if (found.torn > 0)
        words += ", the first of them line " + std::to_string(found.first_torn);
    if (found.untracked > 0)
        words += "; " + std::to_string(found.untracked) + " entries of more than " + std::to_string(Audit::most_senders) +
                 " senders, only counted";
    ipc::print(words + "\n");
    return 0;
}

// ---- bench ----------------------------------------------------------------------------------------------------------

std::string in_microseconds(std::uint64_t nanoseconds) { return text("%.1f", static_cast<double>(nanoseconds) / 1000); }

class BenchReport {
public:
    BenchReport() : table_(head()) {}
    void add(const std::string& name, Histogram values) {
        std::vector<std::string> row = {name};
        for (const std::string& cell : report::percentiles(values, in_microseconds))
            row.push_back(cell);
        table_.add(row);
        rows_.emplace_back(name, std::move(values));
    }
    bool empty() const { return rows_.empty(); }
    std::string table() const { return table_.str(); }
    std::string chart(const std::string& title) const {
        std::vector<report::Curve> curves;
        for (const auto& [name, values] : rows_)
            curves.push_back({name, &values});
        return report::chart(title, curves, report::duration);
    }

private:
    static std::vector<std::string> head() {
        std::vector<std::string> cells = {"round trips, in microseconds"};
        for (const std::string& name : report::percentile_names())
            cells.push_back(name);
        return cells;
    }
    report::Table table_;
    std::vector<std::pair<std::string, Histogram>> rows_;
};

[[noreturn]] void peer_is_gone() {
    throw std::runtime_error("lab-09: the peer has gone away, in the middle of the measurement");
}

// `count` messages one way, and one echo at the end, so that all have arrived.
std::string stream(links::Link& link, std::size_t size, std::uint64_t count) {
    std::string message(size, links::swallow);
    const clock::time_point begin = clock::now();
    for (std::uint64_t i = 0; i + 1 < count; ++i)
        if (!link.send(message))
            peer_is_gone();
    message[0] = links::echo;
    if (!link.send(message) || !link.receive(message))
        peer_is_gone();
    const double took = std::chrono::duration<double>(clock::now() - begin).count();
    const double each = static_cast<double>(count) / took;
    return text("one way: %.0f messages a second, %.1f MB/s\n", each, each * static_cast<double>(size) / 1e6);
}

void measure(const Options& options, std::uint64_t count, const RoundTrip& closed, const RoundTrip& open, BenchReport& found) {
    if (options.only.empty() || options.only == "closed")
        found.add("one after the other", closed_loop(count, closed));
    if (options.only.empty() || options.only == "open") {
        OpenLoop loop = open_loop(count, nanoseconds(1'000'000'000 / options.rate), open);
        const std::string rate = std::to_string(options.rate) + " a second, ";
        found.add(rate + "from due", std::move(loop.from_due));
        found.add(rate + "from sent", std::move(loop.from_sent));
    }
}

// The peer reads `hello`, which is not measured, then `closed 0`, `closed 1`…, `open 0`, `open 1`….
void bench_lines(const Options& options, std::uint64_t count, BenchReport& found) {
    links::LineLink link;
    auto trips = [&link, number = std::uint64_t{0}](const std::string& word) mutable {
        return [&link, word, number]() mutable {
            if (!link.round_trip(word + " " + std::to_string(number++)))
                peer_is_gone();
        };
    };
    if (!link.round_trip("hello"))
        peer_is_gone();
    measure(options, count, trips("closed"), trips("open"), found);
}

std::string bench_link(const Options& options, std::uint64_t count, BenchReport& found) {
    links::Bench bench(options.words[0], options.size);
    std::string message(options.size, links::echo);
    const RoundTrip trip = [&] {
        if (!bench.link().send(message) || !bench.link().receive(message))
            peer_is_gone();
    };
    for (int i = 0; i < 20; ++i)
        trip();  // what is only slow the first time is not what is measured
    ipc::print(options.words[0] + ": " + std::to_string(options.size) + " bytes there and back, " + std::to_string(count) +
               " times; the peer is process " + std::to_string(bench.peer_id()) + "\n");
    measure(options, count, trip, trip, found);
    return options.only.empty() || options.only == "stream" ? stream(bench.link(), options.size, count) : "";
}

int bench(const Options& options) {
    if (options.words.size() != 1)
        throw ipc::usage_error("lab-09: bench wants one mechanism, as in: lab-09 bench pipe");
    const std::string& mechanism = options.words[0];
    const std::string known = std::string(", ") + links::Bench::mechanisms() + ", stdio, ";
    if (mechanism.empty() || known.find(", " + mechanism + ", ") == std::string::npos)
        throw ipc::usage_error("lab-09: there is no mechanism '" + mechanism + "' here; there are " +
                               links::Bench::mechanisms() + ", stdio");
    if (mechanism == "stdio" && options.only == "stream")
        throw ipc::usage_error("lab-09: stdio does not stream, for its peer sends each line back; take --only closed or open");
    if (!options.svg.empty())
        save(options.svg, "");  // now is the time to find that it cannot be written

    BenchReport found;
    std::string one_way;
    const std::uint64_t count = options.count ? options.count : 2000;
    if (mechanism == "stdio")
        bench_lines(options, count, found);
    else
        one_way = bench_link(options, count, found);
    ipc::print((found.empty() ? "" : found.table()) + one_way);
    if (!options.svg.empty())
        save(options.svg, found.chart(mechanism + ", " + std::to_string(options.size) +
                                      " bytes: how long the slower round trips take"));
    return 0;
}

int run(const ipc::Arguments& arguments) {
    const std::vector<std::string>& words = arguments.options;
    const std::string verb = words.empty() ? "" : words[0];
    if (verb == "--help") {
        ipc::print(full_usage() + "\n");
        return 0;
    }
    if (verb == "peer") {
        links::be_the_peer(words);
        return 0;
    }
    if (arguments.has_command)
        throw ipc::usage_error("lab-09: it runs no command, so there is nothing to write behind --");
    if (verb == "sample")
        return sample(parse(words));
    if (verb == "watch")
        return watch(parse(words));
    if (verb == "latency")
        return latency(parse(words));
    if (verb == "audit")
        return audit(parse(words));
    if (verb == "bench")
        return bench(parse(words));
    throw ipc::usage_error((verb.empty() ? "" : "lab-09: unknown verb '" + verb + "'\n") + full_usage());
}

}  // namespace

namespace monitoring {

namespace {

bool whole(std::string_view digits, std::uint64_t& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size();
}

// Seconds with up to nine decimals, of which six are kept.
bool microseconds_of(std::string_view time, std::uint64_t& value) {
    const std::size_t point = time.find('.');
    std::uint64_t before = 0, behind = 0;
    if (!whole(time.substr(0, point), before) || before > most / 1'000'000 - 1)
        return false;
    if (point != std::string_view::npos) {
        std::string decimals(time.substr(point + 1));
        if (decimals.empty() || decimals.size() > 9 || decimals.find_first_not_of("0123456789") != std::string::npos)
            return false;
        decimals.resize(6, '0');
        whole(decimals, behind);
    }
    value = before * 1'000'000 + behind;
    return true;
}

}  // namespace

std::optional<Entry> parse(std::string_view line) {
    if (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    auto word = [&line] {
        const std::string_view found = line.substr(0, line.find(' '));
        line.remove_prefix(std::min(line.size(), found.size() + 1));
        return found;
    };
    constexpr std::size_t longest_name = 200;
    Entry entry;
    if (!microseconds_of(word(), entry.time_us))
        return std::nullopt;
    entry.sender = word();
    if (entry.sender.empty() || entry.sender.size() > longest_name || !whole(word(), entry.number) || entry.number == 0)
        return std::nullopt;
    return entry;
}

}  // namespace monitoring

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run); }
