// The judge's own peers on FIFOs, and what only the posix track has.

#include "peers.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <array>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <set>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace judge;
using namespace peers;

namespace peers {
namespace {

std::string path_of(Stage& stage, const std::string& name) { return stage.folder() + "/" + name; }

// Nothing announces that a FIFO has appeared or is being read: the judge asks until the deadline.
bool ask_until(Deadline deadline, const std::function<bool()>& question) {
    for (;;) {
        if (question())
            return true;
        if (deadline.expired())
            return false;
        ::poll(nullptr, 0, 1);
    }
}

ipc::unique_file open_when_possible(Stage& stage, const std::string& path, int flags, const std::string& what, const Mistake& on_hang) {
    ipc::unique_file file;
    stage.await([&](Deadline deadline) {
        return ask_until(deadline, [&] {
            file.reset(::open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC));
            return static_cast<bool>(file);
        });
    }, what, on_hang);
    return file;
}

void write_all(Stage& stage, int file, const std::string& bytes, const std::string& what, const Mistake& on_hang) {
    std::size_t done = 0;
    stage.await([&](Deadline deadline) {
        while (done < bytes.size()) {
            const ssize_t count = ::write(file, bytes.data() + done, bytes.size() - done);
            if (count > 0) {
                done += static_cast<std::size_t>(count);
                continue;
            }
            if (errno == EPIPE)
                stage.fail({what, "it has closed the FIFO after " + std::to_string(done) + " of " + std::to_string(bytes.size()) + " bytes", "", "", on_hang});
            if (errno != EAGAIN && errno != EINTR)
                ipc::throw_last_error("write", "FIFO");
            pollfd room{file, POLLOUT, 0};
            if (::poll(&room, 1, deadline.poll_ms()) == 0)
                return false;
        }
        return true;
    }, what, on_hang);
}

// One more line from `file`, of which `got` holds what was read beyond the last one.
std::string next_line(Stage& stage, int file, std::string& got, const std::string& what, const Mistake& on_hang) {
    std::size_t searched = 0;
    std::size_t end = std::string::npos;
    stage.await([&](Deadline deadline) {
        return ask_until(deadline, [&] {
            std::array<char, 64 * 1024> buffer;
            for (;;) {
                end = got.find('\n', searched);
                if (end != std::string::npos)
                    return true;
                searched = got.size();
                const ssize_t count = ::read(file, buffer.data(), buffer.size());
                if (count <= 0)
                    return false;
                got.append(buffer.data(), static_cast<std::size_t>(count));
            }
        });
    }, what, on_hang);
    const std::string line = got.substr(0, end);
    got.erase(0, end + 1);
    return line;
}

void make_fifo(const std::string& path, mode_t mode = 0600) {
    ipc::check(::mkfifo(path.c_str(), mode), "mkfifo", path);
    ipc::check(::chmod(path.c_str(), mode), "chmod", path);
}

std::string mode_of(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0)
        return "nothing there";
    static constexpr const char* digits = "01234567";
    const auto mode = status.st_mode & 0777;
    return std::string(S_ISFIFO(status.st_mode) ? "FIFO" : "no FIFO") + " of mode 0" + digits[mode >> 6] + digits[(mode >> 3) & 7] + digits[mode & 7];
}

}  // namespace

std::string fresh_name(Stage& stage) { return stage.name("fifo"); }

bool name_exists(Stage& stage, const std::string& name) { return ::access(path_of(stage, name).c_str(), F_OK) == 0; }

void expect_name_and_remove(Stage& stage, const std::string& name) {
    const std::string path = path_of(stage, name);
    stage.require(::unlink(path.c_str()) == 0,
                  {"the FIFO is still there for whoever comes next", "somebody has removed " + name, "", "", "name-deleted"});
}

// ---- writer and reader ----------------------------------------------------------------------------------------------

struct Writer::State {
    ipc::unique_file end;
};

Writer::Writer(Stage& stage, const std::string& name, const Mistake& on_hang)
    : stage_(stage),
      state_(new State{open_when_possible(stage, path_of(stage, name), O_WRONLY, "the lab program opens the FIFO for reading", on_hang)}) {}
Writer::~Writer() = default;
bool Writer::settled() { return true; }
void Writer::close() { state_->end.reset(); }
void Writer::begin_message(const std::string& text) { write_all(stage_, state_->end.get(), text, "the lab program reads", ""); }
void Writer::message(const std::string& text, const Mistake& on_hang) {
    write_all(stage_, state_->end.get(), text + "\n", "the lab program reads", on_hang);
}

