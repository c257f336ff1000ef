// What the judge of lab 07 asks Linux, and what only the posix track has.

#include "peers.hpp"

#include <csignal>
#include <fstream>
#include <sstream>
#include <sys/resource.h>
#include <sys/stat.h>

using namespace judge;
using namespace peers;

namespace peers {

// Bytes that have arrived at a socket and were not read: a column of /proc/net/tcp.
static std::uint64_t waiting_at(pid_t process, unsigned port, unsigned other_port) {
    for (const char* file : {"tcp", "tcp6"}) {
        std::ifstream sockets("/proc/" + std::to_string(process) + "/net/" + file);
        std::string line;
        std::getline(sockets, line);
        while (std::getline(sockets, line)) {
            // sl local:port remote:port state transmit:receive
            std::istringstream fields(line);
            std::string sl, local, remote, state, queues;
            fields >> sl >> local >> remote >> state >> queues;
            const auto port_of = [](const std::string& address) { return std::stoul(address.substr(address.rfind(':') + 1), nullptr, 16); };
            if (port_of(local) == port && port_of(remote) == other_port)
                return port_of(queues);  // the receive queue, behind the colon, in hexadecimal as well
        }
    }
    return 0;
}

void wait_until_read(Stage& stage, Subject& lab, unsigned lab_port, unsigned judge_port, const Mistake& otherwise) {
    stage.await([&](Deadline deadline) {
        while (waiting_at(static_cast<pid_t>(lab.process().id()), lab_port, judge_port) > 0) {
            if (deadline.expired())
                return false;
            ::poll(nullptr, 0, 1);
        }
        return true;
    }, "the lab program reads what has arrived", otherwise);
}

std::size_t memory_of(Subject& lab) {
    std::ifstream statistics("/proc/" + std::to_string(lab.process().id()) + "/statm");
    std::size_t whole = 0, resident = 0;
    statistics >> whole >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t threads_of(Subject& lab) {
    std::ifstream status("/proc/" + std::to_string(lab.process().id()) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("Threads:"))
            return static_cast<std::size_t>(std::atoi(line.c_str() + 8));
    return 0;
}

bool may_open(std::size_t count) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < count + 100) {
        limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, count + 100);
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur >= count + 20;
}

}  // namespace peers

namespace {

SocketAddress unix_address(const std::string& path) {
    SocketAddress address;
    auto& name = reinterpret_cast<sockaddr_un&>(address.storage);
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
    address.size = sizeof name;
    return address;
}

std::string at(Stage& stage, const std::string& name) { return stage.folder() + "/" + name; }

std::string what_is(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0)
        return "nothing";
    char mode[8];
    std::snprintf(mode, sizeof mode, "0%o", status.st_mode & 0777U);
    return (S_ISSOCK(status.st_mode) ? "a socket of mode " : S_ISREG(status.st_mode) ? "a file of mode " : "something of mode ") + std::string(mode);
}

// As a server that was killed leaves it.
void leave_stale(const std::string& path) {
    const Socket socket(AF_UNIX, SOCK_STREAM);
    if (!socket.bind(unix_address(path)))
        throw std::runtime_error("bind " + path);
}

}  // namespace

