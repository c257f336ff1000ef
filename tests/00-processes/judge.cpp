// The judge of lab 00: it is the program that the lab program starts, waits for and stops.

#include "story.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace judge;

JUDGE_MAIN

std::vector<std::string> line(std::vector<std::string> words, const Puppet& puppet, const std::vector<std::string>& arguments) {
    words.insert(words.end(), {"--", puppet.program(), puppet.endpoint()});
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
}

Family family(Stage& stage, milliseconds grace, const std::function<void(Family&)>& grow) {
    for (int attempt = 0;; ++attempt) {
        Family family;
        const auto base = std::chrono::duration_cast<milliseconds>(milliseconds(by_track(100, 400)) * stage.time_scale());
        family.timeout = base * (1 << (2 * attempt));
        stage.patience(family.timeout + milliseconds(3000));
        family.child.emplace(stage.puppet());
        family.started = std::chrono::steady_clock::now();
        try {
            family.lab.emplace(stage.start(line({"run", "--timeout", std::to_string(family.timeout.count()), "--grace",
                                           std::to_string(grace.count())}, *family.child)));
            starts(stage, *family.lab, *family.child);
            grow(family);
            return family;
        } catch (...) {
            // Only an end that came for lack of time is worth another try.
            if (attempt == 3 || !family.lab || family.age() < family.timeout)
                throw;
        }
    }
}

void starts(Stage& stage, Subject& lab, Puppet& child, const Mistake& otherwise) {
    child.started(otherwise);
    stage.require(child.id() != lab.process().id(),
                  {"the program runs in a process of its own, and lab-00 waits for that",
                   "lab-00 itself has become the program: nobody is left to wait for it", "", "", "exec-without-fork"});
}

namespace {

constexpr milliseconds ages{60000};

// Arguments that a careless way of passing them on would change, one hazard each.
std::vector<std::string> hazards(Random& random) {
    std::vector<std::string> all = {"",      " ",           "two words",     "\"",          "say \"hi\"", "\\",
                                    "end\\", "C:\\a b\\",   "a\\\"b",        "\\\\\" \\\\", "'",          "it's",
                                    "*",     "$HOME",       "`id`",          "%PATH%",      "^&|<>;()",   "--",
                                    "-x",    "tab\tin it",  "new\nline",     "a\\b\\\\c",   "ünï-日本-🙂", "\"\"\""};
    for (int i = 0; i < 3; ++i)
        all.push_back(random.word(3) + "\\\" \\" + random.word(3) + "\\\\");
    for (std::size_t i = all.size(); i > 1; --i)
        std::swap(all[i - 1], all[random.between(0, i - 1)]);
    return all;
}

// Which mistake this looks like: who escapes nothing still keeps "two words" together, who joins by blanks does not.
Mistake spoiled_by(const std::vector<std::string>& got, const std::vector<std::string>& expected) {
    const auto ascii = [](const std::string& text) {
        return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    };
    bool only_characters = got.size() == expected.size();
    for (std::size_t i = 0; only_characters && i < got.size(); ++i)
        only_characters = got[i] == expected[i] || !ascii(expected[i]);
    if (only_characters)
        return "bytes-for-characters";
    if (std::count(got.begin(), got.end(), "two words"))
        return "quotes-without-backslashes";
#ifdef _WIN32
    // Quotes that are not escaped may tear "two words" apart as well, where one of them stands before it.
    return "quoting-by-concatenation, quotes-without-backslashes";
#else
    return "quoting-by-concatenation";
#endif
}

void expect_arguments(Stage& stage, const std::vector<std::string>& got, const std::vector<std::string>& expected) {
    for (std::size_t i = 0; i < std::min(got.size(), expected.size()); ++i)
        stage.require(got[i] == expected[i], {"argument " + std::to_string(i + 1) + " of the program is " + shown(expected[i]),
                                              shown(got[i]), "", "", spoiled_by(got, expected)});
    stage.require(got.size() == expected.size(), {std::to_string(expected.size()) + " arguments",
                                                  std::to_string(got.size()), "", "", spoiled_by(got, expected)});
}

bool lives(Subject& lab, const Puppet& member) {
    std::this_thread::sleep_for(milliseconds(2));  // asked for again and again, where only the process table tells
    const std::vector<ProcessInfo> tree = lab.process().tree();
    return std::any_of(tree.begin(), tree.end(), [&](const ProcessInfo& one) { return one.id == member.id() && !one.zombie; });
}

void nobody_left(Stage& stage, Subject& lab, const Puppet& member, const std::string& who, const Mistake& mistake) {
    // One that was killed a moment ago may still be on its way.
    const Deadline soon = Deadline::in(milliseconds(300));
    bool left = true;
    while ((left = lives(lab, member)) && !soon.expired()) {
    }
    stage.require(!left, {"when run says that the time was up, nobody is left", "",
                          "puppet (pid " + std::to_string(member.id()) + "), " + who, "", mistake});
}

void runs_to(Stage& stage, std::uint32_t code, std::vector<std::string> words = {"run"}) {
    Puppet child = stage.puppet();
    Subject lab = stage.start(line(std::move(words), child));
    starts(stage, lab, child);
    child.exit(code);
    const Ended how = lab.ends("still-active");
    stage.require(how.code == code && (how.how == Ended::How::exited || by_track(false, true)),
                  {"the exit code of the program, " + std::to_string(code), how.text(), "", "", "exit-code-lost"});
    stage.require(lab.errors().empty(), {"nothing on standard error about a program that ended by itself",
                                         shown(lab.errors(), 200), "", "", ""});
}

}  // namespace

