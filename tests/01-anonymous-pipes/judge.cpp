// The judge of lab 01: it gives the lab program a puppet to run, and moves the puppet.

#include "shared.hpp"

using namespace judge;

JUDGE_MAIN

namespace {

// With every byte that is likely to be spoiled on the way.
std::string nasty_bytes(Random& random) {
    return random.bytes(random.between(200, 400)) + std::string("\0\r\n\n\r\x1a", 6) + random.bytes(100) + "\r\n";
}

// What the C library of Windows makes of bytes that it takes for text.
std::string in_text_mode(std::string bytes) {
    bytes.resize(std::min(bytes.find('\x1a'), bytes.size()));
    for (std::size_t at = 0; (at = bytes.find("\r\n", at)) != std::string::npos;)
        bytes.erase(at, 1);
    return bytes;
}

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;

std::string this_one(const Puppet& puppet) { return "puppet \\(pid " + std::to_string(puppet.id()) + "\\)"; }

// The puppet reads `bytes`, and then the end of its input. First the bytes: when all of them have come and the end has not,
// somebody holds the write end who should not.
void drains(Stage& stage, Puppet& puppet, const std::string& bytes) {
    const std::string all = "the command reads all " + std::to_string(bytes.size()) + " bytes of the input";
    const Puppet::Moved moved = puppet.read(bytes.size());
    stage.require(moved.bytes == bytes, {all, difference(moved.bytes, bytes), "", "", ""});
    stage.forget();
    stage.recognise(this_one(puppet) + reads_from + a_puppet, "write-end-inherited");
    stage.recognise(this_one(puppet) + reads_from + a_lab, "write-end-not-closed");
    const Puppet::Moved rest = puppet.drain();
    stage.require(rest.count == 0, {all + ", and then its end", std::to_string(rest.count) + " bytes more", "", "", ""});
}

// Whether a stray descriptor, "3 pipe:[4711]", is a copy of one of the stage's own streams: then it was not a sibling's.
std::string same_as_own(const std::vector<std::string>& all, const std::string& stray) {
    const std::string pipe = stray.substr(stray.find("pipe:"));
    for (const std::string& open : all)
        if (std::atoi(open.c_str()) <= 2 && open != stray && open.size() > pipe.size() && open.ends_with(pipe))
            return ", the pipe that is also its descriptor " + open.substr(0, 1);
    return "";
}

// It ends as the command has ended.
void hands_on(Subject& lab, Stage& stage, std::uint32_t code, const Mistake& if_zero = "exit-code-lost") {
    const Ended how = lab.ends();
    const bool ended = how.how == Ended::How::exited;
    stage.require(ended && how.code == code, {"exit code " + std::to_string(code) + ", as the command's", how.text(), "", "",
                                              ended && how.code == 0 ? if_zero : ""});
}

}  // namespace

EXERCISE("Exercise 1: capture") {

CASE("1.1 capture prints exactly what the command wrote" * points(4) * section("exercise-1-capture") *
     hints("Which of the pipe's two ends does the child need, and as which of its standard streams?",
           "The child inherits by number: before exec, the write end must have become file descriptor 1 (on Windows: hStdOutput, "
           "with STARTF_USESTDHANDLES and an inheritable handle). Standard input and error it simply shares with you.",
           "Read in a loop and append exactly as many bytes as each read returned; a buffer is not a C string, it may hold NULs.")) {
    know_kept_ends(stage);
    by_hand(stage, "lab-01 capture -- sh -c 'printf \"a\\000b\\r\\n\"; sleep 1; echo more' | od -c",
            "lab-01 capture -- cmd /c 'echo hello& ping -n 2 127.0.0.1 >nul& echo more' >said; od -c said",
            "lab-01 capture -- cmd /c \"echo hello& ping -n 2 127.0.0.1 >nul& echo more\"");
    const std::string first = nasty_bytes(stage.random()), second = nasty_bytes(stage.random());
    const std::string question = stage.random().word(9);
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"capture"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {1});
    lab.feed(question);
    const std::string heard = child.read(question.size()).bytes;
    stage.require(heard == question, {"the command reads the lab program's standard input, " + shown(question), difference(heard, question), "", "", ""});
    child.write(first);
    lab.idles();
    stage.require(lab.output_so_far().empty(), {"nothing is printed before the output has come to its end", shown(lab.output_so_far()), "", "", ""});
    child.write(second);
    child.exit(0);
    stage.require(!windows || lab.output() != in_text_mode(first + second),
                  {"standard output is, byte for byte, what the command wrote", "it has been read as text: \\r\\n became \\n, and a byte 0x1A ended it", "", "", "text-mode"});
    stage.require(lab.output() != first, {"standard output is all that the command wrote", difference(first, first + second) + ": what it wrote at first", "", "", "read-once"});
    lab.prints(first + second);
    lab.exits(0);
}

