// What only the posix track has: unit files, sd_notify, the watchdog, systemctl, and a real systemd.

#include "peers_posix.hpp"
#include "systemd_posix.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace judge;
using namespace peers;
namespace fs = std::filesystem;

EXERCISE("Exercise 1: install and remove") {

CASE("8.5 the unit file says what kind of service this is" * points(4) * section("the-unit-file") *
     hints("What does systemd assume of a service that says nothing about itself?",
           "Type=simple: started means ready. Nothing is restarted, nobody is watched, reload does not exist, /run/NAME is not made.",
           "[Service] with Type=notify, ExecReload=/bin/kill -HUP $MAINPID, RuntimeDirectory=NAME, WatchdogSec=, Restart=on-failure; [Install] with WantedBy=multi-user.target.")) {
    stage.by_hand("lab-08 install hello --unit-dir . ; cat hello.service");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name).exits(0);
    const std::string unit = read_text(stage.files() + "/units/" + name + ".service");
    const auto in_service = [&](const char* key) { return value_in(unit, "Service", key); };
    const std::string restart = in_service("Restart"), type = in_service("Type");
    stage.require(type == "notify" || type == "notify-reload",
                  {"Type=notify in [Service]", "Type=" + type, "", "started means ready for any other type", "type-simple"});
    stage.require(type == "notify-reload" || (in_service("ExecReload").find("HUP") != std::string::npos && in_service("ExecReload").find("$MAINPID") != std::string::npos),
                  {"ExecReload= sends SIGHUP to $MAINPID", "ExecReload=" + in_service("ExecReload"), "", "", "no-reload-command"});
    stage.require(in_service("RuntimeDirectory") == name,
                  {"RuntimeDirectory=" + name + ", so that /run/" + name + " is there and goes again",
                   "RuntimeDirectory=" + in_service("RuntimeDirectory"), "", "", "no-runtime-directory"});
    stage.require(!in_service("WatchdogSec").empty(),
                  {"WatchdogSec= some time", "nothing: a stuck service stays stuck", "", "", "no-watchdog-in-the-unit"});
    stage.require(restart == "on-failure" || restart == "always" || restart == "on-abnormal",
                  {"Restart=on-failure", "Restart=" + restart, "", "", "no-restart"});
    stage.require(!value_in(unit, "Install", "WantedBy").empty(), {"[Install] with WantedBy=, so that it can be enabled", "nothing", "", "", ""});
    struct stat status {};
    ipc::check(::stat((stage.files() + "/units/" + name + ".service").c_str(), &status), "stat", name);
    stage.require((status.st_mode & 0133) == 0,
                  {"a unit file is no program, and nobody but its owner writes it",
                   "mode 0" + std::to_string((status.st_mode >> 6) & 7) + std::to_string((status.st_mode >> 3) & 7) + std::to_string(status.st_mode & 7), "", "", ""});
    manager.run("remove", name).exits(0);
}