EXERCISE("Exercise 1: call") {

CASE("7.3 call is not disturbed by signals nor by a server that is slow to listen" * points(2) * section("interrupted") *
     hints("send() returns 4000, and you wanted to send 60000. What has happened?",
           "The system has taken 4000: there was no more room, or a signal came. And a call that was waiting may come back with EINTR, having done nothing.",
           "A loop around send() as around recv(): go on with the rest; on EINTR simply again. Signals must not lengthen the deadline either.")) {
    stage.by_hand("lab-07 serve --port 7777 & lab-07 call 127.0.0.1:7777 \"$(head -c 60000 /dev/zero | tr '\\0' x)\" | wc -c");
    stage.recognise("Interrupted system call", "interrupted-is-an-error");
    stage.recognise("a request of \\d+ bytes[^]*(ended after|waits in)", "short-write");
    ServerSocket listener(stage);
    listener.socket().set(SOL_SOCKET, SO_RCVBUF, 4096);
    listener.socket().set(IPPROTO_TCP, TCP_MAXSEG, 88);  // the least; the sender's own buffer goes by it, and stays smaller than a frame
    const std::string text = stage.random().word(longest_frame), answer = stage.random().word(9);
    Subject lab = stage.start({"call", "--timeout", "60000", listener.text(), text, "again"});
    Conversation connection = listener.accept();
    const auto disturb = [&] {
        rests(stage, lab, "spins-on-a-full-socket");
        ::kill(static_cast<pid_t>(lab.process().id()), SIGUSR1);
    };
    disturb();  // it waits for room: as long as nothing is read there is none
    connection.receive(4, "a request: 4 bytes with its length");
    const std::string got = connection.receive(text.size(), "a request of " + std::to_string(text.size()) + " bytes", "short-write");
    stage.require(got == text, {"the request, all of it", difference(got, text), "", "", "short-write"});
    disturb();  // it waits for the answer
    connection.send(frame(answer));
    connection.receive(frame("again").size(), "the second request");
    connection.send(frame(""));
    lab.prints(answer + "\n\n");
    lab.exits(0, "interrupted-is-an-error");
    Subject long_one = stage.start({"call", listener.text(), text + "x"});
    long_one.exits(1, "too-long-is-sent");
    long_one.complains(std::to_string(longest_frame + 1), "too-long-is-sent");
    if (listener.somebody(Deadline::in(milliseconds(0)))) {
        Conversation nothing = listener.accept();
        nothing.ends();
        stage.require(nothing.got().empty(), {"of a text that is too long nothing is sent", shown(nothing.got()), "", "", "too-long-is-sent"});
    }
}

}

