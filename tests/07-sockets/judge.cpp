// The judge of lab 07, exercises 1 to 3: it is the server that the lab program calls, and a thousand clients of its server.

#include "peers.hpp"

using namespace judge;
using namespace peers;

JUDGE_MAIN

namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;

// ---- the judge as a server ------------------------------------------------------------------------------------------

// Waits until the lab program has read what was sent to it over this connection.
void is_read(Stage& stage, Subject& lab, const Conversation& connection, const Mistake& otherwise) {
    wait_until_read(stage, lab, connection.socket().other().port(), connection.socket().own().port(), otherwise);
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
            stage_.require(!connection.is_gone(), {"the server bears with a client that asks more and more", "it has closed the connection after " + std::to_string(poured_) + " bytes of requests", "", "", ""});
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

}  // namespace

std::string peers::phrase(Random& random) {
    static constexpr const char* words[] = {"gr\xc3\xbc\xc3\x9f", "caf\xc3\xa9", "\xe5\xa5\x97\xe6\x8e\xa5\xe5\xad\x97", "100%", "a b", "~$'\\"};
    return random.word(random.between(3, 12)) + " " + words[random.next() % std::size(words)] + " " + random.word(6);
}

void peers::works_itself(Stage& stage, Subject& lab) {
    for (const ProcessInfo& process : lab.process().tree())
        stage.require(process.name.starts_with("lab-07"), {"the lab program itself at work", process.name + " (pid " + std::to_string(process.id) + ")", "", "", "asks-another-program"});
}

void peers::fails_aloud(Subject& lab, const std::string& about, const Mistake& otherwise) {
    lab.exits(1, otherwise);
    lab.complains(about, otherwise);
}

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
    Subject dribbled = stage.start({"call", "--timeout", "800", listener.text(), text});
    Conversation connections[] = {listener.accept(), listener.accept()};
    silent.ends("waits-without-deadline");
    const auto waited = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    stage.require(waited >= milliseconds(140), {"it waits the 150 ms that it was given", "it ended after " + std::to_string(waited.count()) + " ms", "", "", "gives-up-at-once"});
    fails_aloud(silent, listener.text(), "waits-without-deadline");
    // Both get the beginning of an answer; one of the two hears a byte of it every 20 ms.
    for (Conversation& connection : connections)
        connection.offer(prefix(60'000));
    for (int i = 0; !dribbled.process().wait(Deadline::in(milliseconds(20))); ++i) {
        stage.require(i < 150 * stage.time_scale(), {"it gives up after 800 ms", "it waits still, after " + std::to_string(i) + " bytes of an answer", "", "", "deadline-starts-anew"});
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
    greedy.takes_what_comes("close-resets, stop-drops-requests, signal-does-not-stop");
    greedy.connection.ends_well("close-resets, stop-drops-requests, signal-does-not-stop");
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