EXERCISE("Exercise 1: start it and wait for it") {

CASE("0.1 version tells the name and version that the system itself reports" * points(3) * section("which-system-is-this") *
     hints("Whom can you ask what system this is, and who may give an answer made up for you?",
           "posix: uname(2). Windows: GetVersionEx answers at most the version that your program's manifest names.",
           "posix: sysname and release of struct utsname. Windows: RtlGetVersion, by GetProcAddress from ntdll.dll; print MAJOR.MINOR.BUILD.")) {
    stage.by_hand(by_track("lab-00 version; uname -sr", "lab-00 version & ver"));
    Subject lab = stage.start({"version"});
    lab.prints(system_line() + "\n", "wrong-version");
    lab.exits(0);
}

CASE("0.2 run waits for the program and ends with its exit code" * points(6) * section("how-a-process-ends") *
     hints("What does the system keep of a process that has ended, and who may ask for it?",
           "waitpid() fills in a status, and the exit code is only a part of it. On Windows GetExitCodeProcess() tells, once the process handle is signalled.",
           "WIFEXITED(status), then WEXITSTATUS(status). On Windows wait for the handle first and take all 32 bits of the code.")) {
    stage.by_hand(by_track("lab-00 run -- sh -c 'exit 77'; echo $?", "lab-00 run -- cmd /c exit 77\necho %ERRORLEVEL%"));
    runs_to(stage, 1);
    runs_to(stage, static_cast<std::uint32_t>(by_track(stage.random().between(2, 123), stage.random().between(260, 0x7fffffff))));
    if (by_track(true, false))
        runs_to(stage, 255);
}

CASE("0.3 every argument arrives exactly as it was given" * points(8) * section("arguments") *
     hints("In what shape do arguments travel to the new process on your system: as a list, or as one string?",
           "posix: as a list; who makes one string of it, for system() or sh -c, has to undo what a shell does. Windows: as one string, which the program splits again by the rules of CommandLineToArgvW.",
           "posix: an array of char* with a null pointer at its end, for execvp. Windows: put each argument that needs it into quotes; a quote inside becomes \\\" and backslashes are doubled where they stand before a quote, the closing one too.")) {
    stage.recognise("sh: \\d+: |sh: -c: ", "quoting-by-concatenation");
    stage.by_hand(by_track("lab-00 run -- printf '<%s>\\n' '' 'two words' 'say \"hi\"' 'end\\'", ""));
    const std::vector<std::string> arguments = hazards(stage.random());
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run"}, child, arguments));
    starts(stage, lab, child, "quoting-by-concatenation");
    expect_arguments(stage, child.arguments(), arguments);
    child.exit(0);
    lab.exits(0);
}

CASE("0.4 the program has the caller's own standard streams" * points(3) * section("what-a-child-inherits") *
     hints("Where does the program write to if you do nothing at all?",
           "posix: descriptors 0, 1 and 2 are inherited as they are. Windows: if you say anything about handles at all, you have to name these three.",
           "Windows: STARTF_USESTDHANDLES, with hStdInput, hStdOutput and hStdError from GetStdHandle, and bInheritHandles TRUE.")) {
    stage.by_hand("echo in | lab-00 run -- sort");
    const std::string in = stage.random().bytes(200), out = stage.random().bytes(200), error = stage.random().word(20);
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run"}, child));
    starts(stage, lab, child);
    lab.feed(in);
    const Puppet::Moved read = child.read(in.size());
    stage.require(read.bytes == in, {"the program reads the caller's standard input", difference(read.bytes, in), "", "", "streams-lost"});
    child.write(out);
    child.write_error(error);
    child.exit(0);
    lab.prints(out, "streams-lost");
    lab.complains(error, "streams-lost");
    lab.exits(0);
}

CASE("0.5 a program that cannot be found is told apart from a program that fails" * points(6) * section("when-it-cannot-start") *
     hints("After fork() there are two processes. In which of them does exec fail?",
           "In the child: there exec returns, and whatever the child does next looks from outside like the program. Its errno has to reach the parent. On Windows CreateProcess simply returns FALSE.",
           "A pipe with O_CLOEXEC: a successful exec closes it, so the parent reads the end; a failed one writes errno into it. Then _exit in the child, and in the parent waitpid and throw.")) {
    stage.recognise("got: exit code 0\n", "exec-failure-lost");
    stage.recognise("ended: exit code (127|1)\n?$", "exec-failure-unsaid");
    stage.by_hand("lab-00 run -- no-such-program; echo $?");
    const std::string nothing = "no-such-program-" + stage.random().word(8);
    Subject lab = stage.start({"run", "--", nothing});
    lab.exits(127, "exec-failure-lost");
    lab.complains(nothing, "exec-failure-unsaid");
    lab.prints("", "exec-failure-lost");
    // The other side of it: 127 as the program's own word is no complaint of ours.
    runs_to(stage, 127);
}

CASE("0.6 a file that is no program is found but cannot be run" * points(3) * section("when-it-cannot-start") *
     hints("Is 'it is not there' the same as 'it may not be run'? Which codes does the system use for each?",
           "EACCES and ENOENT; ERROR_BAD_EXE_FORMAT and ERROR_FILE_NOT_FOUND. main turns the code that you throw into 126 or 127.",
           "Throw std::system_error with the code as the system gave it, unchanged: ipc::throw_error(code, \"exec\", command[0]).")) {
    stage.by_hand(by_track("lab-00 run -- /etc/passwd; echo $?", "echo hello > plain.exe & lab-00 run -- plain.exe\necho %ERRORLEVEL%"));
    const std::string name = stage.random().word(9) + ".exe";
    const std::string path = (std::filesystem::path(stage.files()) / name).string();
    std::ofstream(path) << "This is no program.\n";
    Subject lab = stage.start({"run", "--", path});
    lab.exits(126, "exec-failure-lost");
    lab.complains(name, "exec-failure-unsaid");
    runs_to(stage, static_cast<std::uint32_t>(stage.random().between(2, 120)));
}

CASE("0.7 run ends with its program and leaves alone what that has started" * points(3) * section("whom-to-wait-for") *
     hints("Which process did you start, and which ones did it start?",
           "A shell that you start may leave a background job. It is not yours: you wait for the process that you started, and stop nothing.",
           "waitpid() for the child's own id; on Windows WaitForSingleObject on the child's handle. No job object with KILL_ON_JOB_CLOSE here, and no waiting for the end of the output.")) {
    stage.recognise("expected: the started program (goes on|reads|writes|closes|starts|waits)", "stops-what-is-not-its-own");
    stage.by_hand("lab-00 run -- sh -c 'sleep 5 & exit 7'; echo $?");
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run"}, child));
    starts(stage, lab, child);
    Puppet grandchild = child.spawn();
    const auto code = static_cast<std::uint32_t>(stage.random().between(2, 120));
    child.exit(code);
    lab.exits(code, "waits-for-everybody");
    const std::string word = stage.random().word(10);
    grandchild.write(word);
    grandchild.exit(0);
    lab.prints(word);
}

}

