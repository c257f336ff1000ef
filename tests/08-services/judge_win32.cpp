// What only the win32 track has: the entry in the database, orders and checkpoints, the control pipe, and sc.exe.

#include "peers_win32.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace judge;
using namespace peers;
namespace fs = std::filesystem;

EXERCISE("Exercise 1: install and remove") {

CASE("8.5 the entry says what kind of service this is" * points(3) * section("the-entry-in-the-database") *
     hints("What does an administrator see of your service in services.msc, and what may it do at boot?",
           "A process of its own, started when somebody asks for it, with a sentence on what it is.",
           "SERVICE_WIN32_OWN_PROCESS and SERVICE_DEMAND_START for CreateServiceW; SERVICE_CONFIG_DESCRIPTION by ChangeServiceConfig2W. And the program's path in quotes.")) {
    stage.by_hand("lab-08 install hello & sc qc hello & sc qdescription hello");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name).exits(0);
    const Config config = config_of(stage, name);
    stage.require(config.type == SERVICE_WIN32_OWN_PROCESS, {"SERVICE_WIN32_OWN_PROCESS", "type " + std::to_string(config.type), "", "", ""});
    stage.require(config.start == SERVICE_DEMAND_START,
                  {"SERVICE_DEMAND_START: when somebody asks for it", "start type " + std::to_string(config.start), "", "", "starts-at-boot"});
    stage.require(config.command.starts_with("\""), {"a command that begins with the program's path in quotes", config.command, "",
                                                     "a path with a blank in it, bare, is tried word by word: C:\\Program.exe comes before C:\\Program Files\\…", "program-path-unquoted"});
    stage.require(!config.description.empty(), {"a description", "none", "", "", "no-description"});
    manager.run("remove", name).exits(0);
}

CASE("8.6 the entry has the service restarted after a failure" * points(2) * section("the-entry-in-the-database") *
     hints("Nobody is there at night. Who starts the service again when it has crashed?",
           "The manager, if the entry asks for it.",
           "ChangeServiceConfig2W with SERVICE_CONFIG_FAILURE_ACTIONS and an SC_ACTION_RESTART; the handle needs SERVICE_START for that.") *
     windows_only("Wine does not tell the failure actions of a service")) {
    stage.by_hand("lab-08 install hello & sc qfailure hello");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name).exits(0);
    const std::vector<SC_ACTION> actions = config_of(stage, name).after_failure;
    stage.require(!actions.empty() && actions[0].Type == SC_ACTION_RESTART,
                  {"SC_ACTION_RESTART as the first failure action", actions.empty() ? "no failure action" : "another one", "", "", "no-restart"});
    manager.run("remove", name).exits(0);
}

}

