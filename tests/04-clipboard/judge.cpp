// The judge of lab 04: it is the other programs at the clipboard.

#include "peers.hpp"

#include <algorithm>
#include <stdexcept>

using namespace peers;

JUDGE_MAIN

namespace peers {

// A mistake that cannot be made on Windows.
static Mistake posix_only(const char* name) { return windows ? "" : name; }

std::string nasty_text(Random& random) {
    return "Gr\u00fc\u00dfe " + random.word(12) + "\r\n\u6f22\u5b57\u3068\u304b\u306a\r\n\U0001F642 caf\u00e9\t" + random.word(8) + "\nno end of line";
}

void await_ours(Stage& stage, const std::function<bool(Deadline)>& attempt, const std::string& what) {
    const Deadline limit = Deadline::in(std::chrono::duration_cast<milliseconds>(milliseconds(20'000) * stage.time_scale()));
    while (!attempt(Deadline::in(milliseconds(40))))
        if (limit.expired())
            throw std::runtime_error("in vain the judge waited for itself: " + what);
}

void works_alone(Stage& stage, Subject& lab) {
    for (const ProcessInfo& process : lab.process().tree())
        stage.require(process.name.starts_with("lab-04"),
                      {"the lab program talks to the clipboard itself", "it has started " + process.name, "", "", posix_only("asks-another-program")});
}

Subject Desk::copies(std::vector<std::string> arguments, const std::string& input, const Mistake& otherwise) {
    arguments.insert(arguments.begin(), "copy");
    Subject lab = start(std::move(arguments));
    lab.feed(input);
    lab.close_input();
    lab.ready(otherwise);
    works_alone(stage_, lab);
    return lab;
}

void Desk::gets(const std::string& type, const std::string& bytes, const Mistake& otherwise) {
    const std::optional<std::string> got = ask(type, otherwise);
    stage_.require(got.has_value(), {"another program pastes " + type, "the lab program refuses to give it", "", "", otherwise});
    // Without a NUL behind it some systems take the last character for it, others read on.
    const bool cut = windows && type == "text/plain" && bytes.starts_with(*got) && bytes.size() - got->size() <= 4;
    stage_.require(*got == bytes, {"another program that pastes " + type + " gets what was copied", difference(*got, bytes), "", "",
                                   cut ? "text-without-nul" : otherwise});
}

}  // namespace peers

namespace {

constexpr std::size_t MiB = 1024 * 1024;

// With every byte that somebody may take for an end.
std::string picture(Random& random, std::size_t size) {
    return std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16) + random.bytes(size) + std::string("\0\0\xae\x42\x60\x82", 6);
}

std::string html(Random& random) { return "<p>Gr\u00fc\u00dfe <b>" + random.word(10) + "</b> \u6f22\u5b57</p>\r\n"; }

std::string lines(const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts)
        all += text + "\n";
    return all;
}

std::string listed(const std::vector<std::string>& types) { return types.empty() ? "nothing is on offer" : lines(types); }

void by_hand(Stage& stage, const std::string& shell, const std::string& cmd) { stage.by_hand(windows ? cmd : shell); }

// It ends with exit code 1 and words on standard error, and prints nothing.
void is_refused(Stage& stage, Subject& lab, const Mistake& otherwise) {
    lab.exits(1, otherwise);
    stage.require(lab.output().empty(), {"nothing is printed, since there is nothing to print", shown(lab.output()), "", "", otherwise});
    stage.require(!lab.errors().empty(), {"standard error says what was wrong", "nothing", "", "", otherwise});
}

// It is blocked until somebody wakes it, and does not come back by itself to look. Only where that can be told for sure.
void waits_without_end(Stage& stage, Subject& lab) {
    bool still = windows;
    for (int look = 0; !still && look < 20; ++look)
        still = !lab.process().stillness().empty() || lab.process().wait(Deadline::in(milliseconds(10)));
    stage.require(still, {"it waits until it is told", "it waits with a timeout, to look by itself", "", "", "polls"});
}

void wrong_usage(Desk& desk, std::vector<std::string> arguments) {
    Subject lab = desk.start(std::move(arguments));
    lab.close_input();
    lab.exits(2, "");
}

}  // namespace

EXERCISE("Exercise 1: paste") {

CASE("4.1 paste prints the text that another program has copied, character for character" * points(5) * section("text-has-many-names") *
     hints("The one who has copied offers its text in several forms. Which of them has every character?",
           "On X11 STRING is ISO 8859-1 and UTF8_STRING is what it says; on Windows CF_TEXT is in some code page and CF_UNICODETEXT in UTF-16.",
           "Ask for UTF8_STRING and print it as it is (and xcb_flush() before you wait: until then the question lies in your own buffer); or take CF_UNICODETEXT up to its NUL, GlobalSize may be more, and convert it with ipc::to_utf8.")) {
    by_hand(stage, "printf 'Gr\u00fc\u00dfe, \u6f22\u5b57\\r\\n' | xclip -selection clipboard; lab-04 paste | od -c",
            "echo Gr\u00fc\u00dfe| clip\nlab-04 paste");
    Desk desk(stage);
    const std::string first = nasty_text(stage.random()), second = stage.random().word(1);
    desk.copy({{"text/plain", first}});
    Subject lab = desk.start({"paste"});
    const std::string& got = lab.output();
    stage.require(got.find('?') == std::string::npos && got.find("Gr\xfc") != 0,
                  {"every character arrives", shown(got) + ": what an 8-bit character set does not have is lost", "", "", windows ? "asks-for-code-page-text" : "asks-for-latin-1"});
    stage.require(!windows || got.size() <= first.size() || got.compare(0, first.size(), first) != 0,
                  {"the text ends where it ends", difference(got, first) + ": that lies behind the NUL", "", "", "takes-the-whole-block"});
    lab.prints(first);
    lab.exits(0);
    desk.copy({{"text/html", "<b>no</b>"}, {"text/plain", second}});
    Subject again = desk.start({"paste", "--type", "text/plain"});
    again.prints(second);
    again.exits(0);
}

CASE("4.2 paste gives every byte of a picture" * points(5) * section("how-much-is-there") *
     hints("Where does the data end, if not at the first byte 0?",
           "The one who holds the data also holds its length: xcb_get_property_value_length(), GlobalSize(). A property comes in as many parts as you ask for.",
           "Ask for up to 2^30 words at once, or go on while bytes_after is not 0; make the string with the length, std::string(pointer, size).")) {
    by_hand(stage, "xclip -selection clipboard -t image/png -i picture.png; lab-04 paste --type image/png | cmp - picture.png", "");
    Desk desk(stage);
    const std::string bytes = picture(stage.random(), stage.random().between(100'000, 200'000));
    desk.copy({{"image/png", bytes}});
    Subject lab = desk.start({"paste", "--type", "image/png"});
    const std::string& got = lab.output();
    stage.require(got != bytes.substr(0, bytes.find('\0')), {"the whole picture, a byte 0 is no end", difference(got, bytes), "", "", "ends-at-nul"});
    const std::string& printed = lab.output();
    lab.prints(bytes, !printed.empty() && bytes.starts_with(printed) ? "reads-first-part-only" : "");
    lab.exits(0);
}

CASE("4.3 types lists what can be pasted and nothing else" * points(5) * section("what-is-on-offer") *
     hints("Who knows what there is?",
           "On X11 the owner, which answers the target TARGETS with a list of atoms; on Windows EnumClipboardFormats() on the open clipboard.",
           "Leave out TARGETS, MULTIPLE, TIMESTAMP and the like, turn every form of text into text/plain, and print each name once.")) {
    by_hand(stage, "echo hello | xclip -selection clipboard; lab-04 types", "lab-04 types");
    Desk desk(stage);
    const std::string own = "application/x-" + stage.random().word(10);
    desk.copy({{"image/png", picture(stage.random(), 100)}, {own, "x"}, {"text/html", "<b>x</b>"}, {"text/plain", "x"}});
    Subject lab = desk.start({"types"});
    const std::string& got = lab.output();
    stage.require(got.find("TARGETS") == std::string::npos && got.find("TIMESTAMP") == std::string::npos,
                  {"only what can be pasted is listed", shown(got, 300), "", "", "lists-requests"});
    const auto first = got.find("text/plain\n");
    stage.require(first == std::string::npos || got.find("text/plain\n", first + 1) == std::string::npos,
                  {"text/plain is there once, however many forms of text there are", shown(got, 300), "", "", "text-listed-twice"});
    lab.prints(lines({"image/png", own, "text/html", "text/plain"}));
    lab.exits(0);
}

CASE("4.4 when nothing was copied paste says so and types is empty" * points(4) * section("nobody-there") *
     hints("Who is asked, if nobody has copied?",
           "On X11 the server itself answers then, with a property None; the same as a refusal. On Windows no format is there.",
           "xcb_get_selection_owner() before you ask: without an owner throw std::runtime_error. On Windows: CountClipboardFormats() or the list of formats.")) {
    by_hand(stage, "xclip -selection clipboard /dev/null; lab-04 paste; echo $?", "lab-04 paste");
    Desk desk(stage);
    desk.empty();
    Subject none = desk.start({"types"});
    none.prints("");
    none.exits(0, "empty-is-an-error");
    Subject lab = desk.start({"paste"});
    is_refused(stage, lab, "refusal-is-empty");
    const std::string text = stage.random().word(20);
    desk.copy({{"text/plain", text}});
    Subject some = desk.start({"paste"});
    some.prints(text);
    some.exits(0);
    desk.empty();
    Subject nothing = desk.start({"paste"});
    is_refused(stage, nothing, "refusal-is-empty");
}

CASE("4.5 paste of a type that is not on offer is refused and tells what there is" * points(4) * section("nobody-there") *
     hints("What would a person want to read who has asked for the wrong type?",
           "You have the list already, or can ask for it. An answer that is not there is an error: exit code 1, and nothing on standard output.",
           "Look for the type in what types() gives; if it is not there throw std::runtime_error with the type and the list.")) {
    by_hand(stage, "echo hello | xclip -selection clipboard; lab-04 paste --type image/png; echo $?", "lab-04 paste --type image/png");
    Desk desk(stage);
    const std::string own = "application/x-" + stage.random().word(10), bytes = stage.random().word(30);
    desk.copy({{own, bytes}});
    Subject lab = desk.start({"paste", "--type", "image/png"});
    is_refused(stage, lab, "refusal-is-empty");
    lab.complains(own, "offer-not-named");
    Subject text = desk.start({"paste"});
    is_refused(stage, text, "refusal-is-empty");
    Subject right = desk.start({"paste", "--type", own});
    right.prints(bytes);
    right.exits(0);
    // The given part of the program; each start costs, under Wine most.
    std::vector<std::vector<std::string>> wrong = {{"watch", "--count", "0"}, {"copy", "--type", "TARGETS"}, {"paste", "--timeout", "-1"}};
    if (!windows)
        for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{
                 {}, {"cut"}, {"paste", "--type"}, {"paste", "--type", "two words"}, {"types", "--count", "1"},
                 {"copy", "--type", "a/b", "--type", "a/b"}, {"watch", "--count", "99999999999999999999"}, {"paste", "--", "true"}})
            wrong.push_back(more);
    for (const std::vector<std::string>& arguments : wrong)
        wrong_usage(desk, arguments);
}

}