EXERCISE("Exercise 2: what it finds, and how it ends") {

CASE("0.8 run adds and replaces environment variables and keeps the others" * points(4) * section("environment-and-directory") *
     hints("Is the environment that you give to the new process added to yours, or put in its place?",
           "In its place: execve() and CreateProcess take the whole environment. Start from your own, then change.",
           "Copy your own entries except those that are replaced, add the new ones. On Windows: one block of UTF-16 strings, sorted by name, each ended by a zero, and one more zero; CREATE_UNICODE_ENVIRONMENT.")) {
    stage.by_hand(by_track("A=1 B=2 lab-00 run --env B=3 --env 'C=x=y z' -- env", "lab-00 run --env \"C=x=y z\" -- cmd /c set"));
    Random& random = stage.random();
    const std::string kept = "KEPT_" + random.word(6), replaced = "REPLACED_" + random.word(6), added = "ADDED_" + random.word(6),
                      unusual = "UNUSUAL_" + random.word(6);
    const std::string old_value = random.word(8), new_value = random.word(8), value = "a=b c\"d\\ ü日🙂 " + random.word(5);
    Start how;
    how.environment = {{kept, old_value}, {replaced, old_value}};
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run", "--env", replaced + "=" + new_value, "--env", added + "=" + new_value, "--env",
                                    unusual + "=" + value}, child), how);
    starts(stage, lab, child, "environment-replaced");
    const auto got = child.environment();
    const auto expect = [&](const std::string& name, const std::string& text, const Mistake& mistake) {
        const auto found = got.find(name);
        stage.require(found != got.end(), {"the program's environment has " + name + "=" + shown(text), "no " + name, "", "", mistake});
        stage.require(found->second == text, {name + "=" + shown(text), shown(found->second), "", "", mistake});
    };
    expect(kept, old_value, "environment-replaced");
    expect(added, new_value, "environment-lost");
    expect(replaced, new_value, "environment-twice");
    expect(unusual, value, "environment-lost");
    child.exit(0);
    lab.exits(0);
}