EXERCISE("Exercise 2: run") {

CASE("8.13 started by hand it says what to type instead" * points(3) * section("not-for-hands") *
     hints("StartServiceCtrlDispatcher fails when nobody has started a service. What should the person read who has typed 'run'?",
           "Not a number alone. What was wrong with it, and what to type.",
           "ERROR_FAILED_SERVICE_CONTROLLER_CONNECT: throw it, with 'type: lab-08 install NAME and lab-08 start NAME'.")) {
    stage.by_hand("lab-08 run hello\necho %ERRORLEVEL%");
    const std::string name = stage.name("svc");
    const Turn turn(stage);
    // By the manager it runs.
    Service service(stage, stage.random().word(8));
    service.begin();
    service.ready("never-ready");
    service.tell_to_stop();
    service.stopped();
    // And by hand not. (Under Wine it would wait for as long as the service that was started last is there.)
    Subject lab = stage.start({"run", name});
    lab.exits(1, "no-dispatcher");
    lab.complains("start " + name, "no-word-on-what-to-type");
    lab.prints("");
}

CASE("8.14 it takes orders when it runs and none before" * points(3) * section("orders") *
     hints("dwControlsAccepted: what happens to an order that comes before your service can obey it?",
           "The manager refuses it in your place, as long as you say that you accept none.",
           "0 while START_PENDING; STOP, SHUTDOWN and PARAMCHANGE with RUNNING. The handler answers INTERROGATE, too, with NO_ERROR.")) {
    stage.by_hand("lab-08 start hello & sc stop hello & sc interrogate hello");
    Gate gate(stage);
    Service service(stage, stage.random().word(8), {gate.path()});
    service.begin();
    gate.reached();
    service.is_not_ready("ready-too-early");
    SERVICE_STATUS_PROCESS status = service.state().status();
    stage.require(status.dwControlsAccepted == 0,
                  {"no controls are accepted while it starts", "controls " + std::to_string(status.dwControlsAccepted), "", "", "accepts-too-early"});
    gate.open();
    service.ready("never-ready");
    status = service.state().status();
    constexpr DWORD wanted = SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE;
    stage.require((status.dwControlsAccepted & wanted) == wanted,
                  {"stop, shutdown and paramchange are accepted when it runs", "controls " + std::to_string(status.dwControlsAccepted), "", "",
                                                                   (status.dwControlsAccepted & SERVICE_ACCEPT_STOP) ? "paramchange-not-accepted" : "stop-not-accepted"});
    const DWORD interrogated = service.state().order(SERVICE_CONTROL_INTERROGATE);
    stage.require(interrogated == ERROR_SUCCESS,
                  {"SERVICE_CONTROL_INTERROGATE is answered", "error " + std::to_string(interrogated), "", "", ""});
    service.tell_to_stop();
    service.stopped();
}

}

EXERCISE("Exercise 3: an orderly life") {

CASE("8.20 somebody else's pipe of its name is not taken for its own" * points(2) * section("the-control-pipe") *
     hints("A program that is no service has made a pipe of that name before you. Who do the clients talk to?",
           "To whichever instance is free. They would give their requests to a stranger.",
           "FILE_FLAG_FIRST_PIPE_INSTANCE with the first instance: ERROR_ACCESS_DENIED is a start that fails.") *
     windows_only("Wine lets a second maker through FILE_FLAG_FIRST_PIPE_INSTANCE")) {
    Service service(stage, stage.random().word(8));
    const ipc::unique_file squatter(CreateNamedPipeW(ipc::to_wide(service.address()).c_str(), PIPE_ACCESS_DUPLEX, PIPE_TYPE_MESSAGE, PIPE_UNLIMITED_INSTANCES, 4096, 4096, 0, nullptr));
    service.begin();
    service.failed("joins-a-strangers-pipe");
}

CASE("8.21 one that was killed does not stand in the way of the next" * points(2) * section("the-control-pipe") *
     hints("A killed service: what is left of it?",
           "Nothing that has a name: a pipe goes with its last handle, and the manager sees the process end.",
           "If the second start fails, look for a file or an event that you have made and taken for a lock.") *
     windows_only("Wine's service manager shows a killed service as running")) {
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, greeting);
    service.begin();
    service.ready("never-ready");
    service.kill();
    service.state().process.reset();
    service.state().await([&] { return service.state().status().dwCurrentState == SERVICE_STOPPED; }, "the manager sees its end", "");
    service.begin();
    service.ready();
    Client(service).expect("greet " + who, greeting + ", " + who);
    service.tell_to_stop();
    service.stopped();
}

}

