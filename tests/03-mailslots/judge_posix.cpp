// The judge's own peers on POSIX, and what only the posix track has: names that outlive their owners.

#include "peers.hpp"

#include "ipc/error.hpp"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace fs = std::filesystem;

namespace judge {
namespace {

std::string runtime(Stage& stage) { return stage.files() + "/run"; }
std::string directory(Stage& stage) { return runtime(stage) + "/ipc-labs"; }
std::string path_of(Stage& stage, const std::string& name) { return directory(stage) + "/" + name; }

void make_directory(Stage& stage) {
    ::mkdir(runtime(stage).c_str(), 0700);
    ::mkdir(directory(stage).c_str(), 0700);
}

sockaddr_un socket_address(const std::string& path) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    if (path.size() >= sizeof where.sun_path)
        throw std::runtime_error("the judge's own path is too long for a socket: " + path + "; set TMPDIR to a shorter one");
    std::memcpy(where.sun_path, path.c_str(), path.size() + 1);
    return where;
}

ipc::unique_file make_socket(int type = SOCK_DGRAM) {
    return ipc::unique_file(ipc::check(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0), "socket"));
}

int connect_to(const ipc::unique_file& socket, const std::string& path) {
    const sockaddr_un where = socket_address(path);
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) == -1 ? errno : 0;
}

void bind_to(const ipc::unique_file& socket, const std::string& path) {
    const sockaddr_un where = socket_address(path);
    ipc::check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where), "bind", path);
}

}  // namespace

Start slots_here(Stage& stage) {
    ::mkdir(runtime(stage).c_str(), 0700);
    Start how;
    how.environment["XDG_RUNTIME_DIR"] = runtime(stage);
    return how;
}

struct RawSlot::State {
    Stage& stage;
    std::string name, path;
    ipc::unique_file socket;
};

RawSlot::RawSlot(Stage& stage, const std::string& name) : state_(new State{stage, name, path_of(stage, name), make_socket()}) {
    make_directory(stage);
    bind_to(state_->socket, state_->path);
}
RawSlot::RawSlot(RawSlot&&) noexcept = default;
RawSlot::~RawSlot() {
    if (state_)
        close();
}

std::string RawSlot::takes(const Mistake& otherwise) {
    const auto look = [] { return Deadline::in(milliseconds(40)); };  // what a dead sender has sent is there already
    std::optional<std::string> message;
    state_->stage.await([&](Deadline) { message = take(look()); return message.has_value(); },
                        "a message comes into the slot " + state_->name, otherwise);
    return *message;
}

const std::string& RawSlot::name() const { return state_->name; }

std::optional<std::string> RawSlot::take(Deadline deadline) {
    pollfd watched{state_->socket.get(), POLLIN, 0};
    if (::poll(&watched, 1, deadline.poll_ms()) != 1)
        return std::nullopt;
    std::string message(1 << 20, '\0');
    message.resize(static_cast<std::size_t>(ipc::check(::recv(state_->socket.get(), message.data(), message.size(), 0), "recv")));
    return message;
}

bool RawSlot::empty() {
    char one;
    return ::recv(state_->socket.get(), &one, 1, MSG_PEEK | MSG_DONTWAIT) == -1;
}

bool RawSlot::fill() {
    while (raw_post(state_->stage, state_->name, "x")) {
    }
    return true;
}

void RawSlot::die() { state_->socket.reset(); }

void RawSlot::close() {
    if (!state_->socket)
        return;
    ::unlink(state_->path.c_str());
    state_->socket.reset();
}

bool raw_post(Stage& stage, const std::string& name, std::string_view message) {
    const ipc::unique_file socket = make_socket();  // a fresh one: each sender has a limit of his own, too
    const std::string path = path_of(stage, name);
    const int size = 1 << 20;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    int error = connect_to(socket, path);
    if (error == 0 && ::send(socket.get(), message.data(), message.size(), MSG_DONTWAIT) == -1)
        error = errno;
    if (error == EAGAIN)
        return false;
    stage.require(error == 0, {"a datagram socket at $XDG_RUNTIME_DIR/ipc-labs/" + name + " that takes messages",
                               std::string("connect() and send() say: ") + std::strerror(error), "", "", ""});
    return true;
}

