// What only the posix track has: the ICCCM, several large pastes at once, no display, and real programs.

#include "x11_posix.hpp"

using namespace peers;

namespace {

// ---- real programs --------------------------------------------------------------------------------------------------

class Tool {
public:
    Tool(Stage& stage, Desk& desk, std::vector<std::string> command, const std::string& input = {}) : stage_(stage), partners_(desk.state().copying) {
        const std::string program = installed(command[0]);
        if (program.empty())
            stage.unavailable(command[0] + " is not installed here");
        command[0] = program;
        StartRequest request;
        request.command = std::move(command);
        request.environment = desk.state().display.environment();
        request.environment["HOME"] = stage.files();
        request.environment["LC_ALL"] = "C.UTF-8";
        auto [read_end, write_end] = make_pipe(256 * 1024);
        for (std::size_t sent = 0; sent < input.size();)
            sent += write_end.write(input.data() + sent, input.size() - sent);
        write_end.close();
        request.input = std::move(read_end);
        auto [words, end] = make_pipe();
        request.output = std::move(end);
        process_ = Process::start(std::move(request));
        words_ = std::move(words);
    }
    static Deadline limit(const Stage& stage) {
        return Deadline::in(std::chrono::duration_cast<milliseconds>(milliseconds(15'000) * stage.time_scale()));
    }
    std::string output() {
        const Deadline deadline = limit(stage_);
        std::string all;
        for (;;) {
            pollfd entry{words_.get(), POLLIN, 0};
            char buffer[64 * 1024];
            if (::poll(&entry, 1, std::min(200, deadline.poll_ms())) <= 0) {
                if (deadline.expired() || stand_still())
                    stage_.fail({"another program pastes what was copied", "it has got " + std::to_string(all.size()) + " bytes, and waits for more", "", "", ""});
                continue;
            }
            const std::size_t count = words_.read(buffer, sizeof buffer);
            if (count == 0)
                return all;
            all.append(buffer, count);
        }
    }

private:
    // It and the lab programs, for three seconds. One of them alone may wait for another that still starts.
    bool stand_still() {
        std::string now = process_->stillness();
        for (Process* each : partners_) {
            const std::string its = each->stillness();
            now = now.empty() || its.empty() ? "" : now + its;
        }
        if (now.empty() || now != before_) {
            before_ = now;
            since_ = std::chrono::steady_clock::now();
            return false;
        }
        return std::chrono::steady_clock::now() - since_ > std::chrono::seconds(3) * stage_.time_scale();
    }

    Stage& stage_;
    std::vector<Process*> partners_;
    std::optional<Process> process_;
    Stream words_;
    std::string before_;
    std::chrono::steady_clock::time_point since_;
};

// Another program has copied, when `copies` has made it start.
std::unique_ptr<Tool> owning(Stage& stage, Desk& desk, const std::vector<std::string>& command, const std::string& input = {}) {
    Client& observer = desk.state().observer;
    const auto* xfixes = xcb_get_extension_data(observer.get(), &xcb_xfixes_id);
    std::free(xcb_xfixes_query_version_reply(observer.get(), xcb_xfixes_query_version(observer.get(), 1, 0), nullptr));
    xcb_xfixes_select_selection_input(observer.get(), observer.window, observer.atom("CLIPBOARD"), XCB_XFIXES_SELECTION_EVENT_MASK_SET_SELECTION_OWNER);
    observer.owner();
    while (observer.next(Deadline::in(milliseconds(0)))) {
    }
    auto tool = std::make_unique<Tool>(stage, desk, command, input);
    const Deadline deadline = Tool::limit(stage);
    while (const Event event = observer.next(deadline))
        if ((event->response_type & 0x7f) == xfixes->first_event + XCB_XFIXES_SELECTION_NOTIFY)
            return tool;
    throw std::runtime_error(command[0] + " has not copied in time");
}

void pastes(Stage& stage, Desk& desk, const std::vector<std::string>& command, const std::string& expected) {
    const std::string got = Tool(stage, desk, command).output();
    stage.require(got == expected, {command[0] + " pastes what was copied", difference(got, expected), "", "", ""});
    answers_itself(stage, desk.state().copying);
}

void prints(Desk& desk, std::vector<std::string> arguments, const std::string& expected) {
    Subject lab = desk.start(std::move(arguments));
    lab.prints(expected);
    lab.exits(0);
}

// It has ended, or waits for somebody else.
void settles(Stage& stage, Subject& lab) {
    std::string before;
    stage.await([&](Deadline deadline) {
        const std::string now = lab.process().stillness();
        const bool still = !now.empty() && now == before;
        before = now;
        return lab.process().wait(deadline) || still;
    }, "the lab program ends or waits", "");
}

// A moment of the server's clock, which goes on in milliseconds from zero.
std::uint32_t number_in(const Requestor::Property& property) {
    std::uint32_t number = 0;
    if (property.bytes.size() == 4)
        std::memcpy(&number, property.bytes.data(), 4);
    return number;
}

}  // namespace

EXERCISE("Exercise 4: large and hostile") {

CASE("4.18 the owner answers as the ICCCM asks" * points(4) * section("the-rules-of-the-house") *
     hints("Who may ask you, and for what, other than for the data?",
           "TIMESTAMP: since when you own it. MULTIPLE: several targets at once. A target that you do not have is refused with a property None; a requestor may be dead before you answer.",
           "Always send SelectionNotify. MULTIPLE: read ATOM_PAIR from the requestor, convert each, put None into the pairs that fail. Let errors for dead windows pass.")) {
    stage.by_hand("echo hello | lab-04 copy & xclip -selection clipboard -t TIMESTAMP -o");
    Desk desk(stage);
    const std::string text = nasty_text(stage.random());
    Subject lab = desk.copies({}, text);
    const Display& display = desk.state().display;

    Requestor clock(stage, display);
    const auto since = clock.ask("TIMESTAMP", "refusal-unsaid");
    stage.require(since && since->type == "INTEGER" && since->format == 32 && number_in(*since) != 0,
                  {"TIMESTAMP is an INTEGER of 32 bits, the time since when it owns the clipboard",
                   !since ? "it is refused" : since->type + ", format " + std::to_string(since->format) + ", " + std::to_string(number_in(*since)), "", "", "no-timestamp"});

    Requestor other(stage, display);
    const std::string missing = "application/x-" + stage.random().word(8);
    other.convert(missing);
    stage.require(!other.notified(missing, "refusal-unsaid"), {"a target that is not on offer is refused: property None", "it is given", "", "", "answers-everything"});

    Requestor several(stage, display);
    Client& client = several.client;
    const xcb_atom_t pairs[] = {client.atom("UTF8_STRING"), client.atom("P1"), client.atom(missing), client.atom("P2"), client.atom("TARGETS"), client.atom("P3")};
    client.set(client.window, client.atom("JUDGE"), client.atom("ATOM_PAIR"), 32, pairs, 6);
    several.convert("MULTIPLE");
    stage.require(several.notified("MULTIPLE", "refusal-unsaid"), {"MULTIPLE is answered", "it is refused", "", "", "no-multiple"});
    const auto one = several.read("P1"), two = several.read("P2"), three = several.read("P3");
    stage.require(one.bytes == text && three.type == "ATOM" && !two.there, {"each of the targets in MULTIPLE is in its own property", difference(one.bytes, text), "", "", "no-multiple"});
    const auto told = several.read("JUDGE");
    xcb_atom_t now[6] = {};
    std::memcpy(now, told.bytes.data(), std::min(sizeof now, told.bytes.size()));
    stage.require(told.type == "ATOM_PAIR" && now[1] == pairs[1] && now[5] == pairs[5] && (now[2] == XCB_ATOM_NONE || now[3] == XCB_ATOM_NONE),
                  {"the pair that failed has None, the others are as they were", "the failed pair is " + client.name_of(now[2]) + ", " + client.name_of(now[3]), "", "", "failed-pair-unsaid"});

    // From before the ICCCM: no property is named, the target's name is used.
    Requestor old(stage, display);
    old.convert("UTF8_STRING", "");
    stage.require(old.notified("UTF8_STRING", "refusal-unsaid") && old.read("UTF8_STRING").bytes == text,
                  {"a request without a property is answered in the property UTF8_STRING", "it is not", "", "", "property-none"});

    // Dead before it could be answered. Who asks next is there already: a number of a dead one's window may be given again.
    Requestor next(stage, display);
    {
        Requestor dead(stage, display), dead_with_pairs(stage, display);
        lab.process().suspend();
        dead.convert("UTF8_STRING");
        dead_with_pairs.convert("MULTIPLE");
        dead.client.owner();
        dead_with_pairs.client.owner();
    }
    lab.process().resume();
    const auto got = next.ask("UTF8_STRING", "dies-with-requestor");
    stage.require(got && got->bytes == text, {"the next one gets the text", got ? difference(got->bytes, text) : "it is refused", "", "", "dies-with-requestor"});
    lab.idles();
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
}

CASE("4.19 several large pastes go on side by side whatever becomes of one of them" * points(4) * section("too-much-at-once") *
     hints("How many can be in the middle of a transfer?",
           "Each requestor has its own pace. One may die, one may never ask for its next piece, and another program may copy meanwhile.",
           "Keep a list of transfers, each with requestor, property, offset and deadline; StructureNotify tells of a dead one. After SelectionClear go on until the list is empty.")) {
    stage.by_hand("lab-04 copy --type image/png <big & for i in 1 2 3; do xclip -selection clipboard -t image/png -o | cksum & done");
    Desk desk(stage);
    const std::string bytes = stage.random().bytes(stage.random().between(1'500'000, 2'000'000));
    const std::string type = "application/x-" + stage.random().word(8);
    Subject lab = desk.copies({"--type", type}, bytes);
    const Display& display = desk.state().display;
    auto begun = [&](Requestor& requestor) {
        requestor.convert(type);
        stage.require(requestor.notified(type, "no-incr") && requestor.read("JUDGE").type == "INCR", {"more than 256 KiB come by INCR", "they do not", "", "", "no-incr"});
        return requestor.piece("JUDGE", "no-incr").bytes;
    };
    Requestor slow(stage, display);
    const std::string head = begun(slow);
    {
        Requestor dies(stage, display);
        begun(dies);
    }
    desk.gets(type, bytes, "one-at-a-time");
    std::string got = head;
    for (int i = 0; i < 2; ++i)  // the first of them had been written before the others came
        got += slow.piece("JUDGE", "one-at-a-time").bytes;
    desk.copy({{"text/plain", "x"}});
    while (got.size() < bytes.size()) {
        slow.piece_is_there("JUDGE", "abandons-transfers");
        lab.process().suspend();  // when we ask for the end, it is to answer to a server that is busy elsewhere
        const auto piece = slow.take_piece("JUDGE");
        stage.require(!piece.bytes.empty(), {"a slow requestor gets as many bytes as the others", difference(got, bytes), "", "", "one-at-a-time"});
        got += piece.bytes;
        if (got.size() < bytes.size())
            lab.process().resume();
    }
    stage.require(got == bytes, {"a slow requestor gets the same bytes as the others", difference(got, bytes), "", "", "one-at-a-time"});
    desk.state().display.server().suspend();
    lab.process().resume();
    settles(stage, lab);
    desk.state().display.server().resume();
    stage.require(slow.piece("JUDGE", "leaves-before-read").bytes.empty(), {"a last piece of no bytes", "more bytes than were copied", "", "", "one-at-a-time"});
    lab.exits(0);

    // Who does not ask for its next piece is given up.
    Subject again = desk.copies({"--type", type, "--timeout", "300"}, bytes);
    Requestor stuck(stage, display);
    stuck.convert(type);
    stage.require(stuck.notified(type, "no-incr"), {"the request is answered", "it is refused", "", "", "no-incr"});
    desk.copy({{"text/plain", "x"}});
    again.exits(0, "waits-for-the-stuck");
}

CASE("4.20 without a display every verb says so and none waits for a server that has ended" * points(3) * section("no-display") *
     hints("Where does xcb_connect() tell that it could not?",
           "It never returns NULL: ask xcb_connection_has_error(), then and whenever no event comes.",
           "Throw std::runtime_error naming DISPLAY after the connect; in the loop, a null event with an error on the connection is the end, not a reason to try again.")) {
    stage.by_hand("DISPLAY= lab-04 paste; DISPLAY=:59999 lab-04 types; XAUTHORITY=/dev/null lab-04 paste");
    stage.patience(milliseconds(6000));  // who asks a dead server again and again never stands still
    Desk desk(stage);
    auto refused = [&](std::vector<std::string> arguments, std::map<std::string, std::optional<std::string>> environment) {
        Start how;
        how.environment = std::move(environment);
        Subject lab = desk.start(std::move(arguments), how);
        lab.feed("x");
        lab.close_input();
        lab.exits(1, "display-unchecked");
        lab.complains("DISPLAY", "display-unchecked");
    };
    Subject watch = desk.start({"watch"});
    watch.ready();
    const std::string text = stage.random().word(10);
    Subject copy = desk.copies({}, text);
    desk.gets("text/plain", text);
    for (const char* verb : {"paste", "types", "copy", "watch"}) {
        refused({verb}, {{"DISPLAY", std::nullopt}});
        refused({verb}, {{"DISPLAY", ":59999"}});
    }
    refused({"paste"}, {{"XAUTHORITY", "/dev/null"}});
    watch.line();
    desk.state().display.end();
    copy.exits(1, "end-of-server-unseen");
    watch.exits(1, "end-of-server-unseen");
}

CASE("4.21 xclip and xsel paste what copy offers and paste takes what they offer" * points(3) * section("with-other-programs") *
     hints("Your two verbs understand each other. Do others understand them?",
           "xclip asks for UTF8_STRING, xsel for TARGETS first; they send large data in pieces of their own size.",
           "If 4.6, 4.14 and 4.15 pass this one does; else look at what they ask for with: xclip -selection clipboard -t TARGETS -o")) {
    stage.by_hand("echo hello | lab-04 copy & xclip -selection clipboard -o; xsel --clipboard --output");
    Desk desk(stage);
    const std::string text = nasty_text(stage.random()), line = stage.random().word(30), data = stage.random().bytes(150'000);
    Subject lab = desk.copies({"--type", "text/plain", "--type", "text/html"}, text);
    pastes(stage, desk, {"xclip", "-selection", "clipboard", "-o"}, text);
    pastes(stage, desk, {"xclip", "-selection", "clipboard", "-t", "text/html", "-o"}, text);
    pastes(stage, desk, {"xsel", "--clipboard", "--output"}, text);
    const auto xclip = owning(stage, desk, {"xclip", "-selection", "clipboard", "-quiet", "-i"}, text);
    lab.exits(0, "stays-when-lost");
    prints(desk, {"paste"}, text);
    const auto picture = owning(stage, desk, {"xclip", "-selection", "clipboard", "-quiet", "-t", "image/png", "-i"}, data);
    prints(desk, {"types"}, "image/png\n");
    prints(desk, {"paste", "--type", "image/png"}, data);
    const auto xsel = owning(stage, desk, {"xsel", "--clipboard", "--nodetach", "--input"}, line);
    prints(desk, {"paste"}, line);
}

CASE("4.22 a program with windows pastes what copy offers and the other way round" * points(3) * section("with-other-programs") *
     hints("A toolkit is more particular than a small tool. What does it ask for that xclip does not?",
           "Tk asks for UTF8_STRING, looks at the property's type and format, and takes INCR in its event loop.",
           "The type of the property is UTF8_STRING, its format 8. If it hangs in the middle, see 4.15.")) {
    stage.by_hand("echo hello | lab-04 copy & echo 'puts [clipboard get -type UTF8_STRING]; exit' | wish");
    Desk desk(stage);
    const std::string text = nasty_text(stage.random()), line = stage.random().word(30);
    std::string large;
    while (large.size() < 600'000)
        large += stage.random().word(60) + "\n";
    const std::string script = "wm withdraw .; fconfigure stdout -encoding utf-8 -translation lf\n";
    auto tk = [&](const std::string& expected) {
        const std::string got = Tool(stage, desk, {"wish"}, script + "puts -nonewline [clipboard get -type UTF8_STRING]; exit\n").output();
        stage.require(got == expected, {"a Tk program pastes what was copied", difference(got, expected), "", "", ""});
    };
    Subject lab = desk.copies({}, text);
    tk(text);
    Subject second = desk.copies({}, large);
    lab.exits(0, "stays-when-lost");
    tk(large);
    const auto owner = owning(stage, desk, {"wish"}, script + "clipboard clear; clipboard append {" + line + "}; vwait forever\n");
    second.exits(0, "stays-when-lost");
    prints(desk, {"paste"}, line);
}

}
