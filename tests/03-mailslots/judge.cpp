// The judge of lab 03: it owns slots and posts into them by raw system calls, and lets slots die and fill up.

#include "peers.hpp"

#include <algorithm>
#include <chrono>
#include <regex>

using namespace judge;

JUDGE_MAIN

namespace {

#ifdef _WIN32
constexpr bool windows = true;
#else
constexpr bool windows = false;
#endif
template <class Value>
constexpr Value by_track(Value posix, Value win32) {
    return windows ? win32 : posix;
}

// With real programs: a line for a shell, which Wine's programs understand as well, and one for cmd.exe.
void by_hand(Stage& stage, const std::string& shell, const std::string& cmd) { stage.by_hand(windows && !under_wine() ? cmd : shell); }

constexpr std::uint32_t refused = 1, wrong_usage = 2, not_in_time = 3, not_to_all = 4;

// As listen prints a message.
std::string printed(const std::string& message) { return std::to_string(message.size()) + " " + message + "\n"; }

std::string words(Random& random) { return random.word(6) + "  " + random.word(3) + " \xc3\xa4\xe2\x82\xac '\"" + random.word(7); }

// What a listener takes from the judge, one at a time, so that its queue never decides a case by accident.
void hears(Stage& stage, Subject& lab, const std::string& name, const std::string& message, const std::vector<std::string>& lines,
           const Mistake& otherwise) {
    raw_post(stage, name, message);
    for (const std::string& expected : lines) {
        const std::string got = lab.line(otherwise);
        stage.require(got == expected, {"after the message " + shown(message) + ", the line " + shown(expected), shown(got), "", "", otherwise});
    }
}

// The listener prints `message` behind what it has printed so far. Its size is looked at first, so that one that is cut,
// or glued to the next, is told from one that never comes.
void prints_next(Stage& stage, Subject& lab, std::string& so_far, const std::string& message, const Mistake& if_shorter, const Mistake& if_longer) {
    const std::string size = std::to_string(message.size()) + " ";
    const std::string head = lab.output_of(so_far.size() + size.size(), if_shorter).substr(so_far.size());
    const std::size_t got_size = static_cast<std::size_t>(std::atoll(head.c_str()));
    if (got_size > message.size() + 1) {
        // A whole buffer instead of what came into it is neither a longer message nor several.
        const std::size_t behind = so_far.size() + std::to_string(got_size).size() + 1 + message.size();
        const std::string all = lab.output_of(behind + 2);
        if (all.compare(behind, 2, std::string(2, '\0')) == 0)
            stage.fail({"the next message has " + std::to_string(message.size()) + " bytes", "a message of " + std::to_string(got_size) +
                        " bytes: the same, and then zero bytes; is that the size of a buffer, instead of what recv() (ReadFile) returned?", "", "", ""});
    }
    stage.require(head.starts_with(size), {"the next message has " + std::to_string(message.size()) + " bytes, and is printed as " + shown(printed(message), 30),
                                           shown(head, 30) + ": a message of " + std::to_string(got_size) + " bytes", "", "",
                                           got_size < message.size() ? if_shorter : if_longer});
    so_far += printed(message);
    const std::string got = lab.output_of(so_far.size(), "").substr(0, so_far.size());
    stage.require(got == so_far, {"standard output is " + shown(so_far), difference(got, so_far), "", "", ""});
}

// Fails the case as soon as a program has been seen asleep that was to wait for nobody.
class Sleepless {
public:
    Sleepless(Stage& stage, Subject& lab, std::string task, Mistake otherwise)
        : stage_(stage), lab_(lab), task_(std::move(task)), otherwise_(std::move(otherwise)) {}

    void look() {
        static const std::regex asleep("sleeps|with a timeout|waits in (send\\(|WriteFile)");
        const std::vector<std::string> seen = explain_hang(lab_.process());
        times_ += std::any_of(seen.begin(), seen.end(), [&](const std::string& one) { return std::regex_search(one, asleep); });
        stage_.require(times_ < 5, {task_, "it waits", "", "", otherwise_});
    }

    void ends() {
        stage_.await([&](Deadline) {
            look();
            return lab_.process().wait(Deadline::in(milliseconds(5)));
        }, task_, otherwise_);
    }

private:
    Stage& stage_;
    Subject& lab_;
    std::string task_;
    Mistake otherwise_;
    int times_ = 0;
};

void nothing_left(Stage& stage) {
    const std::string left = slots_left(stage);
    stage.require(left.empty(), {"a listener's name goes with it", "", left, "", "name-left-behind"});
}

auto now() { return std::chrono::steady_clock::now(); }
long long ms_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration_cast<milliseconds>(now() - begin).count();
}

}  // namespace

void judge::ends_with(Stage& stage, Subject& lab, std::uint32_t code, const std::string& why, const Mistake& otherwise) {
    const Ended how = lab.ends(otherwise);
    const bool exited = how.how == Ended::How::exited;
    stage.require(exited && how.code == code, {"exit code " + std::to_string(code) + ": " + why,
                                               how.text() + (exited && how.code == not_in_time ? ": it became the owner, and waited for messages" : ""),
                                               "", "", otherwise});
}

