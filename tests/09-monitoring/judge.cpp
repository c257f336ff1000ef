// The judge of lab 09: a process that is looked at, numbers and logs of its own making, and a peer with a watch in its hand.

#include "shared.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

using namespace judge;

JUDGE_MAIN

namespace {

constexpr std::uint32_t failure = 1, wrong_usage = 2;

std::string now_and_here(const std::string& posix, const std::string& win32) { return windows ? win32 : posix; }

// Tried, and refused with this exit code and words that say why.
void refuses(Stage& stage, const std::vector<std::string>& words, std::uint32_t code, const std::string& about, const std::string& input = {}) {
    Subject lab = stage.start(words);
    lab.feed(input);
    lab.close_input();
    lab.exits(code);
    lab.complains(about);
    lab.prints("");
}

// Until it has read all that it was given, and waits for more.
void settles(Stage& stage, Subject& lab, std::size_t given) {
    std::string before;
    stage.await([&](Deadline deadline) {
        while (!deadline.expired()) {
            const std::string now = lab.fed() == given ? lab.process().stillness() : "";
            if (!now.empty() && (windows || now == before))
                return true;
            before = now;
            if (lab.process().wait(Deadline::in(milliseconds(5))))
                return true;
        }
        return false;
    }, "it reads all of its input and waits for more", "");
}

// Memory, in MiB, by which the lab program grows while it reads `more`.
double growth(Stage& stage, Subject& lab, const std::string& first, const std::string& more) {
    lab.feed(first);
    settles(stage, lab, first.size());
    const double before = resident_mebibytes(lab.process().id());
    lab.feed(more);
    settles(stage, lab, first.size() + more.size());
    return resident_mebibytes(lab.process().id()) - before;
}

}  // namespace

// ---- Exercise 1 -------------------------------------------------------------------------------------------------------