EXERCISE("Exercise 2: copy") {

CASE("4.6 copy gives its input to everybody who asks and as often as they ask" * points(6) * section("copying-moves-nothing") *
     hints("Where are the bytes after copy has said ready?",
           "On X11 in your process and nowhere else, so it has to stay, and to answer everybody. On Windows the clipboard asks your window once, and everybody after it.",
           "Loop over the events: SelectionRequest (WM_RENDERFORMAT) is answered each time, SelectionClear (WM_DESTROYCLIPBOARD) ends the loop. On Windows CloseClipboard() before you wait.")) {
    by_hand(stage, "printf 'Gr\u00fc\u00dfe, \u6f22\u5b57\\r\\n' | lab-04 copy & xclip -selection clipboard -o | od -c",
            "echo hello| lab-04 copy");
    Desk desk(stage);
    const std::string text = nasty_text(stage.random());
    Subject lab = desk.copies({}, text);
    lab.idles();
    desk.gets("text/plain", text, windows ? "not-unicode-text" : "");
    desk.gets_all_forms_of(text);
    const std::vector<std::string> offered = desk.types();
    stage.require(offered == std::vector<std::string>{"text/plain"}, {"text is on offer", listed(offered), "", "", ""});
    for (int i = 0; i < 3; ++i)
        desk.gets("text/plain", text, posix_only("serves-once"));
    lab.idles();
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
    lab.prints("ready\n");
}

CASE("4.7 copy ends when another program copies and leaves alone what that has copied" * points(6) * section("who-has-copied-last") *
     hints("How does a program learn that what it has copied is not wanted any more?",
           "By an event: SelectionClear on X11, WM_DESTROYCLIPBOARD on Windows. What is on the clipboard from then on is somebody else's.",
           "Leave the loop at that event and return; do not clear, close or own anything on the way out.")) {
    by_hand(stage, "echo one | lab-04 copy & sleep 1; echo two | xclip -selection clipboard; wait $!; echo $?",
            "echo one| lab-04 copy\nrem and in another window: echo two| clip");
    Desk desk(stage);
    const std::string mine = stage.random().word(20), theirs = stage.random().word(20);
    Subject lab = desk.copies({}, mine);
    desk.gets("text/plain", mine);
    desk.copy({{"text/plain", theirs}});
    lab.exits(0, "stays-when-lost");
    desk.gets("text/plain", theirs, "clears-when-lost");
    Subject second = desk.start({"paste"});
    second.prints(theirs, "clears-when-lost");
    second.exits(0);
}

CASE("4.8 the last of several copies counts and one that is refused changes nothing" * points(4) * section("who-has-copied-last") *
     hints("What becomes of the clipboard when a copy cannot be made?",
           "It is looked at before anything is taken: main.cpp refuses empty input and text that is not text before it calls you.",
           "If this fails although 4.6 and 4.7 pass: two lab programs at one clipboard must tell each other's events apart, by window.")) {
    by_hand(stage, "echo one | lab-04 copy & sleep 1; lab-04 copy </dev/null; lab-04 paste", "");
    Desk desk(stage);
    const std::string one = stage.random().word(20), two = nasty_text(stage.random());
    Subject first = desk.copies({}, one);
    desk.gets("text/plain", one);
    Subject second = desk.copies({}, two);
    first.exits(0, "stays-when-lost");
    for (const std::string& bad : {std::string(), std::string("\xff not UTF-8"), std::string("a\0b", 3)}) {
        Subject refused = desk.start({"copy"});
        refused.feed(bad);
        refused.close_input();
        is_refused(stage, refused, "");
    }
    Subject paste = desk.start({"paste"});
    paste.prints(two);
    paste.exits(0);
    desk.gets("text/plain", two);
    desk.copy({{"text/plain", "x"}});
    second.exits(0, "stays-when-lost");
}

}

