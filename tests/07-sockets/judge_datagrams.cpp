// The judge of lab 07, exercise 4: it is the other mailbox of a datagram program, and the bad line between two of them.

#include "peers.hpp"

#include <atomic>
#include <map>
#include <set>
#include <thread>

using namespace judge;
using namespace peers;

namespace {

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
