// What only the posix track has: signals, zombies, sessions; and what it asks the system with.

#include "story.hpp"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace judge;

namespace {

// The fields of /proc/ID/stat behind the name: fields[0] is field 3, the state.
std::vector<std::string> stat_fields(const std::string& id) {
    std::ifstream file("/proc/" + id + "/stat");
    std::string text;
    std::getline(file, text, '\0');  // a read of a process that has just gone fails: then it is empty
    const auto name_end = text.rfind(')');
    std::istringstream rest(name_end == std::string::npos ? "" : text.substr(name_end + 1));
    return {std::istream_iterator<std::string>(rest), {}};
}

// How a process ended that is our child since its parent has gone; it is reaped by that.
int status_of_orphan(std::uint32_t id) {
    int status = -1;
    while (::waitpid(static_cast<pid_t>(id), &status, 0) == -1 && errno == EINTR) {
    }
    return status;
}

}  // namespace

std::string system_line() {
    utsname names{};
    ::uname(&names);
    return std::string(names.sysname) + " " + names.release;
}

std::string identity_of(std::uint32_t id) {
    const auto fields = stat_fields(std::to_string(id));
    return std::to_string(id) + ":" + (fields.size() > 19 ? fields[19] : "0");
}

namespace {

std::vector<std::string> children_of(std::uint32_t id) {
    std::vector<std::string> found;
    std::error_code gone;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(id) + "/task", gone)) {
        std::ifstream list(thread.path() / "children");
        for (std::string child; list >> child;)
            found.push_back(child);
    }
    return found;
}

std::string zombie_of(std::uint32_t id) {
    for (const std::string& child : children_of(id))
        if (const auto fields = stat_fields(child); !fields.empty() && fields[0] == "Z")
            return "a zombie, process " + child + ": it has ended, and lab-00 has not waited for it";
    return {};
}

}  // namespace

// One that is just about to end counts, too: it will be a zombie.
std::string remembered(std::uint32_t lab, std::uint32_t) {
    if (const std::string zombie = zombie_of(lab); !zombie.empty())
        return zombie;
    const std::vector<std::string> children = children_of(lab);
    return children.empty() ? "" : "a process, " + children[0] + ", that lab-00 has not waited for";
}

EXERCISE("Exercise 2: what it finds, and how it ends") {

CASE("0.14 no signal is ignored or blocked in the program on our account" * points(3) * section("what-a-child-inherits") *
     hints("exec replaces the program. What of the old one stays all the same?",
           "Handlers go, but an ignored signal stays ignored and a blocked one stays blocked. main ignores SIGPIPE.",
           "In the child before exec: signal(SIGPIPE, SIG_DFL), and sigprocmask with an empty set. posix_spawn has attributes for both.")) {
    stage.by_hand("lab-00 run -- sh -c 'yes | head -n 1; grep Sig /proc/self/status'");
    for (const bool timed : {false, true}) {
        Puppet child = stage.puppet();
        Subject lab = stage.start(line(timed ? std::vector<std::string>{"run", "--timeout", "60000"} : std::vector<std::string>{"run"}, child));
        starts(stage, lab, child);
        for (const std::string& odd : child.odd_signals())
            stage.fail({"the program starts with every signal at its default and none blocked", odd, "", "", "signals-inherited"});
        child.exit(0);
        lab.exits(0);
    }
}

}