EXERCISE("Exercise 3: types and promises") {

CASE("4.9 html goes both ways" * points(6) * section("html-and-its-header") *
     hints("What does the other program expect under the name of html?",
           "On X11 the target text/html and just the html. On Windows the format 'HTML Format': UTF-8 with a header of byte offsets in front.",
           "Version, StartHTML, EndHTML, StartFragment, EndFragment, counted in bytes from the first of the header; to read, take StartFragment to EndFragment.")) {
    by_hand(stage, "printf '<b>hello</b>' | lab-04 copy --type text/html & xclip -selection clipboard -t text/html -o", "");
    Desk desk(stage);
    const std::string theirs = html(stage.random()), ours = html(stage.random());
    desk.copy({{"text/html", theirs}, {"text/plain", "x"}});
    Subject paste = desk.start({"paste", "--type", "text/html"});
    const std::string& got = paste.output();
    stage.require(!windows || got.find("StartFragment") == std::string::npos, {"the fragment, without the header", shown(got, 300), "", "", "header-not-removed"});
    paste.prints(theirs);
    paste.exits(0);
    Subject lab = desk.copies({"--type", "text/html"}, ours);
    const std::vector<std::string> offered = desk.types();
    stage.require(offered == std::vector<std::string>{"text/html"}, {"text/html is on offer, and nothing else", listed(offered), "", "", "says-it-is-text"});
    desk.gets("text/html", ours, windows ? "counts-characters, counts-from-the-html" : "");
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
}

CASE("4.10 one copy offers several types and gives each to whoever asks for it" * points(4) * section("what-is-on-offer") *
     hints("Which of your offers is the one that was asked for?",
           "The request names a target (a format). The others are none of its business.",
           "Look for the offer whose name the request has, and answer with its data and its name as the type.")) {
    by_hand(stage, "printf '<b>hello</b>' | lab-04 copy --type text/html --type text/plain & xclip -selection clipboard -t TARGETS -o", "");
    Desk desk(stage);
    const std::string own = "application/x-" + stage.random().word(10), text = html(stage.random());
    Subject lab = desk.copies({"--type", "text/html", "--type", own, "--type", "text/plain"}, text);
    const std::vector<std::string> expected = {"text/html", own, "text/plain"};
    const std::vector<std::string> offered = desk.types();
    stage.require(offered == expected, {"on offer: " + lines(expected), listed(offered), "", "", "offers-one-only"});
    Subject types = desk.start({"types"});
    types.prints(lines(expected));
    types.exits(0);
    for (const std::string& type : {own, std::string("text/plain"), std::string("text/html")})
        desk.gets(type, text);
    const std::optional<std::string> other = desk.ask("image/png", windows ? "" : "refusal-unsaid");
    stage.require(!other, {"who asks for what is not on offer is refused", other ? shown(*other) : "", "", "", "answers-everything"});
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
}

CASE("4.11 what a command makes is made only when somebody asks and only once" * points(7) * section("promises") *
     hints("When has the data to be there?",
           "Not when it is copied. Offer::render is called when a request for that type comes, and what it gave serves the next request too.",
           "On Windows SetClipboardData(format, NULL) promises, and WM_RENDERFORMAT asks. On X11 keep what render() gave beside the offer.")) {
    by_hand(stage, "lab-04 copy -- sh -c 'echo made >&2; date' & xclip -selection clipboard -o; xclip -selection clipboard -o",
            "lab-04 copy -- cmd /c time /t");
    Desk desk(stage);
    const std::string text = nasty_text(stage.random());
    Puppet maker = stage.puppet();
    Subject lab = desk.start({"copy", "--type", "text/html", "--type", "text/plain", "--", maker.program(), maker.endpoint()});
    lab.close_input();
    lab.ready("renders-at-once");
    lab.idles();
    const std::vector<std::string> offered = desk.types();
    stage.require(offered == std::vector<std::string>{"text/html", "text/plain"}, {"both types are on offer", listed(offered), "", "", ""});
    stage.require(!maker.is_started(), {"the command is run only when somebody pastes", "it runs already", "", "", "renders-at-once"});
    Subject paste = desk.start({"paste", "--timeout", "60000"});
    maker.started();
    const std::string asked = maker.arguments().empty() ? "" : maker.arguments().back();
    stage.require(asked == "text/plain", {"it is run for the type that was asked for, text/plain", "for " + shown(asked), "", "", "renders-all-types"});
    paste.idles();
    maker.write(text);
    maker.exit(0);
    paste.prints(text);
    paste.exits(0);
    // The command is not there a second time: who runs it again waits for ever.
    desk.gets("text/plain", text, posix_only("renders-every-time"));
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
}

CASE("4.12 a promise that cannot be kept is refused and the service goes on" * points(4) * section("promises") *
     hints("Somebody has asked, and you have nothing to give. What do they wait for?",
           "render() throws. On X11 the one who asked waits for a SelectionNotify, on Windows the system waits for you to return; neither can do with an exception.",
           "Catch it, say it on standard error, refuse (property None; on Windows set nothing), and go on with the loop.")) {
    by_hand(stage, "lab-04 copy -- false & xclip -selection clipboard -o; jobs", "lab-04 copy -- cmd /c exit 1");
    Desk desk(stage);
    stage.recognise("got: it ended before that", "failed-promise-ends-it");
    // One command that fails, and one that is not there.
    for (const std::string& command : {puppet_program(), "no-such-command-" + stage.random().word(8)}) {
        Subject lab = desk.start({"copy", "--", command, "no-such-endpoint"});
        lab.close_input();
        lab.ready();
        const std::optional<std::string> got = desk.ask("text/plain", windows ? "failed-promise-ends-it" : "failed-promise-unanswered");
        stage.require(!got, {"who asks is refused", got ? shown(*got) : "", "", "", windows ? "failed-promise-ends-it" : "failed-promise-unanswered"});
        stage.require(lab.running(), {"copy goes on", "it has ended", "", "", "failed-promise-ends-it"});
        Subject paste = desk.start({"paste"});
        is_refused(stage, paste, "failed-promise-ends-it");
        const std::vector<std::string> offered = desk.types("failed-promise-ends-it");
        stage.require(offered == std::vector<std::string>{"text/plain"}, {"text/plain is still on offer", listed(offered), "", "", "failed-promise-ends-it"});
        desk.copy({{"text/plain", "x"}});
        lab.exits(0, "failed-promise-ends-it");
        stage.require(!lab.errors().empty(), {"standard error says that the command has failed", "nothing", "", "", "failed-promise-unsaid"});
    }
}

CASE("4.13 watch says a line at every change and does nothing in between" * points(6) * section("news") *
     hints("How often would you have to look so as to miss nothing?",
           "You cannot look often enough, and need not look at all: the system tells whoever has asked to be told.",
           "X11: the XFIXES extension, with xcb_xfixes_query_version first. Windows: AddClipboardFormatListener and WM_CLIPBOARDUPDATE.")) {
    by_hand(stage, "lab-04 watch & echo one | xclip -selection clipboard; xsel -b -c", "lab-04 watch");
    stage.patience(milliseconds(6000));  // who looks now and then never stands still
    Desk desk(stage);
    const std::string text = stage.random().word(10);
    desk.copy({{"text/plain", text}});
    const bool counted = !windows || under_wine();  // Windows does not promise one message for each
    Subject lab = desk.start({"watch", "--count", counted ? "6" : "4"});
    lab.ready();
    lab.idles(windows ? "misses-changes" : "polls");
    waits_without_end(stage, lab);
    works_alone(stage, lab);
    desk.gets("text/plain", text);  // a paste is no change
    const Mistake unheard = windows ? "misses-changes" : "misses-changes, extension-not-introduced";
    std::string expected = "ready\n";
    for (int i = 0; i < 4; ++i) {
        stage.require(lab.output_so_far() == expected, {"nothing is said before something has changed", difference(lab.output_so_far(), expected), "", "", ""});
        // Emptied once, and at a moment that nobody knows.
        const bool filled = i == 0 || expected.find("emptied") != std::string::npos || (i < 3 && stage.random().between(0, 2) != 0);
        if (filled)
            desk.copy({{"text/plain", stage.random().word(10)}});
        else
            desk.empty();
        const std::string line = lab.line(filled ? unheard : "misses-the-end"), right = filled ? "copied" : "emptied";
        stage.require(line == right, {right, shown(line), "", "", filled ? "misses-changes" : "misses-the-end"});
        expected += right + "\n";
    }
    if (counted) {
        lab.process().suspend();
        desk.copy({{"text/plain", stage.random().word(10)}});
        desk.copy({{"text/plain", stage.random().word(10)}});
        lab.process().resume();
        for (int i = 0; i < 2; ++i)
            stage.require(lab.line("misses-changes") == "copied", {"copied", "something else", "", "", "misses-changes"});
        expected += "copied\ncopied\n";
    }
    lab.exits(0);
    lab.prints(expected);
}

}