EXERCISE("Exercise 3: serve, everybody at once") {

CASE("7.21 without a descriptor for one more client serve goes on with those that it has" * points(2) * section("no-descriptor-left") *
     hints("accept() says EMFILE. What does epoll_wait() say the next time?",
           "That a client is waiting, which is true. And the next time again: your loop turns as fast as it can, and cannot do anything.",
           "On EMFILE or ENFILE take the listener out of what you watch. Put it back when a client has left.")) {
    stage.by_hand("(ulimit -n 16; lab-07 serve --port 7777) & for i in $(seq 20); do nc 127.0.0.1 7777 & done; top -b -n 1 -p $!");
    stage.recognise("Too many open files", "out-of-descriptors-is-the-end");
    Served served = serve(stage);
    {
        Conversation first = connect(stage, served.ipv4);
        first.asks(stage.random().word(8));
    }
    const rlim_t most = served.lab.process().descriptors().size() + 6;
    const rlimit few{most, most};
    if (::prlimit(static_cast<pid_t>(served.lab.process().id()), RLIMIT_NOFILE, &few, nullptr) != 0)
        stage.unavailable("the system does not let the judge limit another process's descriptors");
    std::vector<Conversation> clients;
    std::vector<std::string> texts;
    for (int i = 0; i < 12; ++i) {
        clients.push_back(connect(stage, served.ipv4));
        clients.back().send(frame(texts.emplace_back(stage.random().word(8))));
    }
    clients[0].answered(texts[0], "out-of-descriptors-is-the-end");
    rests(stage, served.lab, "spins-without-descriptors");
    clients[0].asks(stage.random().word(8), "out-of-descriptors-is-the-end");
    // One leaves, the next comes in, until all have been there.
    for (std::size_t i = 1; i < clients.size(); ++i) {
        clients[i - 1].close();
        clients[i].answered(texts[i], "out-of-descriptors-is-for-ever");
    }
    put_away(stage, served.lab);
}

CASE("7.22 on a UNIX socket serve knows who asks" * points(2) * section("who-is-asking") *
     hints("Who is at the other end of a UNIX socket? Not: who does he say that he is.",
           "The system knows which process has connected, and as which user: getsockopt(SO_PEERCRED).",
           "A struct ucred, asked once, when the client is taken in: \"pid 4121 uid 1000\".")) {
    stage.by_hand("lab-07 serve --unix my_socket & sleep 0.1; lab-07 call unix:my_socket '' ; id -u");
    const std::string name = stage.name("socket");
    ::umask(0);
    Served served = serve(stage, {"--unix", name});
    stage.require(served.ready == "unix:" + name, {"the line \"ready unix:" + name + "\"", shown("ready " + served.ready), "", "", ""});
    stage.require(what_is(at(stage, name)) == "a socket of mode 0600", {"a socket of mode 0600, whatever the umask is", what_is(at(stage, name)), "", "", "mode-left-to-umask"});
    Conversation client = connect(stage, unix_address(at(stage, name)));
    client.asks(stage.random().word(longest_frame));
    client.send(frame(""));
    const std::string expected = "pid " + std::to_string(::getpid()) + " uid " + std::to_string(::getuid());
    const std::string got = client.frame("who we are");
    stage.require(got == expected, {"the answer " + shown(expected), shown(got), "", "", "wrong-peer"});
    // The lab program as its own client.
    Subject lab = stage.start({"call", "unix:" + name, "", "abc"});
    lab.prints("pid " + std::to_string(lab.process().id()) + " uid " + std::to_string(::getuid()) + "\nABC\n", "wrong-peer");
    lab.exits(0);
    // Who has gone when his answer comes: here send() fails at once.
    stage.recognise("killed by SIGPIPE", "sigpipe");
    served.lab.process().suspend();
    client.send(frame(stage.random().word(100)));
    client.close();
    served.lab.process().resume();
    Conversation other = connect(stage, unix_address(at(stage, name)));
    other.asks(stage.random().word(9), "dies-with-its-client");
    other.close();
    served.lab.process().terminate();
    served.lab.exits(0, "signal-does-not-stop");
    stage.require(what_is(at(stage, name)) == "nothing", {"the name goes with the server", what_is(at(stage, name)), "", "", "name-left"});
    Subject nobody = stage.start({"call", "unix:" + name, "x"});
    nobody.exits(1);
    nobody.complains(name);
}

CASE("7.23 serve takes a UNIX socket over from the dead and from nobody else" * points(2) * section("who-is-asking") *
     hints("bind() says EADDRINUSE. Does somebody live there?",
           "The name of a UNIX socket stays when its server is killed. Only a connect() tells: ECONNREFUSED means that nobody listens. But a plain file refuses connections as well.",
           "lstat(): only if it is a socket. connect(): only if it is refused. Then unlink() and bind(). Otherwise throw EADDRINUSE and touch nothing.")) {
    stage.by_hand("lab-07 serve --unix my_socket & sleep 0.1; kill -KILL $!; wait $!; lab-07 serve --unix my_socket");
    stage.recognise("ddress already in use[^]*expected: a line|a line on standard output[^]*ddress already in use", "stale-name-refused");
    const std::string name = stage.name("socket"), file = stage.name("file"), precious = stage.random().word(20);
    leave_stale(at(stage, name));
    Served served = serve(stage, {"--unix", name});
    Subject second = stage.start({"serve", "--unix", name});
    second.exits(1, "steals-the-name");
    second.complains(name);
    connect(stage, unix_address(at(stage, name)), "steals-the-name").asks(stage.random().word(9), "steals-the-name");
    std::ofstream(at(stage, file)) << precious;
    Subject third = stage.start({"serve", "--unix", file});
    third.exits(1, "removes-any-file");
    std::ifstream kept(at(stage, file));
    std::string content;
    kept >> content;
    stage.require(content == precious, {"a file at that path is left as it was", what_is(at(stage, file)), "", "", "removes-any-file"});
    ::unlink(at(stage, file).c_str());
    Subject long_one = stage.start({"serve", "--unix", stage.random().word(120)});
    long_one.exits(1, "path-cut-off");
    served.lab.process().terminate();
    served.lab.exits(0);
    stage.require(what_is(at(stage, name)) == "nothing", {"the name goes with the server", what_is(at(stage, name)), "", "", "name-left"});
}

}
