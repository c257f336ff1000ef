// The judge of lab 05: it starts lab programs at both ends of a segment, and puts its own hand into the memory between.

#include "raw_segment.hpp"

using namespace judge;

JUDGE_MAIN

namespace {

#ifdef _WIN32
constexpr bool windows = true;
#else
constexpr bool windows = false;
#endif

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
constexpr std::uint32_t refused = 4, other_side_died = 3, system_said_no = 1;

// Puts `bytes` and waits until they can be found.
Subject put(Stage& stage, const std::string& name, const std::string& bytes) {
    Subject lab = stage.start({"put", name});
    lab.feed(bytes);
    lab.close_input();
    lab.ready();
    const std::optional<raw::Segment> segment = raw::Segment::find(name);
    const auto number = [](const char* field, auto is, auto should) {
        return is == should ? std::string() : std::string(field) + " is " + std::to_string(is) + " instead of " + std::to_string(should) + "; ";
    };
    std::string wrong = !segment ? "there is no such segment; "
                                 : number("magic", segment->get<std::uint32_t>(raw::magic_at), raw::magic) +
                                       number("kind", segment->get<std::uint32_t>(raw::kind_at), std::uint32_t(raw::value)) +
                                       number("size", segment->get<std::uint64_t>(raw::size_at), std::uint64_t(bytes.size()));
    if (wrong.empty() && std::string_view(segment->bytes() + raw::value_at, bytes.size()) != bytes)
        wrong = "the header is right, the value behind it is not: " + difference(std::string_view(segment->bytes() + raw::value_at, bytes.size()), bytes) + "; ";
    stage.require(wrong.empty(), {"once put says ready, the segment holds header and value as the contract lays them out",
                                  wrong.substr(0, wrong.size() - (wrong.empty() ? 0 : 2)), "", "", ""});
    return lab;
}

void gets(Stage& stage, const std::string& name, const std::string& bytes, const Mistake& otherwise = {}) {
    Subject lab = stage.start({"get", name});
    lab.prints(bytes, otherwise);
    lab.exits(0, otherwise);
}

// Removes the name; on Windows put then ends.
void removes(Stage& stage, const std::string& name, Subject& keeper) {
    Subject lab = stage.start({"remove", name});
    lab.exits(0);
    keeper.exits(0);
}

void refuses(Stage& stage, const std::string& verb, const std::string& name, const std::string& because, const Mistake& otherwise) {
    Subject lab = stage.start({verb, name});
    lab.close_input();
    const std::string expected = verb + " refuses with exit code 4 a segment " + because;
    stage.await([&](Deadline deadline) { return lab.process().wait(deadline); }, expected, otherwise);
    const Ended how = lab.ends(otherwise);
    stage.require(how.how == Ended::How::exited && how.code == refused, {expected, how.text(), "", "", otherwise});
}

// Until it takes no more input, since nobody takes its output.
void settles(Stage& stage, Subject& lab, const Mistake& otherwise) {
    std::string before;
    std::size_t fed = ~std::size_t(0);
    auto since = std::chrono::steady_clock::now();
    stage.await([&](Deadline) {
        lab.process().wait(Deadline::in(milliseconds(5)));
        const auto now = std::chrono::steady_clock::now();
        const std::size_t fed_now = lab.fed();
        if (std::exchange(fed, fed_now) != fed_now)
            since = now;
        // A thread that wakes by itself, as a sanitizer has one, is never still; then a second without a byte has to do.
        const std::string still = lab.process().stillness();
        return (!still.empty() && still == std::exchange(before, still)) || now - since > milliseconds(1000);
    }, "the lab program takes no more input, since nobody takes its output", otherwise);
}

// A copy from input to output looks the same from outside, but is no ring.
void has_two_ends(Stage& stage, Subject& lab) {
    stage.require(raw::threads_of(lab.process().id()) >= 2, {"each end of the ring is a thread", "there is only one thread", "", "", ""});
}

// With every byte that is likely to be spoiled on the way.
std::string nasty_bytes(Random& random) {
    return random.bytes(random.between(200, 400)) + std::string("\0\r\n\n\r\x1a", 6) + random.bytes(100) + "\r\n";
}

// It uses no processor at all. Where others want the processor too, a program that spins gets so little of it that its time
// does not show; but it never waits for anything, whenever one looks.
void sleeps(Stage& stage, Subject& lab) {
    const Mistake spinning = windows ? "busy-waiting, manual-reset-bell" : "busy-waiting, sleep-and-look";
    const auto begin = lab.process().cpu_time();
    lab.idles(spinning);
    int running = 0;
    for (int look = 0; look < 8; ++look) {
        for (const std::string& sentence : explain_hang(lab.process()))
            if (sentence.find(" is running, not waiting") != std::string::npos) {
                ++running;
                break;
            }
        if (look == 1 && running == 0)
            break;
        lab.process().wait(Deadline::in(milliseconds(20)));
    }
    const auto used = std::chrono::duration_cast<milliseconds>(lab.process().cpu_time() - begin);
    stage.require(running < 6 && used <= milliseconds(20), {"it sleeps while there is nothing to do, and uses no processor time",
        "it runs, and has used " + std::to_string(used.count()) + " ms of processor time while nothing happened", "", "", spinning});
}

// A hang in which somebody sleeps on a word of the segment, or on a bell.
void know_sleepers(Stage& stage, const Mistake& mistake) {
    stage.recognise("got: nothing(:| within)[\\s\\S]*waits in futex\\(\\) for a lock or condition in shared memory", mistake);
    stage.recognise("got: nothing(:| within)[\\s\\S]*waits in WaitFor[^\\n]*(nameless event|bell)", mistake);
}

}  // namespace