CASE("0.9 run starts the program in the directory that is asked for" * points(3) * section("environment-and-directory") *
     hints("Whose directory is to change, the program's or yours?",
           "posix: chdir() in the child, between fork and exec. Windows: a parameter of CreateProcess.",
           "If you call chdir() or SetCurrentDirectory before you start the child, you have moved yourself.")) {
    stage.by_hand(by_track("lab-00 run --cwd /usr -- pwd", "lab-00 run --cwd C:\\ -- cmd /c cd"));
    namespace fs = std::filesystem;
    const fs::path directory = fs::path(stage.files()) / ("a b " + stage.random().word(6));
    fs::create_directory(directory);
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run", "--cwd", directory.string()}, child));
    starts(stage, lab, child);
    std::error_code error;
    stage.require(fs::equivalent(child.directory(), directory, error), {"the program starts in " + directory.string(), child.directory(), "", "", "directory-ignored"});
    child.exit(0);
    lab.exits(0);
}

CASE("0.10 a directory that does not exist is named as what is wrong" * points(3) * section("when-it-cannot-start") *
     hints("chdir() and exec can both fail with 'No such file or directory'. Which file, and which directory?",
           "The reader of your message cannot see which call failed. Nothing may be started in the wrong directory either.",
           "Check chdir() in the child, send back which step failed as well as errno, and throw with the directory's name. On Windows name the directory when the code is ERROR_DIRECTORY.")) {
    stage.recognise("expected: .*no crash.*\ngot: exit code 0", "chdir-unchecked");
    stage.by_hand("lab-00 run --cwd no-such-directory -- echo hello; echo $?");
    const std::string nowhere = "no-such-directory-" + stage.random().word(8);
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run", "--cwd", nowhere}, child));
    lab.fails("chdir-unchecked");
    lab.complains(nowhere, "wrong-culprit");
    // And it was the directory: in one that exists the same program runs.
    runs_to(stage, static_cast<std::uint32_t>(stage.random().between(2, 120)), {"run", "--cwd", stage.files()});
}