CASE("1.2 capture ends when nobody is left who could write, also if nothing was written" * points(8) * section("end-of-file") *
     hints("Who holds the write end of the pipe while you read?",
           "After fork() (or CreateProcess with inheritance) there are two copies of the write end. The child's goes when the child goes. And the other?",
           "Close the parent's write end after the child has been started and before the first read.")) {
    know_kept_ends(stage);
    by_hand(stage, "lab-01 capture -- true   # ends at once", "lab-01 capture -- cmd /c exit", "lab-01 capture -- cmd /c exit");
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"capture"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {1});
    lab.idles();
    child.exit(0);
    lab.prints("");
    lab.exits(0);
}

CASE("1.3 capture hands on the command's exit code" * points(5) * section("exercise-1-capture") *
     hints("Where does the system keep how a child ended, and until when?",
           "waitpid() gives a status, not an exit code (on Windows: GetExitCodeProcess, once the process object is signalled).",
           "WIFEXITED and WEXITSTATUS take it apart; for a signal it is 128 + WTERMSIG.")) {
    know_kept_ends(stage);
    by_hand(stage, "lab-01 capture -- sh -c 'echo x; exec >&-; sleep 1; exit 77'; echo $?   # 77, a second after its output has ended",
            "lab-01 capture -- cmd /c exit 77; echo $?   # 77", "lab-01 capture -- cmd /c exit 77\necho %ERRORLEVEL%");
    const auto code = static_cast<std::uint32_t>(stage.random().between(3, 77));
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"capture"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {1});
    child.write("x");
    // It says goodbye on the pipe long before it ends: the code is not there yet when the output is complete.
    child.close_output();
    lab.idles("exit-code-too-early");
    child.exit(code);
    hands_on(lab, stage, code);
    lab.prints("x");
    if (windows)
        return;
    by_hand(stage, "lab-01 capture -- sh -c 'kill -KILL $$'; echo $?   # 137", "", "");
    Puppet victim = stage.puppet();
    Subject other = run(stage, verb({"capture"}, victim));
    starts(stage, other, victim);
    victim.crash("kill");
    other.exits(128 + 9, "death-by-signal-lost");  // SIGKILL
}

