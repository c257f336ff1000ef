// What only the win32 track has: handles, exit codes of 32 bits, names whatever the case; and what it asks the system with.

#include "story.hpp"

#include <windows.h>

using namespace judge;

std::string system_line() {
    OSVERSIONINFOW version{};
    version.dwOSVersionInfoSize = sizeof version;
    using Function = LONG(WINAPI*)(OSVERSIONINFOW*);
    reinterpret_cast<Function>(reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "RtlGetVersion")))(&version);
    return "Windows " + std::to_string(version.dwMajorVersion) + "." + std::to_string(version.dwMinorVersion) + "." +
           std::to_string(version.dwBuildNumber);
}

std::string identity_of(std::uint32_t id) {
    const ipc::unique_handle process(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, id));
    FILETIME created{}, exited{}, kernel{}, user{};
    GetProcessTimes(process.get(), &created, &exited, &kernel, &user);
    return std::to_string(id) + ":" +
           std::to_string((static_cast<std::uint64_t>(created.dwHighDateTime) << 32) | created.dwLowDateTime);
}

std::string remembered(std::uint32_t, std::uint32_t child) {
    if (child == 0)
        return {};
    const ipc::unique_handle process(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, child));
    if (!process)
        return {};
    Sleep(1);  // nothing announces the end of an object
    return "process " + std::to_string(child) + " has ended and can still be opened: somebody holds a handle to it";
}

EXERCISE("Exercise 2: what it finds, and how it ends") {

CASE("0.14 a variable is replaced whatever the case of its name" * points(3) * section("environment-and-directory") *
     hints("Is Path another variable than PATH?",
           "Not on Windows. What does a program see whose environment block holds both?",
           "Compare names without regard to case (CompareStringOrdinal with TRUE) when you merge, and sort the block so too.")) {
    stage.by_hand("set Colour=red& lab-00 run --env COLOUR=blue -- cmd /c set col");
    const std::string word = stage.random().word(6), value = stage.random().word(8);
    Start how;
    how.environment = {{"Name_" + word, "old"}};
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"run", "--env", "NAME_" + word + "=" + value}, child), how);
    starts(stage, lab, child);
    std::string found;
    for (const auto& [name, text] : child.environment())
        if (CompareStringOrdinal(std::wstring(name.begin(), name.end()).c_str(), -1,
                                 (L"NAME_" + std::wstring(word.begin(), word.end())).c_str(), -1, TRUE) == CSTR_EQUAL)
            found += (found.empty() ? "" : " and ") + name + "=" + text;
    stage.require(found == "NAME_" + word + "=" + value, {"NAME_" + word + "=" + value + " alone", found.empty() ? "nothing" : found, "", "", "environment-twice"});
    child.exit(0);
    lab.exits(0);
}

}

EXERCISE("Exercise 3: stop it in time") {

CASE("0.20 exit code 259 is an end like any other" * points(2) * section("how-a-process-ends") *
     hints("Which number does GetExitCodeProcess tell for a process that still runs?",
           "STILL_ACTIVE, which is 259. And what for one that has ended with exit code 259?",
           "Whether it has ended is the handle's business: WaitForSingleObject. Ask for the code only after that.")) {
    stage.patience(milliseconds(4000));
    stage.by_hand("lab-00 run -- cmd /c exit 259");
    for (const bool timed : {false, true}) {
        Puppet child = stage.puppet();
        Subject lab = stage.start(line(timed ? std::vector<std::string>{"run", "--timeout", "60000"} : std::vector<std::string>{"run"}, child));
        starts(stage, lab, child);
        child.exit(259);
        lab.exits(259, "still-active");
    }
}

}

EXERCISE("Exercise 4: the right one") {

CASE("0.24 stop says at once that a process has gone though its number is still kept" * points(3) * section("zombies-and-handles") *
     hints("Can a process be opened that has ended?",
           "As long as anybody holds a handle to it, yes: OpenProcess succeeds, and TerminateProcess fails with ERROR_ACCESS_DENIED.",
           "WaitForSingleObject(process, 0) tells whether it has ended already: then return false.")) {
    stage.by_hand("lab-00 spawn -- cmd /c exit; lab-00 stop ID:STARTED");
    Puppet child = stage.puppet();
    Subject lab = stage.start(line({"spawn"}, child));
    starts(stage, lab, child);
    const ipc::unique_handle kept(OpenProcess(SYNCHRONIZE, FALSE, child.id()));
    const std::string identity = lab.line();
    lab.exits(0, "spawn-waits");
    Subject first = stage.start({"stop", identity});
    first.exits(0, "wrong-identity");
    stage.await([&](Deadline deadline) { return WaitForSingleObject(kept.get(), deadline.wait_ms()) == WAIT_OBJECT_0; }, "the program ends", "");
    Subject stop = stage.start({"stop", identity});
    const Ended how = stop.ends();
    stage.require(how.code == 1 && stop.errors().find("nobody was stopped") != std::string::npos,
                  {"exit code 1 and the words 'nobody was stopped', for it has ended already", how.text() + ", saying " + shown(stop.errors(), 200),
                   "", "", "terminates-the-dead"});
}

CASE("0.25 a process that goes on alone takes none of our handles with it" * points(3) * section("what-a-child-inherits") *
     hints("You have ended. What of you is still open?",
           "Whatever the spawned process inherited: a file that cannot be deleted, a pipe that never ends.",
           "Use the same start as run does, with the list of the three standard handles.")) {
    Puppet child = stage.puppet();
    Start how;
    how.with_decoy = true;
    Subject lab = stage.start(line({"spawn"}, child), how);
    starts(stage, lab, child);
    for (const std::string& open : child.descriptors())
        stage.require(open != lab.process().decoy(), {"no handle but the three standard streams is open in the program", "also " + open, "", "", "inherits-everything"});
    child.exit(0);
    lab.exits(0, "spawn-waits");
}

}