EXERCISE("Exercise 1: a slot and its owner") {

CASE("3.1 post puts the text into the slot exactly and once" * points(4) * section("exercise-1-a-slot-and-its-owner") *
     hints("Which bytes does the receiver get, if you send the text? Count them.",
           "The address comes from address(). The message is the text's bytes: no more, and no zero byte at its end.",
           "POSIX: socket(), connect() to the path, send(data, size). Win32: CreateFileW for writing, one WriteFile of size bytes.")) {
    by_hand(stage, "lab-03 listen mail --count 1 & sleep 1; lab-03 post mail 'hello  you'",
            "lab-03 listen mail --count 1   and, in a second window:   lab-03 post mail \"hello  you\"");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), text = words(stage.random());
    RawSlot slot(stage, name);
    Subject lab = stage.start({"post", name, text}, here);
    const std::string got = slot.takes();
    stage.require(got == text, {"the slot gets " + shown(text), difference(got, text), "", "", got == text + '\0' ? "sends-the-nul" : ""});
    lab.prints("");
    lab.exits(0);
    stage.require(slot.empty(), {"one message", "another one behind it", "", "", ""});
}

CASE("3.2 listen prints each message by itself" * points(by_track(5, 6)) * section("one-call-one-message") *
     hints("Three messages wait. How many does one call hand you?",
           "A slot is no stream: there is nothing to collect, no end to read to and nothing to split. One receive, one message.",
           "Return after the first recv() (ReadFile), with exactly as many bytes as it says.")) {
    by_hand(stage, "sleep 2 | lab-03 listen mail --info --count 2 & sleep 1; lab-03 post mail one; lab-03 post mail two; wait",
            "lab-03 listen mail --info --count 2   and, in a second window:   lab-03 post mail one & lab-03 post mail two   then Ctrl-Z and Enter in the first");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot");
    const std::vector<std::string> messages = {words(stage.random()), stage.random().bytes(stage.random().between(200, 900)) + std::string("\0\r\n", 3),
                                               words(stage.random())};
    Subject lab = stage.start({"listen", name, "--info", "--count", "3"}, here);  // --info: it takes nothing before its input ends
    lab.ready();
    for (const std::string& message : messages)
        raw_post(stage, name, message);
    lab.close_input();
    std::string so_far = "ready\n";
    for (const std::string& message : messages)
        prints_next(stage, lab, so_far, message, "", "stream-thinking");
    lab.prints(so_far);
    lab.exits(0);
    nothing_left(stage);
}

CASE("3.3 posting to nobody is an error at once" * points(4) * section("nobody-is-there") *
     hints("How does the system say that nobody is there? And does time change it?",
           "There are two kinds of nobody on POSIX: a name that is not there, and one whose owner is dead. Each has its errno.",
           "ENOENT and ECONNREFUSED (ERROR_FILE_NOT_FOUND) mean Delivery::nobody, without waiting; the deadline is for room in a full slot.")) {
    by_hand(stage, "lab-03 post nobody hello --timeout 60000; echo $?",
            "lab-03 post nobody hello --timeout 60000");
    stage.patience(milliseconds(5000));
    const Start here = slots_here(stage);
    Subject never = stage.start({"post", stage.name("nobody"), "hello", "--timeout", "60000"}, here);
    Sleepless(stage, never, "nobody is there: it ends without waiting", "waits-for-nobody").ends();
    never.exits(refused);
    never.complains("nobody listens", "nobody-is-an-error");
    const std::string name = stage.name("dead");
    RawSlot dead(stage, name);
    dead.die();
    Subject late = stage.start({"post", name, "hello", "--timeout", "60000"}, here);
    Sleepless(stage, late, "the owner is dead: it ends without waiting", "waits-for-nobody").ends();
    late.exits(refused);
    late.complains("nobody listens", by_track("the-dead-are-an-error", "nobody-is-an-error"));
    late.prints("");
    // And who is there is not nobody.
    const std::string other = stage.name("living"), text = words(stage.random());
    RawSlot living(stage, other);
    Subject finds = stage.start({"post", other, text}, here);
    finds.exits(0);
    stage.require(living.takes() == text, {"the message in the slot of the living one", "another one", "", "", ""});
}

CASE("3.4 the listener sleeps until a message comes and its slot goes when it goes" * points(4) * section("a-slot-has-one-owner") *
     hints("What is left of the slot when the listener has ended? Try to post into it.",
           "On POSIX the name is an entry in a directory. Closing the socket does not remove it. While you wait, sleep: the system wakes you.",
           "close_slot(): unlink() the path, then close the socket. receive(): poll() (ReadFile) with the time that is left, not in a loop with 0.")) {
    by_hand(stage, "lab-03 listen mail --count 1 & sleep 1; lab-03 post mail hello; wait; ls -d ${XDG_RUNTIME_DIR:-/tmp}/ipc-labs*/mail",
            "lab-03 listen mail --count 1   and, in a second window:   lab-03 post mail hello & lab-03 post mail again");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), text = words(stage.random());
    Subject lab = stage.start({"listen", name, "--count", "1"}, here);
    lab.ready();
    lab.idles();
    raw_post(stage, name, text);
    lab.prints("ready\n" + printed(text));
    lab.exits(0);
    stage.require(!owned(stage, name), {"nobody answers at the name any more", "somebody takes messages there", "", "", "name-left-behind"});
    nothing_left(stage);
}

CASE("3.5 a second listener on the same name is refused and takes nothing away from the first" * points(4) * section("a-slot-has-one-owner") *
     hints("Two owners of one name: where would a message go?",
           "The system refuses the second by itself. What would you have to do to get past that, and whom would it hurt?",
           "EADDRINUSE with a living owner behind the name (INVALID_HANDLE_VALUE and ERROR_ALREADY_EXISTS) ends open_slot with that error. Do not unlink before bind.")) {
    by_hand(stage, "lab-03 listen mail --timeout 5000 & sleep 1; lab-03 listen mail --timeout 0; echo $?",
            "lab-03 listen mail   and, in a second window, the same");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), one = words(stage.random()), two = words(stage.random());
    Subject first = stage.start({"listen", name, "--count", "2"}, here);
    first.ready();
    hears(stage, first, name, one, {std::to_string(one.size()) + " " + one}, "");
    Subject second = stage.start({"listen", name, "--timeout", "0"}, here);
    ends_with(stage, second, refused, "the name has a living owner", "second-owner");
    second.prints("", "second-owner");
    second.complains(name, "second-owner");
    hears(stage, first, name, two, {std::to_string(two.size()) + " " + two}, "second-owner");
    first.exits(0);
    nothing_left(stage);
}