CASE("1.4 capture takes any amount, far more than a pipe holds" * points(6) * section("a-pipe-is-small") *
     hints("How much fits into a pipe that nobody reads?",
           "A child that has more to say than the pipe holds cannot end before somebody reads. What do you wait for first?",
           "Read to the end of file first, and wait for the child afterwards.")) {
    know_kept_ends(stage);
    stage.patience(milliseconds(40'000));  // an amount of work, not a moment of waiting; a hang is found long before
    by_hand(stage, "lab-01 capture -- head -c 16777216 /dev/zero | wc -c   # 16777216",
            "seq 1 2000000 >large; lab-01 capture -- cmd /c type large >said; ls -l large said   # as long as each other",
            "lab-01 capture -- cmd /c type %SystemRoot%\\System32\\shell32.dll > copy.dll");
    const std::size_t size = (windows ? 4 : 16) * MiB;  // a pipe holds 64 KiB or less; Wine carries all of it through one server, four times
    const std::uint64_t seed = stage.random().next();
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"capture"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {1});
    // Who waits for a child that has not said anything yet has not read first.
    lab.idles();
    const Mistake order = waits_for_its_child(lab) ? "wait-before-read" : "read-once";
    stage.recognise("lab-\\d+ .*" + waits_for_puppet, order);
    child.begin_pour(size, seed);
    const std::string expected = Random(seed).bytes(size);
    child.finish();
    child.exit(0);
    const std::string& got = lab.output();
    stage.require(got == expected, {"the " + std::to_string(size / MiB) + " MiB that the command wrote", difference(got, expected), "", "", ""});
    lab.exits(0);
}

CASE("1.5 capture goes on reading when the command has ended but its child still writes" * points(6) * section("end-of-file") *
     hints("What ends the output: the death of your child, or the end of file?",
           "A shell command may leave a background job that still holds the pipe. Its words are part of the output.",
           "Do not look at the child's state while you read; only a read of 0 bytes (ERROR_BROKEN_PIPE on Windows) is the end.")) {
    by_hand(stage, "lab-01 capture -- sh -c '(sleep 1; echo late) & echo early'   # both words",
            "lab-01 capture -- cmd /c start /b ping -n 3 127.0.0.1", "lab-01 capture -- cmd /c start /b ping -n 3 127.0.0.1");
    know_kept_ends(stage);
    const std::string first = stage.random().word(10), second = stage.random().word(10), early = first + second, late = stage.random().word(20);
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"capture"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {1});
    Puppet grandchild = child.spawn();
    child.write(first);
    taken(lab);
    child.write(second);
    child.exit(5);
    child.gone();
    // If it took the child's death for the end, it needs no more than this to show it.
    stage.recognise("got: it ended", [&]() -> Mistake { return lab.output_so_far() == first ? "read-once" : "read-until-exit"; });
    goes_on_waiting(stage, lab, "");
    stage.forget();
    know_kept_ends(stage);
    const std::string refused = grandchild.write(late).error;
    stage.require(refused.empty(), {"somebody reads what the command's own child writes", "nobody reads any more: " + refused, "", "", "read-until-exit"});
    grandchild.exit(0);
    stage.require(lab.output() != early, {"standard output is all that was written, " + shown(early + late), "only what was written before the command ended, " + shown(early), "", "", "read-until-exit"});
    lab.prints(early + late);
    hands_on(lab, stage, 5);
}

CASE("1.6 capture says at once that a command cannot be found" * points(4) * section("a-command-that-is-not-there") *
     hints("What happens in the child when exec fails, and who hears of it?",
           "After fork() the failure is in the other process: its errno has to travel back to you.",
           "posix_spawnp() returns the error. With fork(), send errno through a second pipe that is close-on-exec: end of file on it means that exec succeeded.")) {
    know_kept_ends(stage);
    const std::string nothing = "no-such-command-" + stage.random().word(8), something = stage.random().word(10);
    by_hand(stage, "lab-01 capture -- " + nothing + "; echo $?   # 127", "lab-01 capture -- " + nothing + "; echo $?   # 127",
            "lab-01 capture -- " + nothing + "\necho %ERRORLEVEL%");
    Puppet child = stage.puppet();
    Subject first = run(stage, verb({"capture"}, child));
    starts(stage, first, child);
    has_own_pipes(stage, first, child, {1});
    child.write(something);
    child.exit(0);
    first.prints(something);
    first.exits(0);
    Subject lab = run(stage, {"capture", "--", nothing});
    lab.exits(127, "exec-failure-lost");
    lab.complains(nothing, "exec-failure-lost");
    lab.prints("", "exec-failure-lost");
}

}