EXERCISE("Exercise 4: large and hostile") {

CASE("4.14 paste takes 8 MiB however small the pieces" * points(4) * section("too-much-at-once") *
     hints("How much fits into one answer?",
           "On X11 a large answer is only announced, with the type INCR; the pieces come one by one, each when you have deleted the one before.",
           "After SelectionNotify with INCR: delete, wait for PropertyNotify with NewValue, read and delete, until a piece of 0 bytes.")) {
    by_hand(stage, "head -c 8388608 /dev/urandom >big; xclip -selection clipboard -t image/png -i big; lab-04 paste --type image/png | cmp - big", "");
    stage.patience(milliseconds(30'000));  // an amount of work; a hang is found long before
    Desk desk(stage);
    const std::string bytes = picture(stage.random(), 8 * MiB);
    desk.copy({{"image/png", bytes}});
    // On Windows the time counts for the whole, and 8 MiB may take their time on a busy machine.
    Subject lab = desk.start({"paste", "--type", "image/png", "--timeout", windows ? "60000" : "5000"});
    const std::string& got = lab.output();
    stage.require(windows || got.size() != 4, {"8 MiB", "the 4 bytes that announce them: the property is of type INCR", "", "", "incr-taken-for-data"});
    stage.require(got == bytes, {"the 8 MiB that were copied", difference(got, bytes), "", "", windows ? "" : "incr-not-begun, incr-ends-early"});
    lab.exits(0);
}

CASE("4.15 copy gives 8 MiB" * points(5) * section("too-much-at-once") *
     hints("The X server takes no request above a limit. What do you do with more?",
           "The answer is of type INCR; each time that the requestor deletes the property you write the next piece, and at the end an empty one.",
           "Select PropertyChange on the requestor's window before you write INCR; keep the offset for each requestor, and go on at each PropertyNotify with Deleted.")) {
    by_hand(stage, "head -c 8388608 /dev/urandom >big; lab-04 copy --type image/png <big & xclip -selection clipboard -t image/png -o | cmp - big", "");
    stage.patience(milliseconds(30'000));
    stage.recognise("libxcb error 4", "no-incr");
    Desk desk(stage);
    const std::string bytes = picture(stage.random(), 8 * MiB);
    Subject lab = desk.copies({"--type", "image/png"}, bytes);
    desk.gets("image/png", bytes, posix_only("no-incr"));
    lab.idles();
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
}

CASE("4.16 paste tells at once when the owner dies with the request in its hands" * points(4) * section("an-owner-that-dies") *
     hints("Who tells you that nobody will answer any more?",
           "Nobody does by itself. On X11 the owner's window goes with the owner, and you may watch that window. On Windows GetClipboardData comes back with NULL.",
           "Select StructureNotify on the owner's window before you ask, and take DestroyNotify as the end; on Windows look at the handle before you use it.")) {
    by_hand(stage, "", "");
    stage.patience(milliseconds(6000));  // it has a timeout of its own, so that it never stands still
    Desk desk(stage);
    const std::string text = stage.random().word(10);
    desk.copy({{"text/plain", text}}, Manner::dies);
    Subject lab = desk.start({"paste", "--timeout", "60000"});
    is_refused(stage, lab, windows ? "handle-unchecked" : "waits-for-the-dead");
    desk.copy({{"text/plain", text}});
    Subject alive = desk.start({"paste"});
    alive.prints(text);
    alive.exits(0);
}

CASE("4.17 paste waits for a slow owner but not for one that never answers" * points(4) * section("an-owner-that-dies") *
     hints("How long do you wait for somebody else's program?",
           "As long as the caller has said, and blocked meanwhile. A program that hangs must not make yours hang.",
           "X11: poll() the connection with the time that is left. Windows: GetClipboardData has no timeout, so call it in a thread that you can leave behind.")) {
    by_hand(stage, "echo x | xclip -quiet -selection clipboard & sleep 1; kill -STOP $!; lab-04 paste --timeout 500; kill -CONT $!", "");
    Desk desk(stage);
    const std::string text = stage.random().word(10);
    desk.copy({{"text/plain", text}}, Manner::waits);
    Subject slow = desk.start({"paste", "--timeout", "60000"});
    desk.is_asked("gives-up-early");
    slow.idles("gives-up-early");
    desk.answer();
    slow.prints(text, "gives-up-early");
    slow.exits(0, "gives-up-early");
    desk.copy({{"text/plain", text}}, Manner::silent);
    Subject lab = desk.start({"paste", "--timeout", "300"});
    is_refused(stage, lab, "waits-for-ever");
}

}