CASE("3.6 a name is a name and no path" * points(3) * section("a-name-is-not-a-path") *
     hints("Somebody calls his slot ../../somewhere/else. Where does your socket come to lie?",
           "Say what a name is made of, and refuse the rest. Listing what is forbidden always forgets one.",
           "1 to 64 letters, digits, '.', '-', '_', and no '.' at the beginning; otherwise throw std::invalid_argument.")) {
    by_hand(stage, "lab-03 listen ../mail --timeout 0; echo $?",
            "lab-03 listen ..\\mail --timeout 0");
    const Start here = slots_here(stage);
    const std::string good = stage.random().word(longest_name(stage) - 4) + "-._A";
    Subject lab = stage.start({"listen", good, "--timeout", "0"}, here);
    lab.exits(not_in_time);
    nothing_left(stage);
    const std::string word = stage.random().word(8);
    for (const std::string& bad : {std::string(), "../" + word, word + "/" + word, word + "\\" + word, "." + word, word + " " + word,
                                   word + "\xc3\xa4", stage.random().word(65), stage.random().word(300)}) {
        Subject listen = stage.start({"listen", bad, "--timeout", "0"}, here);
        ends_with(stage, listen, wrong_usage, "that is no name", "any-name-will-do");
        listen.prints("", "any-name-will-do");
    }
    for (const char* bad : {"..", "../x"}) {
        Subject post = stage.start({"post", bad, "hello"}, here);
        post.exits(wrong_usage, "any-name-will-do");
    }
    for (const std::vector<std::string>& nameless : {std::vector<std::string>{"listen"}, {"post"}, {"post", good}, {"broadcast", "hello"}})
        stage.start(nameless, here).exits(wrong_usage);
    RawSlot slot(stage, good);
    Subject spread = stage.start({"broadcast", "hello", good, "a/b"}, here);
    spread.exits(wrong_usage, "any-name-will-do");
    stage.require(slot.empty(), {"nobody gets anything if one of the names is none", shown("hello") + " in the slot " + good, "", "", ""});
}

}