CASE("8.6 systemd-analyze verify finds nothing to say about the unit file" * points(2) * section("the-unit-file") *
     hints("A key that systemd does not know is ignored, with a line in a log that nobody reads. Who tells you?",
           "systemd-analyze verify reads a unit file as systemd does, and prints what systemd would have thought.",
           "Run it on your file by hand, and mend what it names.")) {
    stage.by_hand("lab-08 install hello --unit-dir . ; systemd-analyze verify ./hello.service");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name, {"--config", "a 100% good.conf"}).exits(0);
    if (::access("/usr/bin/systemd-analyze", X_OK) != 0)
        stage.unavailable("systemd-analyze is not here; on Debian and Ubuntu: apt-get install systemd");
    // One that is certainly wrong comes along: where systemd-analyze cannot work it would find nothing to say about ours either.
    const std::string wrong = stage.name("wrong"), said = stage.files() + "/said";
    write_text(stage.files() + "/units/" + wrong + ".service", "[Service]\nType=exec\nExecStart=/bin/true\nNoSuchKeyAtAll=1\n");
    StartRequest request;
    request.command = {"/bin/sh", "-c", "out=$1; shift; exec systemd-analyze verify --man=no \"$@\" >\"$out\" 2>&1", "sh", said,
                       stage.files() + "/units/" + name + ".service", stage.files() + "/units/" + wrong + ".service"};
    Process verify = Process::start(std::move(request));
    if (!verify.wait(Deadline::in(milliseconds(static_cast<long long>(20'000 * stage.time_scale())))))
        stage.unavailable("systemd-analyze verify does not come back here");
    std::string about_ours;
    bool works = false;
    std::istringstream lines(read_text(said));
    for (std::string line; std::getline(lines, line);) {
        works = works || line.find("NoSuchKeyAtAll") != std::string::npos;
        if (line.find(name) != std::string::npos)
            about_ours += (about_ours.empty() ? "" : "\n") + line;
    }
    if (!works)
        stage.unavailable("systemd-analyze verify cannot work here: " + shown(read_text(said), 200));
    stage.require(about_ours.empty(), {"systemd-analyze verify says nothing", about_ours, "", "", "unit-not-understood"});
    manager.run("remove", name).exits(0);
}

CASE("8.7 install without the right or without a manager says so and leaves nothing" * points(4) * section("who-may") *
     hints("Who may write to /etc/systemd/system, and what if nobody runs systemd here?",
           "EACCES is an answer that a person can act on, if you say on what file, and what to do. And a unit file that systemd has not been told of is worse than none.",
           "Throw the system's error with the path. When systemctl cannot be started or fails, put the unit file back as it was, and throw.")) {
    stage.by_hand("lab-08 install hello --unit-dir /etc/systemd/system; echo $?");
    Definitions manager(stage);
    const std::string name = stage.name("svc"), units = stage.files() + "/units";
    manager.run("install", name, {"--config", "one"}).exits(0);
    const std::string before = read_text(units + "/" + name + ".service");
    const auto install = [&](const std::string& whom, const std::string& folder, const std::string& path) {
        Start how;
        how.no_input = true;
        how.environment["PATH"] = path;
        return stage.start({"install", whom, "--config", "two", "--unit-dir", folder}, how);
    };
    const auto is_as_before = [&](const Mistake& otherwise) {
        stage.require(read_text(units + "/" + name + ".service") == before,
                      {"after a failure the unit file is as it was before", "it has changed", "", "", otherwise});
        stage.require(std::distance(fs::directory_iterator(units), {}) == 1,
                      {"nothing else in the unit directory", "there is more", "", "", otherwise});
    };
    // No systemctl at all.
    for (const std::string& whom : {name, stage.name("other")}) {
        Subject nobody = install(whom, units, stage.files());
        nobody.exits(1, "no-manager-no-error");
        nobody.complains("systemctl", "no-manager-no-error");
        is_as_before("unit-without-a-manager");
    }
    // A systemctl that has nobody to talk to.
    Systemctl systemctl(stage, "refusing");
    systemctl.answer = [](const Words&) { return Answer{1, "", "System has not been booted with systemd as init system (PID 1). Can't operate.\n"}; };
    Subject refused = install(name, units, systemctl.folder());
    systemctl.serve(refused);
    refused.exits(1, "no-manager-no-error");
    refused.complains("has not been booted with systemd", "swallows-what-systemctl-says");
    is_as_before("unit-without-a-manager");
    // A directory that is somebody else's.
    const std::string locked = stage.files() + "/locked";
    fs::create_directory(locked);
    ipc::check(::chmod(locked.c_str(), 0555), "chmod", locked);
    Subject stranger = install(name, locked, stage.files() + "/bin");
    stranger.exits(1, "");
    stranger.complains(locked, "");
    manager.run("remove", name).exits(0);
}

}

EXERCISE("Exercise 2: run") {

CASE("8.13 without a manager it runs in the foreground and one that does not answer is an error" * points(3) * section("the-notify-socket") *
     hints("What is in NOTIFY_SOCKET when you start the program in your own terminal? And if it is wrong?",
           "Nothing: then nobody is told, and a person reads 'ready'. Something that leads nowhere is an error: the manager would wait for ready in vain.",
           "No NOTIFY_SOCKET: tell nobody. A failing sendto(): throw, with the variable's name. SIGINT is the order to stop that a person gives.")) {
    stage.by_hand("lab-08 run hello --runtime run; NOTIFY_SOCKET=/nowhere lab-08 run hello --runtime run");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, greeting);
    service.state().manager.reset();
    service.begin();
    Subject& lab = service.state().running();
    const std::string address = lab.ready();
    stage.require(address == service.address(), {"ready " + service.address(), "ready " + address, "", "", ""});
    Client(service).expect("greet " + who, greeting + ", " + who);
    lab.idles();
    lab.process().interrupt();
    service.stopped("sigint-not-caught");

    for (const std::string& nowhere : {stage.files() + "/nowhere", "@" + stage.name("nowhere"), std::string("relative/path")}) {
        Service lost(stage, greeting);
        lost.state().manager.reset();
        lost.state().environment["NOTIFY_SOCKET"] = nowhere;
        lost.begin();
        lost.state().ends("the service cannot reach its manager, and gives up with exit code 1", 1, "notify-errors-ignored");
        lost.state().running().complains("NOTIFY_SOCKET", "notify-errors-ignored");
        stage.require(!exists(lost.address()), {"no socket is left", "control.socket is still there", "", "", "socket-left-behind"});
    }
}

CASE("8.14 the socket listens before the manager hears of it" * points(4) * section("ready") *
     hints("Here the manager is busy: sendto() to it waits. What can a client do meanwhile?",
           "If you listen already, it can connect, and waits for you. If you tell first and listen then, it is turned away.",
           "bind() and listen() first, then READY=1. An abstract name (@NAME) begins with a zero byte and is as long as the address's size says: not one byte more.")) {
    stage.by_hand("socat -u ABSTRACT-RECVFROM:x,fork - & NOTIFY_SOCKET=@x lab-08 run hello --runtime run");
    stage.recognise("sendto\\(.*[Cc]onnection refused", "abstract-name-too-long");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Gate gate(stage);
    Service service(stage, greeting, {gate.path()});
    service.state().manager = std::make_unique<NotifySocket>("@" + stage.name("notify"));
    service.begin();
    gate.reached("");
    service.state().listen();
    service.state().manager->stop_listening();
    gate.open();
    // Its READY=1 does not get through. What it says it can do, it must be able to do by now.
    const sockaddr_un address = address_of(service.address());
    ipc::unique_file client(ipc::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket", "AF_UNIX"));
    stage.await([&](Deadline deadline) {
        return ask_until(deadline, [&] { return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), size_of(service.address())) == 0; });
    }, "a client can connect while the service tells the manager that it is ready", "ready-before-listening");
    client.reset();
    service.ready("never-ready");
    Client(service).expect("greet " + who, greeting + ", " + who);
    service.tell_to_stop();
    service.is_stopping("stop-not-told");
    service.stopped();
}

}

EXERCISE("Exercise 3: an orderly life") {

CASE("8.17 told to stop in the middle of its start it gives the start up" * points(4) * section("a-long-way-up") *
     hints("Somebody types start, sees that it takes long, and types stop. When do you look at the signal?",
           "A signal that comes before you have caught it kills you; one that you look at only in the loop is seen minutes later.",
           "Block or catch SIGTERM before anything else. At each progress look whether it has come, and return false: load() then gives up, and so do you.")) {
    stage.by_hand("mkfifo slow; printf 'load = slow\\nload = slow\\n' >c; lab-08 run hello --config c --runtime run & sleep 1; kill $!; echo >slow; wait $!; echo $?");
    Gate one(stage), two(stage);
    Service service(stage, stage.random().word(8), {one.path(), two.path()});
    service.begin();
    service.makes_progress("progress-not-told");
    one.reached();
    service.tell_to_stop();
    one.open();
    service.stopped("start-not-given-up");
    service.is_not_ready("start-not-given-up");
}

CASE("8.20 a second one is refused and the first is not disturbed" * points(4) * section("only-one") *
     hints("The service runs, and somebody starts another by hand. Both want the same socket. Who is to have it?",
           "The first. But unlink() before bind() takes the name away from whoever is there. So you must know before that nobody is.",
           "Take a lock first: flock(LOCK_EX | LOCK_NB) on RUNTIME/lock, held for life. EWOULDBLOCK: there is somebody; throw and touch nothing.")) {
    stage.by_hand("lab-08 run hello --runtime run & lab-08 run hello --runtime run; lab-08 ask hello --runtime run greet you");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Gate gate(stage);
    Service first(stage, greeting, {gate.path()}), second(stage, greeting);
    first.begin();
    gate.reached();
    second.begin();  // the first one is still on its way up: it has the lock, and no socket yet
    second.failed("second-not-refused");
    gate.open();
    first.ready("never-ready");
    second.begin();
    second.failed("second-not-refused");
    second.state().running().complains("lock", "second-not-refused");
    stage.require(exists(first.address()), {"the first one's socket is where it was", "the second one has removed it", "", "", "steals-the-socket"});
    Client(first, "steals-the-socket").expect("greet " + who, greeting + ", " + who, "steals-the-socket");
    first.tell_to_stop();
    first.stopped();
}

CASE("8.21 one that was killed does not stand in the way of the next" * points(4) * section("only-one") *
     hints("kill -9: no handler runs. What is left of the service, and does it matter?",
           "The socket's name and the lock's file are left, and mean nothing. What counts is whether somebody holds the lock: the kernel lets go of it at the holder's end.",
           "Never ask whether the file exists (O_EXCL, a process id in it): lock it. Once you have the lock, unlink() the old socket before bind().")) {
    stage.by_hand("lab-08 run hello --runtime run & sleep 1; kill -9 $!; lab-08 run hello --runtime run");
    stage.recognise("Address already in use", "stale-socket");
    stage.recognise("/run/lock", "stale-lock");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, greeting);
    service.begin();
    service.ready("never-ready");
    service.kill();
    service.begin();
    service.ready("stale-lock, stale-socket");
    Client(service).expect("greet " + who, greeting + ", " + who);
    // A lock whose holder is gone, with the number of somebody who lives in it.
    service.kill();
    write_text(service.state().runtime + "/lock", std::to_string(::getpid()) + "\n");
    service.begin();
    service.ready("stale-lock");
    service.tell_to_stop();
    service.stopped();
}

}

