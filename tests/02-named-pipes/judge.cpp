// The judge of lab 02: it is the reader of what the lab program writes, the writer of what it reads, the server of its
// requests and the clients of its server.

#include "peers.hpp"

#include <algorithm>

using namespace judge;
using namespace peers;

JUDGE_MAIN

namespace {

#ifdef _WIN32
constexpr bool posix = false;
#else
constexpr bool posix = true;
#endif

// One process waits at the old FIFO of a name, the other at the new one.
void know_deleted_names(Stage& stage) {
    stage.recognise("waits in open\\(\"([^\"]+)\"\\) for somebody to open that FIFO for (reading|writing)[^]*"
                    "waits in open\\(\"\\1\"\\) for somebody to open that FIFO for (reading|writing)",
                    "name-deleted");
}

// Who opens a FIFO for reading and writing is a writer himself, and never sees the last writer leave.
void know_own_write_end(Stage& stage) {
    stage.recognise("waits in read\\(\\d+\\) on the FIFO \\S+ whose write end is still open in lab-\\d+ itself", "read-write-open");
}

std::string received(Subject& reader, const std::string& text) {
    return "I pid [" + std::to_string(reader.process().id()) + "] received a message => " + text + "\n";
}

// What a reader has made of these texts, where it is plain: one read taken for one message, or the first 22 bytes.
Mistake lost_boundaries(const std::string& got, Subject& reader, const std::vector<std::string>& texts) {
    const std::string head = received(reader, "").substr(0, received(reader, "").size() - 1);
    if (texts[0].size() > 22 && got.starts_with(received(reader, texts[0].substr(0, 22))))
        return "fixed-size-read";
    // Everything is there, divided in other places.
    std::string said, sent;
    for (const std::string& text : texts)
        sent += text;
    for (std::size_t at = 0; at < got.size();) {
        if (got.compare(at, head.size(), head) == 0)
            at += head.size();
        else if (got[at++] != '\n')
            said += got[at - 1];
    }
    return said == sent ? "read-is-a-message" : "";
}

// The reader has closed and ended, and had nothing to complain of.
void know_early_leavers(Stage& stage) {
    stage.recognise("^(?![^]*\nended: )[^]*it has closed the (FIFO|pipe) ", "stops-after-one-message");
}

std::string hello_from(unsigned long id) { return "Hello from pid [" + std::to_string(id) + "]"; }

std::string answer_for(unsigned long client, const std::string& text) {
    return "you are pid [" + std::to_string(client) + "] and said: " + text;
}

// Who should wait has ended instead.
void know_early_end(Stage& stage, const Mistake& mistake) { stage.recognise("expected: lab program waits\ngot: it ended", mistake); }

// Write ends opened with O_NONBLOCK say EAGAIN when the FIFO is full.
void know_full_fifos(Stage& stage) { stage.recognise("Resource temporarily unavailable", "full-is-an-error"); }

// Words that a person could have typed, some beyond ASCII.
std::string phrase(Random& random) {
    static constexpr const char* words[] = {"gr\xc3\xbc\xc3\x9f", "caf\xc3\xa9", "\xe7\xae\xa1\xe9\x81\x93", "100%", "a b", "~$'\"\\"};
    return random.word(random.between(3, 12)) + " " + words[random.next() % std::size(words)] + " " + random.word(6);
}

void expect_answer(Stage& stage, Client& client, const std::string& text, const Mistake& on_hang, const Mistake& otherwise = {}) {
    const std::string expected = answer_for(client.id(), text), got = client.answer(on_hang);
    stage.require(got == expected, {"the client gets " + shown(expected), difference(got, expected), "", "", otherwise});
}

}  // namespace

void peers::by_hand(Stage& stage, const std::string& line, const std::string& wine) {
    stage.by_hand(posix || wine.empty() ? line : wine == not_by_hand ? "" : wine);
}