EXERCISE("Exercise 2: sizes and time") {

CASE("3.7 a long message arrives whole" * points(5) * section("ask-before-you-take") *
     hints("How large is your buffer, and who told you that this is enough?",
           "What does not fit is cut off and gone: the next call gives you the next message, not the rest of this one.",
           "Ask first: recv() with MSG_PEEK | MSG_TRUNC returns the true size (Win32: GetMailslotInfo, or a buffer as large as the slot's maximum).")) {
    by_hand(stage, "lab-03 listen mail --count 1 | wc -c & sleep 1; head -c 65536 /dev/zero | lab-03 post mail -; wait",
            "lab-03 listen mail --count 1 > got   and, in a second window, with a file of 65536 bytes:   lab-03 post mail - < FILE");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot");
    Subject lab = stage.start({"listen", name, "--count", "4"}, here);
    lab.ready();
    std::string so_far = "ready\n";
    for (const std::size_t size : {std::size_t{1}, std::size_t{stage.random().between(4097, 9000)}, std::size_t{stage.random().between(50'000, 65'000)}}) {
        const std::string message = stage.random().bytes(size);
        raw_post(stage, name, message);
        prints_next(stage, lab, so_far, message, "cut-message", "");
    }
    const std::string longest = stage.random().bytes(65536);
    Subject post = stage.start({"post", name, "-"}, here);
    post.feed(longest);
    post.close_input();
    post.exits(0);
    prints_next(stage, lab, so_far, longest, "cut-message", "sends-the-nul");
    lab.prints(so_far);
    lab.exits(0);
    nothing_left(stage);
}

CASE("3.8 a message that is too long is refused and nothing of it is sent" * points(4) * section("too-long") *
     hints("Half a message is worse than none. What would the receiver make of it?",
           "There is a limit on both systems; the lab's is 65536 bytes, in the contract. Who can check it before anything is on its way?",
           "In post(), before you connect: if message.size() > longest_message, throw EMSGSIZE (ERROR_MESSAGE_EXCEEDS_MAX_SIZE).")) {
    by_hand(stage, "lab-03 listen mail --timeout 3000 & sleep 1; head -c 65537 /dev/zero | lab-03 post mail -; echo $?",
            "lab-03 listen mail   and, in a second window, with a file of 65537 bytes:   lab-03 post mail - < FILE");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot");
    RawSlot slot(stage, name);
    Subject lab = stage.start({"post", name, "-"}, here);
    lab.feed(std::string(65537, 'x'));
    lab.close_input();
    const Ended how = lab.ends();
    if (!slot.empty()) {
        const std::size_t first = slot.takes().size();
        const bool more = !slot.empty();
        stage.fail({"nothing in the slot after a message of 65537 bytes", "a message of " + std::to_string(first) + " bytes" + (more ? ", and another one" : ""),
                    "", "", "too-long-is-cut"});
    }
    stage.require(how.how == Ended::How::exited && how.code == refused, {"exit code 1", how.text(), "", "", "too-long-is-cut"});
    stage.require(!lab.errors().empty(), {"a word on standard error", "nothing", "", "", ""});
    const std::string text = words(stage.random());
    Subject shorter = stage.start({"post", name, text}, here);
    shorter.exits(0);
    stage.require(slot.takes() == text, {"a short message is taken as ever", "another one", "", "", ""});
}

CASE("3.9 look tells the size of the next message and takes nothing" * points(by_track(4, 5)) * section("ask-before-you-take") *
     hints("After you have looked, what will receive() find?",
           "MSG_PEEK leaves the message where it is; MSG_TRUNC returns its true size; and if nothing waits, you must not wait either.",
           "recv(fd, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT), EAGAIN meaning none. Win32: GetMailslotInfo, MAILSLOT_NO_MESSAGE meaning none.")) {
    by_hand(stage, "lab-03 listen mail --info   # Enter asks what waits, Ctrl-D receives it; in a second terminal: lab-03 post mail hello",
            "lab-03 listen mail --info   (Enter asks what waits, Ctrl-Z and Enter receives it)   and, in a second window:   lab-03 post mail hello");
    stage.recognise("waits in recv\\(", "look-waits");
    stage.patience(milliseconds(5000));
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot");
    Subject lab = stage.start({"listen", name, "--info", "--count", "1"}, here);
    lab.ready();
    std::string so_far = "ready\n";
    auto asks = [&](const std::string& expected, const Mistake& otherwise) {
        lab.feed("\n");
        const std::string got = lab.line(otherwise);
        so_far += got + "\n";
        stage.require((got + " ").starts_with(expected + " "), {"the line " + shown(expected + " ..."), shown(got), "", "", otherwise});
    };
    asks("next - waiting 0", by_track("look-waits", "no-message-is-a-size"));
    const std::string message = stage.random().word(stage.random().between(20, 90));
    raw_post(stage, name, message);
    asks("next " + std::to_string(message.size()) + " waiting", "wrong-size");
    asks("next " + std::to_string(message.size()) + " waiting", "look-takes");
    lab.close_input();
    prints_next(stage, lab, so_far, message, "look-takes", "");
    lab.exits(0);
    nothing_left(stage);
}

#ifdef _WIN32
#define EMPTY_MESSAGES * windows_only("Wine does not keep a message of 0 bytes")
#else
#define EMPTY_MESSAGES
#endif
CASE("3.10 an empty message is a message" * points(3) * section("nothing-is-a-message-too") EMPTY_MESSAGES *
     hints("recv() returns 0. On a pipe that meant the end. Of what, here?",
           "A slot has no end: everybody may post, at any time. 0 bytes is a message that somebody sent.",
           "Do not test the size; test whether the call succeeded. With look(), 0 bytes and no message are different answers.")) {
    by_hand(stage, "lab-03 listen mail --count 2 & sleep 1; lab-03 post mail ''; lab-03 post mail x",
            "lab-03 listen mail --count 2   and, in a second window:   lab-03 post mail \"\" & lab-03 post mail x");
    stage.recognise("came back without a message", "empty-is-nothing");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), text = words(stage.random());
    Subject lab = stage.start({"listen", name, "--info", "--count", "4"}, here);
    lab.ready();
    raw_post(stage, name, "");
    lab.feed("\n");
    const std::string info = lab.line("empty-is-nothing");
    lab.feed("\n");
    const std::string again = lab.line("look-takes");
    stage.require(info.starts_with("next 0 "), {"a message of 0 bytes waits: \"next 0 ...\"", shown(info), "", "", "empty-is-nothing"});
    stage.require(again == info, {"the same answer to the same question, " + shown(info), shown(again), "", "", "look-takes"});
    Subject post = stage.start({"post", name, ""}, here);
    post.exits(0, "empty-is-nothing");
    Subject piped = stage.start({"post", name, "-"}, here);  // whose input ends before it began
    piped.close_input();
    piped.exits(0, "empty-is-nothing");
    raw_post(stage, name, text);
    lab.close_input();
    lab.prints("ready\n" + info + "\n" + info + "\n0 \n0 \n0 \n" + printed(text), "");
    lab.exits(0);
    nothing_left(stage);
}

CASE("3.11 a timeout is kept: none at all and some and nearly for ever" * points(4) * section("how-long-to-wait") *
     hints("What does 0 mean to the call you wait with? And -1? And 2147483647?",
           "0 takes what is there and does not wait; the longest timeout must not turn into a negative number by multiplying.",
           "Deadline::poll_ms() (wait_ms()) gives what poll() (SetMailslotInfo) takes: 0, what is left, or -1 for ever.")) {
    by_hand(stage, "time lab-03 listen mail --timeout 300; echo $?",
            "lab-03 listen mail --timeout 300");
    stage.recognise("waits in recv\\(", "zero-is-for-ever");
    stage.patience(milliseconds(6000));
    stage.recognise("processor time in", "busy-waiting");
    const Start here = slots_here(stage);
    const std::string text = words(stage.random());
    const std::string name = stage.name("none");
    Subject none = stage.start({"listen", name, "--timeout", "0", "--info"}, here);
    none.ready();
    raw_post(stage, name, text);
    none.close_input();
    const std::string got = none.line("timeout-0-does-not-look"), expected = std::to_string(text.size()) + " " + text;
    stage.require(got == expected, {"the line " + shown(expected), shown(got), "", "", ""});
    none.exits(not_in_time, by_track("zero-is-for-ever", "timeout-never-set"));

    // With --info it begins to wait when its input ends: the wait is at least as long as what is measured from before that.
    const long long some = static_cast<long long>(stage.random().between(160, 220));
    Subject some_time = stage.start({"listen", stage.name("some"), "--timeout", std::to_string(some), "--info"}, here);
    some_time.ready();
    const auto begin = now();
    some_time.close_input();
    some_time.exits(not_in_time);
    const long long waited = ms_since(begin);
    stage.require(waited >= some, {"a wait of " + std::to_string(some) + " ms", "it waited " + std::to_string(waited) + " ms", "", "", "timeout-in-seconds"});

    const std::string other = stage.name("long");
    Subject long_time = stage.start({"listen", other, "--timeout", "2147483647", "--count", "1"}, here);
    long_time.ready();
    long_time.idles();
    raw_post(stage, other, text);
    long_time.prints("ready\n" + printed(text));
    long_time.exits(0);
    nothing_left(stage);
    for (const char* wrong : {"-1", "2147483648", "99999999999999999999", "soon", ""})
        stage.start({"listen", name, "--timeout", wrong}, here).exits(wrong_usage);
}

