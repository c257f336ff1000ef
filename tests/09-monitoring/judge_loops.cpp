// The judge as a peer with a watch in its hand, for the loops of `bench`.

#include "shared.hpp"

#include <filesystem>
#include <fstream>
#include <map>

using namespace judge;

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