void peers::rests(Stage& stage, Subject& lab, const Mistake& otherwise) {
    lab.idles(otherwise);
    const auto runs = [&] {
        const std::vector<std::string> states = explain_hang(lab.process());
        return std::any_of(states.begin(), states.end(), [](const std::string& state) { return state.find(" is running, ") != std::string::npos; });
    };
    for (int looks = 0; posix && runs(); ++looks) {
        stage.require(looks < 10, {"no processor is used while it waits", "it runs whenever one looks", "", "", otherwise});
        lab.process().wait(Deadline::in(milliseconds(20)));
    }
}

void peers::stop(Subject& server) {
    server.process().terminate();
    server.ends("signal-does-not-stop");
    server.exits(0);
}

EXERCISE("Exercise 1: one message") {

CASE("2.1 read prints the message that somebody writes to the name" * points(4) * section("exercise-1-one-message") *
     hints("Who makes the name when the reader comes first, and what does opening it wait for?",
           "Make the FIFO if it is not there, open it for reading only (on Windows: CreateNamedPipe, then ConnectNamedPipe), read until nothing comes any more.",
           "read() returns 0 when the last writer has closed (ReadFile fails with ERROR_BROKEN_PIPE). Opened with O_RDWR you are a writer yourself, and it never does.")) {
    know_own_write_end(stage);
    know_deleted_names(stage);
    by_hand(stage, "lab-02 read my_pipe & sleep 1; echo 'Hello from pid [7]' > my_pipe", "lab-02 read my_pipe & sleep 1; lab-02 write my_pipe 'Hello from pid [7]'");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"read", name});
    Writer writer(stage, name);
    const std::string text = hello_from(stage.random().between(1, 4'194'304));
    writer.message(text);
    writer.close();
    lab.prints(received(lab, text), lost_boundaries(lab.output(), lab, {text}));
    lab.exits(0);
    expect_name_and_remove(stage, name);
}

CASE("2.2 write waits for a reader and tells him who writes" * points(4) * section("exercise-1-one-message") *
     hints("What does a writer do while nobody reads?",
           "open(O_WRONLY) on a FIFO waits for the reader by itself. On Windows the name is not even there before the reader has made it.",
           "On Windows: CreateFileW; on ERROR_FILE_NOT_FOUND wait a little and try again, on ERROR_PIPE_BUSY call WaitNamedPipeW and try again.")) {
    know_deleted_names(stage);
    know_early_end(stage, "gives-up-at-once");
    by_hand(stage, "lab-02 write my_pipe & sleep 1; cat my_pipe", "lab-02 write my_pipe & sleep 1; lab-02 read my_pipe");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"write", name});
    rests(stage, lab, "busy-waiting");
    if (!posix)
        rests(stage, lab, "busy-waiting");  // who asks again and again shows it less clearly there
    Reader reader(stage, name);
    const std::string expected = hello_from(lab.process().id());
    const std::string got = reader.message();
    stage.require(got == expected, {"the message " + shown(expected), difference(got, expected), "", "", ""});
    reader.end();
    reader.close();
    lab.exits(0);
    lab.prints("");
    expect_name_and_remove(stage, name);
}

CASE("2.3 write and read find each other whoever comes first" * points(4) * section("the-name-and-the-thing") *
     hints("The second one finds the name already there. What does it do about that?",
           "A name that exists is no error and no litter: somebody may be waiting behind it at this moment.",
           "Let mkfifo() fail with EEXIST and go on. Never unlink a name that another process may have opened: he would wait at a FIFO that nobody can find any more.")) {
    know_own_write_end(stage);
    know_deleted_names(stage);
    by_hand(stage, "lab-02 write my_pipe & lab-02 read my_pipe");
    const std::string one = fresh_name(stage), other = fresh_name(stage);
    Subject first_reader = stage.start({"read", one});
    Subject first_writer = stage.start({"write", other, "%d: " + stage.random().word(30)});
    rests(stage, first_reader, "");
    stage.require(first_writer.running(), {"write waits for its reader", "it ended", "", "", "gives-up-at-once"});
    const std::string text = phrase(stage.random());
    Subject second_writer = stage.start({"write", one, text});
    Subject second_reader = stage.start({"read", other});
    first_reader.prints(received(first_reader, text));
    const std::string sent = std::to_string(first_writer.process().id()) + ": ";
    const std::string& got = second_reader.output();
    const std::string start = received(second_reader, sent);
    stage.require(got.starts_with(start.substr(0, start.size() - 1)), {"the message of the waiting writer, " + shown(start), difference(got, start), "", "", ""});
    for (Subject* subject : {&first_reader, &second_writer, &first_writer, &second_reader})
        subject->exits(0);
    expect_name_and_remove(stage, one);
    expect_name_and_remove(stage, other);
}

}

