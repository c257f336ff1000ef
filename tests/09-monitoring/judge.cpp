// The judge of lab 09: a process that is looked at.

#include "shared.hpp"

#include <filesystem>
#include <fstream>

using namespace judge;

JUDGE_MAIN

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