EXERCISE("Exercise 4: under a manager's eye") {

CASE("8.22 the watchdog hears from it in time when idle and when busy" * points(4) * section("the-watchdog") *
     hints("WATCHDOG_USEC=500000: what does the manager do when it has not heard from you for half a second?",
           "It kills you. So tell it WATCHDOG=1 at about half that time, also when nobody wants anything; and at each progress of an answer.",
           "Give poll() the time until the next one as timeout. In the progress of an answer, send it with the STATUS=.")) {
    stage.by_hand("NOTIFY_SOCKET=@x WATCHDOG_USEC=500000 lab-08 run hello --runtime run   # with socat -u ABSTRACT-RECVFROM:x,fork - in another terminal");
    using namespace std::chrono_literals;
    Gate one(stage), two(stage);
    Service service(stage, stage.random().word(8));
    service.state().environment["WATCHDOG_USEC"] = "500000";
    service.begin();
    service.ready("never-ready");
    const auto feeds = [](const Notice& notice) { return notice.says("WATCHDOG=1"); };
    Notice last = service.state().hear("WATCHDOG=1 from the service", feeds, "watchdog-not-fed");
    const Notice next = service.state().hear("WATCHDOG=1 from the service", feeds, "watchdog-not-fed");
    const auto apart = next.sent - last.sent;
    stage.require(apart < 500ms * stage.time_scale(),
                  {"WATCHDOG=1 at least every 500 ms", "after " + std::to_string(apart.count() / 1000) + " ms", "", "", "watchdog-fed-too-late"});
    stage.require(apart > 5ms, {"WATCHDOG=1 now and then", "every " + std::to_string(apart.count()) + " µs", "", "", "busy-waiting"});
    Client client(service);
    client.ask("count " + one.path() + " " + two.path());
    std::size_t bytes = 0;
    for (Gate* gate : {&one, &two}) {
        gate->reached();
        bytes += gate->open();
        service.state().hear("WATCHDOG=1 with STATUS=read … at each progress of an answer",
                             [&](const Notice& notice) { return feeds(notice) && notice.get("STATUS").value_or("").starts_with("read"); }, "watchdog-not-fed-when-busy");
    }
    const std::string answer = client.answer();
    stage.require(answer == std::to_string(bytes) + " bytes", {std::to_string(bytes) + " bytes", shown(answer), "", "", ""});
    service.tell_to_stop();
    service.stopped();
}

CASE("8.23 the watchdog hears nothing from one that is stuck or was not meant" * points(4) * section("the-watchdog") *
     hints("What is a watchdog for, if it is fed by somebody who has nothing else to do?",
           "A thread, a timer or a child that feeds it goes on when the one who works is stuck, and nobody will ever notice.",
           "Feed it where the work is done: in the loop, and at each progress. And only if WATCHDOG_PID is your own process id, or not set.")) {
    stage.by_hand("mkfifo never; lab-08 ask hello --runtime run count never   # and watch the datagrams stop");
    using namespace std::chrono_literals;
    Gate gate(stage);
    Service service(stage, stage.random().word(8)), other(stage, "x");
    other.state().runtime += "-other";
    other.state().address = other.state().runtime + "/control.socket";
    service.state().environment["WATCHDOG_USEC"] = other.state().environment["WATCHDOG_USEC"] = "200000";
    other.state().environment["WATCHDOG_PID"] = std::to_string(::getpid());  // meant for us, who have started it
    service.begin();
    other.begin();
    service.ready("never-ready");
    other.ready("never-ready");
    Client client(service);
    client.ask("count " + gate.path());
    gate.reached();
    service.state().listen();
    service.state().notices.clear();
    // For twice the time that a living one would have let pass.
    service.state().running().process().wait(Deadline::in(milliseconds(400)));
    service.state().listen();
    other.state().listen();
    for (const Notice& notice : service.state().notices)
        stage.require(!notice.says("WATCHDOG=1"),
                      {"a service that is stuck in an answer falls silent", "it still tells " + shown(notice.text), "", "", "watchdog-fed-from-aside"});
    for (const Notice& notice : other.state().notices)
        stage.require(!notice.says("WATCHDOG=1"),
                      {"WATCHDOG_PID is somebody else: no WATCHDOG=1", "it tells " + shown(notice.text), "", "", "watchdog-pid-ignored"});
    gate.open();
    client.answer();
    for (Service* one : {&service, &other}) {
        one->tell_to_stop();
        one->stopped();
    }
}

CASE("8.24 start stop reload and status have systemctl do the work" * points(3) * section("systemctl") *
     hints("Who starts a service: you, or the manager?",
           "The manager, and you ask it to. What systemctl prints for people changes; what `systemctl show` prints is made for programs.",
           "Spawn systemctl with the verb and NAME.service. For status: show --property=LoadState,ActiveState,MainPID,StatusText, each a line KEY=VALUE.")) {
    stage.by_hand("lab-08 start hello; lab-08 status hello; systemctl show -p LoadState,ActiveState,MainPID,StatusText hello");
    const std::string name = stage.name("svc"), text = stage.random().word(6) + "=" + stage.random().word(6) + " of 3";
    Systemctl systemctl(stage);
    Start how;
    how.no_input = true;
    how.environment["PATH"] = systemctl.folder();
    for (const char* verb : {"start", "stop", "reload"}) {
        systemctl.calls.clear();
        Subject lab = stage.start({verb, name}, how);
        systemctl.serve(lab);
        lab.exits(0);
        stage.require(has_call(systemctl.calls, verb, name),
                      {std::string("systemctl ") + verb + " " + name + ".service", text_of(systemctl.calls), "", "", "does-not-ask-systemctl"});
    }
    struct Known {
        const char *load, *active;
        std::string pid, text, printed;
        std::uint32_t code;
    };
    const std::string pid = std::to_string(stage.random().between(1000, 99999));
    for (const Known& known : {Known{"loaded", "active", pid, text, "running (pid " + pid + "): " + text, 0}, Known{"loaded", "inactive", "0", "", "stopped", 3},
                               Known{"loaded", "activating", pid, "loading 1 of 3", "starting (pid " + pid + "): loading 1 of 3", 3},
                               Known{"loaded", "reloading", pid, "", "reloading (pid " + pid + ")", 0},
                               Known{"loaded", "deactivating", pid, "", "stopping (pid " + pid + ")", 3},
                               Known{"loaded", "failed", "0", "", "failed", 3}, Known{"not-found", "inactive", "0", "", "not installed", 4}}) {
        const std::map<std::string, std::string> all = {{"LoadState", known.load}, {"ActiveState", known.active}, {"MainPID", known.pid},
                                                        {"StatusText", known.text}, {"Id", name + ".service"}};
        systemctl.calls.clear();
        systemctl.answer = [&](const Words& words) { return shown_properties(words, all); };
        Subject lab = stage.start({"status", name}, how);
        systemctl.serve(lab);
        lab.prints(name + ": " + known.printed + "\n", "status-misread");
        lab.exits(known.code, "status-misread");
    }
}

CASE("8.25 what systemctl refuses is refused" * points(2) * section("systemctl") *
     hints("How does your program learn that systemctl has failed, and how does the person?",
           "By its exit code, and by what it prints: leave its standard error to the person.",
           "waitpid() and WEXITSTATUS; other than 0: throw, with the command and the code.")) {
    stage.by_hand("lab-08 start no-such-service; echo $?");
    const std::string name = stage.name("svc"), words = stage.random().word(10);
    Systemctl systemctl(stage);
    bool refuses = false;
    systemctl.answer = [&](const Words& call) {
        if (refuses)
            return Answer{5, "", "Failed to start " + name + ".service: " + words + "\n"};
        return is_call(call, "show") ? shown_properties(call, {{"ActiveState", "active"}, {"LoadState", "loaded"}, {"MainPID", "77"}, {"StatusText", ""}}) : Answer{};
    };
    Start how;
    how.no_input = true;
    how.environment["PATH"] = systemctl.folder();
    for (const char* verb : {"start", "stop", "reload", "status"}) {
        refuses = false;
        Subject good = stage.start({verb, name}, how);
        systemctl.serve(good);
        good.exits(0);
        refuses = true;
        Subject lab = stage.start({verb, name}, how);
        systemctl.serve(lab);
        lab.exits(1, "systemctl-failure-lost");
        lab.complains(words, "swallows-what-systemctl-says");
        lab.complains(name, "systemctl-failure-lost");
    }
    how.environment["PATH"] = stage.files();
    Subject alone = stage.start({"start", name}, how);
    alone.exits(1, "systemctl-failure-lost");
    alone.complains("systemctl", "systemctl-failure-lost");
}

CASE("8.26 a real systemd installs starts reloads stops and removes it" * points(3) * section("under-a-real-systemd") *
     hints("Everything fits together here, with the manager that you have written it for. What does systemctl status say?",
           "systemd starts it as the unit file says, waits for READY=1 from the main process, and stops it with SIGTERM.",
           "If only this case fails, install it on a machine of your own with sudo, and read systemctl status and journalctl -u NAME.")) {
    stage.by_hand("sudo lab-08 install hello; sudo lab-08 start hello; lab-08 status hello; sudo lab-08 ask hello greet you; sudo lab-08 remove hello");
    const std::string before = stage.random().word(8), after = stage.random().word(8), who = stage.random().word(8);
    RealLife life(stage);
    life.install(before);
    life.run("start").exits(0);
    const std::string status = life.run("status").output();
    stage.require(status.starts_with(life.name() + ": running (pid "), {life.name() + ": running (pid …", shown(status), "", "", ""});
    life.answers("greet " + who, before + ", " + who);
    life.configure(after);
    life.run("reload").exits(0);
    life.answers("greet " + who, after + ", " + who, "reload-not-done");
    life.run("stop").exits(0);
    life.run("status").prints(life.name() + ": stopped\n");
    stage.require(!exists(life.systemd().path("/run/" + life.name())),
                  {"the runtime directory has gone with the service", "it is still there", "", "", "no-runtime-directory"});
    life.run("start").exits(0);
    life.run("remove").exits(0);
    life.run("status").prints(life.name() + ": not installed\n");
    stage.require(life.systemd().service_process() == 0, {"remove stops the service", "it still runs", "", "", "removes-a-running-service"});
}

CASE("8.27 a real systemd starts it again after it was killed" * points(2) * section("under-a-real-systemd") *
     hints("Nobody is there at night. Who starts the service again when it has crashed?",
           "systemd, if the unit file asks for it, and if the new one gets past what the old one has left.",
           "Restart=on-failure in [Service]; and see 8.21.")) {
    stage.by_hand("sudo lab-08 start hello; sudo kill -9 $(systemctl show -p MainPID --value hello); sleep 1; lab-08 status hello");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    RealLife life(stage);
    life.install(greeting);
    life.run("start").exits(0);
    life.answers("greet " + who, greeting + ", " + who);
    const pid_t first = life.systemd().service_process();
    ipc::check(::kill(first, SIGKILL), "kill", "the service");
    const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(15'000 * stage.time_scale())));
    ask_until(deadline, [&] { return life.systemd().service_process() != first && life.systemd().service_process() != 0; });
    stage.require(life.systemd().service_process() != 0 && life.systemd().service_process() != first,
                  {"systemd has started it again", "nobody has", "", "", "no-restart"});
    life.answers("greet " + who, greeting + ", " + who, "stale-lock, stale-socket");
    life.run("remove").exits(0);
}

}