EXERCISE("Exercise 2: feed") {

CASE("1.7 feed gives the command every byte, then end of file" * points(7) * section("exercise-2-feed") *
     hints("How does the child learn that there is no more input?",
           "End of file on the child's input comes when the last write end is closed: yours, and every copy of it.",
           "Close your write end when your own input has ended. Did the child inherit one as well?")) {
    by_hand(stage, "seq 1 100000 | lab-01 feed -- wc -l   # 100000", "seq 1 100000 | lab-01 feed -- find \"99999\"   # 99999",
            "type LARGE.TXT | lab-01 feed -- find \"a \"");
    const std::string bytes = nasty_bytes(stage.random()) + stage.random().bytes(300'000);
    const std::string answer = stage.random().word(12);
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"feed"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {0});
    lab.feed(bytes);
    lab.close_input();
    drains(stage, child, bytes);
    child.write(answer);
    child.exit(9);
    lab.prints(answer);
    hands_on(lab, stage, 9);
}

CASE("1.8 feed survives a command that stops reading early" * points(6) * section("the-reader-hangs-up") *
     hints("What does the system do to a process that writes into a pipe without a reader?",
           "By default SIGPIPE kills it before write() can return an error. On Windows WriteFile fails with ERROR_NO_DATA.",
           "Ignore SIGPIPE, take EPIPE as 'enough', stop writing, and still wait for the child's exit code.")) {
    stage.recognise(windows ? "saying \"[^\"]*WriteFile" : "saying \"[^\"]*Broken pipe", "broken-pipe-is-an-error");
    stage.recognise("lab-\\d+" + writes_to + lab_itself_or_with_others, "read-end-kept");
    by_hand(stage, "yes | lab-01 feed -- head -n 1; echo $?   # y, 0", "yes | lab-01 feed -- cmd /c exit 4; echo $?   # 4",
            "type LARGE.TXT | lab-01 feed -- cmd /c exit 4\necho %ERRORLEVEL%");
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"feed"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {0});
    lab.feed(stage.random().bytes(4 * MiB));
    child.read(10);
    child.exit(4);
    hands_on(lab, stage, 4);
}

}

EXERCISE("Exercise 3: filter") {

CASE("1.9 filter carries bytes both ways as they come" * points(5) * section("exercise-3-filter") *
     hints("How many pipes are there, and which two ends stay with you?",
           "Two pipes: you keep the write end of the child's input and the read end of its output, and nothing else.",
           "Make both pipes before the child starts, and close the child's ends in the parent right after. "
           "The end of your input is no reason to stop listening to the child.")) {
    const std::string in_between = "{ echo one; sleep 3; echo two; } | lab-01 filter -- ";
    by_hand(stage, in_between + "sed -u s/^/got:/   # got:one comes at once", in_between + "find \"o\"   # one comes at once",
            "lab-01 filter -- find \"o\"");
    stage.recognise("lab-\\d+" + reads_from + "the judge", "waits-for-all-input");
    const std::string bytes = nasty_bytes(stage.random()), last = stage.random().word(30);
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"filter"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {0, 1});
    lab.feed(bytes);
    const Puppet::Moved taken = child.read(bytes.size());
    stage.require(taken.bytes == bytes, {"the command reads " + shown(bytes), difference(taken.bytes, bytes), "", "", ""});
    stage.forget();
    stage.recognise("lab-\\d+" + reads_from + a_puppet, "waits-for-all-output");
    child.write(bytes);
    lab.output_of(bytes.size());
    stage.forget();
    lab.idles();
    by_hand(stage, "seq 1 9 | lab-01 filter -- tac   # 9 to 1", "seq 1 9 | lab-01 filter -- find \"9\"   # 9", "dir | lab-01 filter -- find \"<DIR> \"");
    lab.close_input();
    drains(stage, child, "");
    stage.forget();
    child.write(last);
    child.exit(3);
    stage.require(lab.output() != bytes, {"standard output is all that the command wrote, also after the end of its input",
                                          "only what it wrote before that; " + shown(last) + " is missing", "", "", "stops-with-the-input"});
    lab.prints(bytes + last);
    hands_on(lab, stage, 3);
}