EXERCISE("Exercise 1: a value") {

CASE("5.1 get prints exactly what put stored" * points(6) * section("exercise-1-a-value") *
     hints("How does a reader know where the value ends?",
           "A segment has a size, but put stores bytes of any number, also none, also NULs. The header has a field for that.",
           "ftruncate (CreateFileMapping) for header and bytes; touching memory behind the end is a SIGBUS. Then map, copy, fill the header in, the magic number last. get maps, checks, and copies `size` bytes.")) {
    stage.by_hand("printf 'a\\000b' | lab-05 put x; lab-05 get x | od -c; lab-05 remove x");
    const std::string values[] = {nasty_bytes(stage.random()), "", stage.random().bytes(1 * MiB + stage.random().between(1, 5000))};
    for (const std::string& bytes : values) {
        const std::string name = raw::name(stage);
        Subject keeper = put(stage, name, bytes);
        Subject one = stage.start({"get", name}), two = stage.start({"get", name});
        for (Subject* lab : {&one, &two}) {
            lab->prints(bytes);
            lab->exits(0);
        }
        removes(stage, name, keeper);
    }
}

CASE("5.2 names do not meet and what is removed is gone" * points(4) * section("names-outlive-processes") *
     hints("What is left of a name when nobody needs it any more?",
           "On POSIX a name stays until somebody takes it away, or the machine is switched off. On Windows it lasts as long as an open handle.",
           "shm_unlink() and its error code; on Windows: an event that tells the process which keeps the handle.")) {
    stage.by_hand("echo 1 | lab-05 put x; echo 2 | lab-05 put y; lab-05 get x; lab-05 remove x; lab-05 get x; lab-05 get y; lab-05 remove y");
    const std::string name = raw::name(stage), other = raw::cleared_later(name + "x"), first = stage.random().word(20), second = stage.random().word(30);
    Subject none = stage.start({"get", name});
    none.exits(system_said_no);
    Subject keeper = put(stage, name, first), other_keeper = put(stage, other, second);
    gets(stage, name, first);
    gets(stage, other, second);
    removes(stage, name, keeper);
    Subject gone = stage.start({"get", name});
    gone.exits(system_said_no);
    gone.prints("");
    Subject again = stage.start({"remove", name});
    again.exits(system_said_no, "remove-ignores-errors");
    gets(stage, other, second);
    removes(stage, other, other_keeper);
    Subject reused = put(stage, name, second);
    gets(stage, name, second);
    removes(stage, name, reused);
}

CASE("5.3 put leaves a name alone that is in use" * points(4) * section("names-outlive-processes") *
     hints("Somebody has the old value mapped. What happens to it when you cut the segment to another size?",
           "ftruncate() on a segment that others have mapped takes pages away under their hands: SIGBUS. And a value that changes while it is read is none.",
           "If the segment is complete (its magic number is there), put fails with EEXIST. On Windows: GetLastError() is ERROR_ALREADY_EXISTS although the call succeeded.")) {
    stage.by_hand("echo 1 | lab-05 put x; echo 2 | lab-05 put x; lab-05 get x; lab-05 remove x");
    const std::string name = raw::name(stage), first = stage.random().word(5000);
    Subject keeper = put(stage, name, first);
    Subject second = stage.start({"put", name});
    second.feed(stage.random().word(20));
    second.close_input();
    stage.await([&](Deadline deadline) { return second.process().wait(deadline); }, "put says no with exit code 1, since the name is in use", "put-overwrites");
    second.exits(system_said_no, "put-overwrites");
    gets(stage, name, first, "put-overwrites");
    removes(stage, name, keeper);
}

CASE("5.4 get never shows a half-made segment" * points(6) * section("half-made") *
     hints("The name exists before the bytes do. What does a reader see that comes in between?",
           "A maker keeps the door shut while it works: an exclusive lock, which the kernel opens for it if it dies. The magic number, stored last, says that it came to its end.",
           "get: open, take the door (flock LOCK_SH; on Windows the mutex NAME.door), then look at the size and the magic number. No magic number: nothing there.")) {
    stage.recognise("killed by SIGBUS", "half-made-is-read");
    const std::string name = raw::name(stage), bytes = stage.random().bytes(3000);
#ifdef _WIN32
    std::optional<raw::Door> door(name);
    raw::Segment segment = raw::Segment::make(name, raw::value_at + bytes.size());
#else
    raw::Segment segment = raw::Segment::make(name, raw::value_at + bytes.size());
    std::optional<raw::Door> door(name);
#endif
    std::memcpy(segment.bytes() + raw::value_at, bytes.data(), bytes.size() / 2);
    segment.describe(raw::value, bytes.size(), raw::version, 0);
    Subject early = stage.start({"get", name});
    // The maker is at work: whoever comes now waits at the door.
    early.idles("half-made-is-read");
    std::memcpy(segment.bytes() + raw::value_at, bytes.data(), bytes.size());
    segment.set(raw::magic_at, raw::magic);
    door->leave();
    early.prints(bytes);
    early.exits(0);

    // A maker that dies leaves the door open and no magic number.
    segment.set(raw::magic_at, std::uint32_t(0));
    door.emplace(name);
    Subject late = stage.start({"get", name});
    late.idles("half-made-is-read");
    door->die();
    late.prints("", "half-made-is-read");
    late.exits(system_said_no, "half-made-is-read");
    segment.unlink();
    segment.close();
#ifndef _WIN32
    // Or nothing at all but the name; and the next put makes it whole.
    const std::string other = raw::name(stage);
    raw::Segment empty = raw::Segment::make(other, 0);
    Subject of_empty = stage.start({"get", other});
    of_empty.exits(system_said_no, "half-made-is-read");
    stage.forget();
    Subject keeper = put(stage, other, bytes);
    gets(stage, other, bytes);
    removes(stage, other, keeper);
#endif
}

CASE("5.5 get refuses what can not be a value" * points(7) * section("believe-nothing") *
     hints("Anybody may have put anything under that name. Which of its words do you act upon?",
           "The number that you are told is one thing, what is really there another: fstat() (VirtualQuery) knows how long the segment is.",
           "Check magic, version, kind, and that size <= length of the segment - 64, in this form: an addition could overflow.")) {
    stage.recognise("killed by SIGSEGV|killed by SIGBUS|0xC0000005", "size-is-believed");
    stage.by_hand("head -c 100 /dev/zero > /dev/shm/x; lab-05 get x; echo $?; rm /dev/shm/x");
    const std::size_t length = 4096;
    struct Wrong {
        std::string because;
        std::uint32_t with_magic, version, kind;
        std::uint64_t size;
        Mistake mistake;
    };
    const Wrong wrongs[] = {
        {"with another magic number", raw::magic + 1, raw::version, raw::value, 10, "header-not-checked"},
        {"of layout version 2", raw::magic, 2, raw::value, 10, "header-not-checked"},
        {"that is a ring", raw::magic, raw::version, raw::ring, 100, "header-not-checked"},
        {"that promises one byte more than there is", raw::magic, raw::version, raw::value, length - raw::value_at + 1, "size-is-believed"},
        {"that promises 1 GiB more than there is", raw::magic, raw::version, raw::value, 1 << 30, "size-is-believed"},
        {"that promises 2^64 - 32 bytes", raw::magic, raw::version, raw::value, ~std::uint64_t(31), "size-is-believed"},
    };
    for (const Wrong& wrong : wrongs) {
        const std::string name = raw::name(stage);
        raw::Segment segment = raw::Segment::make(name, length);
        segment.describe(wrong.kind, wrong.size, wrong.version, wrong.with_magic);
        refuses(stage, "get", name, wrong.because, wrong.mistake);
        segment.unlink();
    }
    // And what is right at the very edge is a value.
    const std::string name = raw::name(stage);
    raw::Segment segment = raw::Segment::make(name, length);
    const std::string bytes = stage.random().bytes(length - raw::value_at);
    std::memcpy(segment.bytes() + raw::value_at, bytes.data(), bytes.size());
    segment.describe(raw::value, bytes.size());
    gets(stage, name, bytes);
    segment.unlink();
}

}