CASE("0.11 only the three standard streams reach the program" * points(6) * section("what-a-child-inherits") *
     hints("What else is open in your process, and who opened it?",
           "Some descriptor or handle that a library, or whoever started you, has open and inheritable. You have not heard of it, and still you pass it on.",
           "posix: close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) in the child. Windows: STARTUPINFOEX with PROC_THREAD_ATTRIBUTE_HANDLE_LIST naming the three, and EXTENDED_STARTUPINFO_PRESENT.")) {
    stage.by_hand(by_track("lab-00 run -- ls -l /proc/self/fd 7</etc/passwd", ""));
    Puppet child = stage.puppet();
    Start how;
    how.with_decoy = true;
    Subject lab = stage.start(line({"run"}, child), how);
    starts(stage, lab, child);
    const std::string decoy = lab.process().decoy();
    for (const std::string& open : child.descriptors()) {
        const bool standard = by_track(std::atoi(open.c_str()) <= 2, open != decoy);
        stage.require(standard, {"no descriptor or handle but the three standard streams is open in the program",
                                 "also " + open + (open == decoy ? ", which lab-00 itself was given by whoever started it" : ""),
                                 "", "", "inherits-everything"});
    }
    child.exit(0);
    lab.exits(0);
}

CASE("0.12 a program that is killed is reported by the name of what killed it" * points(5) * section("how-a-process-ends") *
     hints("Is 'killed by signal 11' the same as 'exit code 11', or as 'exit code 139'?",
           "The status of waitpid() tells an exit from a signal; on Windows the exit code of a crashed process is the exception's code, 0xC0000005 for example.",
           "WIFSIGNALED(status) and WTERMSIG(status), and sigabbrev_np(3) for the name. On Windows: killed if the code is 0xC0000000 or above, and a table of names.")) {
    stage.by_hand(by_track("lab-00 run -- sh -c 'kill -SEGV $$'; echo $?", ""));
    struct Death {
        const char* how;
        std::uint32_t code;
        const char* name;
    };
    constexpr Death deaths[] = {by_track(Death{"segv", 139, "SIGSEGV"}, Death{"segv", 0xC0000005, "EXCEPTION_ACCESS_VIOLATION"}),
                                by_track(Death{"abort", 134, "SIGABRT"}, Death{"abort", 0xC0000409, "STATUS_STACK_BUFFER_OVERRUN"}),
                                by_track(Death{"kill", 137, "SIGKILL"}, Death{"kill", 0xC000013A, "STATUS_CONTROL_C_EXIT"})};
    for (const Death& death : deaths) {
        Puppet child = stage.puppet();
        Subject lab = stage.start(line({"run"}, child));
        starts(stage, lab, child);
        child.crash(death.how);
        const Ended how = lab.ends();
        stage.require(how.code == death.code && (how.how == Ended::How::exited || by_track(false, true)),
                      {"lab-00 itself ends with exit code " + std::to_string(death.code) + " after its program was ended by " + death.name,
                       how.text(), "", "", "signal-taken-for-exit"});
        lab.complains(death.name, "signal-taken-for-exit");
    }
}