CASE("1.10 filter does not deadlock when both pipes are full" * points(9) * section("both-pipes-full") *
     hints("The child has written until its output pipe is full, and now blocks. You have written until its input pipe is full. Who moves first?",
           "Nobody does, if you write everything before you read. You need to watch both directions at once.",
           windows ? "A thread for one of the directions, by CreateThread or std::thread. Who writes much without a thread for reading waits for a child that waits for him."
                   : "poll() on all ends, or a thread for one of the directions. A descriptor that poll() calls writable takes PIPE_BUF bytes without blocking, no more.")) {
    by_hand(stage, "head -c 64M /dev/urandom | lab-01 filter -- cat | wc -c   # 67108864",
            "seq 1 2000000 >large; lab-01 filter -- cmd /c type large <large >said; ls -l large said   # as long as each other",
            "type LARGE.TXT | lab-01 filter -- cmd /c type LARGE.TXT");
    const std::uint64_t seed = stage.random().next();
    const std::string input = stage.random().bytes(3 * MiB), answer = Random(seed).bytes(3 * MiB);
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"filter"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {0, 1});
    lab.feed(input);
    lab.close_input();
    // It speaks first and at length, and only then listens.
    // Who has handed on some of the answer does read, though too little at a time.
    stage.recognise("lab-\\d+" + writes_to + a_puppet, [&]() -> Mistake { return lab.output_so_far().empty() ? "write-all-then-read" : ""; });
    child.pour(answer.size(), seed);
    stage.forget();
    drains(stage, child, input);
    child.exit(0);
    const std::string& got = lab.output();
    stage.require(got == answer, {"all " + std::to_string(answer.size()) + " bytes that the command wrote", difference(got, answer), "", "", ""});
    lab.exits(0);
}

CASE("1.11 filter ends with the command though its own input goes on" * points(4) * section("the-reader-hangs-up") *
     hints("Which ends can be hung up on you here?",
           "The child may stop reading (its input breaks); it may end while your own input is still open (its output ends).",
           windows ? "When the child's output has ended, filter is done, whether or not there is more input: CancelSynchronousIo calls the thread back that waits for it "
                     "(with a handle by CreateThread; std::thread's native_handle() is none with MinGW), again and again until it has ended. Then wait for the child."
                   : "When the child's output has ended, filter is done, whether or not there is more input: close what is left and wait for the child.")) {
    stage.recognise("lab-\\d+" + reads_from + "the judge", windows ? "waits-for-all-input" : "input-outlives-command");
    by_hand(stage, "lab-01 filter -- echo one   # ends by itself, without a key", "lab-01 filter -- cmd /c echo one   # ends by itself, without a key",
            "lab-01 filter -- cmd /c echo one");
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"filter"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {0, 1});
    const std::string word = stage.random().word(12);
    child.write(word);
    child.exit(6);
    // Our side of its input stays open: what ends the filter is the end of the command's output.
    lab.prints(word);
    hands_on(lab, stage, 6);
}

CASE("1.12 filter hands on input while nobody takes its output" * points(5) * section("both-pipes-full") *
     hints("Your standard output is a pipe too, and it can be full. What does that do to the other direction?",
           windows ? "A write that blocks stops everything that the same thread should do." : "A write that blocks stops everything that the same thread should do. poll() saying POLLOUT does not promise room for all you have.",
           windows ? "Give each direction its own thread." : "Write at most PIPE_BUF bytes after a POLLOUT, or give each direction its own thread.")) {
    by_hand(stage, "seq 1 1000000 | lab-01 filter -- sh -c 'yes & wc -l >&2; kill $!' | sleep 5   # the count comes at once, not after five seconds",
            "", "type LARGE.TXT | lab-01 filter -- find \"a \" | more");
    const std::string input = stage.random().bytes(1 * MiB);
    const std::uint64_t seed = stage.random().next();
    Puppet child = stage.puppet();
    Start unheard;
    unheard.hold_output = true;
    unheard.pipe_size = 4 * KiB;  // room for a little, so that POLLOUT is true and a large write blocks
    Subject lab = run(stage, verb({"filter"}, child), unheard);
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {0, 1});
    Puppet talker = child.spawn();
    talker.begin_pour(1 * MiB, seed);
    settles(stage, lab);
    lab.feed(input);
    lab.close_input();
    stage.recognise("lab-\\d+" + writes_to + "the judge", "output-blocks-input");
    drains(stage, child, input);
    stage.forget();
    child.exit(0);
    const std::string answer = Random(seed).bytes(1 * MiB);
    lab.output_of(answer.size());
    talker.finish();
    talker.exit(0);
    const std::string& got = lab.output();
    stage.require(got == answer, {"all " + std::to_string(answer.size()) + " bytes that were written", difference(got, answer), "", "", ""});
    lab.exits(0);
}