CASE("3.12 post waits for room as long as it was told and no longer" * points(by_track(5, 8)) * section("one-full-receiver") *
     hints("The receiver sleeps, and its slot is full. What does a plain send do now?",
           "Without MSG_DONTWAIT it waits for ever. With it, EAGAIN tells that there is no room; then wait for room with a deadline, and try again.",
           "connect() first, then poll() for POLLOUT with deadline.poll_ms(). Win32: FILE_FLAG_OVERLAPPED, wait for the event, CancelIoEx, and then GetOverlappedResult tells what really happened.")) {
    by_hand(stage, "sleep 9 | lab-03 listen mail --info --timeout 0 > /dev/null & sleep 1; seq 1 1000 | lab-03 post mail --lines > /dev/null; time lab-03 post mail hello --timeout 300",
            "lab-03 listen mail --info   and, in a second window, with a file of 10000 lines:   lab-03 post mail --lines --timeout 100 < FILE");
    stage.recognise("waits in (send\\(|WriteFile)", "blocks-on-full");
    stage.recognise("processor time in", by_track("polls-the-unconnected", "busy-waiting"));
    stage.patience(milliseconds(6000));
    const Start here = slots_here(stage);
    const std::string name = stage.name("stuck");
    RawSlot slot(stage, name);
    if (!slot.fill())
        stage.unavailable("this system sets no limit to what waits in a slot");

    Subject at_once = stage.start({"post", name, "at once"}, here);
    Sleepless(stage, at_once, "without --timeout it does not wait for room", "").ends();
    const Ended how = at_once.ends();
    stage.require(how.how == Ended::How::exited && how.code == not_in_time,
                  {"exit code 3: the slot is full, so the message is not delivered", how.text() + (how.code == 0 ? ", as if it were delivered" : ""), "", "",
                   how.code == 0 ? "full-is-success" : by_track("", "full-is-an-error")});
    at_once.complains("its queue is full");
    const auto begin = now();
    Subject a_while = stage.start({"post", name, "a while", "--timeout", "150"}, here);
    a_while.exits(not_in_time, "full-is-success");
    const long long waited = ms_since(begin);
    stage.require(waited >= 150, {"post waits 150 ms for room", "it gave up after " + std::to_string(waited) + " ms", "", "", "gives-up-at-once"});

    const std::string text = words(stage.random());
    Subject lab = stage.start({"post", name, text, "--timeout", "60000"}, here);
    lab.idles("gives-up-at-once");
    std::vector<std::string> got;
    stage.await([&](Deadline deadline) {
        while (auto message = slot.take(got.empty() ? deadline : Deadline::in(milliseconds(0))))
            got.push_back(*message);
        return std::any_of(got.begin(), got.end(), [&](const std::string& one) { return one.starts_with(text); });
    }, "the message arrives once there is room", "gives-up-at-once");
    lab.exits(0);
    while (auto message = slot.take(Deadline::in(milliseconds(0))))
        got.push_back(*message);
    for (const char* undelivered : {"at once", "a while"})
        stage.require(std::find(got.begin(), got.end(), undelivered) == got.end(),
                      {"a message that was reported as not delivered is not delivered", shown(undelivered) + " arrived later", "", "", ""});

    if (windows)
        return;  // there an owner who ends takes the slot, and so its fullness, with him
    slot.fill();
    Subject bereaved = stage.start({"post", name, text, "--timeout", "60000"}, here);
    bereaved.idles("gives-up-at-once");
    slot.die();
    bereaved.exits(refused, "waits-for-nobody");
    bereaved.complains("nobody listens", "the-dead-are-an-error");
}

}