CASE("0.13 when run has come back the system remembers nothing of the program" * points(4) * section("zombies-and-handles") *
     hints("Who tells the system that nobody will ask for the exit code any more?",
           "posix: waitpid() does; also for a child whose exec has failed. Windows: the process object lives as long as a handle to it, and CreateProcess gives you two.",
           "Wait for the child in the failure path too. On Windows CloseHandle(hProcess) and CloseHandle(hThread), or ipc::unique_handle for both.")) {
    stage.by_hand(by_track("lab-00 run --stay -- no-such-program & ps --ppid $!", ""));
    for (const bool found : {true, false}) {
        if (by_track(false, true) && !found)
            continue;  // a process that was never made leaves no handle
        const auto code = found ? static_cast<std::uint32_t>(stage.random().between(2, 120)) : 127;
        Puppet child = stage.puppet();
        Subject lab = stage.start(found ? line({"run", "--stay"}, child) : std::vector<std::string>{"run", "--stay", "--", "no-such-program-" + stage.random().word(6)});
        if (found) {
            starts(stage, lab, child);
            child.exit(code);
        }
        const std::string text = lab.line(), expected = "ended " + std::to_string(code);
        stage.require(text == expected, {expected, shown(text), "", "", found ? "exit-code-lost" : "exec-failure-lost"});
        // Wine forgets a process only half a second after its end, and announces it to nobody.
        const Deadline patience = Deadline::in(std::chrono::duration_cast<milliseconds>(milliseconds(by_track(200, 4000)) * stage.time_scale()));
        std::string left;
        while (!(left = remembered(lab.process().id(), found ? child.id() : 0)).empty() && !patience.expired())
            std::this_thread::sleep_for(milliseconds(5));
        stage.require(left.empty(), {"nothing is left of a program that " + std::string(found ? "has ended" : "could not be started"), left, "", "",
                                     by_track(found ? "zombie-left" : "zombie-of-failed-exec", "handle-never-closed")});
        lab.close_input();
        lab.exits(code);
    }
}

}