EXERCISE("Exercise 2: messages") {

CASE("2.5 read takes messages of any length whole" * points(posix ? 6 : 8) * section("how-long-is-a-message") *
     hints("How many bytes does a message have?",
           "Nobody tells you before. One read brings what is there, and no more than your buffer holds.",
           "Read in a loop and collect until the line end has come (on Windows: while ReadFile fails with ERROR_MORE_DATA).")) {
    know_own_write_end(stage);
    stage.recognise("More data", "more-data-is-an-error");
    by_hand(stage, "lab-02 read my_pipe & sleep 1; seq -s, 1 99999 > my_pipe", "lab-02 read my_pipe & sleep 1; lab-02 write my_pipe $(seq -s, 1 5000)");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"read", name});
    Writer writer(stage, name);
    know_early_leavers(stage);
    std::string expected;
    std::vector<std::string> texts;
    for (const std::size_t length : {std::size_t{23}, std::size_t{0}, std::size_t{4097}, std::size_t{70'000} + stage.random().between(0, 999), std::size_t{1} << 20}) {
        const std::string text = stage.random().word(length);
        writer.message(text);
        texts.push_back(text);
        expected += received(lab, text);
    }
    writer.close();
    lab.prints(expected, lost_boundaries(lab.output(), lab, texts));
    lab.exits(0);
    expect_name_and_remove(stage, name);
}

CASE("2.6 messages stay apart and each is handed over when it is complete" * points(posix ? 6 : 7) * section("how-long-is-a-message") *
     hints("Three messages were written. How many reads do they come in?",
           "On a FIFO: as many as it happens to be; the boundary is the line end and nothing else. On Windows: only if the pipe was made with PIPE_TYPE_MESSAGE and PIPE_READMODE_MESSAGE.",
           "Hand over each message as soon as its end is there; do not wait for the writer to close. What is behind the last line end is the beginning of the next message.")) {
    know_own_write_end(stage);
    stage.recognise("got: (it|standard output) ended", "");  // who has ended waits for nothing
    by_hand(stage, "lab-02 read my_pipe & sleep 1; (printf 'one\\ntwo\\nthr'; sleep 1; printf 'ee\\n') > my_pipe   # three messages, two of them at once",
            "lab-02 read my_pipe & sleep 1; lab-02 write my_pipe one two three");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"read", name});
    Writer writer(stage, name);
    Random& random = stage.random();
    std::string expected, begun = "none";
    auto expect = [&](const std::string& text) {
        const std::string line = lab.line("waits-for-end-of-file"), wanted = received(lab, text);
        // A line without our own words is the second message of one read; on Windows messages have no line end to show it.
        const bool joined = posix ? line == text : line.starts_with(wanted.substr(0, wanted.size() - 1));
        const bool divided = line + "\n" == received(lab, begun) || line == begun;
        const Mistake why = !joined && !divided ? "" : posix ? "read-is-a-message" : "bytes-instead-of-messages";
        stage.require(line + "\n" == wanted, {shown(wanted), difference(line + "\n", wanted), "", "", why});
        expected += wanted;
    };
    const std::string first = phrase(random);
    writer.message(first);
    expect(first);
    // While it is stopped, several arrive: it finds them all at once when it goes on.
    const std::string texts[] = {phrase(random), phrase(random), phrase(random)};
    lab.process().suspend();
    for (const std::string& text : texts)
        writer.message(text);
    lab.process().resume();
    for (const std::string& text : texts)
        expect(text);
    // And one that comes in two parts.
    const std::string begin = random.word(9), end = random.word(9);
    begun = begin;
    writer.begin_message(begin);
    rests(stage, lab);
    writer.message(end);
    expect(begin + end);
    // In a FIFO the last one may lack its line end.
    if (posix) {
        const std::string tail = random.word(9);
        writer.begin_message(tail);
        expected += received(lab, tail);
    }
    writer.close();
    lab.prints(expected);
    lab.exits(0);
    expect_name_and_remove(stage, name);
}