struct Reader::State {
    ipc::unique_file end;
    std::string got;
};

Reader::Reader(Stage& stage, const std::string& name, const Mistake& on_hang)
    : stage_(stage),
      state_(new State{open_when_possible(stage, path_of(stage, name), O_RDONLY, "the lab program makes the FIFO", on_hang), ""}) {}
Reader::~Reader() = default;
void Reader::close() { state_->end.reset(); }
std::string Reader::message(const Mistake& on_hang) {
    return next_line(stage_, state_->end.get(), state_->got, "a message with its line end from the lab program", on_hang);
}

void Reader::taste() {
    stage_.await([&](Deadline deadline) {
        return ask_until(deadline, [&] {
            char bytes[10];
            return ::read(state_->end.get(), bytes, sizeof bytes) > 0;
        });
    }, "the lab program writes", "");
}

void Reader::end(const Mistake& on_hang) {
    std::string more;
    stage_.await([&](Deadline deadline) {
        return ask_until(deadline, [&] {
            char bytes[100];
            const ssize_t count = ::read(state_->end.get(), bytes, sizeof bytes);
            if (count > 0)
                more.append(bytes, static_cast<std::size_t>(count));
            return count == 0;
        });
    }, "the lab program closes the FIFO", on_hang);
    stage_.require((state_->got + more).empty(), {"nothing behind the message", shown(state_->got + more), "", "", ""});
}

// ---- client and server ------------------------------------------------------------------------------------------------

struct Client::State {
    Stage& stage;
    unsigned long id;
    std::string path, got;
    ipc::unique_file requests, answers;
    ~State() { ::unlink(path.c_str()); }
};

