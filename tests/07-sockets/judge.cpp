// The judge of lab 07: it is the server that the lab program calls, a thousand clients of its server, and the bad line
// between two of its datagram programs.

#include "peers.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <thread>

using namespace judge;
using namespace peers;

JUDGE_MAIN

namespace {

constexpr int by_track(int on_posix, int on_windows) { return posix ? on_posix : on_windows; }

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;

// Words that a person could have typed, some beyond ASCII.
std::string phrase(Random& random) {
    static constexpr const char* words[] = {"gr\xc3\xbc\xc3\x9f", "caf\xc3\xa9", "\xe5\xa5\x97\xe6\x8e\xa5\xe5\xad\x97", "100%", "a b", "~$'\\"};
    return random.word(random.between(3, 12)) + " " + words[random.next() % std::size(words)] + " " + random.word(6);
}

// ---- the judge as a server ------------------------------------------------------------------------------------------

// Waits until the lab program has read what was sent to it over this connection.
void is_read(Stage& stage, Subject& lab, const Conversation& connection, const Mistake& otherwise) {
    wait_until_read(stage, lab, connection.socket().other().port(), connection.socket().own().port(), otherwise);
}

// No other program does the work for it.
void works_itself(Stage& stage, Subject& lab) {
    for (const ProcessInfo& process : lab.process().tree())
        stage.require(process.name.starts_with("lab-07"), {"the lab program itself at work", process.name + " (pid " + std::to_string(process.id) + ")", "", "", "asks-another-program"});
}

// The lab program's request, which must be `text` in a frame.
void requested(Stage& stage, Conversation& connection, const std::string& text, const Mistake& otherwise = {}) {
    const std::string expected = frame(text);
    const std::string begin = connection.receive(4, "a request: 4 bytes with its length", otherwise);
    const std::string wanted = expected.substr(0, 4), turned(wanted.rbegin(), wanted.rend());
    stage.require(begin == wanted, {"the length " + shown(wanted) + " (" + std::to_string(text.size()) + "), most significant byte first",
                                    shown(begin) + (begin == turned ? ": the least significant first" : begin == text.substr(0, 4) ? ": the text itself" : ""), "", "",
                                    begin == turned                                ? "little-endian-length"
                                    : begin == prefix(static_cast<std::uint32_t>(text.size() + 1)) ? "counts-the-terminator"
                                    : begin == prefix(static_cast<std::uint32_t>(text.size() + 4)) ? "counts-the-prefix"
                                                                                   : otherwise});
    const std::string got = connection.receive(text.size(), "a request of " + std::to_string(text.size()) + " bytes", otherwise);
    stage.require(got == text, {"the request " + shown(text), difference(got, text), "", "", otherwise});
}

// It has failed, has said so about `about`, and has printed nothing.
void fails_aloud(Subject& lab, const std::string& about, const Mistake& otherwise) {
    lab.exits(1, otherwise);
    lab.complains(about, otherwise);
}

// ---- the judge as clients -------------------------------------------------------------------------------------------

// The server goes on for everybody else.
void serves(Stage& stage, const SocketAddress& address, const Mistake& otherwise) {
    Conversation other = connect(stage, address, otherwise);
    other.asks(phrase(stage.random()), otherwise);
}

// A server that is to have a port that is taken, on one address at least.
void does_not_start(Stage& stage, const SocketAddress& taken) {
    const std::string port = std::to_string(taken.port());
    Subject lab = stage.start({"serve", "--port", port});
    stage.await([&](Deadline deadline) { return lab.process().wait(deadline) || lab.output_so_far().find('\n') != std::string::npos; },
                "the server says that the port is taken and ends", "");
    const std::string said = lab.output_so_far();
    const bool two_addresses = std::count(said.begin(), said.end(), ' ') == 2;
    stage.require(said.empty(), {"exit code 1: " + taken.text() + " is taken", "it says " + shown(said), "", "",
                                 said.find(taken.text()) != std::string::npos ? "port-shared" : two_addresses ? "bind-unchecked" : "half-a-server"});
    fails_aloud(lab, port, "");
}

// Asks and asks, and takes no answer, until nothing moves any more.
class Greedy {
public:
    Greedy(Stage& stage, const SocketAddress& address) : connection(connect(stage, address, "", 4096)), stage_(stage), filling_(stage.random().word(20'000)) {}

    void pour(Subject& lab, std::size_t limit, const Mistake& otherwise) {
        auto room = std::chrono::steady_clock::now();
        for (int silent = 0; silent < 3 && std::chrono::steady_clock::now() - room < milliseconds(3000);) {
            if (left_.empty())
                left_ = frame(text(begun_++));
            const std::size_t count = connection.offer(left_);
            left_.erase(0, count);
            poured_ += count;
            // Nobody announces that a server has stopped reading: if there is no room, and it sleeps all the same, it has.
            if (count > 0 || connection.socket().ready_for(POLLOUT, Deadline::in(milliseconds(20)))) {
                silent = 0;
                room = std::chrono::steady_clock::now();
            } else {
                silent = lab.process().stillness().empty() ? 0 : silent + 1;
            }
            stage_.require(poured_ < limit, {"who does not take its answers is not listened to for ever",
                                             "the server has taken " + std::to_string(poured_ / MiB) + " MiB of requests, and no answer has been read", "", "", otherwise});
            stage_.require(count > 0 || lab.running(), {"the lab program goes on", "it ended", "", "", otherwise});
        }
    }
    // Begins to listen, finishes what it was saying, and gets every answer.
    void recovers(const Mistake& otherwise) {
        opens_up();
        for (unsigned i = 0; i < begun_; ++i) {
            if (i + 1 == begun_)
                connection.send(left_, otherwise);
            answered(i, otherwise);
        }
        left_.clear();
    }
    // Whole answers in their order, until the end of the connection.
    void takes_what_comes(const Mistake& otherwise) {
        opens_up();
        for (unsigned i = 0; i < begun_ && !connection.at_end(otherwise); ++i)
            answered(i, otherwise);
    }
    void answered(unsigned i, const Mistake& otherwise) { connection.answered(text(i), otherwise); }
    // With more room it takes them in fewer pieces.
    void opens_up() { connection.socket().set(SOL_SOCKET, SO_RCVBUF, 1 << 20); }
    std::size_t begun() const { return begun_; }
    const std::string& left() const { return left_; }

    Conversation connection;

private:
    std::string text(unsigned i) const { return std::to_string(i) + " " + filling_; }
    Stage& stage_;
    std::string filling_, left_;
    unsigned begun_ = 0;
    std::size_t poured_ = 0;
};

// ---- datagrams ------------------------------------------------------------------------------------------------------

std::string new_mark(Random& random) {
    std::string mark;
    while (mark.size() < 8)
        mark += "0123456789abcdef"[random.next() % 16];
    return mark;
}

// `udp-listen`, ready.
struct Listening {
    Subject lab;
    SocketAddress address;
};
Listening udp_listen(Stage& stage, std::vector<std::string> options = {}) {
    options.insert(options.begin(), "udp-listen");
    Subject lab = stage.start(options);
    const std::string ready = lab.ready();
    works_itself(stage, lab);
    const auto port = static_cast<unsigned>(std::atoi(ready.substr(ready.rfind(':') + 1).c_str()));
    stage.require(ready.starts_with("127.0.0.1:") && port > 0, {"the line \"ready 127.0.0.1:PORT\", with the port that the system has chosen", shown("ready " + ready), "", "", "says-port-0"});
    return {std::move(lab), loopback(AF_INET, port)};
}

std::string report(unsigned count, unsigned duplicates, unsigned late, const std::vector<unsigned>& lost) {
    std::string text = "received " + std::to_string(count - lost.size()) + " of " + std::to_string(count) + ", duplicates " +
                       std::to_string(duplicates) + ", late " + std::to_string(late) + ", lost";
    for (const unsigned number : lost)
        text += " " + std::to_string(number);
    return text + (lost.empty() ? " none\n" : "\n");
}

std::string numbered(unsigned number, const std::string& text) { return std::to_string(number) + " " + text + "\n"; }

void is_acknowledged(Stage& stage, Mailbox& mailbox, const std::string& mark, unsigned number, unsigned count, const Mistake& otherwise) {
    const std::string expected = datagram("ack", mark, number, count, "");
    const Parcel ack = mailbox.receive(stage, "the acknowledgement " + shown(expected), otherwise);
    stage.require(ack.bytes == expected, {"the acknowledgement " + shown(expected), shown(ack.bytes), "", "", otherwise});
}

// Shuffles by the case's seed.
template <class Sequence>
void shuffle(Sequence& sequence, Random& random) {
    for (std::size_t i = sequence.size(); i > 1; --i)
        std::swap(sequence[i - 1], sequence[random.next() % i]);
}

// A bad line between a sender and a listener, in a thread of its own. What happens to the n-th datagram is settled by its
// number and by how often it has come, so that the bad things are certain.
class BadLine {
public:
    BadLine(Random& random, SocketAddress listener, unsigned count)
        : listener_(listener), count_(count), seed_(random.next()), thread_([this] {
              while (!over_)
                  carry();
          }) {}
    ~BadLine() {
        over_ = true;
        thread_.join();
    }
    std::string text() const { return front_.text(); }

private:
    void carry() {
        wait_for_either(front_.socket(), back_.socket(), Deadline::in(milliseconds(20)));
        const Deadline now = Deadline::in(milliseconds(0));
        // A few at a time: a sender who is not acknowledged must not keep us from carrying acknowledgements.
        std::optional<Parcel> there;
        for (unsigned few = 0; few < window && (there = front_.look(now)); ++few) {
            sender_ = there->from;
            const unsigned tries = ++data_[there->number];
            const bool drop = tries == 1 && (there->number == 1 || there->number == count_ || chance(there->number, 3));
            if (!drop)
                forward(*there, tries);
        }
        if (held_)  // nothing comes after it: late, but not lost
            back_.send(std::exchange(held_, std::nullopt)->bytes, listener_);
        while (std::optional<Parcel> ack = back_.look(now)) {
            const unsigned tries = ++acks_[ack->number];
            if (tries > 1 || !(ack->number == 2 || ack->number == count_ || chance(ack->number + 1000, 4)))
                front_.send(ack->bytes, sender_);
        }
    }
    void forward(const Parcel& parcel, unsigned tries) {
        if (!held_ && tries == 1 && chance(parcel.number + 2000, 5)) {
            held_ = parcel;  // goes behind the next one
            return;
        }
        back_.send(parcel.bytes, listener_);
        if (chance(parcel.number + 3000, 5))
            back_.send(parcel.bytes, listener_);
        if (held_)
            back_.send(std::exchange(held_, std::nullopt)->bytes, listener_);
    }
    bool chance(unsigned of, unsigned one_in) const { return Random(seed_ + of).next() % one_in == 0; }

    Mailbox front_, back_;
    SocketAddress listener_, sender_;
    unsigned count_;
    std::uint64_t seed_;
    std::optional<Parcel> held_;
    std::map<unsigned, unsigned> data_, acks_;
    std::atomic<bool> over_ = false;
    std::thread thread_;  // last: it uses the rest
};

// A port where nobody is. Below those that the system gives away by itself, so that nobody gets it by chance meanwhile.
unsigned free_datagram_port(Random& random) {
    for (;;) {
        const auto port = static_cast<unsigned>(random.between(20'000, 30'000));
        if (Mailbox(port).bound())
            return port;
    }
}

}  // namespace

peers::Served peers::serve(Stage& stage, std::vector<std::string> options) {
    options.insert(options.begin(), "serve");
    Served served{stage.start(options), {}, {}, false, ""};
    served.ready = served.lab.ready();
    works_itself(stage, served.lab);
    std::size_t at = 0;
    while (at < served.ready.size()) {
        const std::string one = served.ready.substr(at, served.ready.find(' ', at) - at);
        at += one.size() + 1;
        const auto port = static_cast<unsigned>(std::atoi(one.substr(one.rfind(':') + 1).c_str()));
        if (one.starts_with("127.0.0.1:"))
            served.ipv4 = loopback(AF_INET, port);
        else if (one.starts_with("[::1]:")) {
            served.ipv6 = loopback(AF_INET6, port);
            served.has_ipv6 = true;
        }
        stage.require(one.starts_with("unix:") || port != 0, {"\"ready\" with the port that the system has chosen", shown("ready " + served.ready), "", "", "says-port-0"});
    }
    return served;
}

void peers::rests(Stage& stage, Subject& lab, const Mistake& otherwise) {
    lab.idles(otherwise);
    const auto runs = [&] {
        const std::vector<std::string> states = explain_hang(lab.process());
        return std::any_of(states.begin(), states.end(), [](const std::string& state) { return state.find(" is running, ") != std::string::npos; });
    };
    // Under Wine most of what polling costs is the server's time, and not its own.
    const auto before = lab.process().cpu_time();
    if (!posix && !lab.process().wait(Deadline::in(milliseconds(300)))) {
        const auto used = std::chrono::duration_cast<milliseconds>(lab.process().cpu_time() - before);
        stage.require(used <= milliseconds(30), {"no processor time is used while it waits", std::to_string(used.count()) + " ms in 300 ms", "", "", otherwise});
    }
    for (int looks = 0; posix && runs(); ++looks) {
        stage.require(looks < 10, {"it sleeps until there is something to do, and takes no processor time", "it runs whenever one looks", "", "", otherwise});
        lab.process().wait(Deadline::in(milliseconds(20)));
    }
}

void peers::put_away(Stage& stage, Subject& lab, const Mistake& otherwise) {
    stage.require(lab.running(), {"the lab program goes on", "it ended", "", "", otherwise});
    lab.process().kill();
    lab.ends();
}

EXERCISE("Exercise 1: call") {

CASE("7.1 call sends a frame and prints the frame that answers it" * points(3) * section("exercise-1-call") *
     hints("What does the server get to see first, and what does it learn from it?",
           "Four bytes with the length of the text, the most significant first; then the text, and nothing behind it. The answer comes the same way.",
           "Make the prefix byte by byte with >> and &. Read 4 bytes, make a number of them, read so many bytes; then send the next text.")) {
    Random& random = stage.random();
    stage.by_hand("lab-07 serve --port 7777 & lab-07 call 127.0.0.1:7777 hello");
    if (!posix)
        stage.recognise("exit code 1, saying \"(socket|getaddrinfo)\\b", "no-startup");
    ServerSocket listener(stage);
    const std::string first = phrase(random) + random.word(random.between(260, 700)), second = phrase(random);
    Subject lab = stage.start({"call", listener.text(), first, second});
    Conversation connection = listener.accept();
    works_itself(stage, lab);
    requested(stage, connection, first);
    rests(stage, lab);
    stage.require(!connection.something(), {"the second text is sent when the first is answered", "it came before: " + shown(connection.got()), "", "", "asks-too-early"});
    const std::string answer = random.word(9) + std::string("\0\r\n\xff", 4) + random.word(random.between(300, 999));
    connection.send(frame(answer));
    requested(stage, connection, second);
    connection.send(frame(""));
    connection.ends_well("connection-left-open");
    lab.prints(answer + "\n\n", "cut-at-a-null, one-recv-is-the-answer");
    lab.exits(0);
}

CASE("7.2 call puts an answer together from its pieces and takes no more than belongs to it" * points(4) * section("bytes-not-messages") *
     hints("How many calls of recv() does an answer take?",
           "Any number: TCP carries bytes, and their boundaries are not those of the other side's send(). One recv() may bring half a length, or an answer and the beginning of the next one.",
           "A function that reads exactly n bytes, in a loop: first 4, then as many as they say. What comes behind stays in the system until you ask for it.")) {
    Random& random = stage.random();
    stage.by_hand("(sleep 1; printf '\\0\\0'; sleep 1; printf '\\0\\5hel'; sleep 1; printf lo) | nc -l 127.0.0.1 7777 & sleep 0.1; lab-07 call 127.0.0.1:7777 x");
    ServerSocket listener(stage);
    const std::string texts[] = {random.word(5), random.word(6), random.word(7), random.word(8)};
    Subject lab = stage.start({"call", listener.text(), texts[0], texts[1], texts[2], texts[3]});
    Conversation connection = listener.accept();
    std::string expected;
    const auto answer = [&] {
        const std::string text = random.word(random.between(6, 12));
        expected += text + "\n";
        return frame(text);
    };
    works_itself(stage, lab);
    requested(stage, connection, texts[0]);
    const std::string split = answer();
    for (std::size_t i = 0; i < split.size(); ++i) {
        connection.send(split.substr(i, 1), "one-recv-is-the-answer");
        if (posix || i == 1 || i == 3 || i == 6)
            is_read(stage, lab, connection, "one-recv-is-the-answer");
    }
    requested(stage, connection, texts[1], "one-recv-is-the-answer");
    std::string joined = answer();
    joined += answer();
    connection.send(joined + prefix(9).substr(0, 3));
    requested(stage, connection, texts[2], "one-recv-is-the-answer, rest-thrown-away");
    requested(stage, connection, texts[3], "one-recv-is-the-answer, rest-thrown-away");
    const std::string last = random.word(9);
    connection.send(prefix(9).substr(3) + last);
    lab.prints(expected + last + "\n", "one-recv-is-the-answer, rest-thrown-away");
    lab.exits(0);
}

CASE("7.4 call tries every address that a name stands for" * points(3) * section("a-name-has-several-addresses") *
     hints("Which address is localhost, or this machine?",
           "Often two: ::1 and 127.0.0.1. getaddrinfo() gives a list (without a host: every loopback address), and a server may listen on only one of them.",
           "Go through the list: a socket of that entry's family, connect, and if it fails close it and take the next. Report the error of the last.")) {
    stage.by_hand("socat TCP6-LISTEN:7777,bind=[::1] EXEC:cat & sleep 0.1; lab-07 call :7777 hello");
    for (const int family : {AF_INET, AF_INET6}) {
        if (!machine_has(family))
            continue;
        // On the other family bound and not listening: so nobody else can be there, and who tries is refused.
        ServerSocket listener(stage, family);
        const int other_family = family == AF_INET ? AF_INET6 : AF_INET;
        auto silent = std::make_unique<ServerSocket>(stage, other_family, listener.address().port(), false);
        while (!silent->bound() && machine_has(other_family)) {
            listener = ServerSocket(stage, family);
            silent = std::make_unique<ServerSocket>(stage, other_family, listener.address().port(), false);
        }
        for (const std::string& address : {":" + std::to_string(listener.address().port()), listener.text()}) {
            const std::string text = stage.random().word(12), answer = stage.random().word(12);
            Subject lab = stage.start({"call", address, text});
            Conversation connection = listener.accept("first-address-only, refusal-unnoticed");
            works_itself(stage, lab);
            requested(stage, connection, text);
            connection.send(frame(answer));
            lab.prints(answer + "\n");
            lab.exits(0);
        }
    }
}

CASE("7.5 call says at once that nobody listens and does not begin what cannot be right" * points(2) * section("nobody-listens") *
     hints("What does the other machine say when nobody listens on a port, and when does your program hear of it?",
           "connect() fails with ECONNREFUSED; on a socket that does not block, connect() says EINPROGRESS and the answer is in SO_ERROR once the socket is writable.",
           "poll() for POLLOUT, getsockopt(SO_ERROR), throw it with the address in the message.")) {
    stage.by_hand("lab-07 call 127.0.0.1:1 hello; echo $?");
    const std::string text = stage.random().word(9), answer = stage.random().word(9);
    ServerSocket listener(stage);
    Subject good = stage.start({"call", listener.text(), text});
    Conversation connection = listener.accept();
    requested(stage, connection, text);
    connection.send(frame(answer));
    good.prints(answer + "\n");
    good.exits(0);
    const ServerSocket silent(stage, AF_INET, 0, false);
    Subject lab = stage.start({"call", "--timeout", "60000", silent.text(), text});
    fails_aloud(lab, silent.text(), "refusal-unnoticed");
    if (posix)
        lab.complains(std::strerror(ECONNREFUSED), "refusal-unnoticed");
    lab.prints("", "refusal-unnoticed");
    const std::string port = std::to_string(listener.address().port());
    const std::vector<std::string> wrong[] = {{"call", "nowhere", text}, {"call", "127.0.0.1:70000", text}, {"call", "127.0.0.1:0", text}, {"call", "127.0.0.1:", text},
                                              {"call", "::1:" + port, text}, {"call", listener.text()}, {"serve", "--port", "65536"}, {"serve", "--port", "-1"},
                                              {"serve", "--drain", "soon"}, {"serve", "too", "much"}, {"udp-send", listener.text()}, {"udp-listen", "--count", "1"}};
    for (const std::vector<std::string>& words : wrong) {
        if (!posix && &words - wrong > 2)
            break;  // the command line is read by the same code there, and a start takes its time
        Subject misled = stage.start(words);
        misled.exits(2);
        misled.prints("");
    }
}

CASE("7.6 call reports a server that hangs up early or announces too much" * points(4) * section("the-other-side-goes") *
     hints("recv() returns 0. What does that mean, in the middle of an answer?",
           "The end, and it will return 0 for ever. Half an answer is no answer. And a length of 4 GiB is only four bytes that somebody has sent.",
           "0 is an error until the frame is complete: ECONNRESET. Compare the length with longest_frame, as an unsigned number, before you make room for it.")) {
    stage.by_hand("printf '\\0\\0\\0\\5hel' | nc -N -l 127.0.0.1 7777 & sleep 0.1; lab-07 call 127.0.0.1:7777 x; echo $?");
    stage.recognise("bad_alloc|length_error|cannot create std::", "believes-the-length");
    ServerSocket listener(stage);
    const std::string half = stage.random().word(20);
    struct Bad {
        std::string answer;
        bool hangs_up;
        const char* mistake;
    };
    for (const Bad& bad : {Bad{prefix(40) + half, true, "end-taken-for-the-answer"}, Bad{"", true, "end-taken-for-the-answer"}, Bad{prefix(7).substr(0, 2), true, "end-taken-for-the-answer"},
                           Bad{prefix(0xffffffff), false, "believes-the-length"}, Bad{prefix(0x80000005), false, "believes-the-length"}, Bad{prefix(longest_frame + 1), false, "believes-the-length"}}) {
        if (!posix && (bad.answer.empty() || bad.answer == prefix(0x80000005)))
            continue;  // a start takes its time there
        const std::string text = stage.random().word(8);
        Subject lab = stage.start({"call", listener.text(), text});
        Conversation connection = listener.accept();
        requested(stage, connection, text);
        connection.send(bad.answer);
        if (bad.hangs_up)
            connection.shut();
        fails_aloud(lab, listener.text(), bad.mistake);
        lab.prints("", bad.mistake);
    }
    const std::string text = stage.random().word(8);
    Subject lab = stage.start({"call", listener.text(), text});
    Conversation connection = listener.accept();
    requested(stage, connection, text);
    connection.reset();
    fails_aloud(lab, listener.text(), "end-taken-for-the-answer");
}

CASE("7.7 call keeps its deadline whether the server is silent or says a byte now and then" * points(3) * section("one-deadline") *
     hints("Who tells recv() how long it may wait?",
           "SO_RCVTIMEO and the timeout of poll() are for one call. A server that sends a byte a second never lets either expire.",
           "Work out the moment when all must be done, once; before each wait ask how long it is until then: deadline.poll_ms().")) {
    stage.by_hand("(printf '\\0\\0\\1\\0'; while sleep 0.1; do printf x; done) | nc -l 127.0.0.1 7777 & sleep 0.1; time lab-07 call --timeout 500 127.0.0.1:7777 x");
    ServerSocket listener(stage);
    const std::string text = stage.random().word(8);
    const auto begin = std::chrono::steady_clock::now();
    Subject silent = stage.start({"call", "--timeout", "150", listener.text(), text});
    Subject dribbled = stage.start({"call", "--timeout", "300", listener.text(), text});
    Conversation connections[] = {listener.accept(), listener.accept()};
    silent.ends("waits-without-deadline");
    const auto waited = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    stage.require(waited >= milliseconds(140), {"it waits the 150 ms that it was given", "it ended after " + std::to_string(waited.count()) + " ms", "", "", "gives-up-at-once"});
    fails_aloud(silent, listener.text(), "waits-without-deadline");
    // Both get the beginning of an answer; one of the two hears a byte of it every 20 ms.
    for (Conversation& connection : connections)
        connection.offer(prefix(60'000));
    for (int i = 0; !dribbled.process().wait(Deadline::in(milliseconds(20))); ++i) {
        stage.require(i < 150 * stage.time_scale(), {"it gives up after 300 ms", "it waits still, after " + std::to_string(i) + " bytes of an answer", "", "", "deadline-starts-anew"});
        for (Conversation& connection : connections)
            connection.offer("x");
    }
    fails_aloud(dribbled, listener.text(), "deadline-starts-anew");
    dribbled.prints("");
}

}

EXERCISE("Exercise 2: serve") {

CASE("7.8 serve answers on both families and knows who asks" * points(3) * section("exercise-2-serve") *
     hints("Port 0 means: any. How does a client learn which it has become?",
           "getsockname() tells, after bind(). And accept() tells the client's address; a socket for IPv4 and one for IPv6 are two listeners.",
           "Bind 127.0.0.1 and ::1 (with IPV6_V6ONLY), read both ports back with getsockname(), hand them to on_ready. The peer is what accept() or getpeername() says.")) {
    stage.by_hand("lab-07 serve & then, with the port that it says: lab-07 call 127.0.0.1:PORT hello ''");
    Served served = serve(stage);
    stage.require(served.ipv4.size > 0 && served.ipv4.family() == AF_INET, {"\"ready 127.0.0.1:PORT [::1]:PORT\"", shown("ready " + served.ready), "", "", ""});
    stage.require(served.has_ipv6 || !machine_has(AF_INET6), {"\"ready\" with an address of IPv6 too: this machine has it", shown("ready " + served.ready), "", "", "ipv4-only"});
    for (const SocketAddress& address : {served.ipv4, served.has_ipv6 ? served.ipv6 : served.ipv4}) {
        Conversation connection = connect(stage, address);
        connection.asks(phrase(stage.random()));
        connection.asks("", "wrong-peer");
        connection.asks(stage.random().word(longest_frame), "longest-is-too-long");
    }
    put_away(stage, served.lab);
}

CASE("7.9 frames may be split at every byte and joined in any number" * points(by_track(5, 6)) * section("bytes-not-messages") *
     hints("A client sends its request byte by byte, another one five hundred of them at once. What does your recv() bring?",
           "What is there. Between two events you have to keep what has begun; and after one event there may be many requests to answer.",
           "Append what recv() brings to the client's buffer; while the buffer holds a whole frame, answer and remove it; the rest stays. No further event comes for what you have read already.")) {
    stage.by_hand("lab-07 serve --port 7777 & (printf '\\0\\0\\0'; sleep 1; printf '\\5hel'; sleep 1; printf 'lo\\0\\0\\0\\1x') | nc -N 127.0.0.1 7777 | xxd");
    Random& random = stage.random();
    Served served = serve(stage);
    // One client for each place where two frames and the beginning of a third can be cut.
    const std::string texts[] = {random.word(9), "", random.word(4)};
    const std::string all = frame(texts[0]) + frame(texts[1]) + frame(texts[2]);
    std::vector<Conversation> clients;
    for (std::size_t cut = 1; cut < all.size(); ++cut) {
        clients.push_back(connect(stage, served.ipv4));
        clients.back().send(all.substr(0, cut));
    }
    rests(stage, served.lab);
    for (std::size_t cut = 1; cut < all.size(); ++cut)
        clients[cut - 1].send(all.substr(cut));
    for (Conversation& client : clients)
        for (const std::string& text : texts)
            client.answered(text, "one-recv-is-a-request, one-request-a-read");
    // And many at once.
    std::vector<std::string> many;
    std::string joined;
    for (int i = 0; i < 500; ++i)
        joined += frame(many.emplace_back(random.word(random.between(1, 200))));
    clients[0].send(joined);
    for (const std::string& text : many)
        clients[0].answered(text, "one-request-a-read");
    put_away(stage, served.lab);
}

CASE("7.10 a client that breaks the rules is refused with a reason and nobody else suffers" * points(by_track(5, 6)) * section("a-length-is-a-claim") *
     hints("ff ff ff ff: how long is that frame?",
           "4,294,967,295 bytes, if you read it as what it is. As an int it is -1, and smaller than any limit; plus 4, in 32 bits, it is 3.",
           "Unsigned, compared before anything is added to it or made room for. Report it with on_refused(), send what is answered already, close this one connection.")) {
    stage.by_hand("lab-07 serve --port 7777 & printf '\\377\\377\\377\\377' | nc 127.0.0.1 7777; printf '\\0\\0\\0\\5hel' | nc -N 127.0.0.1 7777");
    stage.recognise("ended: exit code [1-9]", "throws-at-a-bad-frame");
    stage.recognise("ended: (killed by SIG(SEGV|ABRT|BUS)|exception 0xC0000(005|374|409))", "believes-the-length");
    Served served = serve(stage);
    Conversation honest = connect(stage, served.ipv4);
    honest.asks(phrase(stage.random()));
    struct Hostile {
        std::string bytes;
        bool hangs_up;
        std::string said;
    };
    std::vector<std::pair<std::string, Mistake>> words;
    for (const Hostile& hostile : {Hostile{prefix(0xffffffff), false, "4294967295"}, Hostile{prefix(0x80000010) + "abc", false, "2147483664"},
                                   Hostile{prefix(longest_frame + 1), false, std::to_string(longest_frame + 1)}, Hostile{prefix(1234) + "abc", true, "1234"}, Hostile{prefix(5).substr(0, 2), true, ""}}) {
        Conversation client = connect(stage, served.ipv4);
        const std::string text = phrase(stage.random());
        client.send(frame(text) + hostile.bytes);
        if (hostile.hangs_up)
            client.shut();
        client.answered(text, "forgets-the-answers");
        client.ends(hostile.hangs_up ? "truncation-unnoticed" : "believes-the-length",
                    hostile.hangs_up ? "the server ends a connection that has ended in the middle of a frame" : "the server ends a connection that announces a frame of " + hostile.said + " bytes");
        stage.require(client.got().empty(), {"no answer to what is no request", shown(client.got()), "", "", "believes-the-length"});
        const Mistake unsaid = hostile.hangs_up ? "refuses-in-silence, truncation-unnoticed" : "refuses-in-silence";
        words.emplace_back(client.name(), unsaid);
        words.emplace_back(hostile.said, unsaid);
    }
    honest.asks(phrase(stage.random()), "throws-at-a-bad-frame");
    put_away(stage, served.lab, "throws-at-a-bad-frame");
    const std::string& said = served.lab.errors();
    for (const auto& [word, unsaid] : words)
        stage.require(said.find(word) != std::string::npos, {"a report on standard error of who was refused and why, with " + shown(word), said.empty() ? "nothing" : shown(said, 600), "",
                                                             "it was the judge that ended the server", unsaid});
}

CASE("7.11 a client that has said all gets its answers and then the end" * points(3) * section("half-a-goodbye") *
     hints("recv() returns 0. Has the client gone?",
           "It has said that it will send no more. It may well be listening still, as nc -N is, and wait for your answers.",
           "First answer all that has come, send it all, and then close. EPOLLRDHUP says the same as 0: no more requests. It does not say that nobody listens.")) {
    stage.by_hand("lab-07 serve --port 7777 & printf '\\0\\0\\0\\5hello' | nc -N 127.0.0.1 7777 | xxd");
    Served served = serve(stage);
    Conversation client = connect(stage, served.ipv4);
    client.asks(stage.random().word(10));
    // Requests and end are there together when it looks.
    served.lab.process().suspend();
    std::vector<std::string> texts;
    std::string all;
    for (int i = 0; i < 60; ++i)
        all += frame(texts.emplace_back(stage.random().word(500)));
    client.send(all);
    client.shut();
    served.lab.process().resume();
    for (const std::string& text : texts)
        client.answered(text, "half-close-is-gone");
    client.ends_well("connection-left-open");
    // And one who says nothing at all.
    Conversation silent = connect(stage, served.ipv4);
    silent.shut();
    silent.ends_well("connection-left-open");
    put_away(stage, served.lab);
}

CASE("7.12 serve sleeps while nobody asks" * points(2) * section("waiting-is-not-asking") *
     hints("What does your loop do when a client has gone?",
           "A connection that has ended is readable for ever: recv() brings 0, each time. Who goes on watching it turns in circles.",
           "Close and forget it when recv() has brought 0 and its answers are out; wait without a timeout.")) {
    stage.by_hand("lab-07 serve --port 7777 & nc -N 127.0.0.1 7777 </dev/null; top -b -n 1 -p $!");
    Served served = serve(stage);
    rests(stage, served.lab);
    Conversation silent = connect(stage, served.ipv4), half = connect(stage, served.ipv4), gone = connect(stage, served.ipv4), broken = connect(stage, served.ipv4);
    half.send(prefix(10) + "abc");
    gone.asks(stage.random().word(5));
    broken.asks(stage.random().word(5));
    gone.close();
    broken.reset();
    for (int looks = 0; looks < (posix ? 1 : 3); ++looks)
        rests(stage, served.lab, "eof-loop");
    silent.asks(stage.random().word(5));
    put_away(stage, served.lab);
}

CASE("7.13 serve does not take a port that somebody has" * points(2) * section("a-port-is-taken") *
     hints("bind() has failed. Who needs to know, and what exactly?",
           "Whoever has started the server: which address, and that it is taken. And a server that could have one of its two addresses only would be half a server.",
           "Check every call: socket, bind, listen. Throw EADDRINUSE with the address in it, and leave no listener open.")) {
    stage.by_hand("lab-07 serve --port 7777 & sleep 0.1; lab-07 serve --port 7777; echo $?");
    Served served = serve(stage);
    does_not_start(stage, served.ipv4);
    serves(stage, served.ipv4, "port-shared");
    put_away(stage, served.lab);
    for (const int family : {AF_INET, AF_INET6}) {
        if (!machine_has(family))
            continue;
        const ServerSocket taken(stage, family);
        does_not_start(stage, taken.address());
    }
}

CASE("7.14 serve can be started again at once on the same port" * points(3) * section("a-port-is-taken") *
     hints("The server has ended, and its port is still in use. By whom?",
           "By the connections that it has closed first: the system keeps them for a minute, in TIME_WAIT, so that late packets do not end up in a new one.",
           "On Linux: SO_REUSEADDR, before bind(). On Windows a port in TIME_WAIT is free anyway, and SO_REUSEADDR means something else: leave it alone.")) {
    stage.by_hand("lab-07 serve --port 7777 & sleep 0.1; (sleep 1; kill $!) & nc 127.0.0.1 7777; lab-07 serve --port 7777");
    Served served = serve(stage);
    const std::string port = std::to_string(served.ipv4.port());
    Conversation client = connect(stage, served.ipv4);
    client.asks(stage.random().word(5));
    served.lab.process().kill();  // so the server's end closes first
    served.lab.ends();
    client.ends();
    client.close();
    stage.recognise("ddress already in use|WSAEADDRINUSE|only one usage of each", "time-wait-keeps-the-port");
    Served again = serve(stage, {"--port", port});
    serves(stage, again.ipv4, "");
    put_away(stage, again.lab);
}

CASE("7.15 told to stop serve finishes what has arrived and ends in time" * points(6) * section("the-last-goodbye") *
     hints("A request has arrived, and the signal too. Who is served first?",
           "Stop listening at once, answer what has come, shut down your side of each connection, and wait until the clients have closed theirs. If you close while there is input that you have not read, the system resets the connection, and answers on their way are lost.",
           "shutdown(SHUT_WR), then go on reading (and throw it away) until recv() brings 0. All of it within the time that `drain` gives: after that, close whatever is left.")) {
    stage.by_hand("lab-07 serve --port 7777 & nc 127.0.0.1 7777 & sleep 1; kill -TERM %1; wait %1; echo $?");
    stage.recognise("killed by SIG(TERM|INT)|exception 0xC000013A", "signal-does-not-stop");
    Random& random = stage.random();
    Served served = serve(stage, {"--port", "0", "--drain", "60000"});
    Conversation idle = connect(stage, served.ipv4), half = connect(stage, served.ipv4), busy = connect(stage, served.ipv4);
    half.send(prefix(100) + random.word(50));
    busy.asks(random.word(9));
    Greedy greedy(stage, served.ipv4);
    greedy.pour(served.lab, 64 * MiB, "buffers-without-limit");
    // It finds all of it when it goes on: that it is to stop, and the requests.
    served.lab.process().suspend();
    served.lab.process().terminate();
    std::vector<std::string> texts;
    for (int i = 0; i < 3; ++i)
        busy.send(frame(texts.emplace_back(random.word(30))), "signal-does-not-stop");
    served.lab.process().resume();
    for (const std::string& text : texts)
        busy.answered(text, "stop-drops-requests, signal-does-not-stop");
    busy.ends_well("signal-does-not-stop");
    idle.ends_well("signal-does-not-stop");
    half.ends_well("signal-does-not-stop");
    // It may answer as many of these as it has got; but no half answers, and no reset that would destroy whole ones.
    greedy.takes_what_comes("close-resets, stop-drops-requests");
    greedy.connection.ends_well("close-resets, stop-drops-requests");
    stage.require(served.lab.running(), {"it waits for its clients to hang up", "it ended", "", "", "close-resets"});
    // Only now is it sure that it has been told: somebody has got the end.
    const Socket late(AF_INET, SOCK_STREAM);
    const int error = try_connect(stage, late, served.ipv4, "stop-keeps-accepting");
    stage.require(refused(error), {"nobody else is taken in", error == 0 ? "a connection" : "error " + std::to_string(error), "", "", "stop-keeps-accepting"});
    for (Conversation* client : {&idle, &half, &busy, &greedy.connection})
        client->close();
    served.lab.exits(0, "drains-to-the-end");
    // And one who never hangs up.
    Served second = serve(stage, {"--port", "0", "--drain", "100"});
    Conversation stays = connect(stage, second.ipv4), deaf = connect(stage, second.ipv4);
    stays.asks(random.word(9));
    const auto begin = std::chrono::steady_clock::now();
    second.lab.process().terminate();
    second.lab.ends("drain-without-end");
    const auto waited = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    second.lab.exits(0, "drain-without-end");
    stage.require(waited >= milliseconds(90), {"clients have the 100 ms that they were given", "it ended after " + std::to_string(waited.count()) + " ms", "", "", "close-resets"});
    stage.require(waited < milliseconds(8000) * stage.time_scale(), {"it ends when the 100 ms are over", "it ended after " + std::to_string(waited.count()) + " ms", "", "", "drain-without-end"});
}

}

EXERCISE("Exercise 3: serve, everybody at once") {

CASE("7.17 slow clients delay nobody" * points(4) * section("one-slow-client") *
     hints("Twenty clients have sent the first byte of a request. What is your server doing?",
           "Nothing, if it waits for the second byte of one of them. All descriptors must be such that no call on them can wait.",
           "O_NONBLOCK (FIONBIO) on every connection; after each event do what can be done now, and go back to the one place where you wait for all.")) {
    stage.by_hand("lab-07 serve --port 7777 & nc 127.0.0.1 7777 & lab-07 call --timeout 1000 127.0.0.1:7777 hello");
    Random& random = stage.random();
    Served served = serve(stage);
    std::vector<Conversation> slow;
    const std::string text = random.word(6), all = frame(text);
    for (int i = 0; i < 20; ++i)
        slow.push_back(connect(stage, served.ipv4));
    Conversation quick = connect(stage, served.ipv4);
    for (const char c : all) {
        for (Conversation& client : slow)
            client.send(std::string(1, c));
        if (c != all.back())
            quick.asks(random.word(20), "one-client-at-a-time");
    }
    for (Conversation& client : slow)
        client.answered(text, "one-client-at-a-time");
    put_away(stage, served.lab);
}

CASE("7.18 a client that does not take its answers is not listened to and delays nobody" * points(by_track(6, 7)) * section("who-does-not-listen") *
     hints("A client asks and asks, and never reads. Where do its answers go?",
           "First into the system's buffers; then send() would wait (and with it everybody), or takes only a part. If you keep the rest and go on reading requests, your memory is his.",
           "While a client's answers wait, do not read from it: watch for EPOLLOUT instead of EPOLLIN. When they are out, first look at the requests that you have read already.")) {
    stage.by_hand("lab-07 serve --port 7777 & python3 -c 'import socket; s = socket.create_connection((\"127.0.0.1\", 7777)); s.sendall((b\"\\0\\0\\1\\0\" + 256 * b\"x\") * 10**6)'");
    Served served = serve(stage);
    Conversation other = connect(stage, served.ipv4);
    Greedy greedy(stage, served.ipv4);
    greedy.pour(served.lab, 64 * MiB, "buffers-without-limit");
    rests(stage, served.lab, "spins-on-a-full-socket");
    other.asks(phrase(stage.random()), "waits-for-one-client");
    serves(stage, served.ipv4, "waits-for-one-client");
    greedy.recovers("forgets-the-answers, waits-for-an-event-that-was");
    // Again, and this time it has said all when it begins to listen.
    Greedy last(stage, served.ipv4);
    last.pour(served.lab, 64 * MiB, "buffers-without-limit");
    const std::string rest = last.left();
    last.opens_up();
    for (unsigned i = 0; i + 1 < last.begun(); ++i)
        last.answered(i, "forgets-the-answers, waits-for-an-event-that-was");
    last.connection.send(rest);
    last.connection.shut();
    last.answered(static_cast<unsigned>(last.begun()) - 1, "half-close-is-gone");
    last.connection.ends_well("half-close-is-gone");
    // Requests of four bytes, whose answers are longer: one read brings more of them than a client may have waiting.
    std::string all, expected;
    for (int i = 0; i < 12'000; ++i)
        all += frame("");
    for (const std::string answer = frame(other.name()); expected.size() / answer.size() < 12'000;)
        expected += answer;
    other.send(all, "waits-for-an-event-that-was");
    const std::string got = other.receive(expected.size(), "the answers to 12000 empty requests", "waits-for-an-event-that-was");
    stage.require(got == expected, {"12000 times who we are", difference(got, expected), "", "", ""});
    put_away(stage, served.lab);
}

CASE("7.19 clients that vanish harm nobody" * points(4) * section("the-other-side-goes") *
     hints("What does send() do when the client has gone?",
           "It fails: ECONNRESET, EPIPE. And on Linux it sends you SIGPIPE, which ends the program, unless it is told not to. For one client's sake.",
           "MSG_NOSIGNAL, and an error of recv(), send() or accept() ends this connection, and nothing else.")) {
    stage.by_hand("lab-07 serve --port 7777 & python3 -c 'import socket; s = socket.create_connection((\"127.0.0.1\", 7777)); s.sendall((b\"\\0\\0\\1\\0\" + 256 * b\"x\") * 99); s.close()'; lab-07 call 127.0.0.1:7777 hello");
    stage.recognise("killed by SIGPIPE", "sigpipe");
    Served served = serve(stage);
    Conversation other = connect(stage, served.ipv4);
    other.asks(stage.random().word(9));
    // In the middle of its answers.
    Greedy greedy(stage, served.ipv4);
    greedy.pour(served.lab, 64 * MiB, "buffers-without-limit");
    greedy.connection.reset();
    other.asks(stage.random().word(9), "dies-with-its-client");
    // While it is silent.
    Conversation silent = connect(stage, served.ipv4);
    silent.asks(stage.random().word(9));
    silent.reset();
    other.asks(stage.random().word(9), "dies-with-its-client");
    // With requests on their way, and nobody there when the answers come; before it was even taken in; at once.
    served.lab.process().suspend();
    std::vector<Conversation> gone;
    for (int i = 0; i < 6; ++i)
        gone.push_back(connect(stage, served.ipv4));
    const std::string requests = frame(stage.random().word(50'000)) + frame(stage.random().word(50'000)) + frame(stage.random().word(20'000));
    gone[0].send(requests.substr(0, 60'000));
    gone[1].send(frame(stage.random().word(10)));
    gone[2].send(requests.substr(0, 3));
    for (std::size_t i = 0; i < gone.size(); ++i)
        if (i % 2)
            gone[i].reset();
        else
            gone[i].close();
    served.lab.process().resume();
    other.asks(stage.random().word(9), "dies-with-its-client");
    // Answers in two sends, to somebody who has gone between them.
    Conversation last = connect(stage, served.ipv4);
    last.asks(stage.random().word(9), "dies-with-its-client");
    served.lab.process().suspend();
    last.offer(requests);
    last.close();
    served.lab.process().resume();
    other.asks(stage.random().word(9), "dies-with-its-client");
    serves(stage, served.ipv4, "dies-with-its-client");
    rests(stage, served.lab, "eof-loop");
    other.asks(stage.random().word(9), "dies-with-its-client");
    put_away(stage, served.lab);
}

CASE("7.20 a thousand clients at once cost little" * points(by_track(7, 8)) * section("a-thousand-clients") *
     hints("What does a client cost that says nothing?",
           "A descriptor, and a few hundred bytes of yours. Not a thread, whose stack is more than that; and not the 64 KiB that it has announced but not sent.",
           "One loop for all; for each client two strings that grow with what has come, and shrink when it has been worked off.")) {
    stage.by_hand("ulimit -n 4096; lab-07 serve --port 7777 & python3 -c 'import socket; c = [socket.create_connection((\"127.0.0.1\", 7777)) for i in range(1000)]; input()'; ps -o rss,nlwp -C lab-07");
    stage.patience(milliseconds(30'000));  // an amount of work, not a moment of waiting; a hang is found long before
    constexpr std::size_t crowd = 1000;
    Random& random = stage.random();
    Served served = serve(stage);
    if (!may_open(crowd + 50))
        stage.unavailable("this case needs " + std::to_string(crowd + 50) + " sockets in one process; allow them: ulimit -n 4096");
    const std::size_t before = memory_of(served.lab);
    std::vector<Conversation> clients;
    std::vector<std::string> texts;
    const auto few_threads = [&] {
        const std::size_t threads = threads_of(served.lab);
        stage.require(threads <= 16, {"a few threads, 16 at the most", std::to_string(threads) + " threads for " + std::to_string(clients.size()) + " clients", "", "", "thread-per-client"});
    };
    for (int i = 0; i < 100; ++i) {
        clients.push_back(connect(stage, served.ipv4, "too-few-clients"));
        clients.back().asks(random.word(5), "too-few-clients");
    }
    few_threads();
    while (clients.size() < crowd)
        clients.push_back(connect(stage, served.has_ipv6 && clients.size() % 2 ? served.ipv6 : served.ipv4, "too-few-clients"));
    // All at once: it finds the requests of all when it goes on.
    served.lab.process().suspend();
    for (Conversation& client : clients)
        client.send(frame(texts.emplace_back(random.word(random.between(5, 60)))), "too-few-clients");
    served.lab.process().resume();
    for (std::size_t i = 0; i < crowd; ++i)
        clients[i].answered(texts[i], "too-few-clients");
    // Each announces the longest frame that there is, and sends the beginning.
    served.lab.process().suspend();
    for (Conversation& client : clients)
        client.send(prefix(longest_frame) + texts[0].substr(0, 5));
    served.lab.process().resume();
    Conversation one_more = connect(stage, served.ipv4, "too-few-clients");
    one_more.asks(phrase(random), "too-few-clients");
    rests(stage, served.lab);
    few_threads();
    const std::size_t after = memory_of(served.lab), grown = after > before ? after - before : 0;
    stage.require(grown < 16 * MiB, {"memory for what a client has sent: for 1000 of them less than 16 MiB", std::to_string(grown / KiB) + " KiB", "", "",
                                     "memory-for-what-is-announced"});
    clients.clear();
    one_more.asks(phrase(random));
    put_away(stage, served.lab);
}

}

EXERCISE("Exercise 4: datagrams") {

CASE("7.24 udp-send sends each text in a datagram of its own" * points(2) * section("exercise-4-datagrams") *
     hints("What does a datagram have that a piece of a stream has not?",
           "A boundary: one send() is one datagram, or none. So it needs no length; but a number, to see what is missing.",
           "to_bytes() makes the bytes. connect() the socket, send() each, one sender's mark for all of them, numbers from 1.")) {
    stage.by_hand("nc -u -l 127.0.0.1 7777 & sleep 0.1; lab-07 udp-send 127.0.0.1:7777 one two three");
    Mailbox mailbox;
    const std::vector<std::string> texts = {phrase(stage.random()), "", "1/3 " + stage.random().word(8), stage.random().word(longest_datagram)};
    std::string sender;
    for (int run = 0; run < 2; ++run) {
        Subject lab = stage.start({"udp-send", mailbox.text(), texts[0], texts[1], texts[2], texts[3]});
        std::string mark;
        for (unsigned number = 1; number <= texts.size(); ++number) {
            const Parcel parcel = mailbox.receive(stage, "datagram " + std::to_string(number) + " of 4", "several-texts-in-one");
            const std::string expected = datagram("plain", number == 1 ? parcel.sender : mark, number, 4, texts[number - 1]);
            stage.require(parcel.bytes == expected, {"the datagram " + shown(expected), difference(parcel.bytes, expected), "", "", "several-texts-in-one"});
            mark = parcel.sender;
        }
        lab.exits(0, "waits-for-an-acknowledgement");
        stage.require(mark != sender, {"another run is another sender", "the mark " + mark + " again", "", "", ""});
        sender = mark;
    }
    Subject lab = stage.start({"udp-send", mailbox.text(), "fits", stage.random().word(longest_datagram + 1)});
    fails_aloud(lab, std::to_string(longest_datagram + 1), "too-long-is-sent");
    const std::optional<Parcel> sent = mailbox.look(Deadline::in(milliseconds(0)));
    stage.require(!sent, {"nothing is sent", sent ? shown(sent->bytes) : "", "", "", "too-long-is-sent"});
}

CASE("7.25 udp-listen tells what is lost or late or has come twice" * points(3) * section("lost-twice-late") *
     hints("Number 5 comes, then number 4, then 5 again. Which of them is new?",
           "You have to remember each number that has come. Late is a new one behind a higher one; a duplicate is one that was there.",
           "A vector of bool with count + 1 places and the highest number so far. Hand over what is new, at once. Whatever is still missing when it ends is lost.")) {
    stage.by_hand("lab-07 udp-listen --port 7777 & sleep 0.1; for i in 1 2 2 5 4; do printf \"plain 0123abcd $i/5 text\" | nc -u -w 0 127.0.0.1 7777; done; wait");
    Random& random = stage.random();
    const auto count = static_cast<unsigned>(random.between(20, 40));
    // Of every kind one at least: 1 stays first, 2 comes twice, 3 never, 5 before 4, the last never.
    std::vector<unsigned> order = {1, 2, 2, 5, 4};
    for (unsigned number = 6; number < count; ++number)
        for (std::uint64_t times = random.between(0, 2); times > 0; --times)
            order.push_back(number);
    std::vector<unsigned> rest(order.begin() + 5, order.end());
    shuffle(rest, random);
    std::copy(rest.begin(), rest.end(), order.begin() + 5);

    Listening listening = udp_listen(stage, {"--timeout", "200"});
    rests(stage, listening.lab);
    const Mailbox mailbox;
    const std::string mark = new_mark(random);
    std::string expected;
    unsigned duplicates = 0, late = 0, highest = 0;
    std::set<unsigned> seen;
    listening.lab.process().suspend();  // so that no pause of ours is taken for silence
    for (const unsigned number : order) {
        const std::string text = "text " + std::to_string(number);
        mailbox.send(datagram("plain", mark, number, count, text), listening.address);
        if (!seen.insert(number).second) {
            ++duplicates;
            continue;
        }
        late += number < highest;
        highest = std::max(highest, number);
        expected += numbered(number, text);
    }
    listening.lab.process().resume();
    std::vector<unsigned> lost;
    for (unsigned number = 1; number <= count; ++number)
        if (!seen.contains(number))
            lost.push_back(number);
    const std::string start = "ready " + listening.address.text() + "\n";
    listening.lab.output_of((start + expected).size(), "hands-over-at-the-end");
    const std::string got = listening.lab.output("silence-unnoticed");
    const std::string all = start + expected + report(count, duplicates, late, lost);
    stage.require(got.starts_with(start + expected), {"each datagram when it comes, and each once", difference(got, all), "", "", "duplicates-handed-over, sorted-instead-of-at-once"});
    stage.require(got == all, {"the account " + shown(report(count, duplicates, late, lost)), shown(got.substr((start + expected).size())), "", "", "miscounts"});
    listening.lab.exits(4);
    // All there: it ends at once.
    Listening complete = udp_listen(stage, {"--timeout", "60000"});
    const std::string ready = "ready " + complete.address.text() + "\n";
    mailbox.send(datagram("plain", mark, 2, 2, "b"), complete.address);
    mailbox.send(datagram("plain", mark, 1, 2, "a"), complete.address);
    complete.lab.prints(ready + "2 b\n1 a\n" + report(2, 0, 1, {}), "waits-for-silence");
    complete.lab.exits(0);
}

CASE("7.26 udp-listen is not disturbed by strangers" * points(2) * section("lost-twice-late") *
     hints("Who can send to your port?",
           "Everybody on the machine, here; on the net, everybody. An empty datagram, a huge one, a number that is higher than the count.",
           "What parse() does not take is ignored; so is everything with another sender's mark. Only datagrams of the sender that you listen to make the silence begin anew.")) {
    stage.by_hand("lab-07 udp-listen --port 7777 & sleep 0.1; echo nonsense | nc -u -w 0 127.0.0.1 7777; lab-07 udp-send 127.0.0.1:7777 a b; wait");
    Random& random = stage.random();
    if (!posix)
        stage.recognise("exit code 1, saying \"(recv|WSARecv)", "too-long-is-an-error");
    Listening listening = udp_listen(stage, {"--timeout", "300"});
    const Mailbox mailbox, stranger;
    const std::string mark = new_mark(random), other = new_mark(random);
    const auto disturb = [&] {
        for (const std::string& bytes : {std::string(), random.word(40), std::string("plain"), "plain " + other + " 0/5 x", "plain " + other + " 6/5 x", "plain " + other + " 1/4294967295 x",
                                         "plain " + other + " -1/5 x", "ack " + other + " 1/5", random.bytes(3000)})
            stranger.send(bytes, listening.address);
    };
    listening.lab.process().suspend();  // so that no pause of ours is taken for silence
    disturb();
    mailbox.send(datagram("plain", mark, 1, 3, "a"), listening.address);
    disturb();
    stranger.send(datagram("plain", other, 2, 3, "false"), listening.address);
    stranger.send(datagram("sure", other, 2, 3, "false"), listening.address);
    stranger.send(datagram("plain", mark, 2, 4, "false"), listening.address);
    mailbox.send(datagram("plain", mark, 3, 3, "c"), listening.address);
    listening.lab.process().resume();
    const std::string expected = "ready " + listening.address.text() + "\n1 a\n3 c\n";
    const std::string heard = listening.lab.output_of(expected.size(), "listens-to-strangers").substr(0, expected.size());
    stage.require(heard == expected, {shown(expected), difference(heard, expected), "", "", "listens-to-strangers"});
    // Somebody else goes on talking: that is silence all the same.
    for (int i = 0; !listening.lab.process().wait(Deadline::in(milliseconds(20))); ++i) {
        stage.require(i < 150 * stage.time_scale(), {"it ends when its sender has been silent for 300 ms", "it waits still, because a stranger talks", "", "", "strangers-keep-it-awake"});
        stranger.send(datagram("plain", other, 2, 3, "false"), listening.address);
    }
    listening.lab.prints(expected + report(3, 0, 0, {2}), "listens-to-strangers");
    listening.lab.exits(4);
}

CASE("7.27 udp-send --reliable sends again what is not acknowledged and no more than the window" * points(4) * section("again-until-acknowledged") *
     hints("No acknowledgement has come. What was lost?",
           "The datagram, or its acknowledgement; you cannot tell, and need not: send it again. Several may be on their way, but the listener keeps only so many that it cannot hand over yet.",
           "A map from number to the moment when it is sent again. The newest number stays below the oldest which is not acknowledged + window. Wait for an acknowledgement until the first of those moments.")) {
    stage.by_hand("nc -u -l 127.0.0.1 7777 & sleep 0.1; lab-07 udp-send --reliable --timeout 500 127.0.0.1:7777 a b c");
    Random& random = stage.random();
    Mailbox mailbox, stranger;
    constexpr unsigned count = 50;
    std::string lines;
    std::vector<std::string> texts(1);
    for (unsigned i = 1; i <= count; ++i)
        lines += texts.emplace_back(random.word(random.between(1, 30))) + "\n";
    Subject lab = stage.start({"udp-send", "--reliable", "--timeout", posix ? "2500" : "10000", "--lines", mailbox.text()});
    lab.feed(lines);
    lab.close_input();
    std::map<unsigned, unsigned> times;
    std::set<unsigned> acknowledged;
    std::string mark;
    const auto enter = [&](const Parcel& parcel, const Mistake& beyond) {
        if (mark.empty()) {
            works_itself(stage, lab);
            mark = parcel.sender;
        }
        const unsigned number = parcel.number;
        const std::string expected = number >= 1 && number <= count ? datagram("sure", mark, number, count, texts[number]) : "";
        stage.require(parcel.bytes == expected, {"the datagram " + shown(expected), shown(parcel.bytes), "", "", "not-sure"});
        unsigned oldest = 1;
        while (acknowledged.contains(oldest))
            ++oldest;
        stage.require(number < oldest + window, {"nothing beyond number " + std::to_string(oldest + window - 1) + " while " + std::to_string(oldest) + " is not acknowledged",
                                                 "number " + std::to_string(number), "", "", beyond});
        ++times[number];
    };
    const auto next = [&](const std::string& what, const Mistake& otherwise, const Mistake& beyond = "ignores-the-window") {
        const Parcel parcel = mailbox.receive(stage, what, otherwise);
        enter(parcel, beyond);
        return parcel;
    };
    const auto acknowledge = [&](const Parcel& parcel) {
        acknowledged.insert(parcel.number);
        mailbox.send(datagram("ack", mark, parcel.number, count, ""), parcel.from);
    };
    // Nothing is acknowledged; and then only what another run has sent.
    while (times[1] < 2)
        next("datagram 1 again", "never-sends-again");
    while (times[1] < 4) {
        const Parcel parcel = next("datagram 1 again", "believes-any-acknowledgement", "believes-any-acknowledgement");
        mailbox.send(datagram("ack", new_mark(random), parcel.number, count, ""), parcel.from);
    }
    // All but number 1; the others then are not sent again.
    while (acknowledged.size() + 1 < std::min(window, count)) {
        const Parcel parcel = next("the datagrams of the first window", "stops-at-the-first-loss");
        if (parcel.number != 1 && !acknowledged.contains(parcel.number))
            acknowledge(parcel);
    }
    times[1] = 0;
    while (times[1] < 2)
        next("datagram 1 again", "never-sends-again");
    // And now all.
    stage.await([&](Deadline deadline) {
        // Many at a time: between two calls the lab program is looked at, and meanwhile it sends more than we take.
        for (unsigned many = 0; many < 10 * window; ++many) {
            const std::optional<Parcel> parcel = mailbox.look(many == 0 ? deadline : Deadline::in(milliseconds(0)));
            if (!parcel)
                break;
            enter(*parcel, "ignores-the-window");
            acknowledge(*parcel);
        }
        return !lab.running();
    }, "udp-send ends when all is acknowledged", "never-sends-again");
    stage.require(acknowledged.size() == count, {"50 datagrams", std::to_string(acknowledged.size()), "", "", "never-sends-again"});
    lab.exits(0);
    lab.prints("");
}

CASE("7.28 udp-send --reliable does not mind a listener that comes later and gives up in time" * points(2) * section("again-until-acknowledged") *
     hints("Nobody listens on the port yet. What does send() say to that?",
           "Nothing, the first time. Then the refusal comes back (ICMP), and the next send() or recv() reports it: ECONNREFUSED, about an earlier datagram, and without having done its own work.",
           "Take ECONNREFUSED (WSAECONNRESET) as: not there yet. What ends it is patience: the time since the last acknowledgement.")) {
    stage.by_hand("(sleep 1; lab-07 udp-listen --port 7777) & time lab-07 udp-send --reliable 127.0.0.1:7777 a b c");
    stage.recognise("Conversation refused|WSAECONN|forcibly closed|refused", "not-yet-is-never");
    const unsigned port = free_datagram_port(stage.random());
    Subject early = stage.start({"udp-send", "--reliable", "--timeout", "60000", "127.0.0.1:" + std::to_string(port), "a", "b", "c"});
    rests(stage, early, "resends-without-pause");
    Mailbox mailbox(port);
    if (!mailbox.bound())
        stage.unavailable("somebody else has taken the port that was free a moment ago");
    std::set<unsigned> acknowledged;
    std::string mark;
    while (acknowledged.size() < 2) {
        const Parcel parcel = mailbox.receive(stage, "the datagrams", "never-sends-again, not-yet-is-never");
        mark = parcel.sender;
        if (parcel.number == 3)
            continue;
        acknowledged.insert(parcel.number);
        mailbox.send(datagram("ack", mark, parcel.number, 3, ""), parcel.from);
    }
    const Parcel last = [&] {
        for (;;)
            if (const Parcel parcel = mailbox.receive(stage, "datagram 3"); parcel.number == 3)
                return parcel;
    }();
    mailbox.send(datagram("ack", mark, 3, 3, ""), last.from);
    early.exits(0);
    const auto begin = std::chrono::steady_clock::now();
    const Mailbox deaf;
    Subject lab = stage.start({"udp-send", "--reliable", "--timeout", "200", deaf.text(), "a", "b"});
    lab.ends("sends-for-ever");
    const auto waited = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    stage.require(waited >= milliseconds(190), {"it has patience for 200 ms", "it ended after " + std::to_string(waited.count()) + " ms", "", "", "gives-up-at-once"});
    fails_aloud(lab, deaf.text(), "sends-for-ever");
}

CASE("7.29 udp-listen acknowledges sure datagrams and hands them over in their order" * points(3) * section("again-until-acknowledged") *
     hints("Number 3 comes before number 2. When do you print it, and when do you acknowledge it?",
           "You acknowledge it at once, each time it comes: it has arrived. You print it when its turn has come. What is far ahead you take neither.",
           "Keep texts in a vector by number, and print from `next` on as long as there is no gap. A number of next + window or more is ignored: it will come again.")) {
    stage.by_hand("lab-07 udp-listen --port 7777 & sleep 0.1; lab-07 udp-send --reliable 127.0.0.1:7777 a b c; wait");
    Random& random = stage.random();
    constexpr unsigned count = 40;
    stage.patience(milliseconds(4000));
    Listening listening = udp_listen(stage, {"--timeout", "60000"});
    Mailbox mailbox;
    const std::string mark = new_mark(random);
    std::string expected = "ready " + listening.address.text() + "\n";
    std::vector<std::string> texts(1);
    for (unsigned number = 1; number <= count; ++number)
        texts.push_back(random.word(random.between(1, 40)));
    const auto send = [&](unsigned number) { mailbox.send(datagram("sure", mark, number, count, texts[number]), listening.address); };
    const auto arrives = [&](unsigned number, const Mistake& otherwise) {
        send(number);
        is_acknowledged(stage, mailbox, mark, number, count, otherwise);
    };
    arrives(3, "no-acknowledgement, acknowledges-in-order-only");
    arrives(2, "no-acknowledgement, acknowledges-in-order-only");
    arrives(3, "acknowledges-once");
    rests(stage, listening.lab);
    stage.require(listening.lab.output_so_far() == expected, {"nothing is handed over before number 1", shown(listening.lab.output_so_far()), "", "", "hands-over-as-they-come"});
    send(window + 1);  // there is no room for it: the next acknowledgement must be another one's
    arrives(1, "takes-what-is-far-ahead");
    for (unsigned number = 1; number <= 3; ++number)
        expected += numbered(number, texts[number]);
    listening.lab.output_of(expected.size(), "hands-over-at-the-end");
    std::vector<unsigned> rest;
    for (unsigned number = 4; number <= count; ++number)
        rest.push_back(number);
    std::vector<unsigned> within(rest.begin(), rest.begin() + window), beyond(rest.begin() + window, rest.end());
    shuffle(within, random);
    shuffle(beyond, random);
    for (const unsigned number : within)
        arrives(number, "no-acknowledgement, acknowledges-in-order-only");
    for (const unsigned number : beyond)
        arrives(number, "no-acknowledgement, acknowledges-in-order-only");
    for (unsigned number = 4; number <= count; ++number)
        expected += numbered(number, texts[number]);
    const std::string got = listening.lab.output_of(expected.size(), "hands-over-at-the-end");
    stage.require(got == expected, {"all texts in the order of their numbers", difference(got, expected), "", "", "hands-over-as-they-come"});
    put_away(stage, listening.lab, "leaves-at-once");
}

CASE("7.30 udp-listen stays until the last acknowledgement cannot be missed any more" * points(3) * section("the-last-acknowledgement") *
     hints("You have everything, and have acknowledged everything. May you go?",
           "The last acknowledgement may have been lost. The sender then sends again and again, to nobody, and reports a failure where all has arrived.",
           "Stay, and acknowledge what comes again, until nothing has come for `silence`. TCP does the same: it is what TIME_WAIT is for.")) {
    stage.by_hand("lab-07 udp-listen --port 7777 & sleep 0.1; time lab-07 udp-send --reliable 127.0.0.1:7777 a; time wait");
    Mailbox mailbox;
    const std::string mark = new_mark(stage.random()), text = stage.random().word(10), bytes = datagram("sure", mark, 1, 1, text);
    // If the judge itself is too slow for this silence, a longer one.
    bool judged = false;
    for (long silence = posix ? 500 : 1500; !judged; silence *= 4) {
        Listening listening = udp_listen(stage, {"--timeout", std::to_string(silence)});
        const std::string expected = "ready " + listening.address.text() + "\n1 " + text + "\n";
        unsigned sent = 0;
        auto last = std::chrono::steady_clock::now();
        const auto is_quick = [&] { return std::chrono::steady_clock::now() - last < milliseconds(silence / 2); };
        for (judged = true; judged && sent < 4; ++sent) {  // acknowledged each time, and we have not heard it
            if (sent > 0) {
                const bool ended = listening.lab.process().wait(Deadline::in(milliseconds(20)));
                judged = is_quick();
                stage.require(!ended || !judged, {"it stays a while, for a sender who has not got the last acknowledgement", "it ended", "", "", "leaves-at-once"});
            }
            last = std::chrono::steady_clock::now();
            mailbox.send(bytes, listening.address);
            std::optional<Parcel> ack;
            stage.await([&](Deadline deadline) { return (ack = mailbox.look(deadline)).has_value() || !listening.lab.running(); },
                        "an acknowledgement each time that number 1 comes", sent == 0 ? "no-acknowledgement" : "acknowledges-once");
            stage.require(ack || !judged, {"an acknowledgement each time that number 1 comes", "it ended without", "", "",
                                           sent == 0 ? "no-acknowledgement" : is_quick() ? "leaves-at-once" : "acknowledges-once"});
            if (sent == 0)
                listening.lab.output_of(expected.size(), "hands-over-at-the-end");
        }
        // A timeout of its own ends it; that is no standing still.
        stage.require(listening.lab.process().wait(Deadline::in(milliseconds(silence + static_cast<long>(4000 * stage.time_scale())))),
                      {"it ends when nothing has come for " + std::to_string(silence) + " ms", "it waits still", "", "", "stays-for-ever"});
        if (judged)
            listening.lab.prints(expected + report(1, sent - 1, 0, {}), "stays-for-ever");
        listening.lab.exits(0, "stays-for-ever");
        while (mailbox.look(Deadline::in(milliseconds(0)))) {
        }
        judged = judged || silence > 20'000;
    }
}

CASE("7.31 over a line that loses and doubles and reorders all of it gets across" * points(by_track(4, 5)) * section("exercise-4-datagrams") *
     hints("Every bad thing that can happen to a datagram happens here, to data and to acknowledgements. Which of them have you not thought of?",
           "Run both programs with the judge's line between them, in your head: the first datagram is lost, the last is lost, and so is the acknowledgement of the last.",
           "If this fails and 7.27, 7.29 and 7.30 pass, look at what happens when the acknowledgement comes for a number that was sent twice.")) {
    stage.by_hand("lab-07 udp-listen --port 7777 & sleep 0.1; seq 1 1000 | lab-07 udp-send --reliable --lines 127.0.0.1:7777");
    Random& random = stage.random();
    constexpr unsigned count = 60;
    stage.patience(milliseconds(40'000));  // an amount of work, not a moment of waiting
    Listening listening = udp_listen(stage, {"--timeout", "60000"});
    BadLine line(random, listening.address, count);
    std::string lines, expected = "ready " + listening.address.text() + "\n";
    for (unsigned number = 1; number <= count; ++number) {
        const std::string text = random.word(random.between(0, 80));
        lines += text + "\n";
        expected += numbered(number, text);
    }
    Subject sender = stage.start({"udp-send", "--reliable", "--timeout", posix ? "5000" : "15000", "--lines", line.text()});
    sender.feed(lines);
    sender.close_input();
    sender.ends("never-sends-again, acknowledges-once");
    sender.exits(0, "leaves-at-once, never-sends-again");
    const std::string got = listening.lab.output_of(expected.size(), "hands-over-at-the-end");
    stage.require(got == expected, {"all texts in the order of their numbers, each once", difference(got, expected), "", "", "hands-over-as-they-come, duplicates-handed-over"});
    put_away(stage, listening.lab, "leaves-at-once");
}

}