CASE("2.8 write gives up in time when nobody reads" * points(4) * section("nobody-there") *
     hints("How long does your program wait in open(), and who could tell it to stop?",
           "Nobody. With O_NONBLOCK open() asks instead of waiting: ENXIO means that nobody reads. On Windows WaitNamedPipeW takes a timeout, but does not wait at all for a name that is not there.",
           "Ask, wait a few milliseconds, ask again, until the deadline has expired. Then throw ETIMEDOUT (ERROR_SEM_TIMEOUT).")) {
    by_hand(stage, "lab-02 write --timeout 300 my_pipe hello; echo $?   # 1, after 0.3 s");
    const std::string name = fresh_name(stage), other = fresh_name(stage);
    const auto begin = std::chrono::steady_clock::now();
    Subject lab = stage.start({"write", "--timeout", "150", name, stage.random().word(8)});
    const std::string text = phrase(stage.random());
    Subject patient = stage.start({"write", "--timeout", "60000", other, text});
    lab.ends("waits-without-deadline");
    lab.fails();
    const auto waited = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    stage.require(waited >= milliseconds(140), {"it waits the 150 ms that it was given", "it ended after " + std::to_string(waited.count()) + " ms", "", "", "gives-up-at-once"});
    lab.complains(name);
    stage.require(patient.running(), {"with 60 s it is still waiting", "it ended", "", "", "gives-up-at-once"});
    Reader reader(stage, other);
    const std::string got = reader.message();
    stage.require(got == text, {"the message " + shown(text), difference(got, text), "", "", ""});
    reader.end();
    reader.close();
    patient.exits(0);
    expect_name_and_remove(stage, name);
    expect_name_and_remove(stage, other);
}

CASE("2.9 write reports a reader who leaves in the middle" * points(3) * section("nobody-there") *
     hints("What becomes of a writer whose last reader closes?",
           "On Linux SIGPIPE kills it, silently, unless it ignores that signal; then write() fails with EPIPE. On Windows WriteFile fails with ERROR_NO_DATA.",
           "Ignore SIGPIPE, check what the write returns, and throw the error: main says it and exits with 1.")) {
    stage.recognise("killed by SIGPIPE", "sigpipe");
    by_hand(stage, "lab-02 write my_pipe \"$(seq -s, 1 20000)\" & sleep 1; head -c 5 my_pipe; wait $!; echo $?   # 1, and why", not_by_hand);
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"write", name, stage.random().word(posix ? 100'000 : 12'000), stage.random().word(12'000)});
    Reader reader(stage, name);
    reader.taste();
    reader.close();
    lab.ends();
    lab.fails("write-unchecked");
    stage.require(!lab.errors().empty(), {"it says what has happened", "nothing on standard error", "", "", ""});
    expect_name_and_remove(stage, name);
}

}