EXERCISE("Exercise 1: a process, seen from outside") {

CASE("9.1 sample tells name and threads and the memory that is really there" * points(windows ? 6 : 4) * section("memory-that-is-there") *
     hints("A program may ask for a gigabyte and never touch it. How much memory does it use?",
           "The system counts pages that are there (resident set, working set), reserved addresses (virtual size) and records (peak). You want the first, in bytes.",
           "The second number of /proc/PID/statm times sysconf(_SC_PAGESIZE); WorkingSetSize of GetProcessMemoryInfo(), not PeakWorkingSetSize.")) {
    stage.by_hand(now_and_here("sleep 60 & lab-09 sample $!; ps -o pid,nlwp,rss,time,comm -p $!", "lab-09 sample self"));
    Worker worker;
    const std::uint64_t touched = stage.random().between(90, 110), threads = stage.random().between(2, 7);
    const std::string name = windows ? std::filesystem::path(own_program()).filename().string() : stage.random().word(9);
    if (!windows)
        worker.tell("name " + name);
    const Sample first = sample_of(stage, worker);
    stage.require(first.name == name, {"the name of the process: " + shown(name), shown(first.name), "", "", ""});
    worker.tell("threads", threads);
    worker.tell("reserve", 800);
    const Sample reserved = sample_of(stage, worker);
    stage.require(std::fabs(reserved.memory - first.memory) < 20, {"about the same memory as before: 800 MiB of addresses were reserved, and none of it was touched",
                  fixed(first.memory, 1) + " MiB before, " + fixed(reserved.memory, 1) + " MiB now", "", "", "virtual-size"});
    stage.require(reserved.threads == first.threads + threads,
                  {std::to_string(threads) + " threads more than before", std::to_string(first.threads) + " before, " + std::to_string(reserved.threads) + " now",
                   "", "", "threads-of-everybody"});
    stage.require(first.threads <= 20, {"a few threads", std::to_string(first.threads) + " threads", "", "", "threads-of-everybody"});
    worker.tell("touch", touched);
    const Sample full = sample_of(stage, worker);
    stage.require(std::fabs(full.memory - reserved.memory - static_cast<double>(touched)) < 3, {std::to_string(touched) + " MiB more than before, for so much was touched",
                  fixed(reserved.memory, 1) + " MiB before, " + fixed(full.memory, 1) + " MiB now", "", "", "pages-taken-for-kibibytes, virtual-size"});
    worker.tell("free");
    const Sample empty = sample_of(stage, worker);
    stage.require(std::fabs(empty.memory - first.memory) < 20, {"about the same memory as in the beginning: it has given all of it back",
                  fixed(full.memory, 1) + " MiB before, " + fixed(empty.memory, 1) + " MiB now", "", "", "peak-memory"});
}

CASE("9.2 a process that leaks descriptors is seen to" * points(3) * section("memory-that-is-there") *
     hints("Where does the system list what a process has open?",
           "One entry of /proc/PID/fd is one descriptor. Two entries are none.",
           "opendir() gives . and .. as well; std::filesystem::directory_iterator does not. On Windows: GetProcessHandleCount().")
     WINE_CANNOT("Wine says that every process has 0 handles")) {
    stage.by_hand(now_and_here("sleep 60 & lab-09 sample $!; ls /proc/$!/fd | wc -l", "lab-09 sample self"));
    Worker worker;
    const auto leaked = static_cast<int>(stage.random().between(5, 40));
    const Sample before = sample_of(stage, worker);
    if (!windows)
        stage.require(before.descriptors == std::to_string(worker.process().descriptors().size()),
                      {"descriptors: " + std::to_string(worker.process().descriptors().size()), before.descriptors, "", "", "dots-counted"});
    worker.tell("open", static_cast<std::uint64_t>(leaked));
    const Sample after = sample_of(stage, worker);
    stage.require(std::atoi(after.descriptors.c_str()) - std::atoi(before.descriptors.c_str()) == leaked,
                  {std::to_string(leaked) + " more than before", before.descriptors + " before, " + after.descriptors + " now", "", "", ""});
}

CASE("9.3 a single sample tells the average since the process started" * points(5) * section("the-first-reading") *
     hints("The system keeps one number for the work of a process: how much it has used up to now. What can you say with one look at it?",
           "Time worked by time lived is an average, and an honest one. Both must count everything: user and kernel, in the same unit.",
           "cpu_time is utime + stime in ticks of 1/sysconf(_SC_CLK_TCK) s; age is CLOCK_BOOTTIME minus starttime (field 22). On Windows all four "
           "times of GetProcessTimes() are FILETIMEs of 100 ns.")
     WINE_CANNOT("Wine's GetProcessTimes answers with the caller's own processor time, whatever process it is asked about")) {
    stage.by_hand(now_and_here("timeout 1 sh -c 'while :; do :; done' & sleep 0.5; lab-09 sample $!; ps -o pid,time,etimes,pcpu,comm", "lab-09 sample self"));
    Worker worker;
    worker.tell("burn", stage.random().between(100, 130));
    const double used = worker.cpu_seconds(), least_age = worker.least_age();
    const Sample sample = sample_of(stage, worker);
    const double most_age = worker.most_age() + 0.02;  // the system counts in ticks of 0.01 s
    const std::string all = "processor time of " + fixed(used) + " s, half of it in the kernel";
    const double said = sample.cpu_time;
    stage.require(said < used * 3, {all, fixed(said) + " s", "", "", "ticks-taken-for-milliseconds"});
    stage.require(said > used * 0.25, {all, fixed(said) + " s", "", "", "ticks-taken-for-milliseconds"});
    stage.require(said > used - 0.03, {all, fixed(said) + " s", "", "", "user-time-only"});
    stage.require(said < used + 0.02, {all, fixed(said) + " s", "", "", ""});
    stage.require(sample.age >= least_age - 0.02 && sample.age <= most_age,
                  {"that it started between " + fixed(std::max(0.0, least_age - 0.02)) + " and " + fixed(most_age) + " s ago", fixed(sample.age) + " s ago", "", "", "age-of-the-machine"});
    const double low = 100 * (used - 0.03) / most_age - 0.1, high = 100 * (used + 0.01) / (least_age - 0.02) + 0.1;
    const std::string share = "a share between " + fixed(low, 1) + " and " + fixed(high, 1) + " % on the average since it started, " + fixed(least_age) + " s ago";
    stage.require(sample.cpu > 0, {share, fixed(sample.cpu, 1) + " %", "", "", "first-reading-is-zero"});
    stage.require(sample.cpu >= low && sample.cpu <= high, {share, fixed(sample.cpu, 1) + " %", "", "", ""});
}

CASE("9.4 watch tells what was used between one reading and the next" * points(5) * section("the-first-reading") *
     hints("A process has worked hard for a week and sleeps now. What should the next line say?",
           "How much its processor time has grown since the last reading, by how long ago that was: by the clock, not by the interval that you asked for.",
           "100 * (later.cpu_time - earlier.cpu_time) / (later.at - earlier.at), and take `at` beside the reading.")
     WINE_CANNOT("Wine's GetProcessTimes answers with the caller's own processor time, whatever process it is asked about")) {
    stage.by_hand(now_and_here("sh -c 'while :; do :; done' & lab-09 watch $! --count 3 & top -p $! -b -n 2; kill $!", "lab-09 watch self --count 3"));
    Worker worker;
    worker.tell("burn", 80);  // the past, which is not to be seen in what follows
    Subject lab = watch(stage, worker, {"--interval", "10", "--count", "3", "--step"});
    const Row first = row(stage, lab);
    stage.require(first.cpu > 1, {"in the first line the average since it started, which is not 0", shown(first.line, 120), "", "", "first-reading-is-zero"});
    const double before = worker.cpu_seconds();
    worker.tell("burn", 100);
    worker.settles();
    const double burnt = worker.cpu_seconds() - before;
    // As long again it does nothing: half a processor.
    while (seconds_between(first.arrived, steady::now()) < 2 * burnt)
        lab.process().wait(Deadline::in(milliseconds(static_cast<int>(1 + 1000 * (2 * burnt - seconds_between(first.arrived, steady::now()))))));
    const steady::time_point asked = steady::now();
    lab.feed("\n");
    const Row second = row(stage, lab);
    stage.require(std::fabs(second.cpu_time - first.cpu_time - burnt) < 0.03, {"a processor time that has grown by " + fixed(burnt) + " s",
                  fixed(first.cpu_time) + " s before, " + fixed(second.cpu_time) + " s now", "", "", ""});
    const double shortest = seconds_between(first.arrived, asked), passed = second.time - first.time;
    stage.require(passed >= shortest - 0.002, {"a time that is at least " + fixed(shortest) + " s later than that of the line before", fixed(passed) + " s later",
                  "", "", ""});
    const double expected = 100 * (second.cpu_time - first.cpu_time) / passed, slack = 0.3 + expected * 0.01;
    const double average = 100 * second.cpu_time / worker.most_age();
    const std::string share = fixed(expected, 1) + " %: " + fixed(second.cpu_time - first.cpu_time) + " s of processor time in " + fixed(passed) + " s";
    stage.require(second.cpu > 0, {share, shown(second.line, 120), "", "", "first-reading-is-zero"});
    stage.require(std::fabs(second.cpu - expected) <= slack,
                  {share, fixed(second.cpu, 1) + " %", "", "", std::fabs(second.cpu - average) < 3 ? "average-instead-of-now" : ""});
    lab.feed("\n");
    const Row third = row(stage, lab);
    stage.require(third.cpu_time == second.cpu_time && third.cpu == 0, {"0.0 %: it has done nothing since the last line", shown(third.line, 120),
                  "", "", "average-instead-of-now"});
    lab.close_input();
    lab.exits(0);
}

CASE("9.5 the end of the process is noticed at once" * points(windows ? 7 : 5) * section("the-end-is-an-event") *
     hints("The next reading is due in an hour, and the process dies now. Who tells you?",
           "Looking more often is no answer. There is something that you can wait for, together with the timer. And a process that has ended may have a number still.",
           "poll() on the pidfd and the timerfd; WaitForMultipleObjects() on the process and the timer. A zombie is in /proc and can be signalled: ask the pidfd. On "
           "Windows do not ask for the exit code, 259 is a legal one: ask the process handle, with a timeout of 0.")) {
    stage.by_hand(now_and_here("sleep 3 & lab-09 watch $! --interval 3600000", "lab-09 watch PID --interval 3600000    # and end PID in another window"));
    stage.patience(milliseconds(3000));
    Worker worker;
    Subject lab = watch(stage, worker, {"--interval", "3600000"});
    row(stage, lab);
    lab.idles("polls-for-the-end");
    worker.say("exit 259");  // on Windows that is also the code of those that have not ended
    worker.ends();
    const std::string line = lab.line("end-seen-at-the-next-turn");
    stage.require(line.starts_with("ended"), {"\"ended\"", shown(line, 120), "", "", now_and_here("zombie-lives", "exit-code-259-lives")});
    lab.exits(0);
    Subject late = stage.start({"sample", worker.number()});
    late.exits(failure, now_and_here("zombie-lives", "exit-code-259-lives"));
    late.complains("process " + worker.number(), now_and_here("zombie-lives", "exit-code-259-lives"));
}

CASE("9.6 the turns are counted from the beginning and do not drift" * points(windows ? 6 : 5) * section("turns-that-drift") *
     hints("A reading takes a little time, a slow terminal takes more, and then you wait for an interval. When is the hundredth turn?",
           "Wait until a moment, not for a duration: the next multiple of the interval, counted from the beginning.",
           "A periodic timerfd does it, and read() tells how many turns have passed. Or compute turn = (now - begin) / interval and wait for begin + (turn + 1) * interval.")) {
    stage.by_hand(now_and_here("sleep 60 & lab-09 watch $! --interval 500 --step    # wait before you press Enter", "lab-09 watch self --interval 500 --step"));
    Worker worker;
    const auto reader_is_busy = [](Subject& lab, const Row& since, double seconds) {
        for (double left; (left = seconds - seconds_between(since.arrived, steady::now())) > 0;)
            lab.process().wait(Deadline::in(milliseconds(1 + static_cast<int>(1000 * left))));
    };
    Subject hasty = watch(stage, worker, {"--interval", "20", "--count", "3", "--step"});
    const Row first = row(stage, hasty);
    reader_is_busy(hasty, first, 0.1);
    const auto least = static_cast<std::uint64_t>(seconds_between(first.arrived, steady::now()) / 0.020);
    hasty.feed("\n");
    const Row late = row(stage, hasty);
    stage.require(late.turn >= least, {"a turn of at least " + std::to_string(least) + ": so many of 20 ms have come while the reader was busy",
                  shown(late.line, 120), "", "", "missed-turns-made-up, turns-drift"});
    hasty.feed("\n");
    const Row then = row(stage, hasty);
    stage.require(then.turn > late.turn && then.time >= static_cast<double>(then.turn) * 0.020 - 0.002,
                  {"the turn that comes next, at its time", shown(then.line, 120), "", "", "missed-turns-made-up, turns-drift"});
    hasty.close_input();
    hasty.exits(0);

    // The reader of a line is busy for most of an interval. Who counts from the beginning waits for the rest of it; who waits for an
    // interval from now on, never for less than a whole one.
    // On a machine that is too busy to tell the two apart, once more with a longer one.
    double soonest = 1e9;
    for (const int interval_ms : {windows ? 500 : 250, 3000}) {
        Subject lab = watch(stage, worker, {"--interval", std::to_string(interval_ms), "--step"});
        Row last = row(stage, lab);
        for (int attempt = 0; attempt < (interval_ms < 3000 ? 3 : 1) && soonest >= interval_ms; ++attempt) {
            reader_is_busy(lab, last, 0.8 * interval_ms / 1000);
            const steady::time_point asked = steady::now();
            lab.feed("\n");
            const Row next = row(stage, lab);
            stage.require(next.turn > last.turn && next.time >= static_cast<double>(next.turn) * interval_ms / 1000 - 0.002,
                          {"turn n at n times " + std::to_string(interval_ms) + " ms, and not before", shown(next.line, 120), "", "", "turns-drift"});
            soonest = 1000 * seconds_between(asked, next.arrived);
            last = next;
        }
        lab.process().kill();
        lab.ends();
        if (soonest < interval_ms)
            return;
        stage.require(interval_ms < 3000, {"the next turn less than " + std::to_string(interval_ms) + " ms after the reader was busy, for most of the interval had passed by then",
                                           fixed(soonest, 0) + " ms after: a whole interval", "", "", "drifts-with-right-numbers"});
        soonest = 1e9;
    }
}

CASE("9.7 what cannot be watched is refused with words" * points(windows ? 3 : 2) * section("a-number-is-not-a-process") *
     hints("What does the system answer for a number that no process has?",
           "ESRCH from pidfd_open, ERROR_INVALID_PARAMETER from OpenProcess. main.cpp makes words of the code that you throw.",
           "Throw std::system_error with the call's own code from the constructor: ipc::check(…) or ipc::throw_last_error(…).")) {
    Worker worker;
    sample_of(stage, worker);
    const std::string gone = worker.number();
    worker.say("exit 0");
    worker.process().end_tree();
    if (!windows)  // there the judge's own handle keeps the number
        refuses(stage, {"sample", gone}, failure, "there is no process " + gone);
    refuses(stage, {"watch", "2147483646"}, failure, "there is no process 2147483646");
    for (const char* number : {"0", "-1", "12x", "99999999999999999999"})
        refuses(stage, {"sample", number}, wrong_usage, "a process id is a number");
    refuses(stage, {"sample"}, wrong_usage, "one process id");
    for (const char* interval : {"0", "1.5"})
        refuses(stage, {"watch", "1", "--interval", interval}, wrong_usage, "--interval is a number from 1");
    refuses(stage, {"watch", "1", "--count", "0"}, wrong_usage, "--count is a number from 1");
    refuses(stage, {"watch", "1", "--sometimes"}, wrong_usage, "--sometimes");
}

}

