#include "failure.hpp"
#include "ipc/handle.hpp"
#include "load.hpp"
#include "process.hpp"
#include <chrono>
#include <csignal>
#include <doctest/doctest.h>
#include <fstream>
#include <iterator>
#include <string>
#include <unistd.h>

using namespace course;
using namespace std::chrono_literals;

namespace {

// Killed is not yet buried: a zombie waits for its parent, and who that is and when it looks is not our affair.
bool runs(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    const auto name_end = line.rfind(") ");
    return name_end != std::string::npos && line.at(name_end + 2) != 'Z' && line.at(name_end + 2) != 'X';
}

}  // namespace

TEST_CASE("output, errors and exit code arrive apart") {
    const Outcome outcome = run({{"sh", "-c", "echo out; echo err >&2; exit 7"}, {}, 10s, {}});
    CHECK(outcome.output == "out\n");
    CHECK(outcome.errors == "err\n");
    CHECK(outcome.code == 7);
    CHECK(outcome.signal == 0);
}

TEST_CASE("a variable of the command's takes the place of the one that was there") {
    ::setenv("COURSE_TEST_VARIABLE", "old", 1);
    const Outcome outcome =
        run({{"env"}, {}, std::chrono::seconds(20), {"COURSE_TEST_VARIABLE=new"}});
    ::unsetenv("COURSE_TEST_VARIABLE");
    CHECK(outcome.output.find("COURSE_TEST_VARIABLE=new\n") != std::string::npos);
    CHECK(outcome.output.find("COURSE_TEST_VARIABLE=old") == std::string::npos);
}

TEST_CASE("a program that was killed says by which signal") {
    const Outcome outcome = run({{"sh", "-c", "kill -SEGV $$"}, {}, 10s, {}});
    CHECK(outcome.signal == SIGSEGV);
    CHECK(outcome.code == 128 + SIGSEGV);
}

TEST_CASE("a megabyte on each stream is no deadlock") {
    const Outcome outcome =
        run({{"sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"}, {}, 30s, {}});
    CHECK(outcome.output.size() == 1000000);
    CHECK(outcome.errors.size() == 1000000);
}

TEST_CASE("of a flood only as much is kept as was asked for, and the program is not held up by it") {
    Command command{{"sh", "-c", "head -c 3000000 /dev/zero; head -c 20 /dev/zero >&2"}, {}, std::chrono::minutes(1), {}};
    command.most_output = 100;
    const Outcome outcome = run(command);
    CHECK(outcome.code == 0);
    CHECK(outcome.output.size() == 100);
    CHECK(outcome.errors.size() == 20);
}

TEST_CASE("a background process that keeps the output open is not waited for") {
    const auto start = std::chrono::steady_clock::now();
    const Outcome outcome = run({{"sh", "-c", "sleep 30 & echo $!"}, {}, 20s, {}});
    CHECK(std::chrono::steady_clock::now() - start < 15s);
    const pid_t left = std::stoi(outcome.output);
    CHECK(left > 0);
    ::kill(left, SIGKILL);
}

TEST_CASE("at its limit a program is asked first and its whole group is gone afterwards") {
    const Outcome outcome =
        run({{"sh", "-c", "trap 'echo asked; exit 3' INT; sleep 60 & echo $!; wait"}, {}, 300ms, {}});
    CHECK(outcome.over_limit);
    CHECK(outcome.code == 3);
    CHECK(outcome.output.find("asked") != std::string::npos);
    const pid_t left = std::stoi(outcome.output);
    // run() has seen the group's end before it came back, or has killed it: it needs a moment to be gone.
    for (int tries = 0; runs(left) && tries < 500; ++tries)
        ::usleep(10'000);
    CHECK_FALSE(runs(left));
}

TEST_CASE("orphans are adopted and buried, and children that are waited for are not") {
    adopt_orphans();
    run({{"sh", "-c", "(true &) ; (true &)"}, {}, 10s, {}});
    std::vector<int> codes(20);
    at_once(4, codes.size(), [&](std::size_t i) {
        codes[i] = run({{"sh", "-c", "(true &) ; exit 5"}, {}, 10s, {}}).code;
    });
    CHECK(codes == std::vector<int>(20, 5));
    // The last orphans may die a moment after their parents.
    std::string left = "?";
    for (int tries = 0; !left.empty() && tries < 500; ++tries) {
        run({{"sleep", "0.01"}, {}, 10s, {}});
        left.clear();
        std::ifstream("/proc/thread-self/children") >> left;
    }
    CHECK(left.empty());
}

TEST_CASE("a program that is not there is the machine's fault, and named") {
    CHECK_THROWS_WITH_AS(run({{"no-such-program-anywhere"}, {}, 1s, {}}),
                         doctest::Contains("no-such-program-anywhere"), Failure);
    CHECK(find_program("no-such-program-anywhere").empty());
    CHECK(find_program("sh").filename() == "sh");
}

TEST_CASE("a shown command can be typed") {
    CHECK(shell_line({"lab-01", "capture", "--", "a b", "it's", ""}) ==
          "lab-01 capture -- 'a b' 'it'\\''s' ''");
}

TEST_CASE("work is done once each, and the first exception is passed on") {
    std::vector<int> done(50);
    at_once(4, done.size(), [&](std::size_t i) { ++done[i]; });
    CHECK(done == std::vector<int>(50, 1));
    CHECK_THROWS_AS(at_once(2, 10,
                            [](std::size_t i) {
                                if (i == 3)
                                    throw Failure(1, "third");
                            }),
                    Failure);
}