EXERCISE("Exercise 3: numbers make loss visible") {

CASE("3.13 numbered messages say whose they are and count from 1" * points(2) * section("numbers-make-loss-visible") *
     hints("What must a message carry, so that the receiver knows that one is missing?",
           "Whose it is and which in the row. The text may hold anything, spaces too, and may be empty.",
           "\"#\" + sender + \" \" + number + \" \" + text.")) {
    by_hand(stage, "lab-03 listen mail --count 3 & sleep 1; printf 'a\\n\\nlast one' | lab-03 post mail --lines --numbered",
            "lab-03 listen mail --count 3   and, in a second window:   (echo a& echo b& echo c) | lab-03 post mail --lines --numbered");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot");
    RawSlot slot(stage, name);
    Subject lab = stage.start({"post", name, "--lines", "--numbered"}, here);
    const std::string greeting = lab.line();
    stage.require(greeting.starts_with("sender ") && greeting.size() > 7, {"the line \"sender ID\"", shown(greeting), "", "", ""});
    const std::vector<std::string> lines = {words(stage.random()), "", "# 7 " + stage.random().word(5)};
    for (std::size_t i = 0; i < lines.size(); ++i) {
        lab.feed(lines[i] + (i + 1 < lines.size() ? "\n" : ""));  // the last line has no end
        if (i + 1 == lines.size())
            lab.close_input();
        const std::string expected = "#" + greeting.substr(7) + " " + std::to_string(i + 1) + " " + lines[i];
        const std::string got = slot.takes();
        stage.require(got == expected, {"message " + std::to_string(i + 1) + " is " + shown(expected), difference(got, expected), "", "", ""});
    }
    lab.exits(0);
}

CASE("3.14 listen tells what is missing and late and a duplicate for each sender" * points(5) * section("numbers-make-loss-visible") *
     hints("Numbers 1, 2, 5 have come. What do you know now? And when 4 comes?",
           "Higher than due: a hole up to it. Lower: it is either in a hole, and then it is late, or it was here before.",
           "Keep the holes as first and last number. A late one splits its hole in two, or shortens it, or closes it.")) {
    by_hand(stage, "lab-03 listen mail --numbered --count 5 & sleep 1; for n in 1 2 5 4 4; do lab-03 post mail \"#me $n hello\"; done",
            "lab-03 listen mail --numbered   and, in a second window:   for %n in (1 2 5 4 4) do lab-03 post mail \"#me %n hello\"");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), a = stage.random().word(8), b = stage.random().word(9);
    Subject lab = stage.start({"listen", name, "--numbered", "--count", "15"}, here);
    lab.ready();
    auto comes = [&](const std::string& sender, std::uint64_t number, const std::string& news, const Mistake& otherwise) {
        const std::string text = words(stage.random());
        std::vector<std::string> lines;
        if (!news.empty())
            lines.push_back(news + " from " + sender);
        if (!news.starts_with("duplicate"))
            lines.push_back(std::to_string(text.size()) + " " + text);
        hears(stage, lab, name, "#" + sender + " " + std::to_string(number) + " " + text, lines, otherwise);
    };
    const std::uint64_t k = stage.random().between(10, 1000);
    auto s = [](std::uint64_t number) { return std::to_string(number); };
    comes(a, 1, "", "");
    comes(a, 2, "", "");
    comes(b, 3, "missing 1..2", "gap-unnoticed");
    comes(a, 3, "", "");
    comes(a, k, "missing 4.." + s(k - 1), "gap-unnoticed");
    comes(a, k, "duplicate " + s(k), "");
    comes(a, k - 3, "late " + s(k - 3), "late-is-duplicate");
    comes(a, k + 1, "", "");
    comes(a, k - 3, "duplicate " + s(k - 3), "late-forgets-hole");
    comes(a, k - 2, "late " + s(k - 2), "late-forgets-hole");
    comes(a, 4, "late 4", "late-forgets-hole");
    comes(a, 2, "duplicate 2", "");
    comes(b, 2, "late 2", "late-is-duplicate");
    comes(b, 5, "missing 4..4", "gap-unnoticed");
    comes(b, 1, "late 1", "late-is-duplicate");
    lab.exits(0);
    nothing_left(stage);
}

CASE("3.15 whatever comes in: a text without a number is a text and a huge number costs nothing" * points(3) * section("numbers-make-loss-visible") *
     hints("Anybody may post anything into your slot. What is the worst number he can send?",
           "One that does not fit into 64 bits; 0; none at all. And one that fits: 18446744073709551615, right after 1.",
           "std::from_chars tells overflow and what it did not read; a hole is two numbers, not a list of all that are in it.")) {
    by_hand(stage, "lab-03 listen mail --numbered --count 1 & sleep 1; lab-03 post mail '#me 18446744073709551615 hello'",
            "lab-03 listen mail --numbered   and, in a second window:   lab-03 post mail \"#me 18446744073709551615 hello\"");
    stage.recognise("got: \"1 x\"", "gap-unnoticed");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), a = stage.random().word(8);
    const std::vector<std::string> plain = {"hello", "#", "# 1 x", "#" + a, "#" + a + " 7", "#" + a + " 0 x", "#" + a + " -1 x", "#" + a + " +1 x",
                                            "#" + a + " 1x x", "#" + a + "  x", "#" + a + " 18446744073709551616 x", "##" + std::string(400, ' ')};
    Subject lab = stage.start({"listen", name, "--numbered", "--count", std::to_string(plain.size() + 5)}, here);
    lab.ready();
    for (const std::string& message : plain)
        hears(stage, lab, name, message, {std::to_string(message.size()) + " " + message}, "number-from-nothing");
    hears(stage, lab, name, "#" + a + " 1 ", {"0 "}, "");
    // A list of all the numbers between would never be finished: its processor time tells, long before memory is short.
    const std::string before = lab.output_so_far();
    const auto used_before = lab.process().cpu_time();
    raw_post(stage, name, "#" + a + " 5000000000 x");
    stage.await([&](Deadline deadline) {
        const auto used = std::chrono::duration_cast<milliseconds>(lab.process().cpu_time() - used_before);
        stage.require(used < milliseconds(400), {"to note that 2 to 4999999999 are missing takes no time",
                                                 std::to_string(used.count()) + " ms of processor time so far", "", "", "hole-number-by-number"});
        return lab.output_so_far() != before || (lab.process().wait(deadline), false);
    }, "it goes on after a huge number", "hole-number-by-number");
    const std::string noted = lab.line(), missing = "missing 2..4999999999 from " + a;
    stage.require(noted == missing, {"the line " + shown(missing), shown(noted), "", "", noted == "1 x" ? "gap-unnoticed" : ""});
    lab.line();
    hears(stage, lab, name, "#" + a + " 18446744073709551615 x", {"missing 5000000001..18446744073709551614 from " + a, "1 x"}, "hole-number-by-number");
    hears(stage, lab, name, "#" + a + " 9223372036854775808 y", {"late 9223372036854775808 from " + a, "1 y"}, "late-is-duplicate");
    hears(stage, lab, name, "#" + a + " 18446744073709551615 x", {"duplicate 18446744073709551615 from " + a}, "");
    lab.exits(0);
    nothing_left(stage);
}