// ---- Exercise 2 -------------------------------------------------------------------------------------------------------

namespace {

struct Summary {
    std::uint64_t count = 0, min = 0, max = 0;
    std::map<unsigned, std::uint64_t> at;  // per mille
};

constexpr unsigned per_milles[] = {500, 900, 990, 999};

Summary summary_from(Stage& stage, const std::string& line) {
    const std::vector<std::string> words = words_of(line);
    stage.require(words.size() >= 8, {"a name, count, min, p50, p90, p99, p99.9, max", shown(line, 200), "", "", ""});
    const auto value = [&](std::size_t from_end) { return std::strtoull(words[words.size() - from_end].c_str(), nullptr, 10); };
    Summary found{value(7), value(6), value(1), {}};
    for (std::size_t i = 0; i < 4; ++i)
        found.at[per_milles[i]] = value(5 - i);
    return found;
}

// In a sorted list the value with number n * per_mille / 1000, rounded up.
std::uint64_t exactly(const std::vector<std::uint64_t>& sorted, unsigned per_mille) {
    const std::uint64_t rank = (sorted.size() * per_mille + 999) / 1000;
    return sorted[std::max<std::uint64_t>(rank, 1) - 1];
}

bool within_one_percent(std::uint64_t got, std::uint64_t exact) {
    return (got > exact ? got - exact : exact - got) <= exact / 100;
}

std::string text_of(const std::vector<std::uint64_t>& values) {
    std::string text(values.size() * 21, '\0');
    char* at = text.data();
    for (const std::uint64_t value : values) {
        at = std::to_chars(at, at + 20, value).ptr;
        *at++ = '\n';
    }
    text.resize(static_cast<std::size_t>(at - text.data()));
    return text;
}

struct Mistakes {
    Mistake percentile, ends = "min-starts-at-zero";
};

void is_right(Stage& stage, const Summary& found, std::vector<std::uint64_t> values, const std::string& what, const Mistakes& mistakes) {
    std::sort(values.begin(), values.end());
    stage.require(found.count == values.size(), {what + ": count " + std::to_string(values.size()), std::to_string(found.count), "", "", ""});
    stage.require(found.min == values.front(), {what + ": min " + std::to_string(values.front()), std::to_string(found.min), "", "", mistakes.ends});
    stage.require(found.max == values.back(), {what + ": max " + std::to_string(values.back()), std::to_string(found.max), "", "", mistakes.ends});
    std::uint64_t before = found.min;
    for (const unsigned per_mille : per_milles) {
        const std::uint64_t exact = exactly(values, per_mille), got = found.at.at(per_mille);
        const std::string name = what + ": p" + (per_mille % 10 ? fixed(per_mille / 10.0, 1) : std::to_string(per_mille / 10));
        stage.require(within_one_percent(got, exact), {name + " " + std::to_string(exact) + ", to within 1 %", std::to_string(got), "", "", mistakes.percentile});
        stage.require(got >= before && got <= found.max, {name + " not below the one before and not above max", std::to_string(got), "", "", "beyond-the-ends"});
        before = got;
    }
}

// Runs `latency` on the values, in random order.
void is_summarised(Stage& stage, std::vector<std::uint64_t> values, const std::string& what, const Mistakes& mistakes) {
    for (std::size_t i = values.size(); i > 1; --i)
        std::swap(values[i - 1], values[stage.random().between(0, i - 1)]);
    Subject lab = stage.start({"latency"});
    lab.feed(text_of(values));
    lab.close_input();
    lab.exits(0);
    const std::vector<std::string> lines = lines_of(lab.output());
    stage.require(lines.size() >= 2, {"a table", shown(lab.output(), 300), "", "", ""});
    is_right(stage, summary_from(stage, lines[1]), values, what, mistakes);
}

std::vector<std::uint64_t> numbers(Stage& stage, std::size_t count, std::uint64_t low, std::uint64_t high) {
    std::vector<std::uint64_t> values(count);
    for (std::uint64_t& value : values)
        value = stage.random().between(low, high);
    return values;
}

}  // namespace