bool owned(Stage& stage, const std::string& name) {
    const ipc::unique_file socket = make_socket();
    return connect_to(socket, path_of(stage, name)) == 0;
}

std::size_t longest_name(Stage& stage) {
    return std::min<std::size_t>(64, sizeof sockaddr_un::sun_path - 2 - directory(stage).size());
}

std::string slots_left(Stage& stage) {
    std::string left;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(directory(stage), none))
        left += (left.empty() ? "" : ", ") + entry.path().filename().string();
    return left;
}

}  // namespace judge

using namespace judge;

namespace {

// Leaves a socket's name behind that nobody has open, as a killed listener does.
void leave_stale(Stage& stage, const std::string& name, int type = SOCK_DGRAM) {
    make_directory(stage);
    bind_to(make_socket(type), path_of(stage, name));
}

ipc::unique_file lock_directory(Stage& stage) {
    make_directory(stage);
    ipc::unique_file open(ipc::check(::open(directory(stage).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open"));
    ipc::check(::flock(open.get(), LOCK_EX), "flock");
    return open;
}

void is_refused(Stage& stage, Subject& lab, const std::string& why, const Mistake& otherwise) { ends_with(stage, lab, 1, why, otherwise); }

bool is_locked(Stage& stage) {
    const ipc::unique_file open(ipc::check(::open(directory(stage).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open"));
    return ::flock(open.get(), LOCK_EX | LOCK_NB) == -1;
}

// Until it waits for the directory's lock.
void waits_for_lock(Stage& stage, Subject& lab) {
    stage.await([&](Deadline deadline) {
        for (const std::string& sentence : explain_hang(lab.process()))
            if (sentence.find("waits in flock(") != std::string::npos)
                return true;
        const bool ended = lab.process().wait(deadline.expired() ? deadline : Deadline::in(milliseconds(2)));
        if (ended || lab.output_so_far().starts_with("ready"))
            stage.fail({"while somebody else holds the lock of the directory, it waits in flock()", ended ? "it ended: it did not wait" : "it says \"ready\": it did not wait",
                        "", "", "no-lock"});
        return false;
    }, "it waits for the lock that somebody else holds on the directory", "no-lock");
}

// Holds `lab` before and behind each of its system calls from now on, and looks at the world there: until `enough`
// says true, or it ends. `what` it is to do completes 'expected: ...'.
void step_by_step(Stage& stage, Subject& lab, const std::string& what, const std::function<void()>& begin, const std::function<bool()>& enough) {
    const auto pid = static_cast<pid_t>(lab.process().id());
    if (::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACESYSGOOD) == -1)
        stage.unavailable(std::string("the system does not let the judge watch its calls: ptrace() says ") + std::strerror(errno));
    ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
    bool begun = false;
    stage.await([&](Deadline deadline) {
        for (int looks = 0; !deadline.expired(); ++looks) {
            siginfo_t stop{};
            if (::waitid(P_PID, static_cast<id_t>(pid), &stop, WSTOPPED | WNOHANG) == -1 || lab.process().wait(Deadline::in(milliseconds(0))))
                return true;  // it has ended
            if (stop.si_pid != pid) {
                // The next stop is a few microseconds away; only at the beginning it may still be in its wait.
                looks < 1000 ? static_cast<void>(::sched_yield()) : static_cast<void>(lab.process().wait(Deadline::in(milliseconds(1))));
                continue;
            }
            looks = 0;
            if (!std::exchange(begun, true))
                begin();
            if (enough()) {
                ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
                return true;
            }
            const bool plain_signal = (stop.si_status & ~0x7f) == 0 && stop.si_status != SIGTRAP;
            ::ptrace(PTRACE_SYSCALL, pid, nullptr, plain_signal ? stop.si_status : 0);
        }
        return false;
    }, what, "");
}

}  // namespace

EXERCISE("Exercise 4: many listeners, and some of them dead or stuck") {

CASE("3.20 a killed listener's name is taken over" * points(5) * section("the-name-that-outlives-its-owner") *
     hints("kill -9 leaves no time to tidy up. What does bind() say to the next one?",
           "EADDRINUSE, although nobody is there. Who is really there, connect() tells: ECONNREFUSED means that no process has that socket open.",
           "After EADDRINUSE: lstat() that it is a socket, connect() a probe; if that is refused, unlink() and bind() again.")) {
    stage.by_hand("lab-03 listen mail & sleep 1; kill -9 $!; lab-03 listen mail --timeout 0; echo $?");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), text = stage.random().word(20);
    Subject first = stage.start({"listen", name}, here);
    first.ready();
    first.process().kill();
    first.ends();
    stage.require(slots_left(stage) == name, {"the killed listener leaves its name", slots_left(stage), "", "", ""});
    Subject second = stage.start({"listen", name, "--count", "1"}, here);
    second.ready("stale-name-blocks");
    raw_post(stage, name, text);
    second.prints("ready\n" + std::to_string(text.size()) + " " + text + "\n");
    second.exits(0);
    // A listener that is asked politely to end takes its name with it.
    Subject third = stage.start({"listen", name}, here);
    third.ready();
    third.process().terminate();
    third.ends();
    stage.require(slots_left(stage).empty(), {"after SIGTERM no name is left", "", slots_left(stage), "", "name-left-behind"});
}

CASE("3.21 two take over the same dead name: one gets it and nobody loses his" * points(5) * section("a-look-is-not-a-lock") *
     hints("You look: the owner is dead. You unlink. What may have happened in between?",
           "Somebody else looked too, unlinked, and bound his own socket. Your unlink() takes his name away, and he will never get a message again.",
           "flock(LOCK_EX) on the directory before bind(); look, unlink and bind under it; let go after that.")) {
    stage.by_hand("(export XDG_RUNTIME_DIR=$(mktemp -d); mkdir -m 700 $XDG_RUNTIME_DIR/ipc-labs; flock $XDG_RUNTIME_DIR/ipc-labs sleep 3 & sleep 1; lab-03 listen mail --timeout 9000 & lab-03 listen mail --timeout 9000; wait)   # both wait, then one is refused");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), text = stage.random().word(20);

    // Both wait for the lock; what they have seen so far may be out of date when they get it.
    leave_stale(stage, name);
    {
        ipc::unique_file lock = lock_directory(stage);
        Subject a = stage.start({"listen", name, "--timeout", "0"}, here);
        Subject b = stage.start({"listen", name, "--timeout", "0"}, here);
        waits_for_lock(stage, a);
        waits_for_lock(stage, b);
        ::unlink(path_of(stage, name).c_str());
        RawSlot third(stage, name);
        lock.reset();
        is_refused(stage, a, "while it waited for the lock, the dead name got a living owner", "looks-before-the-lock, second-owner");
        is_refused(stage, b, "while it waited for the lock, the dead name got a living owner", "looks-before-the-lock, second-owner");
        stage.require(owned(stage, name), {"who took the name over meanwhile still has it", "his name was unlinked", "", "", "looks-before-the-lock"});
        a.prints("");
        b.prints("");
    }

    // Nobody comes in between: exactly one of the two wins, whichever.
    leave_stale(stage, name);
    ipc::unique_file lock = lock_directory(stage);
    Subject a = stage.start({"listen", name, "--count", "1"}, here);
    Subject b = stage.start({"listen", name, "--count", "1"}, here);
    waits_for_lock(stage, a);
    waits_for_lock(stage, b);
    lock.reset();
    stage.await([&](Deadline deadline) { return a.process().wait(deadline) || b.process().wait(Deadline::in(milliseconds(0))); },
                "one of the two is refused", "no-lock");
    Subject& winner = a.running() ? a : b;
    Subject& loser = a.running() ? b : a;
    loser.exits(1, "looks-before-the-lock");
    winner.ready("stale-name-blocks");
    raw_post(stage, name, text);
    winner.prints("ready\n" + std::to_string(text.size()) + " " + text + "\n");
    winner.exits(0);
    stage.require(slots_left(stage).empty(), {"a listener's name goes with it", "", slots_left(stage), "", "name-left-behind"});
}

CASE("3.22 a name cannot be taken from its owner even between two of his system calls" * points(4) * section("a-look-is-not-a-lock") *
     hints("Between any two of your system calls another program may run. What does it see of your name just then?",
           "When you take over: the lock must still be yours while the name is not. When you end: after close() and before unlink() the name looks abandoned.",
           "Keep the lock's descriptor open until open_slot() returns. In close_slot(): unlink() first, then close the socket.")) {
    stage.by_hand("strace -e trace=flock,bind,unlink,close lab-03 listen mail --timeout 0");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot");

    // Who has got the lock keeps it until the name is his.
    leave_stale(stage, name);
    ipc::unique_file lock = lock_directory(stage);
    Subject alone = stage.start({"listen", name, "--timeout", "0"}, here);
    waits_for_lock(stage, alone);
    bool had_it = false, let_go = false;
    step_by_step(stage, alone, "it takes the dead name over", [&] { lock.reset(); }, [&] {
        const bool taken = owned(stage, name), locked = is_locked(stage);
        had_it = had_it || locked;
        let_go = let_go || (had_it && !locked && !taken);
        return taken;
    });
    alone.exits(3, "stale-name-blocks");
    stage.require(!let_go, {"it holds the lock until its own socket answers to the name",
                            "between two of its system calls the lock is free already and the name not yet its own: another may come just then", "", "",
                            "lock-let-go"});

    // Who ends takes his name away while he still answers to it.
    Subject lab = stage.start({"listen", name, "--count", "1"}, here);
    lab.ready();
    bool abandoned = false;
    step_by_step(stage, lab, "it receives the message and ends", [&] { raw_post(stage, name, "the last one"); }, [&] {
        const bool there = fs::exists(fs::symlink_status(path_of(stage, name)));
        abandoned = abandoned || (there && !owned(stage, name));
        return !there;
    });
    lab.exits(0);
    stage.require(!abandoned || !slots_left(stage).empty(),
                  {"as long as the name is there, its owner answers",
                   "between two of its system calls the name is there and connect() is refused: whoever takes it over just then loses it again", "", "",
                   "closes-before-unlink"});
    stage.require(slots_left(stage).empty(), {"a listener's name goes with it", "", slots_left(stage), "", "name-left-behind"});
}

CASE("3.23 what is no dead slot is left alone" * points(3) * section("the-name-that-outlives-its-owner") *
     hints("A file of yours happens to have that name. What becomes of it?",
           "connect() says ECONNREFUSED to a plain file too, and EPROTOTYPE to a living stream socket. Only one of all these cases is a dead slot.",
           "lstat() and S_ISSOCK first; unlink() only after ECONNREFUSED from a socket.")) {
    stage.by_hand("(export XDG_RUNTIME_DIR=$(mktemp -d); mkdir -m 700 $XDG_RUNTIME_DIR/ipc-labs; echo dear diary > $XDG_RUNTIME_DIR/ipc-labs/mail; lab-03 listen mail --timeout 0; cat $XDG_RUNTIME_DIR/ipc-labs/mail)");
    const Start here = slots_here(stage);
    make_directory(stage);
    const std::string file = stage.name("file"), link = stage.name("link"), folder = stage.name("folder"), stream = stage.name("stream"), diary = stage.random().word(30);
    std::ofstream(path_of(stage, file)) << diary;
    fs::create_symlink(path_of(stage, stage.name("nowhere")), path_of(stage, link));
    fs::create_directory(path_of(stage, folder));
    const ipc::unique_file server = make_socket(SOCK_STREAM);
    bind_to(server, path_of(stage, stream));
    ipc::check(::listen(server.get(), 1), "listen");
    for (const std::string& name : {file, link, folder, stream}) {
        Subject lab = stage.start({"listen", name, "--timeout", "0"}, here);
        is_refused(stage, lab, "what bears the name " + name + " is no dead slot", "unlinks-anything");
        lab.complains(name);
        const bool there = fs::exists(fs::symlink_status(path_of(stage, name)));
        stage.require(there, {"what bears the name " + name + " is still there", "it was removed", "", "", "unlinks-anything"});
    }
    std::string kept;
    std::ifstream(path_of(stage, file)) >> kept;
    stage.require(kept == diary, {"the file is untouched", shown(kept), "", "", "unlinks-anything"});
    // A living owner who keeps others out by his socket's permissions is a living owner.
    const std::string shut = stage.name("shut");
    const ipc::unique_file hermit = make_socket();
    bind_to(hermit, path_of(stage, shut));
    ::chmod(path_of(stage, shut).c_str(), 0);
    Subject intruder = stage.start({"listen", shut, "--timeout", "0"}, here);
    is_refused(stage, intruder, "it has an owner, though nobody may post to him", "unlinks-anything");
    for (const std::string& name : {stream, shut}) {
        Subject post = stage.start({"post", name, "hello"}, here);
        post.exits(1);
        stage.require(post.errors().find("nobody listens") == std::string::npos,
                      {"who is there and does not take messages is not nobody: an error of its own", shown(post.errors()), "", "", ""});
    }
    Subject free = stage.start({"listen", stage.name("free"), "--timeout", "0"}, here);
    free.exits(3);
    RawSlot one(stage, stage.name("one")), two(stage, stage.name("two"));
    Subject spread = stage.start({"broadcast", diary, one.name(), stream, two.name()}, here);
    for (RawSlot* slot : {&one, &two})
        stage.require(slot->takes("stops-at-the-first") == diary, {"the message in the slot " + slot->name(), "another one", "", "", ""});
    spread.exits(4);
    spread.complains("missed " + stream + ": ", "misses-nobody");
}

CASE("3.24 the slots are in a directory of one's own" * points(3) * section("whose-directory-is-it") *
     hints("In /tmp anybody may make a directory. What if it is called as yours will be?",
           "Who owns the directory can read along: he replaces your socket by his own. So look whose it is, and who else may enter.",
           "mkdir(path, 0700); open() with O_DIRECTORY | O_NOFOLLOW; fstat(): your own user, no bits in 077; otherwise EPERM.")) {
    stage.by_hand("(export XDG_RUNTIME_DIR=$(mktemp -d); mkdir -m 755 $XDG_RUNTIME_DIR/ipc-labs; lab-03 listen mail --timeout 0; echo $?)");
    Start here = slots_here(stage);
    const std::string name = stage.name("slot");
    Subject makes = stage.start({"listen", name, "--timeout", "0"}, here);
    makes.exits(3);
    stage.require(slots_left(stage).empty(), {"a listener's name goes with it", "", slots_left(stage), "", "name-left-behind"});
    struct stat about {};
    ipc::check(::stat(directory(stage).c_str(), &about), "stat", directory(stage));
    char mode[8];
    std::snprintf(mode, sizeof mode, "0%o", about.st_mode & 0777);
    stage.require((about.st_mode & 0777) == 0700, {"a directory of mode 0700", mode, "", "", "any-directory-will-do"});

    ::chmod(directory(stage).c_str(), 0755);
    Subject open = stage.start({"listen", name, "--timeout", "0"}, here);
    is_refused(stage, open, "the directory is open to others", "any-directory-will-do");
    open.complains("ipc-labs");
    ::chmod(directory(stage).c_str(), 0);
    for (const std::vector<std::string>& words : {std::vector<std::string>{"listen", name, "--timeout", "0"}, {"post", name, "hello"}}) {
        Subject denied = stage.start(words, here);
        is_refused(stage, denied, "the directory cannot be entered", "any-directory-will-do");
        denied.complains("ermission denied");
    }
    ::rmdir(directory(stage).c_str());

    // Somebody's symbolic link to a private directory of ours is not that directory.
    const std::string elsewhere = stage.files() + "/elsewhere";
    ::mkdir(elsewhere.c_str(), 0700);
    fs::create_directory_symlink(elsewhere, directory(stage));
    Subject link = stage.start({"listen", name, "--timeout", "0"}, here);
    is_refused(stage, link, "the directory is a symbolic link that anybody may have put there", "any-directory-will-do");
    link.complains("ipc-labs");
    fs::remove(directory(stage));

    // A path that does not fit into an address must not be cut to one that does.
    here.environment["XDG_RUNTIME_DIR"] = "/" + std::string(80, 'x') + "/" + stage.random().word(20);
    Subject far_away = stage.start({"post", name, "hello"}, here);
    far_away.exits(1, "path-cut");
    far_away.complains("too long", "path-cut");
}

}

EXERCISE("Exercise 2: sizes and time") {

CASE("3.25 a signal neither ends the wait nor makes it longer" * points(2) * section("signals-in-between") *
     hints("A call that has done nothing wrong returns -1. What does errno say? And how long is left?",
           "EINTR: a handler ran while you were blocked; lab-03's main installs one for SIGUSR1. Calling again with the full timeout starts the wait anew.",
           "On EINTR call poll() again, with deadline.poll_ms(), which is what is left.")) {
    stage.by_hand("lab-03 listen mail --count 1 & sleep 1; kill -USR1 $!; lab-03 post mail hello");
    stage.recognise("Interrupted system call", "eintr-is-an-error");
    const Start here = slots_here(stage);
    const std::string name = stage.name("slot"), text = stage.random().word(20);
    auto signal_to = [](Subject& lab) { ::kill(static_cast<pid_t>(lab.process().id()), SIGUSR1); };

    Subject lab = stage.start({"listen", name, "--count", "1"}, here);
    const auto begin = std::chrono::steady_clock::now();
    Subject timed = stage.start({"listen", stage.name("timed"), "--timeout", "200"}, here);
    lab.ready();
    timed.ready();
    auto waited = [&] { return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin).count(); };
    // A signal every few milliseconds: who starts anew each time never comes to an end.
    const auto ready = std::chrono::steady_clock::now();
    stage.await([&](Deadline) {
        signal_to(lab);
        signal_to(timed);
        if (timed.process().wait(Deadline::in(milliseconds(20))))
            return true;
        if (std::chrono::steady_clock::now() - ready < milliseconds(1500))
            return false;
        // Long past its time it may still wait for a processor, but not for messages.
        for (const std::string& sentence : explain_hang(timed.process()))
            if (sentence.find("waits in") != std::string::npos)
                stage.fail({"a timeout of 200 ms ends although signals come in", "it still waits after 1500 ms", "", "", "timeout-starts-anew"});
        return false;
    }, "the timeout passes", "timeout-starts-anew");
    timed.exits(3, "eintr-is-an-error");
    raw_post(stage, name, text);
    lab.prints("ready\n" + std::to_string(text.size()) + " " + text + "\n", "eintr-is-an-error");
    lab.exits(0);
    stage.require(waited() >= 200, {"a timeout of 200 ms", "it ended after " + std::to_string(waited()) + " ms", "", "", "eintr-is-an-error"});
    stage.require(slots_left(stage).empty(), {"a listener's name goes with it", "", slots_left(stage), "", "name-left-behind"});
}

}