EXERCISE("Exercise 3: request") {

CASE("2.12 request asks and prints what the server answers to it" * points(7) * section("exercise-3-request") *
     hints("Where is the answer to go, and is that place ready before you ask?",
           "The server may answer in the next microsecond. Your own FIFO must exist and be open for reading before the request is sent. On Windows, the pipe's other direction is there already.",
           "Open your own FIFO with O_RDONLY | O_NONBLOCK, and once more for writing, so that the server's closing after each answer is no end of file. Then write 'PID TEXT\\n' in one write, and poll().")) {
    know_full_fifos(stage);
    by_hand(stage, "lab-02 serve my_server & sleep 1; lab-02 request my_server hello");
    const std::string name = fresh_name(stage);
    Server server(stage, name);
    const std::string text = phrase(stage.random()), second = phrase(stage.random());
    Subject lab = stage.start({"request", name, text, second});
    server.expect_open_ears(lab.process().id(), posix ? "asks-before-it-listens" : "");
    std::string expected;
    for (const std::string& asked : {text, second}) {
        const std::string got = server.request(lab.process().id());
        stage.require(got == asked, {"the request " + shown(asked), difference(got, asked), "", "", ""});
        if (asked == second)
            rests(stage, lab, posix ? "client-eof-loop" : "");  // the server has opened and closed the answer's FIFO once
        const std::string answer = stage.random().word(asked == second ? stage.random().between(9000, 12'000) : 20);
        server.answer(answer);
        expected += answer + "\n";
        lab.output_of(expected.size(), asked == second ? "answer-cut-off" : "");  // the first is short
    }
    std::string got = lab.output();
    got = got.substr(0, got.find_last_not_of('\n') + 1);
    lab.prints(expected, got.size() + 1 < expected.size() && expected.starts_with(got) ? "answer-cut-off" : "");
    lab.exits(0);
    server.close();
}

CASE("2.13 request says at once that nobody serves the name" * points(3) * section("nobody-there") *
     hints("Is it the client's business to wait for a server that nobody has started?",
           "open(O_WRONLY) would wait for ever at a FIFO that a dead server left behind.",
           "With O_NONBLOCK it fails with ENXIO; without a FIFO with ENOENT; on Windows CreateFileW fails with ERROR_FILE_NOT_FOUND. Throw it as it is.")) {
    stage.recognise("waits in open\\(\"[^\"]+\"\\) for somebody to open that FIFO for reading", "waits-for-a-server");
    by_hand(stage, "lab-02 request nobody hello; echo $?   # 1, at once");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"request", name, stage.random().word(5)});
    lab.ends("waits-for-a-server");
    lab.fails();
    lab.complains(name);
    lab.prints("");
    stage.require(!name_exists(stage, name), {"a client makes no server's name", "it has made " + name, "", "", ""});
    // And where there is one, it asks.
    Server server(stage, name);
    const std::string text = stage.random().word(9);
    Subject again = stage.start({"request", name, text});
    const std::string got = server.request(again.process().id());
    stage.require(got == text, {"the request " + shown(text), difference(got, text), "", "", ""});
    server.answer("yes");
    again.exits(0);
    server.close();
}

CASE("2.14 request notices that the server dies before it has answered" * points(5) * section("the-server-dies") *
     hints("The server is killed while you wait for its answer. Who tells you?",
           "Not your own FIFO: you hold a write end of it yourself. But you still hold the write end of the server's FIFO. On Windows the pending ReadFile fails with ERROR_BROKEN_PIPE.",
           "poll() the write end as well, asking for nothing (events = 0): POLLERR comes when its last reader is gone.")) {
    know_full_fifos(stage);
    stage.recognise("waits in (read|poll)\\(.*whose write end is still open in lab-\\d+ itself", "server-death-unnoticed");
    by_hand(stage, "lab-02 serve my_server & SERVER=$!; sleep 1; kill -STOP $SERVER; lab-02 request my_server hello & sleep 1; kill -KILL $SERVER; wait $!; echo $?   # 1");
    const std::string name = fresh_name(stage);
    Server server(stage, name);
    Subject lab = stage.start({"request", name, stage.random().word(5)});
    server.request(lab.process().id());
    rests(stage, lab, "");
    server.close();
    lab.ends("server-death-unnoticed");
    lab.fails();
    lab.prints("");
}

CASE("2.15 request gives up in time and leaves nothing behind" * points(posix ? 3 : 4) * section("exercise-3-request") *
     hints("The server lives, but does not answer. And then somebody presses Ctrl-C. What is left lying about?",
           "A signal's default action ends you without a single destructor: your FIFO stays. On Windows a read is still pending, into a buffer that is about to go.",
           "Block SIGINT and SIGTERM and poll() a signalfd beside the answer. On Windows wait with a timeout for the event, then CancelIoEx, then GetOverlappedResult.")) {
    know_full_fifos(stage);
    stage.recognise("killed by SIG(INT|TERM)", "signal-leaves-the-name");
    by_hand(stage, "lab-02 serve my_server & SERVER=$!; sleep 1; kill -STOP $SERVER; lab-02 request --timeout 300 my_server hello; echo $?; ls my_server*; kill -KILL $SERVER   # 1, and no FIFO but the server's");
    const std::string name = fresh_name(stage);
    Server server(stage, name);
    server.make_room();
    Subject early = stage.start({"request", "--timeout", "100", name, stage.random().word(5)});
    early.ends("request-without-deadline");
    early.fails();
    early.complains(name);
    server.close();
    Server second(stage, name);
    Subject lab = stage.start({"request", name, stage.random().word(5)});
    second.request(lab.process().id());
    lab.process().terminate();
    lab.ends();
    lab.fails(posix ? "" : "client-ignores-stop");
    second.close();
}

}