CASE("1.13 filter takes no more input than the command does" * points(4) * section("back-pressure") *
     hints("The command pauses, and your input goes on. Where do the bytes stay?",
           "If you keep what you cannot hand on, your memory grows with the input. A full pipe is a message: slow down.",
           "Do not read from the source while bytes of the last read still wait for the sink.")) {
    by_hand(stage, "yes | lab-01 filter -- sleep 60 & sleep 5; ps -o rss= -C lab-01; kill %1   # KiB of memory: a few thousand",
            "yes | lab-01 filter -- ping -n 60 127.0.0.1   # and watch its memory", "type LARGE.TXT | lab-01 filter -- ping -n 60 127.0.0.1");
    Puppet child = stage.puppet();
    Subject lab = run(stage, verb({"filter"}, child));
    starts(stage, lab, child);
    has_own_pipes(stage, lab, child, {0});
    const std::string some = stage.random().bytes(70 * KiB);
    lab.feed(some);
    const std::string taken = child.read(some.size()).bytes;  // it does carry input
    stage.require(taken == some, {"the command reads the first " + std::to_string(some.size()) + " bytes", difference(taken, some), "", "", ""});
    lab.feed(std::string(16 * MiB, 'x'));
    settles(stage, lab);
    stage.require(lab.fed() < 4 * MiB, {"with a command that does not read, it soon stops taking input",
                                        "it has taken " + std::to_string(lab.fed() / KiB) + " KiB", "", "", "buffers-without-limit"});
    child.exit(0);
    lab.prints("");
    lab.exits(0);
}

}

