// What only the posix track has: names in a folder, modes, and memory that can be taken away.

#include "raw_segment.hpp"

#include <sys/resource.h>

using namespace judge;

EXERCISE("Exercise 1: a value") {

CASE("5.19 what is stored is for this user alone" * points(4) * section("everybodys-folder") *
     hints("Who may read /dev/shm? And who may read what you put there?",
           "The mode that you ask for is cut by the umask, which may be anything; and what somebody else has put there may be written by anybody.",
           "0600 when opening, fchmod(fd, 0600) afterwards; get refuses a segment of another user, or one that group or others may write.")) {
    stage.by_hand("umask 0; echo secret | lab-05 put x; ls -l /dev/shm/x; lab-05 remove x");
    const std::string bytes = stage.random().word(100);
    for (const mode_t mask : {mode_t(0), mode_t(0777)}) {
        const std::string name = raw::name(stage);
        const mode_t before = ::umask(mask);
        Subject keeper = stage.start({"put", name});
        ::umask(before);
        keeper.feed(bytes);
        keeper.close_input();
        keeper.ready("mode-too-open");
        keeper.exits(0);
        struct stat status {};
        ::stat(("/dev/shm/" + name).c_str(), &status);
        char mode[8];
        std::snprintf(mode, sizeof mode, "%04o", status.st_mode & 07777);
        stage.require((status.st_mode & 07777) == 0600, {"mode 0600, whatever the umask", std::string("mode ") + mode, "", "", "mode-too-open"});
        Subject lab = stage.start({"get", name});
        lab.prints(bytes);
        lab.exits(0);
        ::shm_unlink(raw::path(name).c_str());
    }
    const std::string open = raw::name(stage), shut = raw::name(stage);
    for (const auto& [name, mode, code] : {std::tuple(open, 0666, 4u), std::tuple(shut, 0000, 1u)}) {
        raw::Segment segment = raw::Segment::make(name, 200);
        segment.describe(raw::value, 100);
        ::fchmod(segment.file(), static_cast<mode_t>(mode));
        Subject lab = stage.start({"get", name});
        lab.exits(code);
        lab.prints("");
        segment.unlink();
    }
}

}

EXERCISE("Exercise 4: a ring that outlives its users") {

CASE("5.20 a ring of the dead is replaced" * points(3) * section("names-outlive-processes") *
     hints("A sender waited alone, and was killed. Its ring is still there. Who comes next, and what does it find?",
           "A state that says `here`, and nobody at home. The states are memory; the locks are the kernel's.",
           "Behind the door: some state is not absent, and neither lock is held: shm_unlink() and begin again with a new segment.")) {
    stage.by_hand("lab-05 send x & sleep 1; kill -9 $!; echo hello | lab-05 send x & lab-05 receive x; ls /dev/shm");
    const std::string name = raw::name(stage), bytes = stage.random().bytes(5000);
    for (const std::string verb : {"send", "receive"}) {
        Subject first = stage.start({verb, name});
        raw::joined(stage, first, name, verb == "send" ? raw::sender_at : raw::receiver_at);
        first.process().kill();
        first.ends();
        Subject sender = stage.start({"send", name});
        if (verb == "send")
            sender.ready("state-is-believed");  // the other time both come at once
        Subject receiver = stage.start({"receive", name});
        sender.feed(bytes);
        sender.close_input();
        sender.exits(0, "state-is-believed");
        receiver.prints(bytes, "state-is-believed");
        receiver.exits(0, "state-is-believed");
    }
}

CASE("5.21 a segment that is cut short in use ends the program in order" * points(3) * section("memory-that-goes-away") *
     hints("A mapping is a promise about a file. What if the file becomes shorter?",
           "The first touch of a page that is not there any more raises SIGBUS. No check before can exclude it: the other side may cut at any time.",
           "A handler for SIGBUS that says so with write(2) and ends the process with _exit(4).")) {
    stage.recognise("killed by SIGBUS", "sigbus");
    stage.by_hand("sleep 60 | lab-05 send x & lab-05 receive x & sleep 1; truncate -s 0 /dev/shm/x; kill %1; wait %2; echo $?");
    const std::string name = raw::name(stage);
    raw::Segment segment = raw::Segment::make(name, raw::data_at + 8000);
    segment.describe(raw::ring, 8000);
    segment.take_end(raw::sender_at);
    Subject receiver = stage.start({"receive", name});
    stage.await([&](Deadline) {
        receiver.process().wait(Deadline::in(milliseconds(1)));
        return segment.state(raw::receiver_at) == raw::here;
    }, "the receiver joins the ring: its state becomes `here`", "");
    receiver.idles();
    // In this order the sleeper is woken for sure: the bell has no page any more once the segment is short.
    segment.set(raw::sender_at + raw::position_at, std::uint64_t(10));
    receiver.process().suspend();
    segment.ring_bell(raw::receiver_at);
    const int cut = ::ftruncate(segment.file(), 0);
    receiver.process().resume();
    stage.require(cut == 0, {"the judge can cut the segment short", "it can not", "", "", ""});
    receiver.exits(4, "sigbus");
    segment.unlink();
}

}
