// The judge of lab 08: it is the service manager, and the service's clients.

#include "peers.hpp"

using namespace judge;
using namespace peers;

JUDGE_MAIN

namespace {

constexpr int on(int posix, int win32) { return windows ? win32 : posix; }

std::string joined(const std::vector<std::string>& words) {
    std::string line;
    for (const std::string& word : words)
        line += (line.empty() ? "" : " ") + shown(word, 300);
    return line.empty() ? "nothing" : line;
}

void starts_this(Stage& stage, const Definition& definition, const std::vector<std::string>& expected, const Mistake& otherwise) {
    stage.require(definition.known, {"the manager knows the service", "it does not", "", "", ""});
    stage.require(definition.command == expected, {"the manager would run " + joined(expected), joined(definition.command), "", "", otherwise});
}

// Two paths differ, or one is another's beginning: the log's lines are compared word by word.
bool has_word(const std::string& line, const std::string& word) { return (" " + line + " ").find(" " + word + " ") != std::string::npos; }

}  // namespace

EXERCISE("Exercise 1: install and remove") {

CASE("8.1 install tells the manager what to run with paths that hold everywhere" * points(on(4, 6)) * section("another-directory-another-user") *
     hints("In which directory does a service start, and what is 'service.conf' there?",
           "systemd starts services in /, the SCM in System32, and neither asks PATH for a program.",
           "Write the full path of your own program (/proc/self/exe; GetModuleFileNameW), and make the paths of --config and --log absolute (std::filesystem::absolute).")) {
    by_hand(stage, "lab-08 install hello --config hello.conf --unit-dir . ; cat hello.service", "lab-08 install hello --config hello.conf & sc qc hello");
    stage.recognise("would run .*\"[^/\":]+\\.conf\"", "relative-path");
    Definitions manager(stage);
    const std::string name = stage.name("svc"), file = stage.random().word(8) + ".conf", log = stage.random().word(8) + ".log";
    manager.run("install", name, {"--config", file, "--log", log}).exits(0);
    starts_this(stage, manager.find(name), {program(), "run", name, "--config", path_here(stage, file), "--log", path_here(stage, log)}, "relative-path");
    const std::string plain = stage.name("svc");
    manager.run("install", plain).exits(0);
    starts_this(stage, manager.find(plain), {program(), "run", plain}, "");
    manager.run("remove", name).exits(0);
    manager.run("remove", plain).exits(0);
}

CASE("8.2 blanks and signs in a path arrive as they are" * points(on(4, 5)) * section("a-line-is-read-again") *
     hints("Who reads the command line that you write down, and what do blanks, quotes and percent signs mean to him?",
           "systemd expands %h and $HOME also within quotes, and takes backslashes for escapes. Windows cuts a bare line at its blanks.",
           "posix: quotes around, \\ before \" and \\, %% and $$. Windows: quotes around, the program's path too, and backslashes doubled where a quote follows.")) {
    by_hand(stage, "lab-08 install hello --config 'my 100% $HOME.conf' --unit-dir . ; cat hello.service", "lab-08 install hello --config \"my file.conf\" & sc qc hello");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    const std::string file = windows ? stage.random().word(4) + " 100% $HOME & 'x" + stage.random().word(3) + ".conf"
                                     : stage.random().word(4) + " 100% $HOME ${HOME} %h \\t \"x\" 'y' ;" + stage.random().word(3) + ".conf";
    const std::string log = "a log " + stage.random().word(5);
    manager.run("install", name, {"--config", file, "--log", log}).exits(0);
    const Definition definition = manager.find(name);
    starts_this(stage, definition, {program(), "run", name, "--config", path_here(stage, file), "--log", path_here(stage, log)},
                definition.command.size() == 7 ? "specifiers-not-escaped" : "not-quoted");
    manager.run("remove", name).exits(0);
}

CASE("8.3 install again changes what is known and remove leaves nothing" * points(on(4, 6)) * section("exercise-1-install-and-remove") *
     hints("An administrator runs install after each update. What does he expect the second time?",
           "The same result as the first time: the entry as it has to be now, no error, and nothing beside it.",
           "posix: write beside and rename(2) over it. Windows: ERROR_SERVICE_EXISTS, then ChangeServiceConfigW. remove of what is not there is an error, and says so.")) {
    by_hand(stage, "lab-08 install hello --unit-dir . ; lab-08 install hello --config a --unit-dir . ; lab-08 remove hello --unit-dir . ; ls",
            "lab-08 install hello & lab-08 install hello --config a & sc qc hello & lab-08 remove hello & sc query hello");
    Definitions manager(stage);
    const std::string name = stage.name("svc"), one = stage.random().word(40) + ".conf", two = stage.random().word(4) + ".conf";
    manager.run("install", name, {"--config", one}).exits(0);
    manager.run("install", name, {"--config", two}).exits(0, "install-only-once");
    starts_this(stage, manager.find(name), {program(), "run", name, "--config", path_here(stage, two)}, "install-only-once");
    manager.run("install", name, {"--config", two}).exits(0, "install-only-once");
    manager.run("remove", name).exits(0);
    manager.expect_nothing(name, "leaves-the-entry");
    Subject again = manager.run("remove", name);
    again.exits(1, "removes-nothing-quietly");
    again.complains(name, "removes-nothing-quietly");
}

CASE("8.4 a name that is a path is refused" * points(on(2, 3)) * section("another-directory-another-user") *
     hints("Your program pastes the name into a path, a command line, a pipe's name. What could a name contain?",
           "../../tmp/x is a fine file name, and so is one with a blank or an option's dash in front.",
           "Allow what you know to be good (letters, digits, - _ . :, a letter or digit first) and refuse the rest with EINVAL / ERROR_INVALID_NAME.")) {
    by_hand(stage, "lab-08 install ../hello; echo $?", "lab-08 install ..\\hello\necho %ERRORLEVEL%");
    Definitions manager(stage);
    const std::string word = stage.random().word(9), good = stage.name("svc") + "_1.x:Y";
    manager.run("install", good).exits(0);
    manager.run("remove", good).exits(0);
    for (const std::string& bad : {"../" + word, word + "/x", word + " x", word + "\\x", "-" + word, std::string(201, 'x')})
        for (const char* verb : {"install", "remove", "start", "stop", "reload", "status"}) {
            if (verb != std::string("install") && bad != word + "/x")
                continue;
            Subject lab = manager.run(verb, bad);
            const Ended how = lab.ends();
            stage.require(how.how == Ended::How::exited && how.code == 1,
                          {"the name " + shown(bad, 30) + " is refused: exit code 1", how.text(), "", "", "takes-any-name"});
            lab.complains(bad.substr(0, 20), "takes-any-name");
        }
    // No name is no mistake of the service's: the command line is wrong.
    Subject nobody = stage.start({"install"});
    nobody.exits(2);
    Subject option = stage.start({"install", word, "--frobnicate", "x"});
    option.exits(2);
}

}