EXERCISE("Exercise 2: many numbers") {

CASE("9.8 latency finds the percentiles of a hundred or of ten thousand numbers" * points(5) * section("exercise-2-many-numbers") *
     hints("If you may have some thousand counters and no list, which numbers should share one?",
           "Those that differ by less than 1 %. For small numbers that is nobody, for large ones a range that is as wide as 1 % of where it lies.",
           "Below 256 a counter each. Above, shift the number right until 8 bits are left: the shift and the 8 bits are the counter's index.")) {
    stage.by_hand("seq 1 10000 | shuf | lab-09 latency");
    is_summarised(stage, numbers(stage, 100, 1, 250), "100 small numbers", {"one-counter-for-too-many"});
    is_summarised(stage, numbers(stage, 10'000, 30'000, 90'000'000), "10000 numbers", {"one-counter-for-too-many"});
    // Mostly fast, with a long tail: the mean and a bell curve around it say nothing of it.
    std::vector<std::uint64_t> tail = numbers(stage, 9700, 900, 1100);
    const std::vector<std::uint64_t> slow = numbers(stage, 300, 1'000'000, 50'000'000);
    tail.insert(tail.end(), slow.begin(), slow.end());
    is_summarised(stage, tail, "97 % fast ones and 3 % slow ones", {"one-counter-for-too-many"});
    is_summarised(stage, std::vector<std::uint64_t>(500, stage.random().between(1'000'000, 9'999'999)), "500 times the same", {"beyond-the-ends"});
}

CASE("9.9 the percentile is the value at its place in the sorted list" * points(3) * section("which-one-is-p99") *
     hints("Of 1000 values 999 are 1. What is p99.9, and what would one slow value more make of it?",
           "p99.9 is not exceeded by at least 999 of 1000: the value number 999. Of 10 values p99 is the tenth, for the ninth is exceeded by a tenth of all.",
           "rank = (count * per_mille + 999) / 1000 in whole numbers, and at least 1; the answer is the first counter at which so many have passed.")) {
    stage.recognise("p\\d+.* \\d+, to within 1 %[^]*got: 1\\b", "rank-rounded-down");
    stage.by_hand("{ yes 1 | head -n 999; echo 1000000; } | lab-09 latency");
    const std::uint64_t slow = stage.random().between(1'000'000, 2'000'000);
    auto ones_and = [&](std::size_t ones, std::size_t slows) {
        std::vector<std::uint64_t> values(ones, 1);
        values.insert(values.end(), slows, slow);
        return values;
    };
    is_summarised(stage, ones_and(999, 1), "999 ones and a slow one", {"rank-one-too-far"});
    is_summarised(stage, ones_and(998, 2), "998 ones and two slow ones", {"rank-rounded-down"});
    is_summarised(stage, ones_and(9, 1), "9 ones and a slow one", {"rank-rounded-down"});
    is_summarised(stage, {slow}, "a single one", {"rank-rounded-down"});
    is_summarised(stage, ones_and(1, 1), "two", {"rank-one-too-far"});
}

CASE("9.10 every number of 64 bits has its place" * points(4) * section("exercise-2-many-numbers") *
     hints("Where are the ends of your number line? Try 0, and the largest number that there is.",
           "How many bits has 0? What does a shift by 64 do? Is the last counter inside the array?",
           "Values up to 2^64 - 1: std::bit_width() is 0 to 64. The number of counters is the index of the largest value plus one.")) {
    stage.recognise("killed by|exception 0x|AddressSanitizer|runtime error", "top-of-the-line");
    stage.by_hand("printf '0\\n18446744073709551615\\n' | lab-09 latency");
    is_summarised(stage, {0, 0, 0, 0}, "only zeros", {"beyond-the-ends"});
    is_summarised(stage, {0, ~std::uint64_t{0}}, "0 and 2^64 - 1", {"top-of-the-line"});
    // The edges of the counters, if they are what they mostly are, and anything between.
    std::vector<std::uint64_t> all;
    for (unsigned bit = 0; bit < 64; ++bit)
        for (const std::uint64_t value : {(std::uint64_t{1} << bit) - 1, std::uint64_t{1} << bit, (std::uint64_t{1} << bit) + 1, stage.random().next() >> bit})
            all.push_back(value);
    for (std::ptrdiff_t from = 0; from < 256; from += 64)
        is_summarised(stage, {all.begin() + from, all.begin() + from + 64}, "64 numbers about 2^" + std::to_string(from / 4 + 8), {"top-of-the-line"});
}

CASE("9.11 three hundred thousand numbers take no more memory than a thousand" * points(4) * section("fixed-memory") *
     hints("A monitor runs for a year and records a million values a second. What does it keep of them?",
           "Counters, all of them made in the beginning. A list that is sorted in the end is exact, and finds the end of your memory first.",
           "counts_ gets its size in the constructor; record() only adds one to a counter.")) {
    stage.by_hand("seq 1 10000000 | /usr/bin/time -f '%M KiB' lab-09 latency");
    stage.patience(milliseconds(30'000));  // an amount of work, not a moment of waiting
    std::vector<std::uint64_t> first = numbers(stage, 1000, 0, 9'999'999), more = numbers(stage, 300'000, 0, 9'999'999);
    Subject lab = stage.start({"latency"});
    const double grown = growth(stage, lab, text_of(first), text_of(more));
    stage.require(grown < 1, {"as much memory after 301000 values as after 1000", fixed(grown, 1) + " MiB more", "", "", "keeps-every-value"});
    lab.close_input();
    lab.exits(0);
    first.insert(first.end(), more.begin(), more.end());
    is_right(stage, summary_from(stage, lines_of(lab.output()).at(1)), first, "301000 numbers", {"one-counter-for-too-many"});
}

CASE("9.12 several files are summarised together as if they were one" * points(2) * section("averages-of-percentiles") *
     hints("One server has a p99 of 1 ms, the other of 100 ms. What is the p99 of both?",
           "No average of the two numbers says it. Counters can be added; percentiles cannot.",
           "add(): every counter, and the count; of min and max the smaller and the larger one. An empty histogram has neither.")) {
    stage.by_hand("seq 1 100 >A; seq 90000 90009 >B; lab-09 latency A B");
    const std::vector<std::vector<std::uint64_t>> parts = {numbers(stage, 900, 500, 1500), numbers(stage, 100, 100'000, 200'000), numbers(stage, 300, 7, 9)};
    std::vector<std::string> words = {"latency"};
    std::vector<std::uint64_t> all;
    for (const auto& part : parts) {
        words.push_back((std::filesystem::path(stage.files()) / ("part" + std::to_string(words.size()))).string());
        std::ofstream(words.back(), std::ios::binary) << text_of(part);
        all.insert(all.end(), part.begin(), part.end());
    }
    words.push_back((std::filesystem::path(stage.files()) / "nothing").string());
    std::ofstream(words.back(), std::ios::binary) << "";
    Subject lab = stage.start(words);
    lab.exits(0);
    const std::vector<std::string> lines = lines_of(lab.output());
    stage.require(lines.size() >= 6, {"a line for each file, and one for all", shown(lab.output(), 600), "", "", ""});
    for (std::size_t i = 0; i < parts.size(); ++i)
        is_right(stage, summary_from(stage, lines[i + 1]), parts[i], "file " + std::to_string(i + 1), {"", ""});
    is_right(stage, summary_from(stage, lines[5]), all, "all together", {"merged-badly", "merged-badly"});
}

CASE("9.13 what is no number is refused with its line" * points(2) * section("exercise-2-many-numbers") *
     hints("This case asks only that `latency` works at all; main.cpp does the rest.",
           "Nothing is printed of an input that is not all numbers: half a report looks like a whole one.",
           "Write the Histogram, and this is done.")) {
    stage.by_hand("printf '1\\nNaN\\n' | lab-09 latency; echo $?");
    Subject lab = stage.start({"latency", "--decimals", "2"});
    lab.feed("1.5\r\n 2.25\n\n3");
    lab.close_input();
    lab.exits(0);
    const std::vector<std::string> words = words_of(lines_of(lab.output()).at(1));
    stage.require(words.size() >= 8 && words[words.size() - 7] == "3" && words[words.size() - 6] == "1.50" && words.back() == "3.00",
                  {"of 1.5, 2.25 and 3: count 3, min 1.50, max 3.00", shown(lab.output(), 300), "", "", "min-starts-at-zero"});
    for (const auto& [input, about] : {std::pair("1\n2\nhello\n", "line 3: 'hello' is no number"), {"NaN\n", "line 1: 'NaN' is no number"}, {"5\n-3\n", "line 2: '-3' is negative"},
                                       {"1.5\n", "line 1: '1.5' has decimals"}, {"18446744073709551616\n", "too large"}, {"", "there is no number"}})
        refuses(stage, {"latency"}, failure, about, input);
    refuses(stage, {"latency"}, failure, "is no number", std::string(100'000, '7'));
    refuses(stage, {"latency", stage.files() + "/is-not-there"}, failure, "is-not-there");
    refuses(stage, {"latency", "--decimals", "x"}, wrong_usage, "--decimals is a number from 0");
}

}

// ---- Exercise 3 -------------------------------------------------------------------------------------------------------

namespace {

std::string log_line(double time, const std::string& sender, std::uint64_t number, const std::string& text = {}) {
    return fixed(time, 6) + " " + sender + " " + std::to_string(number) + (text.empty() ? "" : " " + text) + "\n";
}

struct Found {
    std::uint64_t entries = 0, lost = 0, duplicates = 0, reordered = 0, stale = 0;
    double rate = 0;
    std::string text() const {
        return std::to_string(entries) + " entries, " + std::to_string(lost) + " lost, " + std::to_string(duplicates) + " duplicates, " +
               std::to_string(reordered) + " reordered, " + std::to_string(stale) + " stale";
    }
};

struct Audited {
    std::map<std::string, Found> senders;
    std::string last;  // the last line: how many lines, how many torn
};

Audited audited(Stage& stage, Subject& lab, const Mistake& otherwise = {}) {
    lab.close_input();
    lab.exits(0, otherwise);
    const std::vector<std::string> lines = lines_of(lab.output());
    stage.require(lines.size() >= 2, {"a table and a line", shown(lab.output(), 300), "", "", ""});
    Audited found;
    for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
        const std::vector<std::string> words = words_of(lines[i]);
        stage.require(words.size() == 9, {"sender, entries, lost, duplicates, reordered, stale, first, last, per second", shown(lines[i], 200), "", "", ""});
        auto count = [&](std::size_t at) { return std::strtoull(words[at].c_str(), nullptr, 10); };
        found.senders[words[0]] = {count(1), count(2), count(3), count(4), count(5), std::atof(words[8].c_str())};
    }
    found.last = lines.back();
    return found;
}

Audited audit(Stage& stage, const std::string& log, const std::vector<std::string>& options = {}, const Mistake& otherwise = {}) {
    std::vector<std::string> words = {"audit"};
    words.insert(words.end(), options.begin(), options.end());
    Subject lab = stage.start(words);
    lab.feed(log);
    return audited(stage, lab, otherwise);
}

void is_found(Stage& stage, const Audited& audit, const std::string& sender, const Found& expected, const Mistake& mistake, const std::string& story = {}) {
    const auto at = audit.senders.find(sender);
    const std::string prefix = sender + (story.empty() ? "" : " (" + story + ")") + ": ";
    stage.require(at != audit.senders.end(), {prefix + expected.text(), "it is not in the table", "", "", mistake});
    stage.require(at->second.text() == expected.text(), {prefix + expected.text(), at->second.text(), "", "", mistake});
}

void says_torn(Stage& stage, const Audited& audit, std::uint64_t lines, std::uint64_t torn, std::uint64_t first, const Mistake& mistake) {
    const std::string expected = std::to_string(lines) + " lines, " + std::to_string(torn) + " torn" + (torn ? ", the first of them line " + std::to_string(first) : "");
    stage.require(audit.last.starts_with(expected) && !std::isdigit(static_cast<unsigned char>((audit.last + " ")[expected.size()])),
                  {shown(expected), shown(audit.last), "", "", mistake});
}

// What happened to the numbers 1, 2, 3… of one sender on their way.
std::vector<std::uint64_t> disturbed(Random& random, std::uint64_t count) {
    std::vector<std::uint64_t> way;
    std::vector<std::pair<std::size_t, std::uint64_t>> late;  // when, which
    for (std::uint64_t number = 1; number <= count; ++number) {
        const std::uint64_t fate = random.between(0, 19);
        if (fate == 0 && number < count)
            continue;  // lost
        if (fate == 1)
            late.emplace_back(way.size() + random.between(2, 40), number);
        else
            way.push_back(number);
        if (fate == 2)
            late.emplace_back(way.size() + random.between(0, 40), number);  // once more
        for (std::size_t i = 0; i < late.size(); ++i)
            if (late[i].first <= way.size()) {
                way.push_back(late[i].second);
                late.erase(late.begin() + static_cast<std::ptrdiff_t>(i--));
            }
    }
    for (const auto& [when, number] : late)
        way.push_back(number);
    return way;
}

Found truth(const std::vector<std::uint64_t>& way) {
    Found found;
    std::set<std::uint64_t> come;
    for (const std::uint64_t number : way) {
        ++found.entries;
        if (come.contains(number))
            ++found.duplicates;
        else if (!come.empty() && number < *come.rbegin())
            ++found.reordered;
        come.insert(number);
    }
    found.lost = *come.rbegin() - come.size();
    return found;
}

}  // namespace

EXERCISE("Exercise 3: a log") {

CASE("9.14 audit tells the rate of each sender" * points(3) * section("exercise-3-a-log") *
     hints("Eleven entries, one every second. How many a second is that?",
           "Between eleven entries there are ten steps. And who says that the lines of a log are in the order of their times?",
           "rate = (entries - 1) / (latest - earliest), with the smallest and the largest time, wherever they stand; 0 if they are the same.")) {
    stage.by_hand("printf '2.0 a 1\\n1.0 a 2\\n3.0 a 3\\n' | lab-09 audit");
    const std::uint64_t entries = stage.random().between(5, 12);
    const double begin = static_cast<double>(stage.random().between(1000, 2000)), step = 0.25;
    std::string in_order, shuffled = log_line(begin + 3 * step, "shuffled", 1) + log_line(begin, "shuffled", 2);
    for (std::uint64_t i = 0; i < entries; ++i)
        in_order += log_line(begin + step * static_cast<double>(i), "steady", i + 1, "some text 77");
    shuffled += log_line(begin + 4 * step, "shuffled", 3) + log_line(begin + step, "shuffled", 4) + log_line(begin + 2 * step, "shuffled", 5);
    const Audited found = audit(stage, in_order + shuffled + log_line(begin, "alone", 1));
    is_found(stage, found, "steady", {entries, 0, 0, 0, 0, 0}, "");
    is_found(stage, found, "shuffled", {5, 0, 0, 0, 0, 0}, "");
    auto is_rate = [&](const std::string& sender, double expected, const Mistake& mistake) {
        const double got = found.senders.at(sender).rate;
        stage.require(std::fabs(got - expected) < 0.06, {sender + ": " + fixed(expected, 1) + " per second", fixed(got, 1), "", "", mistake});
    };
    is_rate("steady", 4, "one-step-too-many");
    is_rate("shuffled", 4, "lines-in-order-of-time");
    is_found(stage, found, "alone", {1, 0, 0, 0, 0, 0}, "");
    is_rate("alone", 0, "");
    says_torn(stage, found, entries + 6, 0, 0, "");
}

CASE("9.15 audit finds what was lost and what came twice or late" * points(5) * section("lost-late-or-twice") *
     hints("After 1, 2, 4 there is a gap. Then 3 comes. Was it lost? Then 3 comes again. What is that?",
           "A number above the highest so far leaves gaps behind it. A number below is late if it fills a gap, and a duplicate if not. Lost is what is a gap in the end.",
           "Remember for each of the last 1024 numbers whether it has come. lost = highest - number of different ones that came.")) {
    stage.by_hand("printf '1 a 1\\n2 a 2\\n3 a 4\\n4 a 3\\n5 a 3\\n6 a 7\\n' | lab-09 audit");
    std::map<std::string, std::vector<std::uint64_t>> ways = {
        {"late", {1, 2, 4, 3, 5}}, {"twice", {1, 2, 2, 3, 1}}, {"lost", {1, 2, 5}}, {"first-lost", {3, 4}}, {"late-twice", {1, 3, 2, 2, 3, 6}}};
    for (int i = 0; i < 3; ++i)
        ways["random" + std::to_string(i)] = disturbed(stage.random(), stage.random().between(300, 600));
    // All at once, mixed as it happens.
    std::string log;
    std::map<std::string, std::size_t> next;
    double time = 5;
    for (bool more = true; more;) {
        more = false;
        for (const auto& [sender, way] : ways)
            for (std::size_t some = stage.random().between(1, 3); some > 0 && next[sender] < way.size(); --some) {
                log += log_line(time += 0.001, sender, way[next[sender]++]);
                more = true;
            }
    }
    const Audited found = audit(stage, log);
    auto story = [](const std::vector<std::uint64_t>& way) {
        std::string text;
        for (const std::uint64_t number : way)
            text += (text.empty() ? "" : ", ") + std::to_string(number);
        return text.size() < 60 ? text : "";
    };
    // The plain ones first: they say most clearly what is wrong.
    for (const auto& [sender, mistake] : {std::pair("first-lost", "begins-with-the-first"), {"lost", ""}, {"late", "late-taken-for-duplicate, gap-stays-lost"},
                                          {"twice", "duplicate-unnoticed, duplicates-hide-losses"}})
        is_found(stage, found, sender, truth(ways[sender]), mistake, story(ways[sender]));
    for (const auto& [sender, way] : ways)
        is_found(stage, found, sender, truth(way), "", story(way));
}

CASE("9.16 audit reads lines and not pieces and trusts no torn one" * points(4) * section("torn-lines") *
     hints("A read returns what is there: half a line, or three and a half. What do you do with the half?",
           "Keep it until its end comes. At the end of the log there may be half a line left over: '12.5 worker 12' was perhaps going to be 1234.",
           "Append to what is left of the last piece, handle whole lines only, keep the rest. In finish() a rest that is not empty is a torn line, whatever it looks like.")) {
    stage.by_hand("printf '1 a 1\\n2 a 2\\n3 a 3456' | lab-09 audit --chunk 1");
    stage.patience(milliseconds(30'000));  // an amount of work: under Wine each read goes through a server
    Random& random = stage.random();
    std::string log;
    std::uint64_t lines = 0, good = 0, torn = 0, first_torn = 0;
    const std::string sender = random.word(8);
    const std::vector<std::string> bad = {"", "12.5 " + sender, "12.5 " + sender + " ", "12.5", sender + " 12.5 1", "12.5 " + sender + " x7", "12.5 " + sender + " 0", "12.5 " + sender + " -3",
                                          "12,5 " + sender + " 3", "1e3 " + sender + " 3", "\xff\xfe\x01"};
    const std::uint64_t count = random.between(60, 90);
    for (std::uint64_t i = 0; i < count; ++i) {
        if (i > 5 && random.between(0, 3) == 0) {
            log += bad[random.between(0, bad.size() - 1)] + "\n";
            first_torn = torn++ == 0 ? lines + 1 : first_torn;
        } else {
            log += log_line(static_cast<double>(i), sender, ++good, random.between(0, 1) ? random.word(20) + "\r" : "");
        }
        ++lines;
    }
    // The last one was cut off within its number.
    const std::string last = "99.000000 " + sender + " " + std::to_string(good + 1);
    for (const std::string& chunk : {std::to_string(random.between(200, 400)), std::string(windows ? "9" : "1")}) {
        const std::string story = "read " + chunk + " bytes at a time";
        const Audited whole = audit(stage, log, {"--chunk", chunk}, "piece-taken-for-lines");
        is_found(stage, whole, sender, {good, 0, 0, 0, 0, 0}, "piece-taken-for-lines", story);
        stage.require(std::strtoull(whole.last.c_str(), nullptr, 10) <= lines,
                      {std::to_string(lines) + " lines (" + story + ")", shown(whole.last), "", "", "piece-taken-for-lines"});
        says_torn(stage, whole, lines, torn, first_torn, "torn-lines-not-told");
        const Audited cut = audit(stage, log + last, {"--chunk", chunk});
        is_found(stage, cut, sender, {good, 0, 0, 0, 0, 0}, "last-line-trusted", story + ", and the last line has no end");
        says_torn(stage, cut, lines + 1, torn + 1, torn ? first_torn : lines + 1, "last-line-trusted, torn-lines-not-told");
    }
    refuses(stage, {"audit"}, failure, "none is a log entry", "hello\nworld\n");
    refuses(stage, {"audit"}, failure, "none is a log entry", "");
    refuses(stage, {"audit", "--chunk", "0"}, wrong_usage, "--chunk is a number from 1");
    refuses(stage, {"audit", "some.log"}, wrong_usage, "audit reads standard input");
}

CASE("9.17 no log makes it need more memory or more time" * points(4) * section("fixed-memory") *
     hints("What could somebody write into the log to make your program eat all memory, or run for a year?",
           "A line without an end. A number that leaps by 2^60. A new sender in each line. And simply a long log.",
           "A line longer than longest_line is torn, and not kept. The window is cleared, not walked through, when the leap is larger than it. More than most_senders are only counted.")) {
    stage.by_hand("printf '1 a 1\\n2 a 9000000000000000000\\n' | lab-09 audit");
    stage.patience(milliseconds(8000));
    const std::uint64_t distant = std::uint64_t{1} << stage.random().between(58, 62);
    const Audited leap = audit(stage, log_line(1, "a", 1) + log_line(2, "a", distant) + log_line(3, "a", distant - 1) + log_line(4, "a", 1), {}, "walks-through-the-gap");
    stage.patience(milliseconds(30'000));  // from here on an amount of work
    is_found(stage, leap, "a", {4, distant - 3, 0, 1, 1, 0}, "walks-through-the-gap", "1, 2^n, 2^n - 1, 1");

    std::string few = log_line(1, "worker", 1), many;
    for (std::uint64_t number = 2; number <= 60'000; ++number)
        many += log_line(static_cast<double>(number), "worker", number);
    Subject lab = stage.start({"audit"});
    double grown = growth(stage, lab, few, many);
    stage.require(grown < 1.5, {"as much memory after 60000 entries as after one", fixed(grown, 1) + " MiB more", "", "", "remembers-every-number"});
    is_found(stage, audited(stage, lab), "worker", {60'000, 0, 0, 0, 0, 0}, "");

    Subject endless = stage.start({"audit"});
    grown = growth(stage, endless, few, "2.0 worker 2 " + std::string(4 << 20, 'x'));
    stage.require(grown < 1.5, {"no more memory, though a line of 4 MiB has no end", fixed(grown, 1) + " MiB more", "", "", "endless-line-kept"});
    endless.feed("\n" + log_line(3, "worker", 2));
    const Audited after = audited(stage, endless);
    is_found(stage, after, "worker", {2, 0, 0, 0, 0, 0}, "endless-line-kept", "the line between the two was too long");
    says_torn(stage, after, 3, 1, 2, "endless-line-kept");

    std::string crowd;
    constexpr std::uint64_t most = 1000, others = 234;
    for (std::uint64_t i = 0; i < most + others; ++i)
        crowd += log_line(1, "sender" + std::to_string(i), 1);
    const Audited full = audit(stage, crowd + log_line(2, "sender7", 2));
    stage.require(full.senders.size() == most, {"1000 senders in the table", std::to_string(full.senders.size()), "", "", "senders-without-limit"});
    is_found(stage, full, "sender7", {2, 0, 0, 0, 0, 0}, "");
    stage.require(full.last.find("; 234 entries of more than 1000 senders") != std::string::npos, {"234 entries of more than 1000 senders", shown(full.last), "", "", "senders-without-limit"});
}

CASE("9.18 what is older than the window is called neither late nor a duplicate" * points(2) * section("lost-late-or-twice") *
     hints("A number comes that is 5000 below the highest. Did it come before?",
           "You have forgotten, and should say so. But exactly from where on?",
           "With h as the highest, the numbers h - 1023 to h are remembered; h - 1024 is stale.")) {
    const std::uint64_t high = stage.random().between(3000, 9000), window = 1024;
    // The highest, then the oldest that is remembered, then one older, each twice.
    std::string log = log_line(1, "edge", high);
    for (const std::uint64_t number : {high - window + 1, high - window, high - window + 1, high - window})
        log += log_line(2, "edge", number);
    // Nothing of the old window may shine through when it has moved on by less than its length.
    std::vector<std::uint64_t> way;
    for (std::uint64_t number = 1; number <= window; ++number)
        way.push_back(number);
    const std::uint64_t leap = window + stage.random().between(300, 700);
    way.push_back(leap);
    way.push_back(leap - 5);
    for (const std::uint64_t number : way)
        log += log_line(3, "ring", number);
    const Audited found = audit(stage, log);
    is_found(stage, found, "edge", {5, high - 2, 1, 1, 2, 0}, "window-off-by-one", "h, h - 1023, h - 1024, h - 1023, h - 1024");
    is_found(stage, found, "ring", {window + 2, leap - 5 - window + 3, 0, 1, 0, 0}, "window-not-cleared", "1 to 1024, " + std::to_string(leap) + ", " + std::to_string(leap - 5));
}

}

// ---- Exercise 4 -------------------------------------------------------------------------------------------------------

namespace {

// When the judge, as the peer, got each message and when it answered; and what that says of what must be measured.
struct Trips {
    std::vector<steady::time_point> came, answered;
    steady::time_point allowed;  // before this nothing can have been sent
    steady::time_point over;     // when the result was there
};

struct Range {
    double low, high;  // microseconds
};

// Answers `count` messages; `hold` says for how many milliseconds each is held back.
template <class Hold>
Trips answers(Stage& stage, Subject& lab, const std::string& word, std::uint64_t count, const Hold& hold, const Mistake& missing) {
    Trips trips;
    const std::string hello = lab.line();
    stage.require(hello == "hello", {"\"hello\", to which nobody looks at the clock", shown(hello), "", "", ""});
    trips.allowed = steady::now();
    lab.feed("hello\n");
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::string line = lab.line(missing), expected = word + " " + std::to_string(i);
        trips.came.push_back(steady::now());
        stage.require(line == expected, {"message " + std::to_string(i) + " of " + std::to_string(count) + ": " + shown(expected), shown(line, 120), "", "", missing});
        if (const int held = hold(i); held > 0)
            lab.process().wait(Deadline::in(milliseconds(held)));
        trips.answered.push_back(steady::now());
        lab.feed(line + "\n");
    }
    lab.output();
    trips.over = steady::now();
    lab.exits(0);
    return trips;
}

double microseconds_between(steady::time_point from, steady::time_point to) { return 1e6 * seconds_between(from, to); }

// The echo of message i was there after it was answered, and before message i + 1 came.
steady::time_point latest_end(const Trips& trips, std::size_t i) { return i + 1 < trips.came.size() ? trips.came[i + 1] : trips.over; }

std::vector<Range> from_sent(const Trips& trips) {
    std::vector<Range> all;
    for (std::size_t i = 0; i < trips.came.size(); ++i)  // it was sent before it came, and after the one before was answered
        all.push_back({microseconds_between(trips.came[i], trips.answered[i]), microseconds_between(i > 0 ? trips.answered[i - 1] : trips.allowed, latest_end(trips, i))});
    return all;
}

std::vector<Range> from_due(const Trips& trips, double interval) {
    // When the first one was due: nothing was sent before it was due, so no message came earlier than due.
    double begin = 1e18;
    for (std::size_t i = 0; i < trips.came.size(); ++i)
        begin = std::min(begin, microseconds_between(trips.allowed, trips.came[i]) - interval * static_cast<double>(i));
    std::vector<Range> all;
    for (std::size_t i = 0; i < trips.came.size(); ++i) {
        const double due = interval * static_cast<double>(i);
        all.push_back({microseconds_between(trips.allowed, trips.answered[i]) - begin - due, microseconds_between(trips.allowed, latest_end(trips, i)) - due});
    }
    return all;
}

// The row whose name ends so: min, p50, p90, p99, p99.9, max in microseconds.
std::map<std::string, double> measured(Stage& stage, Subject& lab, const std::string& name) {
    static const char* const columns[] = {"min", "p50", "p90", "p99", "p99.9", "max"};
    for (const std::string& line : lines_of(lab.output())) {
        const std::vector<std::string> words = words_of(line);
        if (line.find(name) == std::string::npos || words.size() < 7)
            continue;
        std::map<std::string, double> row;
        for (std::size_t i = 0; i < 6; ++i)
            row[columns[i]] = std::atof(words[words.size() - 6 + i].c_str());
        return row;
    }
    stage.fail({"a row '" + name + "' in the table", shown(lab.output(), 600), "", "", ""});
}

std::string duration(double microseconds) {
    microseconds = std::max(0.0, microseconds);
    return microseconds < 1000 ? fixed(microseconds, 1) + " us" : fixed(microseconds / 1000, 1) + " ms";
}

// Whatever the machine was doing meanwhile: each percentile lies between that of the shortest and that of the longest possible.
void lies_between(Stage& stage, const std::map<std::string, double>& row, const std::vector<Range>& ranges, const std::string& name, const Mistake& too_short,
                  const Mistake& too_long, const std::string& note = {}) {
    std::vector<double> low, high;
    for (const Range& range : ranges) {
        low.push_back(range.low);
        high.push_back(range.high);
    }
    std::sort(low.begin(), low.end());
    std::sort(high.begin(), high.end());
    for (const auto& [column, per_mille] : {std::pair("p50", 500u), {"p90", 900u}, {"p99", 990u}, {"max", 1000u}}) {
        const std::size_t at = std::max<std::size_t>((low.size() * per_mille + 999) / 1000, 1) - 1;
        const double least = low[at] * 0.99 - 1, most = high[at] * 1.01 + 1, got = row.at(column);
        const std::string expected = column + (" of '" + name) + "' between " + duration(least) + " and " + duration(most) + ": so the peer has it by its own watch";
        stage.require(got >= least, {expected, duration(got), "", note, too_short});
        stage.require(got <= most, {expected, duration(got), "", note, too_long});
    }
}

// An open loop in which one answer is held back for ten intervals.
struct Stalled {
    Subject lab;
    Trips trips;
    double interval;  // microseconds
    int stall_ms;
};

constexpr std::uint64_t stalled = 2;  // the message whose answer is late

Stalled open_loop_with_stall(Stage& stage, int interval_ms, std::uint64_t count) {
    const int stall_ms = 10 * interval_ms;
    Subject lab = stage.start({"bench", "stdio", "--only", "open", "--rate", std::to_string(1000 / interval_ms), "--count", std::to_string(count)});
    Trips trips = answers(stage, lab, "open", count, [&](std::uint64_t i) { return i == stalled ? stall_ms : 0; }, "leaves-out-the-late");
    return {std::move(lab), std::move(trips), 1000.0 * interval_ms, stall_ms};
}

// Message n is sent n intervals after the beginning, or at once if that has passed.
Stalled kept_to_its_timetable(Stage& stage) {
    // On a machine that is too busy to tell 'at once' from 'an interval later', once more with a longer interval.
    for (const int interval_ms : {windows ? 50 : 20, 200}) {
        Stalled loop = open_loop_with_stall(stage, interval_ms, interval_ms < 200 ? 20 : 14);
        const Trips& trips = loop.trips;
        const std::string rule = "message n is sent n times " + std::to_string(interval_ms) + " ms after the beginning";
        std::vector<double> delays;  // of those that were overdue when the one before them was answered: nothing was left to wait for
        for (std::size_t i = 1; i < trips.came.size(); ++i) {
            const double came = microseconds_between(trips.allowed, trips.came[i]) / 1000, due = interval_ms * static_cast<double>(i);
            stage.require(came >= due, {rule + ", and not before", "message " + std::to_string(i) + " came after " + fixed(came, 1) + " ms, it was due after " + fixed(due, 1) + " ms",
                                        "", "", "sends-before-it-is-due"});
            if (microseconds_between(trips.came[0], trips.answered[i - 1]) / 1000 > due)
                delays.push_back(microseconds_between(trips.answered[i - 1], trips.came[i]) / 1000);
        }
        std::sort(delays.begin(), delays.end());
        const double delay = delays.at(1);  // some of ten may have been held up by others, but hardly nine
        if (delay < interval_ms / 2)
            return loop;
        stage.require(interval_ms < 200, {rule + "; those that are overdue, for the answer to message " + std::to_string(stalled) + " took " + std::to_string(loop.stall_ms) +
                                              " ms, are sent at once, one after the other",
                                          "all of them but one were sent " + fixed(delay, 1) + " ms or more after the answer to the one before", "", "", "schedule-moves"});
    }
    std::abort();  // the second turn returns or fails
}

// A steady stream of messages, and the peer is stopped for a while.
void shows_a_stop(Stage& stage) {
    for (int attempt = 0; attempt < 3; ++attempt) {
        Subject lab = stage.start({"bench", "pipe", "--only", "open", "--rate", windows ? "500" : "1000", "--count", windows ? "150" : "200"});
        const std::string head = lab.line();  // from now on it is measured
        const std::size_t number = head.find("process ");
        stage.require(number != std::string::npos, {"a headline that names the peer", shown(head), "", "", ""});
        const auto peer = static_cast<std::uint32_t>(std::strtoul(head.c_str() + number + 8, nullptr, 10));
        const bool frozen = freeze(peer);
        const steady::time_point stopped = steady::now();
        lab.process().wait(Deadline::in(milliseconds(120)));
        const double held = microseconds_between(stopped, steady::now());
        // Who has ended by now had ended before the stop: this machine was too slow for us. Once more.
        const bool in_time = frozen && lab.running() && lines_of(lab.output_so_far()).size() == 1;
        thaw(peer);
        lab.exits(0);
        if (!in_time)
            continue;
        const double p99 = measured(stage, lab, "from due").at("p99");
        stage.require(p99 > held - 15'000, {"p99 of 'from due' of at least " + duration(held - 15'000) + ", for the peer was stopped for " + duration(held), duration(p99), "", "",
                                            "coordinated-omission"});
        return;
    }
}

}  // namespace

EXERCISE("Exercise 4: what a message takes") {

CASE("9.19 closed_loop measures each round trip from its sending to its echo" * points(3) * section("exercise-4-what-a-message-takes") *
     hints("Which two moments belong to one round trip?",
           "The clock before it, the clock after it, nothing else in between. And if the peer goes away, the measurement is over.",
           "const auto sent = clock::now(); round_trip(); record(nanoseconds from sent to now). What round_trip() throws is not yours to catch.")) {
    stage.by_hand("lab-09 bench stdio --only closed --count 5    # you are the peer: press Enter");
    constexpr std::uint64_t count = 40;
    const int held = static_cast<int>(stage.random().between(10, 14));
    Subject lab = stage.start({"bench", "stdio", "--only", "closed", "--count", std::to_string(count)});
    const Trips trips = answers(stage, lab, "closed", count, [&](std::uint64_t i) { return i % 8 == 3 ? held : 0; }, "");
    lies_between(stage, measured(stage, lab, "one after the other"), from_sent(trips), "one after the other", "wrong-unit", "wrong-unit");

    Subject abandoned = stage.start({"bench", "stdio", "--only", "closed", "--count", "5"});
    abandoned.line();
    abandoned.feed("hello\n");
    abandoned.line();
    abandoned.close_input();
    abandoned.exits(failure, "peer-death-swallowed");
    abandoned.complains("the peer has gone away");
}

CASE("9.20 open_loop measures from the moment when the message was due" * points(7) * section("coordinated-omission") *
     hints("A shop is closed for an hour. Ten customers stand at its door, each is served in a minute. How long did the tenth wait?",
           "Not a minute. He came when he meant to come. If you look at the clock only when it is his turn, the closed hour has happened to one customer only.",
           "from_due: from begin + i * interval to the echo. from_sent: from the moment just before round_trip(). Record both.")) {
    stage.by_hand("lab-09 bench pipe --only open --count 3000    # and in another terminal kill -STOP the peer that it names, and -CONT a second later");
    Stalled loop = kept_to_its_timetable(stage);
    const std::string note = "the answer to message " + std::to_string(stalled) + " took " + std::to_string(loop.stall_ms) +
                             " ms, and meanwhile 10 others became due: they have waited, too";
    lies_between(stage, measured(stage, loop.lab, "from sent"), from_sent(loop.trips), "from sent", "wrong-unit", "sent-is-due", note);
    lies_between(stage, measured(stage, loop.lab, "from due"), from_due(loop.trips, loop.interval), "from due", "coordinated-omission", "wrong-unit", note);
}

CASE("9.21 open_loop keeps to its timetable and leaves nothing out" * points(4) * section("coordinated-omission") *
     hints("One answer took as long as ten intervals. What about the ten messages that were due meanwhile?",
           "They are late, and are sent now, one after the other, until you are on time again. Not put off, not left out.",
           "due = begin + i * interval. Sleeping until a moment that has passed returns at once.")) {
    stage.by_hand("lab-09 bench stdio --only open --rate 2 --count 8    # press Enter at each line; once wait for two seconds");
    kept_to_its_timetable(stage);
}

CASE("9.22 open_loop sleeps until a message is due" * points(2) * section("coordinated-omission") *
     hints("What does your program do in the milliseconds in which nothing is to be done?",
           "A loop that looks at the clock is exact, and takes a processor away from what you measure.",
           "clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, …); a waitable timer and WaitForSingleObject.")) {
    stage.by_hand("lab-09 bench stdio --only open --rate 1 --count 3 & top -p $!");
    Subject lab = stage.start({"bench", "stdio", "--only", "open", "--rate", "1", "--count", "2"});
    lab.line();
    lab.feed("hello\n");
    lab.line();
    lab.feed("open 0\n");
    lab.idles("spins-until-due");
    lab.line();
    lab.feed("open 1\n");
    lab.output();
    lab.exits(0);
}

CASE("9.23 bench reports on real mechanisms and shows that a peer was stopped" * points(4) * section("exercise-4-what-a-message-takes") *
     hints("The mechanisms are given, the measuring is yours. Do the numbers grow from left to right?",
           "min, percentiles and max come out of your histogram; a round trip takes some microseconds.",
           "If a row is missing or zero, look at what closed_loop() and open_loop() return.")) {
    stage.by_hand("lab-09 bench pipe --svg pipe.svg");
    stage.patience(milliseconds(30'000));  // an amount of work, not a moment of waiting
    const std::vector<std::string> mechanisms = windows ? std::vector<std::string>{"pipe", "named-pipe", "memory"} : std::vector<std::string>{"pipe", "socket", "memory"};
    for (const std::string& mechanism : mechanisms) {
        const std::string svg = (std::filesystem::path(stage.files()) / (mechanism + ".svg")).string();
        Subject lab = stage.start({"bench", mechanism, "--count", "40", "--rate", "5000", "--size", std::to_string(stage.random().between(1, 5000)), "--svg", svg});
        lab.exits(0);
        for (const char* name : {"one after the other", "5000 a second, from due", "5000 a second, from sent"}) {
            const std::map<std::string, double> row = measured(stage, lab, name);
            stage.require(row.at("min") > 0 && row.at("min") <= row.at("p50") && row.at("p50") <= row.at("p90") && row.at("p90") <= row.at("p99") &&
                              row.at("p99") <= row.at("p99.9") && row.at("p99.9") <= row.at("max") && row.at("max") < 60e6,
                          {mechanism + ", " + name + ": min > 0, and none smaller than the one before", shown(lab.output(), 900), "", "", "wrong-unit"});
        }
        stage.require(lab.output().find("one way: ") != std::string::npos, {"messages one way", shown(lab.output(), 900), "", "", ""});
        std::ifstream file(svg, std::ios::binary);
        const std::string drawn((std::istreambuf_iterator<char>(file)), {});
        stage.require(drawn.starts_with("<svg") && drawn.find("p99.9") != std::string::npos && drawn.find("from due") != std::string::npos, {"a chart in SVG", shown(drawn, 100), "", "", ""});
    }
    shows_a_stop(stage);
    refuses(stage, {"bench", "pigeon"}, wrong_usage, "there is no mechanism 'pigeon'");
    refuses(stage, {"bench", "pipe", "--rate", "0"}, wrong_usage, "--rate is a number from 1");
    refuses(stage, {"bench", "pipe", "--size", "0"}, wrong_usage, "--size is a number from 1");
    refuses(stage, {"bench", "pipe", "--only", "half"}, wrong_usage, "--only takes");
    refuses(stage, {"bench", "pipe", "--svg", stage.files() + "/no/where.svg"}, failure, "where.svg");
}

}