EXERCISE("Exercise 3: stop it in time") {

CASE("0.15 a program that ends in time is only waited for, and without work" * points(3) * section("waiting-with-a-limit") *
     hints("What does your process do while it waits: sleep, or look at the clock?",
           "waitpid(WNOHANG) and a short sleep in a loop wakes the processor again and again; and it notices the end late.",
           "Block in one call that ends by the child's end or by the time: sigtimedwait() for SIGCHLD, poll() on a pidfd; WaitForSingleObject(process, milliseconds).")) {
    stage.by_hand("lab-00 run --timeout 60000 -- sort");
    const auto code = static_cast<std::uint32_t>(stage.random().between(2, 120));
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run", "--timeout", std::to_string(ages.count())}, child));
    starts(stage, lab, child);
    for (int look = 0; look < by_track(1, 2); ++look)  // Wine tells processor time alone, and on a busy machine that is little
        lab.idles("polls-for-the-end");
    child.exit(code);
    lab.exits(code, "exit-code-lost");
    stage.require(lab.errors().empty(), {"nothing on standard error", shown(lab.errors(), 200), "", "", ""});
}

CASE("0.16 when the time is up the program is stopped and the exit code is 124" * points(4) * section("politely-then-surely") *
     hints("How long is the program given, and how long after that?",
           "It has --timeout, and then --grace to put its things in order. Who goes at once need not be waited for any longer.",
           "After the polite request wait again, with a limit, for the same end that you were waiting for before.")) {
    stage.by_hand(by_track("time lab-00 run --timeout 500 --grace 5000 -- sleep 60; echo $?", "lab-00 run --timeout 500 -- ping -n 60 127.0.0.1\necho %ERRORLEVEL%"));
    const milliseconds grace(by_track(2000, 4000));
    Family one = family(stage, grace, [](Family&) {});
    one.lab->exits(124, "timeout-ignored");
    const milliseconds took = one.age();
    one.lab->complains("was stopped after " + std::to_string(one.timeout.count()) + " ms");
    stage.require(took >= one.timeout, {"the program has its " + std::to_string(one.timeout.count()) + " ms", "it was stopped after " + std::to_string(took.count()) + " ms", "", "", "timeout-ignored"});
    stage.require(took < one.timeout + grace, {"an end as soon as the program is gone", "after " + std::to_string(took.count()) + " ms, the whole grace", "", "", "sleeps-through-grace"});
}

CASE("0.17 when the time is up the whole family is asked politely" * points(4) * section("politely-then-surely") *
     windows_only("Wine 8 cannot send CTRL_BREAK_EVENT: GenerateConsoleCtrlEvent fails") *
     hints("Who is to be asked: the program that you started, or all that it has become by now?",
           "A signal to one process reaches one process. There is a kind of address that reaches all that was started together.",
           "posix: a process group, by setpgid() before exec, and kill() with the negative number. Windows: CREATE_NEW_PROCESS_GROUP and GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group).")) {
    stage.recognise("waits for the end of its own child\ngot: it was ended meanwhile|goes on until it is told to end", "no-polite-request");
    stage.by_hand("lab-00 run --timeout 500 -- sh -c 'trap \"echo asked; exit\" TERM; sleep 60 & wait'");
    Family one = family(stage, ages, [](Family& all) {
        all.grandchild.emplace(all.child->spawn());  // before the child ignores anything, for that is inherited
        all.child->ignore_polite_requests();
    });
    stage.await([&](Deadline) { return !lives(*one.lab, *one.grandchild); },
                "the program's own child, which does not ignore the polite request, gets it too", "asks-only-the-child");
    // The child will not go; but it can tell how its own child went.
    const std::uint32_t code = one.child->reap();
    const std::uint32_t expected = by_track(143u, 0xC000013Au);
    stage.require(code == expected, {by_track("the program's own child was ended by SIGTERM", "the program's own child ended by CTRL_BREAK_EVENT, code 0xC000013A"),
                                     "it ended with " + std::to_string(code), "", "", "no-polite-request"});
    one.child->exit(0);
    one.lab->exits(124);
}

CASE("0.18 who ignores the request is ended when the grace is over and not before" * points(4) * section("politely-then-surely") *
     windows_only("Wine 8 cannot send CTRL_BREAK_EVENT, so there is no polite request and no grace") *
     hints("What if the program does not want to end?",
           "SIGTERM can be ignored, SIGKILL cannot. In between it must have the time that --grace promises.",
           "Wait with a limit; if somebody is left then, SIGKILL, or TerminateJobObject.")) {
    stage.recognise("got: after \\d+ ms", "no-polite-request");
    stage.by_hand("time lab-00 run --timeout 200 --grace 1000 -- sh -c 'trap \"\" TERM; while :; do sleep 1; done'; echo $?");
    const milliseconds grace(120);
    Family one = family(stage, grace, [](Family& all) { all.child->ignore_polite_requests(); });
    one.lab->exits(124, "never-surely");
    const milliseconds took = one.age();
    stage.require(took >= one.timeout + grace, {"it has " + std::to_string(one.timeout.count()) + " + " + std::to_string(grace.count()) + " ms", "after " + std::to_string(took.count()) + " ms it was ended", "", "", "no-polite-request"});
}

CASE("0.19 when run gives up nobody of the family is left" * points(6) * section("the-whole-tree") *
     hints("Your child has gone when asked. Has everybody?",
           "Its child ignored the request; another one has moved to a session of its own and has not even heard it. Your child's death does not end them.",
           "posix: as a child subreaper (prctl) you become the parent of every orphan below you: kill and reap your children until you have none. Windows: TerminateJobObject, on a job that the child was in before its first instruction.")) {
    stage.by_hand("lab-00 run --timeout 300 --grace 300 -- sh -c '(trap \"\" TERM; exec sleep 60) & setsid sleep 60 & wait'; pgrep sleep");
    Family one = family(stage, milliseconds(100), [](Family& all) {
        all.grandchild.emplace(all.child->spawn());
        all.grandchild->ignore_polite_requests();
        all.emigrant.emplace(all.child->spawn(true));
    });
    one.lab->exits(124, "waits-for-the-child-only");
    nobody_left(stage, *one.lab, *one.grandchild, "the program's own child, which ignores the polite request", "waits-for-the-child-only");
    nobody_left(stage, *one.lab, *one.emigrant, "a child of the program that has left its process group", "kills-the-group-only");
}

}