EXERCISE("Exercise 2: run") {

CASE("8.8 ready means that a client who comes at once is served" * points(on(5, 7)) * section("ready") *
     hints("Somebody waits for your 'ready', and connects in the same moment. What must be true by then?",
           "A service that says it is ready and only then loads and listens works on your machine, and fails at boot.",
           "Load, open the channel, and only then tell the manager: READY=1; SERVICE_RUNNING.")) {
    by_hand(stage, "mkfifo slow; echo 'load = slow' >c; NOTIFY_SOCKET=@x lab-08 run hello --config c --runtime run   # with socat -u ABSTRACT-RECVFROM:x,fork - in another terminal",
            "lab-08 install hello --config c & lab-08 start hello");
    Gate gate(stage);
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, greeting, {gate.path()});
    service.begin();
    gate.reached();
    service.is_not_ready("ready-too-early");
    gate.open();
    service.ready("never-ready");
    Client(service, "ready-too-early").expect("greet " + who, greeting + ", " + who);
    service.tell_to_stop();
    service.stopped();
}

CASE("8.9 each request is one line in the log that says who asked" * points(on(5, 6)) * section("who-asked") *
     hints("A request came in the middle of the night. Who was it?",
           "Do not ask the client: it says what it likes. The system knows who is at the other end of a socket or pipe.",
           "posix: getsockopt(SO_PEERCRED). Windows: GetNamedPipeClientProcessId, and ImpersonateNamedPipeClient, OpenThreadToken, TokenUser, RevertToSelf.")) {
    by_hand(stage, "lab-08 run hello --runtime run & lab-08 ask hello --runtime run greet you", "lab-08 ask hello greet you");
    const std::string greeting = stage.random().word(8), mine = stage.random().word(8) + "\" pid=\"1", other = stage.random().word(8);
    Service service(stage, greeting);
    service.begin();
    service.ready("never-ready");
    Client(service).expect("greet " + mine, greeting + ", " + mine);
    Subject lab = stage.start(service.ask("greet " + other));
    lab.prints(greeting + ", " + other + "\n");
    lab.exits(0);
    service.event("request", "request-not-logged");
    const std::vector<std::string> lines = service.events("request");
    stage.require(lines.size() == 2,
                  {"two requests, two lines with event=request in the log", std::to_string(lines.size()) + " of them", "", "", "request-not-logged"});
    stage.require(has_word(lines[1], "pid=\"" + std::to_string(lab.process().id()) + "\""),
                  {"pid=\"" + std::to_string(lab.process().id()) + "\", the process that asked", shown(lines[1], 200), "", "", "pid-of-somebody-else"});
    const auto user = lines[1].find("user=\"");
    const std::string who = user == std::string::npos ? "" : lines[1].substr(user + 6, lines[1].find('"', user + 6) - user - 6);
    stage.require(who == own_user(), {"user=\"" + own_user() + "\", the user who asked", shown(lines[1], 200), "", "", "user-unknown"});
    stage.require(lines[1].find("text=\"greet " + other + "\"") != std::string::npos,
                  {"text=\"greet " + other + "\"", shown(lines[1], 200), "", "", "request-not-logged"});
    service.tell_to_stop();
    service.stopped();
}