EXERCISE("Exercise 4: under a manager's eye") {

namespace {

// It has no reason to end: whoever does, does so within this time.
void goes_on(Stage& stage, Subject& lab, const std::string& what, const Mistake& otherwise) {
    const bool over = lab.process().wait(Deadline::in(milliseconds(static_cast<long long>(500 * stage.time_scale()))));
    stage.require(!over, {what, "it ended", "", "", otherwise});
    lab.idles(otherwise);
}

}  // namespace

CASE("8.17 stop waits for one that is still starting" * points(3) * section("orders") *
     hints("A service that is starting takes no orders. What should 'lab-08 stop' do then?",
           "ControlService answers ERROR_SERVICE_CANNOT_ACCEPT_CTRL (Wine: ERROR_INVALID_SERVICE_CONTROL). Nothing is wrong; it is too early.",
           "Wait while the state is START_PENDING, as start() does; then give the order, and wait while it is STOP_PENDING.")) {
    stage.by_hand("start lab-08 start hello & lab-08 stop hello & sc query hello");
    Gate gate(stage);
    Service service(stage, stage.random().word(8), {gate.path()});
    service.begin();
    gate.reached();
    Subject lab = stage.start({"stop", service.name()});
    goes_on(stage, lab, "stop waits while the service is starting", "stop-too-early");
    gate.open();
    lab.exits(0, "stop-too-early");
    stage.require(service.state().status().dwCurrentState == SERVICE_STOPPED,
                  {"stop returns when the service has stopped", text_of(service.state().status()), "", "", "stop-does-not-wait"});
    service.stopped();
}

CASE("8.22 start returns when it runs and stop when it has stopped" * points(3) * section("checkpoints") *
     hints("StartService returns TRUE. Can a client come now?",
           "It only means that the process lives. The state is START_PENDING until the service says RUNNING, and ControlService returns while it is STOP_PENDING.",
           "QueryServiceStatusEx again and again while it is pending: as long as dwCheckPoint grows within dwWaitHint, the service is alive.")) {
    stage.by_hand("lab-08 start hello & sc query hello & lab-08 stop hello & sc query hello");
    const std::string greeting = stage.random().word(8);
    Gate loading(stage), answering(stage);
    Service service(stage, greeting, {loading.path()});
    service.begin();
    loading.reached();
    loading.open();
    service.ready("never-ready");
    // Again, this time by the verb.
    service.tell_to_stop();
    service.stopped();
    Gate again(stage);
    service.configure("greeting = " + greeting + "\nload = " + again.path() + "\n");
    service.state().process.reset();
    std::optional<Turn> turn(std::in_place, stage);
    Subject start = stage.start({"start", service.name()});
    again.reached("never-ready");
    turn.reset();
    service.state().process = open_process(service.state().status().dwProcessId);
    goes_on(stage, start, "start waits while the service is starting", "start-does-not-wait");
    again.open();
    start.exits(0, "start-does-not-wait");
    stage.require(service.state().status().dwCurrentState == SERVICE_RUNNING,
                  {"RUNNING when start has returned", text_of(service.state().status()), "", "", "start-does-not-wait"});
    Client client(service);
    client.ask("count " + answering.path());
    answering.reached();
    Subject stop = stage.start({"stop", service.name()});
    service.state().await([&] { return service.state().status().dwCurrentState == SERVICE_STOP_PENDING; }, "the order to stop comes", "stop-does-not-wait");
    goes_on(stage, stop, "stop waits while the service is stopping", "stop-does-not-wait");
    const std::size_t bytes = answering.open();
    stop.exits(0, "stop-does-not-wait");
    const std::string answer = client.answer("stops-in-the-middle");
    stage.require(answer == std::to_string(bytes) + " bytes", {std::to_string(bytes) + " bytes", shown(answer), "", "", ""});
    service.stopped();
}

CASE("8.23 start tells when the service has stopped instead" * points(3) * section("checkpoints") *
     hints("The service cannot read its configuration, and stops. What does 'lab-08 start' say?",
           "Its state is STOPPED, not RUNNING, and dwWin32ExitCode says why.",
           "When it has left START_PENDING: STOPPED is an error. Throw it with the service's own code.")) {
    stage.by_hand("lab-08 install hello --config C:\\nowhere & lab-08 start hello\necho %ERRORLEVEL%");
    Service service(stage, "");
    service.begin();
    service.ready("never-ready");
    service.tell_to_stop();
    service.stopped();
    service.configure("nonsense\n");
    std::optional<Turn> turn(std::in_place, stage);
    Subject lab = stage.start({"start", service.name()});
    lab.exits(1, "start-believes-startservice");
    turn.reset();
    lab.complains(service.name(), "start-believes-startservice");
    Subject status = stage.start({"status", service.name()});
    status.prints(service.name() + ": failed\n", "status-misread");
    status.exits(3, "status-misread");
}

CASE("8.24 status and the manager's refusals are told as they are" * points(3) * section("the-entry-in-the-database") *
     hints("What can the manager answer to start, stop and status, apart from 'done'?",
           "That it does not know the service, that it runs already, that it does not run. For status the first is no error but an answer.",
           "Each is a code of GetLastError(): throw it as it is. status() returns not_installed for ERROR_SERVICE_DOES_NOT_EXIST.")) {
    stage.by_hand("lab-08 status nothing & lab-08 start nothing & lab-08 install hello & lab-08 status hello & lab-08 stop hello");
    const std::string nothing = stage.name("none");
    const auto refuses = [&](const std::string& verb, const std::string& name, DWORD code, const Mistake& otherwise) {
        const Turn turn(stage);
        Subject lab = stage.start({verb, name});
        lab.exits(1, otherwise);
        lab.complains(std::system_category().message(static_cast<int>(code)), otherwise);
    };
    for (const char* verb : {"start", "stop", "reload", "remove"})
        refuses(verb, nothing, ERROR_SERVICE_DOES_NOT_EXIST, "refusal-lost");
    const auto prints = [&](const std::string& name, const std::string& line, std::uint32_t code) {
        Subject lab = stage.start({"status", name});
        lab.prints(name + ": " + line + "\n", "status-misread");
        lab.exits(code, "status-misread");
    };
    prints(nothing, "not installed", 4);
    Service service(stage, stage.random().word(8));
    service.begin();
    service.ready("never-ready");
    prints(service.name(), "running (pid " + std::to_string(service.state().status().dwProcessId) + ")", 0);
    refuses("start", service.name(), ERROR_SERVICE_ALREADY_RUNNING, "refusal-lost");
    service.tell_to_stop();
    service.stopped();
    prints(service.name(), "stopped", 3);
    refuses("stop", service.name(), ERROR_SERVICE_NOT_ACTIVE, "refusal-lost");
}

CASE("8.26 sc and net drive it too" * points(2) * section("try-it-in-two-terminals") *
     hints("Do the system's own tools get along with your service?",
           "sc.exe and net.exe ask the same manager. If they fail and lab-08 does not, lab-08 looks away somewhere.",
           "Run sc query NAME and compare the state with what you have told the manager.")) {
    stage.by_hand("lab-08 install hello & net start hello & sc query hello & sc stop hello & lab-08 remove hello");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name).exits(0);
    const auto tool = [&](std::vector<std::string> command) {
        StartRequest request;
        wchar_t folder[MAX_PATH];
        command[0] = ipc::to_utf8(std::wstring_view(folder, GetSystemDirectoryW(folder, MAX_PATH))) + "\\" + command[0];
        request.command = command;
        Process process = Process::start(std::move(request));
        const bool over = process.wait(Deadline::in(milliseconds(static_cast<long long>(15'000 * stage.time_scale()))));
        stage.require(over && process.ended().code == 0,
                      {command[0] + " " + command[1] + " " + command[2] + " succeeds", over ? process.ended().text() : "it does not come back", "", "", "never-ready"});
    };
    const unique_service control = open_manager(stage);
    const unique_service entry(OpenServiceW(control.get(), ipc::to_wide(name).c_str(), SERVICE_QUERY_STATUS));
    {
        const Turn turn(stage);
        tool({"net.exe", "start", name});
    }
    stage.require(query(entry.get()).dwCurrentState == SERVICE_RUNNING,
                  {"RUNNING after net start", text_of(query(entry.get())), "", "", "never-ready"});
    tool({"sc.exe", "stop", name});
    const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(5'000 * stage.time_scale())));
    while (query(entry.get()).dwCurrentState != SERVICE_STOPPED && !deadline.expired())
        Sleep(2);
    stage.require(query(entry.get()).dwCurrentState == SERVICE_STOPPED,
                  {"STOPPED after sc stop", text_of(query(entry.get())), "", "", "stopped-not-told"});
    manager.run("remove", name).exits(0);
}

}