EXERCISE("Exercise 4: the right one") {

CASE("0.21 spawn names the process that it has started and does not wait for it" * points(3) * section("a-number-is-not-a-name") *
     hints("What tells two processes apart that have had the same number, one after the other?",
           "When they started. The system knows it: field 22 of /proc/ID/stat, GetProcessTimes().",
           "Read it right after the start, in the form that the contract asks for, while you still know that the number is your child's.")) {
    stage.by_hand("lab-00 spawn -- sleep 60");
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"spawn"}, child));
    starts(stage, lab, child);
    lab.exits(0, "spawn-waits");
    const std::string identity = lab.line();
    stage.require(identity == identity_of(child.id()), {identity_of(child.id()), shown(identity), "", "", "wrong-identity"});
    const std::string word = stage.random().word(10);
    child.write(word);
    child.exit(0);
    lab.prints(identity + by_track("\n", "\n") + word);
}

CASE("0.22 stop ends the process that is meant and says when it is gone" * points(3) * section("a-number-is-not-a-name") *
     hints("When has a process ended: when the signal is sent, or when it is gone?",
           "Sending is not ending. Whoever reads your exit code wants to rely on it.",
           "posix: poll() on the pidfd until it is readable. Windows: WaitForSingleObject after TerminateProcess.")) {
    stage.by_hand("lab-00 spawn -- sleep 60; lab-00 stop ID:STARTED");
    Puppet meant = stage.puppet(), other = stage.puppet();
    Subject first = stage.start(line({"spawn"}, meant)), second = stage.start(line({"spawn"}, other));
    meant.started();
    other.started();
    const std::string identity = first.line();
    first.exits(0, "spawn-waits");
    second.exits(0, "spawn-waits");
    Subject lab = stage.start({"stop", identity});
    lab.exits(0, "wrong-identity");
    meant.gone("signal-sent-is-not-end");
    other.write("x");
    other.exit(0);
    other.gone();
    // Now nobody has that identity any more.
    Subject again = stage.start({"stop", identity});
    again.exits(1, "stops-anybody");
    again.complains("nobody was stopped");
}

CASE("0.23 stop touches nobody when the number belongs to another process by now" * points(5) * section("a-number-is-not-a-name") *
     hints("You have a number from yesterday. Who has it today?",
           "The number is given again, the start time is not. And between your look and your signal there must be no gap.",
           "Open first (pidfd_open, OpenProcess), compare the start time then, and signal what you have opened. If the time differs, return false.")) {
    stage.recognise("expected: the started program (goes on|reads|writes|closes|starts|waits)|got: exit code 0", "stops-anybody");
    stage.by_hand("lab-00 spawn -- sleep 60; lab-00 stop ID:1; ps ID");
    Puppet stranger = stage.puppet();
    Subject lab = stage.start(line({"spawn"}, stranger));
    stranger.started();
    const std::string identity = identity_of(stranger.id());
    lab.exits(0, "spawn-waits");
    // What the number's former owner would have been called.
    const auto colon = identity.find(':');
    const std::uint64_t earlier = std::stoull(identity.substr(colon + 1)) - stage.random().between(1, 1000);
    Subject stop = stage.start({"stop", identity.substr(0, colon + 1) + std::to_string(earlier), "--grace", "100"});
    const Ended how = stop.ends();
    stranger.write("x");  // it is alive and well
    stage.require(how.how == Ended::How::exited && how.code == 1, {"exit code 1", how.text(), "", "", "stops-anybody"});
    stop.complains("nobody was stopped");
    // By its own name it can be stopped.
    Subject right = stage.start({"stop", identity, "--grace", "100"});
    right.exits(0, "wrong-identity");
    stranger.gone("signal-sent-is-not-end");
}

}
