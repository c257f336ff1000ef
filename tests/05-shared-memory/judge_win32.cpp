// What only the win32 track has: segments that live as long as somebody has them open, and one name space for all kinds.

#include "raw_segment.hpp"

using namespace judge;

EXERCISE("Exercise 1: a value") {

CASE("5.19 a value lives as long as put keeps it and not longer" * points(4) * section("names-outlive-processes") *
     hints("put has stored the value and ends. Who has the section open now?",
           "Nobody: with the last handle it is gone. put must stay, without using the processor, until it is told to go.",
           "Wait for the event NAME.removed, which remove sets; hold the mutex NAME.sender meanwhile, so that remove can wait until you have let go.")) {
    stage.by_hand("echo 1 | lab-05 put x      # in another window: lab-05 get x; then end put, and again: lab-05 get x");
    const std::string name = raw::name(stage), bytes = stage.random().bytes(500), second = stage.random().bytes(300);
    Subject keeper = stage.start({"put", name});
    keeper.feed(bytes);
    keeper.close_input();
    keeper.ready();
    keeper.idles("put-does-not-stay, busy-waiting");
    Subject lab = stage.start({"get", name});
    lab.prints(bytes, "put-does-not-stay");
    lab.exits(0, "put-does-not-stay");
    keeper.process().kill();
    keeper.ends();
    Subject gone = stage.start({"get", name});
    gone.exits(1);
    // Its mutex was abandoned; the name can be used again.
    Subject next = stage.start({"put", name});
    next.feed(second);
    next.close_input();
    next.ready();
    Subject again = stage.start({"get", name});
    again.prints(second);
    again.exits(0);
    Subject remove = stage.start({"remove", name});
    remove.exits(0);
    next.exits(0);
}

CASE("5.20 an object of another kind under the name is an error" * points(3) * section("one-name-space") *
     hints("An event is called Local\\x. What does CreateFileMapping say to Local\\x?",
           "It fails: sections, events, mutexes and semaphores share one name space. The error is ERROR_INVALID_HANDLE.",
           "A NULL handle is an error, whatever its code; throw it with the call's name. Test for ERROR_ALREADY_EXISTS only after that.")) {
    const std::string name = raw::name(stage);
    const HANDLE event = CreateEventW(nullptr, TRUE, FALSE, raw::object(name).c_str());
    for (const std::string verb : {"put", "get", "send", "receive"}) {
        Subject lab = stage.start({verb, name});
        lab.feed("x");
        lab.close_input();
        lab.exits(1, "null-handle-used");
    }
    CloseHandle(event);
}

}

EXERCISE("Exercise 4: a ring that outlives its users") {

CASE("5.21 a ring vanishes with its last user and not before" * points(3) * section("names-outlive-processes") *
     hints("Nobody can take a name away on Windows. What can remove do to a ring that is in use?",
           "Nothing but say so. And what must its users do so that it vanishes? Nothing but end, in whatever way.",
           "If there is no event NAME.removed, nobody keeps a value there: ERROR_BUSY.")) {
    const std::string name = raw::name(stage), bytes = stage.random().bytes(4000);
    Subject first = stage.start({"send", name});
    first.ready();
    Subject busy = stage.start({"remove", name});
    busy.exits(1);
    first.process().kill();
    first.ends();
    stage.await([&](Deadline) { return !raw::Segment::find(name).has_value(); }, "the ring is gone, since nobody has it open", "");
    Subject sender = stage.start({"send", name}), receiver = stage.start({"receive", name});
    sender.feed(bytes);
    sender.close_input();
    receiver.prints(bytes, "state-is-believed");
    receiver.exits(0);
    sender.exits(0);
}

}