CASE("3.16 what a sender could not deliver is what the listener misses" * points(4) * section("numbers-make-loss-visible") *
     hints("The sender knows that a message was lost. How does the receiver come to know it?",
           "A lost message keeps its number: the next one that gets through has a higher one.",
           "post() must say Delivery::full exactly when the message is not in the slot; enter() does the rest.")) {
    by_hand(stage, "sleep 3 | lab-03 listen mail --numbered --info --timeout 9000 & sleep 1; (seq 1 700; sleep 5; echo the last) | lab-03 post mail --lines --numbered | tail -n 1; wait",
            "lab-03 listen mail --numbered --info   and, in a second window:   lab-03 post mail --lines --numbered < FILE   then Ctrl-Z and Enter in the first");
    stage.recognise("waits in (send\\(|WriteFile)", "blocks-on-full");
    stage.patience(milliseconds(6000));
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot");
    {
        RawSlot probe(stage, stage.name("probe"));
        if (!probe.fill())
            stage.unavailable("this system sets no limit to what waits in a slot");
    }
    Subject lab = stage.start({"listen", name, "--numbered", "--info"}, here);
    lab.ready();
    const int many = 700;
    std::string input;
    for (int i = 1; i <= many; ++i)
        input += "line " + std::to_string(i) + "\n";
    Subject post = stage.start({"post", name, "--lines", "--numbered"}, here);
    const std::string greeting = post.line();
    stage.require(greeting.starts_with("sender ") && greeting.size() > 7, {"the line \"sender ID\"", shown(greeting), "", "", ""});
    post.feed(input);
    stage.await([&](Deadline deadline) { return post.output_so_far().find("\nlost ") != std::string::npos || (post.process().wait(deadline), false); },
                "the line \"lost NUMBER: its queue is full\", since " + std::to_string(many) + " messages do not fit", "full-is-success");
    const std::string first_loss = post.line();
    const int first = std::atoi(first_loss.c_str() + std::min<std::size_t>(first_loss.size(), 5));
    stage.require(first_loss.starts_with("lost ") && first > 1 && first <= many, {"the line \"lost NUMBER: ...\" once the slot is full", shown(first_loss), "", "", ""});
    for (int i = first + 1; i <= many; ++i)
        post.line();
    lab.close_input();
    for (int i = 1; i < first; ++i) {
        const std::string text = "line " + std::to_string(i), got = lab.line();
        stage.require(got == std::to_string(text.size()) + " " + text, {"message " + std::to_string(i), shown(got), "", "", ""});
    }
    post.feed("the last\n");
    post.close_input();
    const std::string missing = "missing " + std::to_string(first) + ".." + std::to_string(many) + " from " + greeting.substr(7);
    const std::string got = lab.line("gap-unnoticed");
    stage.require(got == missing, {"the line " + shown(missing), shown(got), "", "", "gap-unnoticed"});
    const std::string last = lab.line();
    stage.require(last == "8 the last", {"the line \"8 the last\"", shown(last), "", "", ""});
    post.exits(not_to_all);
    lab.process().terminate();
    lab.ends();
    nothing_left(stage);
}

}

