// What only the posix track has: signals.

#include "shared.hpp"

#include "ipc/handle.hpp"
#include <csignal>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace judge;

// The open file that this descriptor of the subject stands for: the same one, flags and all (pidfd_getfd(2)). None where the
// kernel does not allow that.
static ipc::unique_file shared_with(Subject& lab, int descriptor) {
    const ipc::unique_file process(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(lab.process().id()), 0)));
    return ipc::unique_file(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), descriptor, 0)));
}

EXERCISE("Exercise 3: filter") {

CASE("1.19 a signal in the middle of a transfer loses nothing" * points(4) * section("signals-in-between") *
     hints("A call that has done nothing wrong returns -1. What does errno say? And one that returns less than you asked for?",
           "EINTR: a signal handler ran while the call was blocked. lab-01's main installs one for SIGUSR1. A write that was half done returns the half.",
           "Where read(), write(), poll() or waitpid() fail with EINTR, call them again; after a short write go on with the rest.")) {
    const Mistake eintr = "eintr-is-an-error";
    stage.recognise_throughout("Interrupted system call", eintr);
    stage.by_hand("{ echo one; sleep 2; echo two; } | lab-01 filter -- cat & sleep 1; kill -USR1 $!; wait $!; echo $?   # one, two, 0");
    const std::string first = stage.random().word(30), second = stage.random().word(30);
    auto signal_to = [](Subject& lab) { ::kill(static_cast<pid_t>(lab.process().id()), SIGUSR1); };
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"filter"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {0, 1});
    lab.feed(first);
    child.read(first.size());
    child.write(second);
    lab.output_of(second.size());
    settles(stage, lab);  // blocked in whatever it waits with
    signal_to(lab);
    settles(stage, lab, eintr);  // or the bytes could come before it has noticed the signal, and hide it
    lab.feed(second);
    lab.close_input();
    const Puppet::Moved rest = child.drain();
    stage.require(rest.count == second.size(), {"the rest of the input arrives after the signal", std::to_string(rest.count) + " bytes of it", "", "", eintr});
    child.write(first);
    child.close_output();
    settles(stage, lab);  // in waitpid() now
    signal_to(lab);
    lab.idles(eintr, "busy-waiting");
    child.exit(2);
    lab.prints(second + first);
    lab.exits(2);

    // Blocked in a write that is half done: the signal makes it a short one.
    stage.by_hand("head -c 1M /dev/zero | lab-01 feed -- sh -c 'head -c 10000 >/dev/null; sleep 2; wc -c' & sleep 1; kill -USR1 $!; wait $!   # 1038576: "
                  "all but the 10000 that were read before");
    const std::string much = stage.random().bytes(400'000);
    Puppet slow = stage.puppet();
    Subject feeding = run(stage, verb({"feed"}, slow));
    starts(stage, feeding, slow);
    has_own_pipes(stage, feeding, slow, {0});
    feeding.feed(much);
    feeding.close_input();
    settles(stage, feeding);
    const std::string head = slow.read(10'000).bytes;  // room for a part of what it holds
    settles(stage, feeding);
    signal_to(feeding);
    settles(stage, feeding);
    const Puppet::Moved tail = slow.drain();
    Hash hash;
    hash.add(much.data() + head.size(), much.size() - head.size());
    stage.require(head == much.substr(0, 10'000) && tail.hash == hash.hex(),
                  {"all " + std::to_string(much.size()) + " bytes arrive, though a signal interrupted a write",
                   std::to_string(head.size() + tail.count) + " bytes" + (head.size() + tail.count == much.size() ? ", but other ones" : ""), "", "",
                   head.size() + tail.count < much.size() ? "short-write" : ""});
    slow.exit(0);
    feeding.exits(0);
}

}

EXERCISE("Exercise 4: pipeline") {

CASE("1.20 real programs run as they do under a shell" * points(3) * section("what-the-child-inherits-besides") *
     hints("yes writes for ever. What ends it when head has gone?",
           "SIGPIPE, unless somebody told yes to ignore it. What you ignore when you call exec, the new program ignores too.",
           "POSIX_SPAWN_SETSIGDEF for SIGPIPE, or signal(SIGPIPE, SIG_DFL) between fork() and exec.")) {
    stage.by_hand("seq 9 | shuf | lab-01 filter -- sort; seq 9 | lab-01 pipeline -- gzip -c '|' gzip -dc '|' tee /dev/null   # 1 to 9, twice");
    Start plain;
    plain.environment["LC_ALL"] = "C";
    std::vector<std::string> words;
    for (int i = 0; i < 2000; ++i)
        words.push_back(stage.random().word(40));
    auto text = [&] {
        std::string all;
        for (const std::string& word : words)
            all += word + "\n";
        return all;
    };

    Subject sort = run(stage, {"filter", "--", "sort"}, plain);
    sort.feed(text());
    sort.close_input();
    std::sort(words.begin(), words.end());
    sort.prints(text());
    sort.exits(0);

    Subject zip = run(stage, {"pipeline", "--", "gzip", "-c", "|", "gzip", "-dc", "|", "tee", "/dev/null"}, plain);
    zip.feed(text());
    zip.close_input();
    zip.prints(text());
    zip.exits(0);

    stage.by_hand("yes | lab-01 feed -- head -n 1; echo $?   # y, 0");
    Subject yes = run(stage, {"feed", "--", "head", "-n", "1"}, plain);
    yes.feed(text() + text());
    yes.prints(words.front() + "\n");
    yes.close_input();
    yes.exits(0);

    // As a shell with pipefail: yes is killed by the signal that a broken pipe sends.
    stage.by_hand("lab-01 pipeline --codes -- yes '|' head -n 2; echo $?   # stage 1 ends with 141, and so does lab-01");
    stage.recognise("yes" + writes_to + a_lab, "write-end-kept-in-parent");
    stage.recognise("yes: standard output: Broken pipe", "sigpipe-inherited");
    Subject lab = run(stage, {"pipeline", "--codes", "--", "yes", "|", "head", "-n", "2"}, plain);
    lab.prints("y\ny\n");
    lab.exits(128 + SIGPIPE);
    lab.complains("stage 1: exit code 141");

    // The same where the lab program has reason to ignore the signal itself.
    stage.by_hand("lab-01 feed -- bash -c 'yes | head -n 1; echo ${PIPESTATUS[@]}' </dev/null   # 141 0, as without lab-01");
    Puppet child = stage.puppet();
    Subject feed = run(stage, verb({"feed"}, child));
    starts(stage, feed, child);
    const std::vector<std::string> odd = child.odd_signals();
    stage.require(std::find(odd.begin(), odd.end(), "SIGPIPE ignored") == odd.end(),
                  {"the command starts with SIGPIPE's default action, as from a shell", "SIGPIPE ignored", "", "", "sigpipe-inherited"});
    feed.close_input();
    child.exit(0);
    feed.exits(0);

    // Whoever shares the streams with it goes on with them as they were.
    stage.by_hand("{ lab-01 filter -- true </dev/null; head -c 1M /dev/zero; } | { sleep 1; wc -c; }   # 1048576");
    Puppet other = stage.puppet();
    Subject filter = run(stage, verb({"filter"}, other));
    starts(stage, filter, other);
    settles(stage, filter);
    ipc::unique_file shared[] = {shared_with(filter, STDIN_FILENO), shared_with(filter, STDOUT_FILENO)};
    other.exit(0);
    filter.ends();
    for (const ipc::unique_file& each : shared)
        stage.require(!each || !(::fcntl(each.get(), F_GETFL) & O_NONBLOCK),
                      {"its standard streams are left as they were", std::string(&each == shared ? "standard input" : "standard output") + " is non-blocking now, also for the shell and for who writes next", "", "", "nonblocking-left-to-the-shell"});
    shared[0].reset();
    shared[1].reset();
    filter.exits(0);
}

}