EXERCISE("Exercise 4: pipeline") {

CASE("1.14 three stages pass everything on, and each sees the end" * points(6) * section("exercise-4-pipeline") *
     hints("Which pipe ends exist at the moment when the second stage is started?",
           "The parent's copies count as well: as long as you hold a write end, the stage behind it waits.",
           "Close each end in the parent as soon as the stage that needs it has been started.")) {
    by_hand(stage, "seq 1 1000000 | lab-01 pipeline -- tac '|' cat '|' tail -n 1   # 1", "seq 1 100000 | lab-01 pipeline -- find \"9\" '|' find \"99\" '|' find \"99999\"   # 99999",
            "lab-01 pipeline -- cmd /c dir \"|\" find \"<DIR> \" \"|\" find \" .\"");
    Puppet a = stage.puppet(), b = stage.puppet(), c = stage.puppet();
    Subject lab = run(stage, pipeline({a.command(), b.command(), c.command()}));
    all_start(stage, lab, {&a, &b, &c});
    const std::string bytes = nasty_bytes(stage.random()) + stage.random().bytes(500'000);
    a.begin_relay();
    b.begin_relay();
    c.begin_relay();
    lab.feed(bytes);
    lab.close_input();
    for (Puppet* one : {&a, &b, &c}) {
        // Those before it have ended: whoever keeps it waiting for an end has none to write.
        stage.forget();
        if (one != &a) {
            stage.recognise(this_one(*one) + reads_from + a_lab, "write-end-kept-in-parent");
            stage.recognise(this_one(*one) + reads_from + a_puppet, "pipe-end-leaks-to-sibling");
        }
        const Puppet::Moved moved = one->finish();
        stage.require(moved.count == bytes.size(), {"each stage carries " + std::to_string(bytes.size()) + " bytes", std::to_string(moved.count), "", "", ""});
        one->exit(0);
        one->gone();
    }
    const std::string& got = lab.output();
    stage.require(got == bytes, {"standard output is standard input, three times relayed", difference(got, bytes), "", "", ""});
    lab.exits(0);
}

CASE("1.15 pipeline tells how each stage ended, and the last failure is its own" * points(4) * section("exercise-4-pipeline") *
     hints("How many children are there to wait for?",
           "wait() returns whichever ends first; you need to know which stage that was.",
           "waitpid() (WaitForSingleObject) for each stage by its own id, in order.")) {
    by_hand(stage, "lab-01 pipeline --codes -- sh -c 'sleep 1; exit 3' '|' sh -c 'exit 4' '|' true; echo $?   # 3, 4, 0 in this order; 4",
            "lab-01 pipeline --codes -- cmd /c exit 3 '|' cmd /c exit 4 '|' cmd /c exit 0; echo $?   # 3, 4, 0 in this order; 4",
            "lab-01 pipeline --codes -- cmd /c exit 3 \"|\" cmd /c exit 4 \"|\" cmd /c exit 0\necho %ERRORLEVEL%");
    Puppet a = stage.puppet(), b = stage.puppet(), c = stage.puppet();
    Subject lab = run(stage, pipeline({a.command(), b.command(), c.command()}, true));
    all_start(stage, lab, {&a, &b, &c});
    are_joined(stage, {&a, &b, &c});
    goes_on_waiting(stage, lab, "");
    // They end in the opposite order of their places.
    c.exit(0);
    c.gone();
    b.exit(41);
    b.gone();
    goes_on_waiting(stage, lab, "waits-for-the-last-only");
    a.exit(23);
    lab.ends();
    const std::string& said = lab.errors();
    const auto tells = [&](const char* codes) { return said.find(codes) != std::string::npos; };
    const Mistake why = tells("stage 1: exit code 0") && tells("stage 3: exit code 23")                                    ? "codes-in-order-of-death"
                        : tells("stage 1: exit code 0") && tells("stage 2: exit code 0") && tells("stage 3: exit code 0") ? "exit-code-lost"
                                                                                                                             : "";
    for (const char* line : {"stage 1: exit code 23", "stage 2: exit code 41", "stage 3: exit code 0"})
        lab.complains(line, why);
    lab.exits(41, why);
}

CASE("1.16 no stage holds an end of a pipe that is not its own" * points(4) * section("ends-that-leak") *
     hints("What does a child inherit that you never meant to give it?",
           "Every descriptor that is open and not close-on-exec; on Windows every inheritable handle.",
           "pipe2() with O_CLOEXEC: dup2() to 0, 1 and 2 clears the flag for those alone. On Windows: PROC_THREAD_ATTRIBUTE_HANDLE_LIST.")) {
    by_hand(stage, "lab-01 pipeline -- true '|' ls -l /proc/self/fd '|' cat   # pipes at 0 and 1 alone", "", "");
    Puppet a = stage.puppet(), b = stage.puppet(), c = stage.puppet();
    Start with_decoy;
    with_decoy.with_decoy = windows;  // there, a child is given the handles that are named for it and no others
    Subject lab = run(stage, pipeline({a.command(), b.command(), c.command()}), with_decoy);
    all_start(stage, lab, {&a, &b, &c});
    are_joined(stage, {&a, &b, &c});
    const std::string decoy = lab.process().decoy();
    int number = 0;
    for (Puppet* one : {&a, &b, &c}) {
        ++number;
        const std::vector<std::string> all = one->descriptors();
        for (const std::string& open : all) {
            const bool stray_pipe = !windows && std::atoi(open.c_str()) > 2 && open.find("pipe:") != std::string::npos;
            if (stray_pipe || (!decoy.empty() && open == decoy))
                stage.fail({"no stage has more open than its three standard streams",
                            "stage " + std::to_string(number) + " also has " + open + (windows ? ", a handle that the lab program was started with" : same_as_own(all, open)),
                            "", "", "pipe-end-leaks-to-sibling"});
        }
    }
    for (Puppet* one : {&c, &b, &a})
        one->exit(0);
    lab.exits(0);
}

CASE("1.17 a stage that cannot be started ends those that run already" * points(3) * section("a-command-that-is-not-there") *
     hints("Two stages run, and the third is not to be found. What becomes of the two?",
           "They are your children: they must not outlive you, and they should not be killed in the middle of their work either.",
           "Close every pipe end that you hold, so that they get end of file or a broken pipe; wait for each; then report the error.")) {
    const std::string nothing = "no-such-command-" + stage.random().word(8);
    by_hand(stage, "lab-01 pipeline -- yes '|' cat '|' " + nothing + "; echo $?   # 127, and no yes is left: pgrep -l yes",
            "lab-01 pipeline -- ping -n 3 127.0.0.1 '|' find \"a\" '|' " + nothing + "; echo $?   # 127, when ping has ended",
            "lab-01 pipeline -- ping -n 3 127.0.0.1 \"|\" find \"a \" \"|\" " + nothing);
    Puppet a = stage.puppet(), b = stage.puppet();
    Subject lab = run(stage, pipeline({a.command(), b.command(), {nothing}}));
    starts(stage, lab, a);
    starts(stage, lab, b);
    are_joined(stage, {&a, &b});
    goes_on_waiting(stage, lab, "failed-start-abandons-stages");
    for (const Puppet* one : {&a, &b})
        stage.recognise(this_one(*one) + writes_to + a_lab, "failed-start-keeps-pipes");
    const std::string broken = b.pour(1 * MiB, 1).error;
    stage.require(!broken.empty(), {"the stage before the missing one writes into a broken pipe", "somebody has read what it wrote", "", "", ""});
    b.exit(1);
    b.gone();
    a.pour(1 * MiB, 1);
    a.exit(1);
    lab.exits(127, "exec-failure-lost");
    lab.complains(nothing, "exec-failure-lost");
}

CASE("1.18 a filter inside a pipeline passes on that its reader has gone" * points(3) * section("the-reader-hangs-up") *
     hints("lab-01 filter runs as a stage, and the stage behind it ends. Who has to be told?",
           "The command inside the filter goes on writing into its pipe. It learns that nobody listens only when you close your read end.",
           "When writing to your own standard output fails with EPIPE (ERROR_NO_DATA), close the read end of the child's output, then wait for the child.")) {
    by_hand(stage, "lab-01 pipeline -- lab-01 filter -- yes '|' head -n 1   # y, and then the prompt",
            "",
            "lab-01 pipeline -- lab-01 filter -- ping -t 127.0.0.1 \"|\" cmd /c exit");
    Puppet a = stage.puppet(), b = stage.puppet();
    std::vector<std::string> filter = {lab_itself, "filter", "--"};
    for (const std::string& word : a.command())
        filter.push_back(word);
    Subject lab = run(stage, pipeline({filter, b.command()}));
    starts(stage, lab, a);
    starts(stage, lab, b);
    const std::string word = stage.random().word(15);
    a.write(word);
    const std::string heard = b.read(word.size()).bytes;
    stage.require(heard == word, {"the second stage reads " + shown(word), difference(heard, word), "", "", ""});
    b.exit(0);
    b.gone();
    // The filter can pass on only what it has been told: its own reader has gone unless somebody holds that read end.
    const std::string has_room_to_wait_for = "lab-\\d+ .*(waits in (write|WriteFile)\\(\\w+\\) on|to write to fd \\d+,) a pipe that is full, and whose read end is open in ";
    stage.recognise(has_room_to_wait_for + lab_itself_or_with_others, "pipe-end-leaks-to-sibling");
    stage.recognise(has_room_to_wait_for + a_lab, "write-end-kept-in-parent");
    const std::string broken = a.pour(4 * MiB, 1).error;
    stage.forget();
    stage.require(!broken.empty(), {"the command inside the filter is told that nobody reads (EPIPE, ERROR_NO_DATA)",
                                    "it could write 4 MiB to nobody", "", "", "reader-gone-not-told"});
    a.exit(3);
    hands_on(lab, stage, 3, "");
}

}