EXERCISE("Exercise 4: many listeners, and some of them dead or stuck") {

CASE("3.17 a broadcast reaches everyone once" * points(3) * section("exercise-4-many-listeners") *
     hints("What does the system offer on one machine, to send one message to many slots?",
           "Nothing: a slot has one owner, and a message goes into one slot. A broadcast is a round.",
           "post() to each name, in a loop.")) {
    by_hand(stage, "lab-03 listen a --count 1 & lab-03 listen b --count 1 & sleep 1; lab-03 broadcast hello a b",
            "lab-03 listen a   and, in a second window:   lab-03 listen b   and, in a third:   lab-03 broadcast hello a b");
    const Start here = slots_here(stage);
    const std::string text = words(stage.random());
    std::vector<RawSlot> slots;
    std::vector<std::string> line = {"broadcast", text};
    for (int i = 0; i < 4; ++i) {
        line.push_back(stage.name("slot"));
        slots.emplace_back(stage, line.back());
    }
    Subject lab = stage.start(line, here);
    for (RawSlot& slot : slots) {
        const std::string got = slot.takes();
        stage.require(got == text, {"each slot gets " + shown(text), difference(got, text), "", "", ""});
    }
    lab.exits(0);
    const std::string complaint = lab.errors();
    stage.require(complaint.empty(), {"no complaint, since nobody missed it", shown(complaint), "", "", ""});
    for (RawSlot& slot : slots)
        stage.require(slot.empty(), {"one message in each slot", "more than one", "", "", ""});
}

CASE("3.18 one dead listener and one stuck one keep the message from nobody else" * points(by_track(8, 11)) * section("one-full-receiver") *
     hints("Five listeners; the second is dead, the third has not read for an hour. When does the fifth get the message?",
           "A blocking send waits for the stuck one for ever; an exception for the dead one ends the round. Neither may happen.",
           "post() with an expired deadline for each; put everyone who was not reached into the result, and go on.")) {
    by_hand(stage, "sleep 9 | lab-03 listen stuck --info --timeout 0 > /dev/null & lab-03 listen a --count 1 & sleep 1; seq 1 1000 | lab-03 post stuck --lines > /dev/null; lab-03 broadcast hello stuck dead a; echo $?",
            "lab-03 listen a   and, in a second window:   lab-03 broadcast hello dead a");
    stage.recognise("waits in (send\\(|WriteFile)", "blocks-on-full");
    stage.patience(milliseconds(5000));
    const Start here = slots_here(stage);
    const std::string text = words(stage.random());
    const std::string dead_name = stage.name("dead"), stuck_name = stage.name("stuck");
    RawSlot dead(stage, dead_name), stuck(stage, stuck_name);
    dead.die();
    const bool limited = stuck.fill();  // Windows lets a slot grow: nobody is ever stuck there

    std::vector<std::string> trouble = {dead_name, stuck_name};
    if (stage.random().between(0, 1))
        std::swap(trouble[0], trouble[1]);
    const std::vector<std::string> living = {stage.name("a"), stage.name("b"), stage.name("c")};
    std::vector<RawSlot> slots;
    for (const std::string& name : living)
        slots.emplace_back(stage, name);
    Subject lab = stage.start({"broadcast", text, living[0], trouble[0], living[1], trouble[1], living[2]}, here);
    Sleepless sleepless(stage, lab, "a broadcast waits for nobody", "waits-for-the-stuck");
    for (std::size_t i = 0; i < slots.size(); ++i) {
        std::optional<std::string> got;
        stage.await([&](Deadline) {
            sleepless.look();
            got = slots[i].take(Deadline::in(milliseconds(5)));
            return got.has_value();
        }, "listener " + std::to_string(2 * i + 1) + " of 5 gets the message", "stops-at-the-first");
        stage.require(*got == text, {"the message " + shown(text), difference(*got, text), "", "", ""});
    }
    lab.exits(not_to_all, "misses-nobody, full-is-success");
    const std::string of_dead = "missed " + dead_name + ": nobody listens there", of_stuck = "missed " + stuck_name + ": its queue is full";
    lab.complains(of_dead, by_track("the-dead-are-an-error", "nobody-is-an-error"));
    if (limited) {
        lab.complains(of_stuck, by_track("full-is-success", "full-is-an-error"));
        const bool dead_first = lab.errors().find(of_dead) < lab.errors().find(of_stuck);
        stage.require(dead_first == (trouble[0] == dead_name), {"who missed it is named in the order of the command line", shown(lab.errors(), 300), "", "", ""});
    }
    for (const std::string& name : living)
        stage.require(lab.errors().find(name) == std::string::npos, {"only those are named who missed it", shown(lab.errors(), 300), "", "", ""});
    if (limited)
        while (auto message = stuck.take(Deadline::in(milliseconds(0))))
            stage.require(*message == "x", {"the stuck listener gets nothing", "the message was queued after all", "", "", ""});
}

CASE("3.19 several senders at once: nothing is lost or mixed up and each one's order is kept" * points(4) * section("one-call-one-message") *
     hints("Who makes sure that two messages do not run into each other?",
           "The system does, as long as one message is one call on the sender's side too. And when the slot is full, who waits?",
           "One send() (WriteFile) for each message. On EAGAIN wait for room and send the same message again.")) {
    by_hand(stage, "lab-03 listen mail --count 60 & sleep 1; for i in a b c; do seq -f $i%g 1 20 | lab-03 post mail --lines --timeout 9000 & done; wait",
            "lab-03 listen mail   and, in two more windows at once:   lab-03 post mail --lines < FILE");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot");
    const int each = 20;
    Subject lab = stage.start({"listen", name, "--count", std::to_string(3 * each)}, here);
    lab.ready();
    std::vector<Subject> senders;
    std::vector<std::vector<std::string>> sent;
    for (int i = 0; i < 3; ++i) {
        std::vector<std::string> lines;
        std::string input;
        for (int k = 0; k < each; ++k) {
            lines.push_back(std::string(1, static_cast<char>('a' + i)) + stage.random().word(stage.random().between(1, 60)));
            input += lines.back() + "\n";
        }
        senders.push_back(stage.start({"post", name, "--lines", "--timeout", "60000"}, here));
        senders.back().feed(input);
        senders.back().close_input();
        sent.push_back(lines);
    }
    std::vector<std::vector<std::string>> got(3);
    for (int k = 0; k < 3 * each; ++k) {
        const std::string line = lab.line("full-is-success, gives-up-at-once");
        const std::string text = line.substr(std::min(line.size(), line.find(' ') + 1));
        const bool known = !text.empty() && text[0] >= 'a' && text[0] <= 'c';
        stage.require(known && line == std::to_string(text.size()) + " " + text, {"a line 'SIZE TEXT' of one of the senders", shown(line), "", "", ""});
        stage.require(text.size() <= 62, {"messages one by one, none of them longer than 61 bytes", shown(line), "", "", "stream-thinking"});
        got[static_cast<std::size_t>(text[0] - 'a')].push_back(text);
    }
    for (std::size_t i = 0; i < 3; ++i)
        stage.require(got[i] == sent[i], {"sender " + std::to_string(i + 1) + "'s messages, all and in its order", "others, or in another order", "", "", ""});
    for (Subject& sender : senders)
        sender.exits(0);
    lab.exits(0);
    nothing_left(stage);
}

}
