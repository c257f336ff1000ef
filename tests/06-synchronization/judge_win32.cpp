// What only the win32 track has: objects that any program can open by name, and Ctrl-Break.

#include "shared.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include "security_win32.hpp"
#include <windows.h>

using namespace judge;

namespace {

std::wstring local(const std::string& name) { return L"Local\\" + ipc::to_wide(name); }

ipc::unique_handle object(HANDLE handle, const char* call) {
    if (!handle)
        ipc::throw_last_error(call);
    return ipc::unique_handle(handle);
}

}  // namespace

EXERCISE("Exercise 2: a semaphore") {

CASE("6.20 mutexes and semaphores are shared with every program that knows the name" * points(4) * section("on-windows") *
     hints("How does a program in another language meet yours?",
           "By the object's name. The prefix belongs to it: Local\\ is this session, Global\\ the machine.",
           "CreateMutexW(nullptr, FALSE, L\"Local\\\\NAME\"): not an owner from the beginning, and ERROR_ALREADY_EXISTS is no error.")) {
    const std::string lock = stage.name("lock"), permits = stage.name("permits");
    stage.by_hand("lab-06 hold A    # and in PowerShell: [Threading.Mutex]::OpenExisting('Local\\A').WaitOne(0)");
    const ipc::unique_handle mutex = object(::CreateMutexW(nullptr, TRUE, local(lock).c_str()), "CreateMutexW");
    try_fails(stage, {"try", lock, "--timeout", "0"}, "private-object, owner-from-the-beginning");
    ::ReleaseMutex(mutex.get());
    try_says(stage, {"try", lock, "--timeout", "0"}, "taken", "");
    Subject owner = hold(stage, {"hold", lock});
    owner.ready();
    stage.require(::WaitForSingleObject(mutex.get(), 0) == WAIT_TIMEOUT, {"another program finds the mutex Local\\" + lock + " taken", "it could take it", "", "", "private-object"});
    lets_go(owner);
    stage.require(::WaitForSingleObject(mutex.get(), 0) == WAIT_OBJECT_0, {"and then free", "it could not take it", "", "", ""});
    ::ReleaseMutex(mutex.get());

    const ipc::unique_handle semaphore = object(::CreateSemaphoreW(nullptr, 1, 3, local(permits).c_str()), "CreateSemaphoreW");
    Subject holder = hold(stage, {"hold", permits, "--permits", "3"});
    holder.ready();
    try_fails(stage, {"try", permits, "--permits", "3", "--timeout", "0"}, "private-object");
    LONG before = -1;
    ::ReleaseSemaphore(semaphore.get(), 1, &before);
    stage.require(before == 0, {"another program finds no free permit", std::to_string(before) + " free", "", "", "private-object"});
    try_says(stage, {"try", permits, "--permits", "3", "--timeout", "0"}, "taken", "");
    lets_go(holder);

    // One that nobody may open: a clear error, and not 'somebody else has it'.
    const std::string closed = stage.name("closed");
    Security nobody(L"D:(D;;GA;;;WD)");
    const ipc::unique_handle forbidden = object(::CreateMutexW(nobody.attributes(), FALSE, local(closed).c_str()), "CreateMutexW");
    Subject refused = stage.start({"try", closed, "--timeout", "0"});
    ends_with(stage, refused, 1, "the mutex may not be opened by anybody, and try says so", "null-handle-not-seen");
    refused.complains(closed);
}

}

EXERCISE("Exercise 3: an event") {

CASE("6.21 an event is shared with every program that knows the name" * points(3) * section("on-windows") *
     hints("Is your event automatic because it behaves so in your program, or because the system knows it to be?",
           "bManualReset is the event's own, for everybody who opens it.",
           "CreateEventW(nullptr, reset == Reset::manual, FALSE, L\"Local\\\\NAME\"), and leave the rest to the system.")) {
    const std::string name = stage.name("event"), gate = stage.name("gate");
    stage.by_hand("lab-06 wait E    # and in PowerShell: [Threading.EventWaitHandle]::OpenExisting('Local\\E').Set()");
    Subject waiter = stage.start({"wait", name, "--auto"});
    waiter.ready();
    blocks_after(stage, waiter, "ready\n", "it waits", "event-begins-signalled");
    {
        const ipc::unique_handle event(::OpenEventW(EVENT_MODIFY_STATE | SYNCHRONIZE, FALSE, local(name).c_str()));
        stage.require(static_cast<bool>(event), {"another program can open the event Local\\" + name, "there is none", "", "", "private-object"});
        ::SetEvent(event.get());
        waiter.exits(0);
        stage.require(::WaitForSingleObject(event.get(), 0) == WAIT_TIMEOUT, {"the waiter has used up the signal", "the event is still signalled", "", "", "automatic-not-used-up"});
    }
    const ipc::unique_handle event = object(::CreateEventW(nullptr, TRUE, TRUE, local(gate).c_str()), "CreateEventW");
    Subject late = stage.start({"wait", gate, "--manual", "--timeout", "5000"});
    late.prints("ready\nsignalled\n", "private-object");
    late.exits(0);
    does(stage, {"reset", gate});
    stage.require(::WaitForSingleObject(event.get(), 0) == WAIT_TIMEOUT, {"reset closes it for everybody", "the event is still signalled", "", "", ""});
    does(stage, {"signal", gate});
    stage.require(::WaitForSingleObject(event.get(), 0) == WAIT_OBJECT_0, {"signal sets it", "the event is not signalled: a waiter who comes a moment later has missed it", "", "", "pulse"});
}

}

EXERCISE("Exercise 4: limit") {

CASE("6.22 Ctrl-Break is the command's business while it runs" * points(3) * section("signals-pass-through") *
     hints("Ctrl-C goes to everybody at the console. What becomes of limit, and of the slot, while the command finishes its work?",
           "Without a handler of its own limit ends at once; the command goes on without it, or is killed with the job.",
           "SetConsoleCtrlHandler with a function that returns TRUE for CTRL_C_EVENT and CTRL_BREAK_EVENT, before the command is started. Not (NULL, TRUE): the command would inherit that.")) {
    const std::string name = stage.name("limit");
    stage.by_hand("lab-06 limit L --slots 1 -- cmd /c pause    # and Ctrl-Break");
    Puppet insists = stage.puppet(), next = stage.puppet();
    Subject lab = stage.start(limit(name, 1, insists));
    insists.started();
    insists.ignore_polite_requests();
    Subject waiting = stage.start(limit(name, 1, next));
    blocks(stage, waiting, "it waits for the slot", "");
    waiting.process().terminate();
    waiting.ends();  // it has no command yet that could answer
    lab.process().terminate();
    lab.idles("ctrl-break-ends-limit");
    insists.exit(5);
    lab.exits(5, "ctrl-break-ends-limit");
}

}