CASE("8.10 a service that waits uses no processor" * points(on(3, 4)) * section("idle-means-idle") *
     hints("Nobody wants anything. What does your program do meanwhile?",
           "'while alive: pass' asks a million times a second whether there is something to do.",
           "Let the system wake you: one poll() or WaitForMultipleObjects on everything that can happen, orders of the manager included.")) {
    stage.recognise("it woke up", "polls-for-orders");
    by_hand(stage, "lab-08 run hello --runtime run & sleep 1; ps -o time,cmd -C lab-08", "lab-08 start hello & tasklist /v /fi \"imagename eq lab-08.exe\"");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, greeting);
    service.begin();
    service.ready("never-ready");
    service.idles();
    Client silent(service);
    {
        Client passing(service);
        passing.expect("greet " + who, greeting + ", " + who);
    }
    service.idles();
    service.tell_to_stop();
    service.stopped();
    silent.dismissed();
}

CASE("8.11 told to stop it says so and ends with nothing left" * points(on(5, 6)) * section("stop") *
     hints("How does the manager tell you to stop, and how do you tell it that you have heard?",
           "SIGTERM, then STOPPING=1, then the end with exit code 0. SERVICE_CONTROL_STOP, then STOP_PENDING, then STOPPED.",
           "Leave the loop, close the channel, take the socket's name with you, return from run().")) {
    by_hand(stage, "lab-08 run hello --runtime run & kill $!; wait $!; echo $?; ls run", "lab-08 stop hello & sc query hello");
    Service service(stage, stage.random().word(8));
    service.begin();
    service.ready("never-ready");
    Client silent(service);
    service.tell_to_stop();
    service.is_stopping("stop-not-told");
    service.stopped(windows ? "stopped-not-told, never-stops" : "never-stops");
    silent.dismissed();
}

CASE("8.12 a start that fails is told as a failure" * points(on(3, 4)) * section("ready") *
     hints("The configuration cannot be read. How does the manager learn that the start has failed?",
           "By your end: an exit code other than 0, and never 'ready' before it. The reason belongs into the log.",
           "Log 'failed' with the error. posix: let the exception leave run(). Windows: SERVICE_STOPPED with dwWin32ExitCode other than 0.")) {
    by_hand(stage, "lab-08 run hello --config /nowhere --runtime run; echo $?", "lab-08 install hello --config C:\\nowhere & lab-08 start hello & sc query hello");
    const std::string nonsense = stage.random().word(12);
    Service service(stage, "");
    service.begin();
    service.ready("never-ready");
    service.tell_to_stop();
    service.stopped();
    service.configure("greeting = x\n" + nonsense + "\n");
    service.begin();
    service.failed("failure-not-told");
    const std::string line = service.event("failed", "failure-not-logged");
    stage.require(line.find(nonsense) != std::string::npos,
                  {"the reason in the log: error=\"…" + nonsense + "…\"", shown(line, 200), "", "", "failure-not-logged"});
}

}