EXERCISE("Exercise 2: a ring between two threads") {

CASE("5.6 loop hands on at once what it has and nothing else" * points(5) * section("the-order-of-two-writes") *
     hints("When may the receiver see that there is one byte more?",
           "The number of bytes sent is a promise that the bytes are there. It must not be visible before they are.",
           "First source() into the ring, then store the position with release; the receiver loads it with acquire, then touches the bytes.")) {
    stage.recognise("ThreadSanitizer: data race", "relaxed-publish");
    stage.recognise("got: nothing(:| within)[\\s\\S]*waits in (read\\(0\\)|ReadFile)[^\\n]* on a pipe whose write end is still open in the judge", "waits-for-more");
    know_sleepers(stage, "wake-forgotten");
    stage.by_hand("(echo one; sleep 1; echo two) | lab-05 loop");
    Subject lab = stage.start({"loop"});
    std::string all;
    for (int i = 0; i < 4; ++i) {
        const std::string bytes = nasty_bytes(stage.random());
        all += bytes;
        lab.feed(bytes);
        const std::string got = lab.output_of(all.size(), "waits-for-more");
        stage.require(got == all, {"the output so far is the input so far", difference(got, all), "", "", "publish-before-write"});
        has_two_ends(stage, lab);
    }
    lab.close_input();
    lab.prints(all, "publish-before-write");
    lab.ends("wake-forgotten");
    lab.exits(0);

    Subject nothing = stage.start({"loop"});
    nothing.close_input();
    nothing.prints("");
    nothing.ends("wake-forgotten");
    nothing.exits(0);
}

CASE("5.7 loop goes round at every offset" * points(7) * section("round-and-round") *
     hints("A ring of 10 bytes, 8 of them moved: where does the next piece of 5 go?",
           "What reaches the edge is two pieces. source() and sink() want memory in one piece, so give them what lies before the edge, then the rest.",
           "position % capacity is the offset; capacity - offset is the most you may touch at once; positions themselves never wrap.")) {
    stage.recognise("ThreadSanitizer: data race", "relaxed-publish");
    stage.by_hand("for c in 1 2 3 61; do seq 1 999 | lab-05 loop --capacity $c | cksum; done; seq 1 999 | cksum");
    for (const std::uint64_t capacity : {std::uint64_t(1), std::uint64_t(7), stage.random().between(50, 90), std::uint64_t(4096), std::uint64_t(4097)}) {
        Subject lab = stage.start({"loop", "--capacity", std::to_string(capacity)});
        const std::string bytes = stage.random().bytes(capacity < 10 ? 100 : 3 * capacity + stage.random().between(0, capacity));
        lab.feed(bytes);
        if (lab.output_of(bytes.size()).size() == bytes.size())
            has_two_ends(stage, lab);  // or it has ended before its time, and the next steps say so
        lab.close_input();
        lab.prints(bytes);
        lab.ends();
        lab.exits(0);
    }
}

CASE("5.8 loop sleeps while there is nothing to do" * points(6) * section("sleep-and-be-woken") *
     hints("The ring is empty. What does the receiver do until a byte comes?",
           "Looking again and again burns a processor; sleeping a little between the looks is late and still wakes for nothing. The kernel can wake you.",
           "FUTEX_WAIT on the end's bell (WaitForSingleObject on its event), and the other end rings when it has moved and `asleep` is set.")) {
    know_sleepers(stage, "wake-forgotten");
    stage.by_hand("sleep 60 | lab-05 loop    # and watch it in top");
    const std::string some = stage.random().bytes(300), much = stage.random().bytes(400 * KiB);
    Subject empty = stage.start({"loop"});
    empty.feed(some);
    empty.output_of(some.size(), "wake-forgotten");
    has_two_ends(stage, empty);
    sleeps(stage, empty);  // after its bells have rung, not only before
    empty.close_input();
    empty.output("wake-forgotten");
    empty.prints(some);
    empty.ends("wake-forgotten");
    empty.exits(0);

    Start held;
    held.hold_output = true;
    Subject lab = stage.start({"loop", "--capacity", "5000"}, held);
    lab.feed(some + much);
    settles(stage, lab, "busy-waiting");
    sleeps(stage, lab);  // full now
    stage.require(lab.fed() < some.size() + much.size(), {"while nobody takes the output, no more input is taken than ring and pipes hold",
                                                          "all of it", "", "", ""});
    lab.close_input();
    lab.output("wake-forgotten");
    lab.prints(some + much);
    lab.ends("wake-forgotten");
    lab.exits(0);
}

CASE("5.9 loop carries much more than the ring holds" * points(5) * section("exercise-2-a-ring-between-two-threads") *
     hints("When the sender has finished, is the ring empty?",
           "`finished` says that no more bytes will come; those that are there are still to be handed on.",
           "Look at the state first and at the position afterwards: once it says finished, the position is the last one. End when both say so.")) {
    stage.recognise("ThreadSanitizer: data race", "relaxed-publish");
    know_sleepers(stage, "wake-forgotten");
    stage.by_hand("head -c 64M /dev/urandom > f; lab-05 loop < f | cmp - f");
    Start held;
    held.hold_output = true;
    Subject lab = stage.start({"loop"}, held);
    const std::string bytes = stage.random().bytes(4 * MiB);
    lab.feed(bytes.substr(0, MiB));
    stage.await([&](Deadline) {
        lab.process().wait(Deadline::in(milliseconds(2)));
        return lab.fed() == MiB;
    }, "the sender fills the ring with 1 MiB, though the receiver cannot get rid of it", "");
    has_two_ends(stage, lab);
    lab.close_input();
    settles(stage, lab, "");  // the sender has finished long before the receiver
    const std::string& printed = lab.output("ends-with-the-sender");
    lab.prints(bytes.substr(0, MiB), bytes.starts_with(printed) ? "ends-with-the-sender" : "");
    lab.exits(0);
    Subject more = stage.start({"loop"});
    more.feed(bytes);
    more.close_input();
    const std::string& got = more.output("wake-forgotten");
    stage.require(got == bytes, {"standard output is what it was given", difference(got, bytes), "", "", "ends-with-the-sender"});
    more.ends("wake-forgotten");
    more.exits(0);
}

}