EXERCISE("Exercise 4: serve") {

CASE("2.16 serve answers clients that come and go and waits without effort" * points(7) * section("the-end-that-is-none") *
     hints("What does read() return at a FIFO whose last writer has just left, and what the time after that?",
           "End of file, again and again: a loop that reads on burns a whole processor. And reopening loses who comes in between.",
           "Keep a write end of your own FIFO open and never write to it. On Windows: DisconnectNamedPipe and wait for the next client, or make a new instance.")) {
    know_early_end(stage, posix ? "stops-at-end-of-file" : "dies-with-its-client");
    by_hand(stage, "lab-02 serve my_server & sleep 1; lab-02 request my_server hello; top -p $!");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"serve", name});
    const std::string detail = lab.ready();
    stage.require(detail == name, {"the line " + shown("ready " + name), shown("ready " + detail), "", "", ""});
    auto ask_twice = [&] {
        Client client(stage, name);
        for (int i = 0; i < 2; ++i) {
            const Mistake hangs_up = !posix && i == 1 ? "one-request-a-client" : "";
            const std::string text = phrase(stage.random());
            client.ask(text, hangs_up);
            expect_answer(stage, client, text, hangs_up);
        }
    };
    ask_twice();
    rests(stage, lab, posix ? "eof-loop" : "");  // the last client has gone
    ask_twice();
    stop(lab);
}

CASE("2.17 serve gives each of 50 clients at once its own answer" * points(posix ? 8 : 10) * section("exercise-4-serve") *
     hints("Fifty requests arrive. In how many reads, and where does each begin?",
           "One read may bring ten requests and the first half of the eleventh. On Windows each client has an instance of its own, and for the next one there must be another.",
           "Keep what is behind the last line end for the next read. On Windows: as soon as a client is connected, create the next instance; ConnectNamedPipe failing with ERROR_PIPE_CONNECTED means that a client is there already.")) {
    by_hand(stage, "lab-02 serve my_server & sleep 1; for i in $(seq 50); do lab-02 request my_server $i & done; wait");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"serve", name});
    lab.ready();
    std::vector<std::string> texts;
    for (int i = 0; i < 50; ++i)
        texts.push_back(std::to_string(i) + " " + stage.random().word(stage.random().between(900, 1100)));
    for (const Asked& asked : crowd(stage, lab, name, texts, posix ? "one-read-one-request" : "one-client-at-a-time")) {
        const std::string expected = answer_for(asked.client, asked.text);
        stage.require(asked.answer == expected, {"client " + std::to_string(asked.client) + " gets " + shown(expected), difference(asked.answer, expected), "", "", posix ? "one-read-one-request" : ""});
    }
    stop(lab);
}