EXERCISE("Exercise 3: an orderly life") {

CASE("8.15 a start that takes long reports each step" * points(on(4, 6)) * section("a-long-way-up") *
     hints("The manager gives a start so many seconds. Yours needs more. How does it know that you are not stuck?",
           "You tell it, at each step, that you are alive and need more time from now on.",
           "In the progress that you hand to load(): STATUS= and EXTEND_TIMEOUT_USEC= in one datagram; the next dwCheckPoint with SetServiceStatus.")) {
    by_hand(stage, "lab-08 install hello --config slow.conf; lab-08 start hello & systemctl status hello", "lab-08 start hello & sc query hello");
    Gate one(stage), two(stage), three(stage);
    Service service(stage, stage.random().word(8), {one.path(), two.path(), three.path()});
    service.begin();
    for (Gate* gate : {&one, &two, &three}) {
        gate->reached();  // and before that it has told of this step
        service.makes_progress("progress-not-told");
        service.is_not_ready("ready-too-early");
        gate->open();
    }
    service.ready("never-ready");
    service.tell_to_stop();
    service.stopped();
}

CASE("8.16 told to stop while it is busy it finishes the answer" * points(on(6, 8)) * section("stop") *
     hints("A client waits for an answer that takes a minute. Somebody types stop. Who waits for whom?",
           "The manager waits, as long as it is told that you are on the way. The client gets its answer. Then you end.",
           "Only note the order. At each progress look at it, and tell the manager: STOPPING=1 once and EXTEND_TIMEOUT_USEC=; STOP_PENDING and the next checkpoint.")) {
    by_hand(stage, "mkfifo slow; lab-08 ask hello count slow & lab-08 stop hello & echo done >slow", "lab-08 stop hello & sc query hello");
    Gate one(stage), two(stage), three(stage);
    Service service(stage, stage.random().word(8));
    service.begin();
    service.ready("never-ready");
    Client client(service);
    client.ask("count " + one.path() + " " + two.path() + " " + three.path());
    one.reached();
    service.tell_to_stop();
    if (windows)
        service.is_stopping("stop-not-told");
    std::size_t bytes = one.open();
    if (!windows)
        service.is_stopping("stop-not-told, stops-in-the-middle");
    two.reached("stops-in-the-middle");
    bytes += two.open();
    three.reached("stops-in-the-middle");
    service.makes_progress_down("no-more-time-asked");
    bytes += three.open();
    const std::string answer = client.answer("stops-in-the-middle"), expected = std::to_string(bytes) + " bytes";
    stage.require(answer == expected, {"the answer " + shown(expected), difference(answer, expected), "", "", "stops-in-the-middle"});
    service.stopped("never-stops");
}

CASE("8.18 it reads its configuration again without losing a client" * points(on(5, 6)) * section("reload") *
     hints("Why reload and not restart?",
           "Whoever is connected stays connected, and the next answer follows the new configuration. Nothing is closed and made again.",
           "SIGHUP (SERVICE_CONTROL_PARAMCHANGE, if you accept it) only wakes the loop; there, call reload(). posix: RELOADING=1 with MONOTONIC_USEC= before, READY=1 after.")) {
    by_hand(stage, "lab-08 run hello --config c --runtime run & echo 'greeting = Salut' >c; kill -HUP $!; lab-08 ask hello --runtime run greet you",
            "lab-08 start hello & echo greeting = Salut>c & lab-08 reload hello & lab-08 ask hello greet you");
    const std::string before = stage.random().word(8), after = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, before);
    service.begin();
    service.ready("never-ready");
    Client client(service), half(service);
    client.expect("greet " + who, before + ", " + who);
    half.begin_request("greet " + who);
    service.configure("greeting = " + after + "\n");
    client.expect("greet " + who, before + ", " + who);  // and not a moment before it is told
    service.tell_to_reload();
    service.reloaded("reload-not-done");
    client.expect("greet " + who, after + ", " + who, "reload-loses-clients");
    half.ask("");
    const std::string answer = half.answer("reload-loses-clients");
    stage.require(answer == after + ", " + who,
                  {"the new greeting for the old client too, " + shown(after + ", " + who), shown(answer), "", "", "reload-loses-clients"});
    service.tell_to_stop();
    service.stopped();
}

CASE("8.19 a configuration that is no good leaves the old one in force" * points(on(3, 4)) * section("reload") *
     hints("Somebody mistypes a line and reloads. Should everybody be cut off for that?",
           "reload() throws, and keeps the old configuration. If the exception leaves the loop, so do you.",
           "Catch it where you reload, log 'reload-failed' with the error, and go on. posix: READY=1 also then, or the manager thinks that you reload for ever.")) {
    stage.recognise("it has ended, having told", "reload-fails-deadly");
    by_hand(stage, "echo nonsense >c; kill -HUP $(pidof lab-08); lab-08 ask hello --runtime run greet you", "echo nonsense>c & lab-08 reload hello & lab-08 ask hello greet you");
    const std::string before = stage.random().word(8), after = stage.random().word(8), who = stage.random().word(8), nonsense = stage.random().word(10);
    Service service(stage, before);
    service.begin();
    service.ready("never-ready");
    Client client(service);
    service.configure("greeting = " + after + "\n" + nonsense + "\n");
    service.tell_to_reload();
    service.reload_failed("reload-fails-deadly");
    const std::string line = service.event("reload-failed", "reload-fails-deadly");
    stage.require(line.find(nonsense) != std::string::npos, {"the reason in the log: error=\"…" + nonsense + "…\"", shown(line, 200), "", "", ""});
    client.expect("greet " + who, before + ", " + who, "reload-fails-deadly");
    service.configure("greeting = " + after + "\n");
    service.tell_to_reload();
    service.reloaded("reload-not-done");
    client.expect("greet " + who, after + ", " + who);
    service.tell_to_stop();
    service.stopped();
}

}