EXERCISE("Exercise 3: stop it in time") {

CASE("0.20 orphans that fall to run are reaped while it waits" * points(2) * section("the-whole-tree") *
     hints("Who becomes the parent of a process whose parent has ended?",
           "Usually init, which reaps it. But if you have made yourself a subreaper, it is you, and then the reaping is your work too.",
           "On every SIGCHLD call waitpid(-1, …, WNOHANG) until it finds nobody, and keep the status when it is your own child's.")) {
    stage.by_hand("lab-00 run --timeout 60000 -- sh -c '(sleep 1 &); exec sleep 30' & sleep 2; ps --ppid $!");
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run", "--timeout", "60000"}, child));
    starts(stage, lab, child);
    Puppet middle = child.spawn();
    Puppet orphan = middle.spawn();
    middle.exit(0);
    middle.gone();
    orphan.exit(0);
    orphan.gone();
    std::string left;
    const auto begin = std::chrono::steady_clock::now();
    stage.await([&](Deadline) {
        left = zombie_of(lab.process().id());
        return (left.empty() && std::chrono::steady_clock::now() - begin > milliseconds(20)) ||
               std::chrono::steady_clock::now() - begin > milliseconds(1000) * stage.time_scale();
    }, "no zombie is left", "orphans-not-reaped");
    stage.require(left.empty(), {"an orphan that has ended is reaped by whoever inherited it", left, "", "", "orphans-not-reaped"});
    child.exit(4);
    lab.exits(4);
}

}

EXERCISE("Exercise 4: the right one") {

CASE("0.24 a program's name may hold blanks and parentheses" * points(3) * section("a-number-is-not-a-name") *
     hints("What stands in /proc/ID/stat between the number and the state?",
           "The program's name in parentheses, and a name may be any text: try 'a) R 1 2 (b'.",
           "Look for the last ')' in the line, and count the fields from there: the next one is field 3.")) {
    const std::string program = (std::filesystem::path(stage.files()) / "x) R 7 8 (y").string();
    Puppet child = stage.puppet();
    std::filesystem::create_symlink(child.program(), program);
    stage.by_hand("cp /bin/sleep 'x) R 7 8 (y'; lab-00 spawn -- './x) R 7 8 (y' 60");
    Subject lab = stage.start({"spawn", "--", program, child.endpoint()});
    starts(stage, lab, child);
    const std::string identity = lab.line();
    stage.require(identity == identity_of(child.id()), {identity_of(child.id()), shown(identity), "", "", "stat-split-at-blanks"});
    stage.require(::getsid(static_cast<pid_t>(child.id())) == static_cast<pid_t>(child.id()),
                  {"the process leads a session of its own", "it is in session " + std::to_string(::getsid(static_cast<pid_t>(child.id()))), "", "", "same-session"});
    child.exit(0);
    lab.exits(0);
}

CASE("0.25 stop asks before it kills, and does not ask for ever" * points(3) * section("politely-then-surely") *
     hints("Could the process that you stop have something to put in order first?",
           "SIGTERM lets it, SIGKILL does not. But SIGTERM can be ignored.",
           "SIGTERM, poll() on the pidfd for the grace, and only if it is not readable then SIGKILL.")) {
    stage.by_hand("lab-00 spawn -- sh -c 'trap \"\" TERM; while :; do sleep 1; done'; time lab-00 stop ID:STARTED --grace 500");
    const milliseconds grace(80);
    for (const bool polite : {true, false}) {
        Puppet child = stage.puppet();
        Subject lab = stage.start(line({"spawn"}, child));
        starts(stage, lab, child);
        lab.exits(0, "spawn-waits");
        if (!polite)
            child.ignore_polite_requests();
        const std::string identity = lab.line();
        const auto begin = std::chrono::steady_clock::now();
        Subject stop = stage.start({"stop", identity, "--grace", polite ? "60000" : std::to_string(grace.count())});
        stop.exits(0, polite ? "" : "never-surely");
        const auto took = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
        child.gone("signal-sent-is-not-end");
        const int status = status_of_orphan(child.id());
        const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        stage.require(signal == (polite ? SIGTERM : SIGKILL), {polite ? "the process was ended by SIGTERM" : "the process, which ignores SIGTERM, was ended by SIGKILL",
                                                               "by signal " + std::to_string(signal), "", "", "no-polite-request"});
        stage.require(polite || took >= grace, {"it has its " + std::to_string(grace.count()) + " ms", "it was killed after " + std::to_string(took.count()) + " ms", "", "", "no-polite-request"});
    }
}

}