CASE("2.18 serve is not held up by a client that never reads" * points(6) * section("clients-are-strangers") *
     hints("A client's pipe is full. Who waits?",
           "If the server writes and waits, everybody waits: one client has stopped them all.",
           "Open the client's FIFO with O_NONBLOCK and drop the answer for which there is no room (EAGAIN). On Windows start an overlapped write and serve the others until it is done.")) {
    stage.recognise("waits in write\\(\\d+\\) on the FIFO \\S+ that is full, and whose read end is open in the judge", "waits-for-one-client");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"serve", name});
    lab.ready();
    // Both are connected before anybody asks: a server that waits for one would not let another in, and that is 2.17's.
    Client stubborn(stage, name), client(stage, name);
    const std::string first = stage.random().word(3000);
    const Mistake waits = posix ? "" : "waits-for-one-client";  // there the explained hang does not show the client
    stubborn.flood(first, 40, waits);
    lab.idles();  // it has answered as far as there is room, and no further
    const std::string text = phrase(stage.random());
    client.ask(text, waits);
    expect_answer(stage, client, text, waits);
    // What was sent to the stubborn one before its pipe was full is unharmed.
    expect_answer(stage, stubborn, first, "");
    stop(lab);
}

CASE("2.19 serve survives clients that are gone or silent or talk nonsense" * points(6) * section("clients-are-strangers") *
     hints("Who guarantees that what you read is a request, and that its sender still lives?",
           "Nobody: the name is all that a client needs. A FIFO that nobody reads any more (ENXIO), one that is not there (ENOENT), a number that is none.",
           "Open the answer's FIFO with O_NONBLOCK, take every failure there as 'this client has gone', parse with from_chars instead of stoi, and go on.")) {
    stage.recognise("waits in open\\(\"[^\"]+\\.\\d+\"\\) for somebody to open that FIFO for reading", "waits-for-a-dead-client");
    stage.recognise("saying \"[^\"]*(sto[a-z]+|from_chars)", "believes-every-request");
    stage.recognise(posix ? "saying \"[^\"]*No such (file|device)" : "ended: [^\\n]*saying ", "dies-with-its-client");
    stage.by_hand("lab-02 serve my_server & sleep 1; " + std::string(posix ? "echo nonsense > my_server; " : "") + "lab-02 request my_server hello");
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"serve", name});
    lab.ready();
    const RudeClients rude(stage, name);
    Client client(stage, name);
    const std::string text = phrase(stage.random());
    client.ask(text);
    expect_answer(stage, client, text, "");
    stop(lab);
}

CASE("2.20 serve stops when it is told to and takes its name with it" * points(4) * section("stopping") *
     hints("Where is your server when SIGTERM arrives, and what makes it come back from there?",
           "The default action ends it on the spot, and the name stays. A handler installed by signal() lets the interrupted read() go on as if nothing had been.",
           "Block both signals and poll() a signalfd (or a pipe that the handler writes to) beside the requests. On Windows the control handler runs in a thread of its own: let it set an event.")) {
    stage.recognise("killed by SIG(INT|TERM)", "signal-leaves-the-name");
    by_hand(stage, "lab-02 serve my_server & sleep 1; kill $!; wait $!; echo $?; ls my_server   # 0, and no such file", "lab-02 serve my_server; echo $?   # end it with Ctrl-C: 0");
    const std::string name = fresh_name(stage), other = fresh_name(stage);
    Subject lab = stage.start({"serve", name});
    Subject second = stage.start({"serve", other});
    lab.ready();
    second.ready();
    {
        Client client(stage, name);
        client.ask("hello");
        client.answer();
        stop(lab);
    }
    second.process().interrupt();
    second.exits(0, "signal-does-not-stop");
    for (const std::string& one : {name, other})
        stage.require(!name_exists(stage, one), {"no name is left", "", one, "", "name-left"});
}

}