EXERCISE("Exercise 3: a ring between two processes") {

CASE("5.10 whichever side comes first the stream arrives" * points(6) * section("exercise-3-a-ring-between-two-processes") *
     hints("Which of the two makes the ring?",
           "Whoever comes first. Both may be the first: take the door, look, make it if it is not made, join, leave the door.",
           "Lock your byte, state = here, ring the other's bell. Then wait until the other's state is not absent any more. A futex that processes share is not a PRIVATE one.")) {
    know_sleepers(stage, windows ? "wake-forgotten" : "private-futex, atomic-wait, wake-forgotten");
    stage.by_hand("lab-05 receive x > copy & lab-05 send x < /etc/services; wait; cmp copy /etc/services");
    const std::string first = nasty_bytes(stage.random()), second = stage.random().bytes(MiB + MiB / 3);
    for (const bool sender_first : {true, false}) {
        const std::string name = raw::name(stage);
        std::optional<Subject> sender, receiver;
        if (sender_first) {
            sender.emplace(stage.start({"send", name}));
            sender->ready();
            sender->idles();
            receiver.emplace(stage.start({"receive", name}));
        } else {
            receiver.emplace(stage.start({"receive", name}));
            raw::joined(stage, *receiver, name, raw::receiver_at);
            receiver->idles();
            sender.emplace(stage.start({"send", name}));
            sender->ready("wake-forgotten");
        }
        sender->feed(first);
        receiver->output_of(first.size(), "wake-forgotten");
        raw::await(stage, *sender, name, [&](const raw::Segment& segment) { return segment.position(raw::sender_at) == first.size(); },
                   "the stream goes through the ring: the sender's position is " + std::to_string(first.size()), "");
        sender->feed(second);
        sender->close_input();
        receiver->output("wake-forgotten");
        receiver->prints(first + second);
        receiver->ends("wake-forgotten");
        receiver->exits(0);
        sender->ends("wake-forgotten");
        sender->exits(0);
    }
    // All at once, so that both may be the first.
    std::vector<std::string> streams;
    std::vector<Subject> senders, receivers;
    for (int i = 0; i < 4; ++i) {
        const std::string name = raw::name(stage);
        streams.push_back(stage.random().bytes(1000));
        senders.push_back(stage.start({"send", name}));
        receivers.push_back(stage.start({"receive", name}));
        senders.back().feed(streams.back());
        senders.back().close_input();
    }
    for (std::size_t i = 0; i < streams.size(); ++i) {
        receivers[i].prints(streams[i]);
        receivers[i].exits(0);
        senders[i].exits(0);
    }
}

CASE("5.11 a ring that somebody else has made is used as it is" * points(4) * section("round-and-round") *
     hints("Which capacity does the ring have that you join?",
           "The one in its header, whatever you would have chosen yourself; and its positions may be anywhere.",
           "Read `size` once, check it, keep your copy. Begin at the position that the end says, not at 0.")) {
    know_sleepers(stage, windows ? "wake-forgotten" : "private-futex, atomic-wait, wake-forgotten");
    const std::uint64_t capacity = stage.random().between(40, 70), at = stage.random().between(1'000'000, 5'000'000'000) * capacity - 9;
    const std::string bytes = stage.random().bytes(3000);
    auto make_ring = [&](const std::string& name) {
        raw::Segment segment = raw::Segment::make(name, 4096);
        segment.set(raw::sender_at + raw::position_at, at);
        segment.set(raw::receiver_at + raw::position_at, at);
        segment.describe(raw::ring, capacity);
        return segment;
    };
    {
        // First the judge receives, and looks where the bytes lie: nine before the edge, the others from the beginning.
        const std::string name = raw::name(stage);
        raw::Segment segment = make_ring(name);
        segment.take_end(raw::receiver_at);
        Subject sender = stage.start({"send", name});
        sender.feed(bytes.substr(0, capacity));
        stage.await([&](Deadline) {
            sender.process().wait(Deadline::in(milliseconds(1)));
            return segment.position(raw::sender_at) == at + capacity;
        }, "the sender's position goes on from " + std::to_string(at) + " to " + std::to_string(at + capacity) + ", and the ring is full", "edge-overrun");
        const std::string expected = bytes.substr(9, capacity - 9) + bytes.substr(0, 9), got(segment.bytes() + raw::data_at, capacity);
        stage.require(got == expected, {"in a ring of " + std::to_string(capacity) + " bytes byte n of the stream lies at n % " + std::to_string(capacity),
                                        difference(got, expected), "", "", "edge-overrun"});
        const std::string behind(segment.bytes() + raw::data_at + capacity, 1000);
        stage.require(behind == std::string(1000, '\0'), {"nothing is written behind the ring's last byte", difference(behind, std::string(1000, '\0')), "", "", "edge-overrun"});
        segment.set(raw::receiver_at + raw::position_at, at + capacity);
        segment.ring_bell(raw::sender_at);
        sender.close_input();
        stage.await([&](Deadline) {
            sender.process().wait(Deadline::in(milliseconds(1)));
            return segment.state(raw::sender_at) == raw::finished;
        }, "the sender's state becomes `finished`", "wake-forgotten");
        segment.set(raw::receiver_at + raw::state_at, raw::finished);
        segment.ring_bell(raw::sender_at);
        sender.exits(0);
        segment.release_end();
    }
    const std::string name = raw::name(stage);
    raw::Segment segment = make_ring(name);
    Subject receiver = stage.start({"receive", name}), sender = stage.start({"send", name});
    sender.feed(bytes);
    sender.close_input();
    receiver.prints(bytes, "edge-overrun");
    receiver.ends();
    receiver.exits(0);
    sender.ends();
    sender.exits(0);
}

CASE("5.12 a byte that comes just before the receiver sleeps wakes it" * points(6) * section("the-lost-wake-up") *
     hints("You look: nothing there. Before you sleep, a byte arrives. Who tells you?",
           "Nobody, if the sender looked at `asleep` before you had set it, or rang before you slept. Say that you will sleep, then look again, then sleep.",
           "Load the bell (your ticket), set asleep, look, FUTEX_WAIT with the ticket: the kernel refuses to sleep if the bell has moved. An auto-reset event remembers.")) {
    stage.patience(milliseconds(5000));  // whether a call that was stopped has a timeout can not be seen
    const std::string name = raw::name(stage), word = stage.random().word(30), rest = stage.random().word(40);
    raw::Pause pause(stage);
    Subject sender = stage.start({"send", name});
    sender.ready();
    Subject receiver = stage.start({"receive", name}, pause.start());
    pause.reached(receiver);
    sender.feed(word);
    raw::await(stage, sender, name, [&](const raw::Segment& segment) { return segment.position(raw::sender_at) == word.size(); },
               "the sender puts " + std::to_string(word.size()) + " bytes into the ring", "");
    pause.go(receiver);
    receiver.output_of(word.size(), "lost-wake-up");
    sender.feed(rest);
    sender.close_input();
    receiver.prints(word + rest);
    receiver.exits(0);
    sender.exits(0);
}

CASE("5.13 room that comes just before the sender sleeps wakes it" * points(4) * section("the-lost-wake-up") *
     hints("The ring is full. Before you sleep, the receiver empties it. Who tells you?",
           "The same race as the receiver's, and the same cure.",
           "Ticket, asleep, look, sleep; the receiver stores its position and then looks at asleep, all seq_cst.")) {
    stage.patience(milliseconds(5000));  // whether a call that was stopped has a timeout can not be seen
    const std::string name = raw::name(stage), bytes = stage.random().bytes(300 * KiB);
    raw::Segment segment = raw::Segment::make(name, raw::data_at + 4096);
    segment.describe(raw::ring, 4096);
    raw::Pause pause(stage);
    Start held;
    held.hold_output = true;
    Subject receiver = stage.start({"receive", name}, held);
    raw::joined(stage, receiver, name, raw::receiver_at);
    Subject sender = stage.start({"send", name}, pause.start());
    sender.feed(bytes);
    sender.close_input();
    pause.reached(sender);
    // Everything that is there is taken now, and the receiver finds the ring empty.
    const std::uint64_t sent = segment.position(raw::sender_at);
    receiver.output_of(sent);
    stage.await([&](Deadline) {
        receiver.process().wait(Deadline::in(milliseconds(1)));
        return segment.position(raw::receiver_at) == sent && segment.get<std::uint32_t>(raw::receiver_at + raw::asleep_at) == 1;
    }, "the receiver takes all that is in the ring, and says that it sleeps: its `asleep` becomes 1", "");
    pause.go(sender);
    receiver.output("lost-wake-up");
    receiver.prints(bytes);
    receiver.exits(0);
    sender.exits(0);
}

CASE("5.14 a second sender or receiver is turned away" * points(3) * section("exercise-3-a-ring-between-two-processes") *
     hints("The ring is for one sender and one receiver. What becomes of a third?",
           "It must find out before it touches anything, and it must not take the ring away when it leaves.",
           "Behind the door: the end's state is not absent, or its lock is held: EBUSY (ERROR_BUSY). Only who has joined removes the name.")) {
    const std::string name = raw::name(stage), word = stage.random().word(30), rest = stage.random().word(40);
    Subject sender = stage.start({"send", name});
    sender.ready();
    Subject alone = stage.start({"send", name});  // while the first one waits
    alone.close_input();
    auto is_turned_away = [&](Subject& lab, const std::string& whom) {
        stage.await([&](Deadline deadline) { return lab.process().wait(deadline); }, whom + " is turned away with exit code 1", "second-sender-joins");
        lab.exits(system_said_no, "second-sender-joins");
    };
    is_turned_away(alone, "a second sender");
    Subject receiver = stage.start({"receive", name});
    sender.feed(word);
    receiver.output_of(word.size());
    Subject third = stage.start({"send", name}), fourth = stage.start({"receive", name});
    third.close_input();
    is_turned_away(third, "a second sender");
    is_turned_away(fourth, "a second receiver");
    stage.require(raw::Segment::find(name).has_value(), {"the ring stays where it is", "its name is gone", "", "", "second-sender-joins"});
    sender.feed(rest);
    sender.close_input();
    receiver.prints(word + rest);
    receiver.exits(0);
    sender.exits(0);
}

}

EXERCISE("Exercise 4: a ring that outlives its users") {

CASE("5.15 the receiver is told when the sender dies" * points(5) * section("the-dead-do-not-ring") *
     hints("The sender is killed with SIGKILL. What does it still get to say?",
           "Nothing: no destructor, no handler runs. But the kernel closes what it had open and lets go of its locks, and can tell you.",
           "A thread that polls a pidfd of the process that holds the lock (on Windows: wait for event and mutex together; WAIT_ABANDONED). Empty the ring first, then throw peer_died.")) {
    know_sleepers(stage, "death-not-noticed");
    stage.by_hand("lab-05 receive x & sleep 60 | lab-05 send x & sleep 1; kill -9 $!; wait %1; echo $?");
    const std::string name = raw::name(stage), word = stage.random().word(300);
    {
        Subject sender = stage.start({"send", name});
        sender.ready();
        Subject receiver = stage.start({"receive", name});
        sender.feed(word);
        receiver.output_of(word.size());
        receiver.idles();
        sender.process().kill();
        receiver.exits(other_side_died, "death-not-noticed");
        receiver.prints(word);
    }
    // It dies with bytes of its in the ring that nobody has taken yet.
    const std::string other = raw::name(stage), bytes = stage.random().bytes(700 * KiB);
    Start held;
    held.hold_output = true;
    Subject receiver = stage.start({"receive", other}, held);
    raw::joined(stage, receiver, other, raw::receiver_at);
    Subject sender = stage.start({"send", other});
    sender.ready();
    sender.feed(bytes);
    raw::await(stage, sender, other, [&](const raw::Segment& segment) { return segment.position(raw::sender_at) == bytes.size(); },
               "the sender puts " + std::to_string(bytes.size()) + " bytes into the ring", "");
    sender.process().suspend();
    sender.process().kill();
    sender.ends();
    receiver.idles();  // it has had the news, and still has bytes to take
    receiver.prints(bytes, "last-bytes-lost");
    receiver.exits(other_side_died, "last-bytes-lost");
}

CASE("5.16 the sender is told when the receiver dies" * points(4) * section("the-dead-do-not-ring") *
     hints("The ring is full, and the receiver has been killed. How long does the sender wait for room?",
           "For ever, unless somebody wakes it who knows. And a sender that has sent all still does not know that all was received.",
           "The same watch as the receiver's. send() returns only when the receiver's state is finished; if it goes before that, throw peer_died.")) {
    know_sleepers(stage, "death-not-noticed");
    stage.by_hand("lab-05 receive x | sleep 60 & yes | lab-05 send x; echo $?    # and elsewhere: kill -9 the receiver");
    for (const bool all_sent : {false, true}) {
        const std::string name = raw::name(stage);
        Start held;
        held.hold_output = true;
        Subject receiver = stage.start({"receive", name}, held);
        raw::joined(stage, receiver, name, raw::receiver_at);
        Subject sender = stage.start({"send", name});
        sender.ready();
        sender.feed(stage.random().bytes(all_sent ? 500 * KiB : 4 * MiB));
        sender.close_input();
        raw::await(stage, sender, name, [&](const raw::Segment& segment) {
            return all_sent ? segment.state(raw::sender_at) == raw::finished
                            : segment.position(raw::sender_at) - segment.position(raw::receiver_at) == 1 * MiB;
        }, all_sent ? "the sender has sent everything: its state becomes `finished`, and it waits" : "the ring is full",
                   all_sent ? "finished-means-received" : "");
        sender.idles("finished-means-received");
        receiver.process().kill();
        sender.exits(other_side_died, "death-not-noticed, finished-means-received");
    }
}

CASE("5.17 impossible rings are refused also while they are in use" * points(5) * section("believe-nothing") *
     hints("The other side writes into the same memory as you. When is a number checked?",
           "A position that is right now may be anything a moment later. What you have checked and what you use must be the same copy.",
           "Capacity: once, into a variable of yours. The other's position: into a variable, check sent - received <= capacity, use the variable; every time.")) {
    const auto a_crash_is = [&](const Mistake& mistake) {
        stage.forget();
        stage.recognise("killed by SIGSEGV|killed by SIGBUS|0xC0000005", mistake);
    };
    struct Wrong {
        std::string because;
        std::uint32_t with_magic, version, kind;
        std::uint64_t size, sent, received;
    };
    const Wrong wrongs[] = {
        {"with another magic number", raw::magic ^ 0x100, raw::version, raw::ring, 1000, 0, 0},
        {"of layout version 9", raw::magic, 9, raw::ring, 1000, 0, 0},
        {"that is a value", raw::magic, raw::version, raw::value, 1000, 0, 0},
        {"with a ring of 0 bytes", raw::magic, raw::version, raw::ring, 0, 0, 0},
        {"with a ring that is longer than the segment", raw::magic, raw::version, raw::ring, 5000, 0, 0},
        {"with a ring of 2^64 - 100 bytes", raw::magic, raw::version, raw::ring, ~std::uint64_t(99), 0, 0},
        {"with more bytes in the ring than it holds", raw::magic, raw::version, raw::ring, 1000, 3001, 2000},
        {"whose receiver is ahead of the sender", raw::magic, raw::version, raw::ring, 1000, 2000, 2001},
    };
    bool sends = false;
    for (const Wrong& wrong : wrongs) {
        const std::string name = raw::name(stage);
        raw::Segment segment = raw::Segment::make(name, 4096);
        segment.set(raw::sender_at + raw::position_at, wrong.sent);
        segment.set(raw::receiver_at + raw::position_at, wrong.received);
        segment.describe(wrong.kind, wrong.size, wrong.version, wrong.with_magic);
        const Mistake mistake = wrong.sent + wrong.received > 0    ? "numbers-are-believed"
                                : wrong.size != 1000               ? "size-is-believed"
                                : wrong.with_magic == raw::magic ? "header-not-checked"
                                                                 : "";
        a_crash_is(mistake);
        refuses(stage, (sends = !sends) ? "send" : "receive", name, wrong.because, mistake);
        segment.unlink();
    }
    a_crash_is("size-read-twice");

    // Now the judge is the sender: honest at first.
    const std::string name = raw::name(stage), bytes = stage.random().bytes(3000);
    raw::Segment segment = raw::Segment::make(name, raw::data_at + 2000);
    segment.describe(raw::ring, 2000);
    segment.take_end(raw::sender_at);
    Subject receiver = stage.start({"receive", name});
    stage.await([&](Deadline) {
        receiver.process().wait(Deadline::in(milliseconds(1)));
        return segment.state(raw::receiver_at) == raw::here;
    }, "the receiver joins the ring: its state becomes `here`", "");
    segment.set(raw::size_at, std::uint64_t(1) << 40);  // what was checked is not what is there now
    for (const std::size_t from : {std::size_t(0), std::size_t(1500)}) {
        for (std::size_t i = from; i < from + 1500; ++i)
            segment.bytes()[raw::data_at + i % 2000] = bytes[i];
        segment.set(raw::sender_at + raw::position_at, std::uint64_t(from + 1500));
        segment.ring_bell(raw::receiver_at);
        const std::string got = receiver.output_of(from + 1500, "size-read-twice");
        stage.require(got == bytes.substr(0, from + 1500), {"the bytes go round at 2000, the size when the receiver joined",
                                                            difference(got, bytes.substr(0, from + 1500)), "", "", "size-read-twice"});
    }
    a_crash_is("numbers-are-believed");
    segment.set(raw::sender_at + raw::position_at, std::uint64_t(3000 + 2001));
    segment.ring_bell(raw::receiver_at);
    receiver.prints(bytes, "numbers-are-believed");
    receiver.exits(refused, "numbers-are-believed");
    segment.release_end();
}

CASE("5.18 a ring whose maker died is made by the next one" * points(3) * section("half-made") *
     hints("A maker was killed before it came to its end. Whose turn is it?",
           "Whoever gets the door next. It finds no magic number, and since it has the door nobody else is at work on it.",
           "Behind the door: no magic number (or no size at all) means: make it, then join it. A mutex that was abandoned is yours all the same.")) {
    const std::string name = raw::name(stage), bytes = stage.random().bytes(2000);
#ifdef _WIN32
    std::optional<raw::Door> door(name);
#else
    raw::Segment segment = raw::Segment::make(name, 100);
    std::optional<raw::Door> door(name);
#endif
    Subject sender = stage.start({"send", name});
    sender.idles("door-not-taken");
    stage.require(sender.output_so_far().empty(), {"while a maker is at work behind the door, nobody joins", "the sender is ready", "", "", "door-not-taken"});
    door->die();
    sender.ready(windows ? "abandoned-is-an-error" : "");
    Subject receiver = stage.start({"receive", name});
    sender.feed(bytes);
    sender.close_input();
    receiver.prints(bytes);
    receiver.exits(0);
    sender.exits(0);
}

}