namespace {

// Process ids that Linux never gives: so no FIFO of theirs is in the way.
unsigned long invented_id(Stage& stage) {
    static std::set<unsigned long> used;
    unsigned long id;
    do
        id = static_cast<unsigned long>(stage.random().between(5'000'000, 99'999'999));
    while (!used.insert(id).second);
    return id;
}

ipc::unique_file open_server(Stage& stage, const std::string& name) {
    ipc::unique_file requests(::open(path_of(stage, name).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    stage.require(static_cast<bool>(requests), {"the server that said ready reads the FIFO " + name, errno == ENXIO ? "nobody reads it" : "open: " + ipc::last_error().message(), "", "", ""});
    return requests;
}

}  // namespace

Client::Client(Stage& stage, const std::string& name)
    : state_(new State{stage, invented_id(stage), "", "", {}, {}}) {
    state_->path = path_of(stage, name) + "." + std::to_string(state_->id);
    make_fifo(state_->path);
    state_->answers.reset(ipc::check(::open(state_->path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC), "open", state_->path));
    state_->requests = open_server(stage, name);
}
Client::Client(Client&&) noexcept = default;
Client::~Client() = default;
unsigned long Client::id() const { return state_->id; }

void Client::ask(const std::string& text, const Mistake& on_hang) {
    write_all(state_->stage, state_->requests.get(), std::to_string(state_->id) + " " + text + "\n", "the server reads requests", on_hang);
}

bool Client::ask_if_room(const std::string& text) {
    const std::string line = std::to_string(state_->id) + " " + text + "\n";
    return ::write(state_->requests.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

std::string Client::answer(const Mistake& on_hang) {
    return next_line(state_->stage, state_->answers.get(), state_->got, "an answer for client " + std::to_string(state_->id), on_hang);
}

void Client::flood(const std::string& text, int count, const Mistake& on_hang) {
    ::fcntl(state_->answers.get(), F_SETPIPE_SZ, 4096);
    for (int i = 0; i < count; ++i)
        ask(text, on_hang);
}

struct Server::State {
    Stage& stage;
    std::string path, got;
    ipc::unique_file requests, keeps_open;
    unsigned long client = 0;
    ~State() { ::unlink(path.c_str()); }
};

Server::Server(Stage& stage, const std::string& name) : state_(new State{stage, path_of(stage, name), "", {}, {}, 0}) {
    make_fifo(state_->path);
    state_->requests.reset(ipc::check(::open(state_->path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC), "open", state_->path));
    state_->keeps_open.reset(ipc::check(::open(state_->path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC), "open", state_->path));
    // Full from the start: who asks has to wait until expect_open_ears() or request() has made room.
    ::fcntl(state_->requests.get(), F_SETPIPE_SZ, 4096);
    const std::string filling(4096, '\n');
    ipc::check(::write(state_->keeps_open.get(), filling.data(), filling.size()), "write", state_->path);
}
Server::~Server() = default;

void Server::expect_open_ears(unsigned long client, const Mistake& otherwise) {
    open_when_possible(state_->stage, state_->path + "." + std::to_string(client), O_WRONLY,
                       "its own FIFO is made and open for reading before it asks", otherwise);
    const std::string mode = mode_of(state_->path + "." + std::to_string(client));
    state_->stage.require(mode == "FIFO of mode 0600", {"the answer's FIFO is for its owner alone: mode 0600", mode, "", "", "mode-left-to-umask"});
}

void Server::make_room() {
    std::array<char, 4096> filling;
    ipc::check(::read(state_->requests.get(), filling.data(), filling.size()), "read", state_->path);
}

std::string Server::request(unsigned long client, const Mistake& on_hang) {
    state_->client = client;
    std::string line;
    while (line.empty())
        line = next_line(state_->stage, state_->requests.get(), state_->got, "a request from the lab program", on_hang);
    const std::string header = std::to_string(client) + " ";
    state_->stage.require(line.starts_with(header), {"a request that begins with the client's id, " + shown(header), shown(line), "", "", ""});
    return line.substr(header.size());
}

void Server::answer(const std::string& text, const Mistake& on_hang) {
    // Opened and closed again for each answer, as a server does that has many clients.
    const ipc::unique_file fifo = open_when_possible(state_->stage, state_->path + "." + std::to_string(state_->client), O_WRONLY,
                                                     "the client reads its own FIFO", on_hang);
    write_all(state_->stage, fifo.get(), text + "\n", "the client reads its own FIFO", on_hang);
}

void Server::close() {
    ::unlink(state_->path.c_str());
    state_->requests.reset();
    state_->keeps_open.reset();
}

// ---- crowds and boors ---------------------------------------------------------------------------------------------------

struct RudeClients::State {
    std::string dead;
    ipc::unique_file silent;
    ~State() { ::unlink(dead.c_str()); }
};

RudeClients::RudeClients(Stage& stage, const std::string& name) : state_(new State) {
    state_->silent = open_server(stage, name);
    const ipc::unique_file end = open_server(stage, name);
    auto say = [&](const std::string& line) { write_all(stage, end.get(), line + "\n", "the server reads requests", ""); };
    // One has died with its FIFO, one without; one has died behind its request, its FIFO still there.
    say(std::to_string(invented_id(stage)) + " anybody there?");
    const unsigned long dead = invented_id(stage);
    state_->dead = path_of(stage, name) + "." + std::to_string(dead);
    make_fifo(state_->dead);
    say(std::to_string(dead) + " anybody there?");
    for (const char* nonsense : {"", "hello", "-1 hello", "99999999999999999999999 hello", "12", "12hello", " 12 hello", "/etc/passwd hello"})
        say(nonsense);
    say(std::to_string(dead) + " " + stage.random().word(20'000));
}
RudeClients::~RudeClients() = default;

std::vector<Asked> crowd(Stage& stage, Subject& server, const std::string& name, const std::vector<std::string>& texts, const Mistake& on_hang) {
    std::vector<Client> clients;
    for (std::size_t i = 0; i < texts.size(); ++i)
        clients.emplace_back(stage, name);
    // They ask while the server is stopped, as many as its FIFO has room for: it finds their requests in one heap.
    server.process().suspend();
    bool room = true;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        if (room && !clients[i].ask_if_room(texts[i])) {
            room = false;
            server.process().resume();
        }
        if (!room)
            clients[i].ask(texts[i], on_hang);
    }
    if (room)
        server.process().resume();
    std::vector<Asked> all;
    for (std::size_t i = 0; i < texts.size(); ++i)
        all.push_back({clients[i].id(), texts[i], clients[i].answer(on_hang)});
    return all;
}

}  // namespace peers

// ---- the cases of this track ---------------------------------------------------------------------------------------------

namespace {

// A shell of the judge's own, in the stage's folder.
Process shell(Stage& stage, const std::string& command) {
    StartRequest request;
    request.command = {"/bin/sh", "-c", command};
    request.directory = stage.folder();
    return Process::start(std::move(request));
}

}  // namespace

EXERCISE("Exercise 1: one message") {

CASE("2.4 cat and echo and tee can be at the other end" * points(3) * section("try-it-in-two-terminals") *
     hints("What does a FIFO know about messages?",
           "Nothing: cat copies bytes, echo writes a line. If they are to get along with you, a message on its way is plain text with a line end.",
           "Send exactly the text and one line end. Take a line without the line end as the message.")) {
    stage.by_hand("lab-02 read my_pipe & sleep 1; echo hello | tee my_pipe; lab-02 write my_pipe & sleep 1; cat my_pipe");
    const std::string one = fresh_name(stage), other = fresh_name(stage);
    const std::string first = stage.random().word(10), second = stage.random().word(10);
    Subject reader = stage.start({"read", one});
    Subject writer = stage.start({"write", other, second});
    stage.await([&](Deadline deadline) {
        return ask_until(deadline, [&] { return name_exists(stage, one) && name_exists(stage, other); });
    }, "read and write make their FIFO", "");
    Process tee = shell(stage, "echo " + first + " | tee " + one + " > /dev/null");
    Process cat = shell(stage, "cat " + other + " > ../files/cat");
    reader.prints("I pid [" + std::to_string(reader.process().id()) + "] received a message => " + first + "\n");
    reader.exits(0);
    writer.exits(0);
    stage.await([&](Deadline deadline) { return cat.wait(deadline) && tee.wait(deadline); }, "cat and tee end", "");
    std::ifstream file(stage.files() + "/cat");
    const std::string got((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    stage.require(got == second + "\n", {"cat prints " + shown(second + "\n"), difference(got, second + "\n"), "", "", ""});
    expect_name_and_remove(stage, one);
    expect_name_and_remove(stage, other);
}

}

EXERCISE("Exercise 2: messages") {

CASE("2.7 write puts a message up to PIPE_BUF bytes into the FIFO whole or not at all" * points(5) * section("when-two-write") *
     hints("Two writers use one FIFO. When can the words of one come into the middle of the other's?",
           "Between two write() calls, always. Within one of up to PIPE_BUF bytes, never.",
           "Put the line end behind the text in the same buffer, and write both with one call.")) {
    stage.by_hand("strace -e trace=write lab-02 write my_pipe hello & sleep 1; cat my_pipe   # one write, with the line end");
    const std::string name = fresh_name(stage);
    const std::string path = path_of(stage, name);
    make_fifo(path);
    const ipc::unique_file read_end(ipc::check(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC), "open", path));
    const ipc::unique_file other_writer(ipc::check(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC), "open", path));
    const int capacity = ipc::check(::fcntl(read_end.get(), F_SETPIPE_SZ, 4096), "fcntl", "F_SETPIPE_SZ");
    stage.require(capacity == PIPE_BUF, {"a FIFO of one page", std::to_string(capacity), "", "", ""});
    // There is room for the text, and not for its line end.
    const std::string text = stage.random().word(stage.random().between(2000, 3000));
    const std::string before = stage.random().word(PIPE_BUF - text.size() - 1) + "\n";
    write_all(stage, other_writer.get(), before, "the FIFO takes what the other writer has to say", "");
    Subject lab = stage.start({"write", name, text});
    rests(stage, lab);
    int inside = 0;
    ipc::check(::ioctl(read_end.get(), FIONREAD, &inside), "ioctl", "FIONREAD");
    stage.require(inside == static_cast<int>(before.size()),
                  {"as long as there is no room for all " + std::to_string(text.size() + 1) + " bytes, nothing of the message is in the FIFO",
                   std::to_string(inside - static_cast<int>(before.size())) + " bytes of it are in the FIFO, the rest waits: anybody's words can come in between", "", "", "message-in-pieces"});
    std::string got;
    next_line(stage, read_end.get(), got, "what the other writer wrote", "");
    const std::string line = next_line(stage, read_end.get(), got, "the whole message", "message-in-pieces");
    stage.require(line == text, {shown(text), difference(line, text), "", "", "message-in-pieces"});
    lab.exits(0);
    expect_name_and_remove(stage, name);
}

CASE("2.10 what is no FIFO is refused and left as it was" * points(4) * section("the-name-and-the-thing") *
     hints("What if there is a letter to your grandmother at that path?",
           "open() for writing takes any file. With O_TRUNC it empties it, and what you write replaces its first bytes.",
           "Open without O_CREAT and O_TRUNC, then ask fstat() what you have opened: S_ISFIFO, or throw. And what you did not make you do not remove.")) {
    stage.by_hand("echo precious > letter; lab-02 write letter hello; cat letter");
    for (const std::string verb : {"write", "read", "serve", "request"}) {
        const std::string name = stage.name("letter");
        const std::string path = path_of(stage, name), precious = stage.random().word(40) + "\n";
        std::ofstream(path) << precious;
        Subject lab = verb == "write" || verb == "request" ? stage.start({verb, name, "hello"}) : stage.start({verb, name});
        lab.ends();
        std::ifstream file(path);
        const std::string got((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        stage.require(got == precious, {"the file still holds " + shown(precious), file ? difference(got, precious) : "it is gone", "", "",
                                          file ? "takes-any-file" : verb == "serve" ? "steals-the-name" : verb == "read" ? "name-deleted" : ""});
        lab.fails("takes-any-file");
        lab.complains(name);
        lab.prints("");
        ::unlink(path.c_str());
    }
    // What is a FIFO is taken, though somebody else has made it.
    const std::string name = fresh_name(stage), text = stage.random().word(20);
    make_fifo(path_of(stage, name));
    Subject reader = stage.start({"read", name}), writer = stage.start({"write", name, text});
    reader.prints("I pid [" + std::to_string(reader.process().id()) + "] received a message => " + text + "\n");
    reader.exits(0);
    writer.exits(0);
    expect_name_and_remove(stage, name);
}

CASE("2.11 what is made has mode 0600 whatever the umask is" * points(4) * section("who-may-come-in") *
     hints("Who else on this machine may read what you send?",
           "mkfifo()'s mode is cut by the umask: 0666 becomes 0644 for most people, and 0600 can become 0400 for some.",
           "mkfifo(path, 0600), then chmod(path, 0600) for the bits that the umask has taken.")) {
    stage.by_hand("(umask 0; lab-02 write --timeout 0 my_pipe hello); ls -l my_pipe");
    for (const mode_t mask : {mode_t{0}, mode_t{0277}}) {
        const std::string read = fresh_name(stage), written = fresh_name(stage);
        const mode_t before = ::umask(mask);
        Subject reader = stage.start({"read", read});
        Subject writer = stage.start({"write", written, "hello"});
        ::umask(before);
        { const Writer nothing(stage, read); }
        Reader(stage, written).message();
        for (const std::string& name : {read, written}) {
            const std::string mode = mode_of(path_of(stage, name));
            stage.require(mode == "FIFO of mode 0600", {"FIFO of mode 0600", mode, "", "", "mode-left-to-umask"});
        }
        for (Subject* subject : {&reader, &writer})
            subject->ends();
        expect_name_and_remove(stage, read);
        expect_name_and_remove(stage, written);
    }
}

}

EXERCISE("Exercise 4: serve") {

CASE("2.21 serve takes over what a dead server left and leaves a living one alone" * points(4) * section("the-name-and-the-thing") *
     hints("The FIFO is there already. Is anybody behind it?",
           "A killed server leaves its FIFO; a living one reads from it. open(O_WRONLY | O_NONBLOCK) tells the two apart.",
           "ENXIO: take it over, with fchmod() to 0600. Success: throw EADDRINUSE, before anything is unlinked; the name is not yours.")) {
    stage.by_hand("mkfifo my_server; lab-02 serve my_server & sleep 1; lab-02 serve my_server; lab-02 request my_server hello   # the first serves, the second is refused");
    const std::string name = fresh_name(stage);
    make_fifo(path_of(stage, name), 0644);
    Subject lab = stage.start({"serve", name});
    lab.ready("stale-name-refused");
    const std::string mode = mode_of(path_of(stage, name));
    stage.require(mode == "FIFO of mode 0600", {"the FIFO that was there is now for its owner alone: mode 0600", mode, "", "", "mode-left-to-umask"});
    Subject second = stage.start({"serve", name});
    second.fails("steals-the-name");
    second.prints("", "steals-the-name");
    second.complains(name);
    for (const mode_t mask : {mode_t{0}, mode_t{0277}}) {
        const std::string fresh = fresh_name(stage);
        const mode_t before = ::umask(mask);
        Subject first = stage.start({"serve", fresh});
        ::umask(before);
        first.ready();
        const std::string made = mode_of(path_of(stage, fresh));
        stage.require(made == "FIFO of mode 0600", {"a FIFO that serve makes is for its owner alone: mode 0600", made, "", "", "mode-left-to-umask"});
        stop(first);
    }
    stage.require(name_exists(stage, name), {"the living server keeps its name", "it is gone", "", "", "steals-the-name"});
    Client client(stage, name);
    client.ask("still there?");
    client.answer();
    stop(lab);
}

}
