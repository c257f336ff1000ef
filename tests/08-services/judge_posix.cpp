// The judge as systemd: it takes in the datagrams of sd_notify(3), sends the signals, and stands behind systemctl.

#include "peers.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "stage_state.hpp"  // for the path of the lab program, which a manager has to know
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <poll.h>
#include <sstream>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace judge;
using namespace peers;
namespace fs = std::filesystem;

namespace peers {

std::string path_here(Stage& stage, const std::string& file) { return fs::canonical(stage.folder()).string() + "/" + file; }
std::string program() { return fs::canonical(case_options().subject).string(); }
std::string own_user() { return std::to_string(::getuid()); }

void write_text(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text << std::flush;
    if (!file)
        ipc::throw_last_error("write", path);
}

std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

namespace {

// Nothing announces that a name has appeared or a log has grown: the judge asks until the deadline.
bool ask_until(Deadline deadline, const std::function<bool()>& question) {
    for (;;) {
        if (question())
            return true;
        if (deadline.expired())
            return false;
        ::poll(nullptr, 0, 1);
    }
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw std::runtime_error("the temporary directory's path is too long for a socket: " + path + "; set TMPDIR to a shorter one");
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    return address;
}

socklen_t size_of(const std::string& path) { return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path[0] != '@')); }

}  // namespace

// ---- gates ------------------------------------------------------------------------------------------------------------

struct Gate::State {
    Stage& stage;
    std::string path;
    ipc::unique_file end;
};

Gate::Gate(Stage& stage) : state_(new State{stage, stage.files() + "/" + stage.random().word(8), {}}) {
    ipc::check(::mkfifo(state_->path.c_str(), 0600), "mkfifo", state_->path);
}
Gate::Gate(Gate&&) noexcept = default;
Gate::~Gate() = default;
std::string Gate::path() const { return state_->path; }

void Gate::reached(const Mistake& otherwise) {
    state_->stage.await([&](Deadline deadline) {
        return ask_until(deadline, [&] {
            state_->end.reset(::open(state_->path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
            return static_cast<bool>(state_->end);
        });
    }, "the service reads the file that is given next", otherwise);
}

std::size_t Gate::open() {
    const std::string bytes = state_->stage.random().bytes(state_->stage.random().between(100, 900));
    ipc::check(::write(state_->end.get(), bytes.data(), bytes.size()), "write", state_->path);
    state_->end.reset();
    return bytes.size();
}

// ---- the manager's ear -------------------------------------------------------------------------------------------------

namespace {

// One datagram of sd_notify.
struct Notice {
    pid_t sender = 0;
    std::string text;
    std::chrono::microseconds when{0};  // received, on the monotonic clock
    std::chrono::microseconds sent{0};  // as the kernel noted it, on another clock

    std::optional<std::string> get(const std::string& key) const {
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);)
            if (line.starts_with(key + "="))
                return line.substr(key.size() + 1);
        return std::nullopt;
    }
    bool says(const std::string& line) const { return ("\n" + text + "\n").find("\n" + line + "\n") != std::string::npos; }
};

std::chrono::microseconds monotonic() {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch());
}

class NotifySocket {
public:
    explicit NotifySocket(const std::string& path) : path_(path) {
        socket_.reset(ipc::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket", "AF_UNIX"));
        const int on = 1;
        ipc::check(::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), "setsockopt", "SO_PASSCRED");
        ipc::check(::setsockopt(socket_.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on), "setsockopt", "SO_TIMESTAMPNS");
        const sockaddr_un address = address_of(path);
        ipc::check(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), size_of(path)), "bind", path);
    }

    const std::string& path() const { return path_; }
    int get() const { return socket_.get(); }

    // Whoever tells the manager anything waits from now on, until we listen again.
    void stop_listening() {
        const ipc::unique_file sender(ipc::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket", "AF_UNIX"));
        const sockaddr_un address = address_of(path_);
        while (::sendto(sender.get(), "", 0, 0, reinterpret_cast<const sockaddr*>(&address), size_of(path_)) == 0) {
        }
    }

    // One datagram, if there is one.
    std::optional<Notice> receive() {
        for (;;) {
            std::array<char, 8192> bytes;
            alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(timespec))> control;
            iovec part{bytes.data(), bytes.size()};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            const ssize_t count = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
            if (count < 0)
                return std::nullopt;
            Notice notice;
            notice.text.assign(bytes.data(), static_cast<std::size_t>(count));
            notice.when = monotonic();
            for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
                if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) {
                    ucred sender{};
                    std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
                    notice.sender = sender.pid;
                } else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPNS) {
                    timespec sent{};
                    std::memcpy(&sent, CMSG_DATA(header), sizeof sent);
                    notice.sent = std::chrono::microseconds(sent.tv_sec * 1'000'000LL + sent.tv_nsec / 1000);
                }
            if (count == 0 && notice.sender == ::getpid())
                continue;  // our own filling
            return notice;
        }
    }

private:
    std::string path_;
    ipc::unique_file socket_;
};

}  // namespace

// ---- the service -------------------------------------------------------------------------------------------------------

struct Service::State {
    Stage& stage;
    std::string name, config, log, runtime, address;
    std::unique_ptr<NotifySocket> manager;  // none: run by hand
    std::map<std::string, std::optional<std::string>> environment;
    std::optional<Subject> lab;
    std::deque<Notice> notices;  // heard, and not looked at yet
    std::chrono::microseconds reload_told{0};

    Subject& running() { return *lab; }

    // Takes in what has come. With NotifyAccess=main, the default, systemd believes the main process alone.
    void listen() {
        while (std::optional<Notice> notice = manager->receive()) {
            if (notice->sender != static_cast<pid_t>(lab->process().id()))
                stage.fail({"the service itself, process " + std::to_string(lab->process().id()) + ", tells the manager",
                            "process " + std::to_string(notice->sender) + " has sent " + shown(notice->text), "",
                            "with NotifyAccess=main systemd ignores everybody but the main process", "notified-by-a-child"});
            notices.push_back(*notice);
        }
    }

    void ends(const std::string& what, std::uint32_t code, const Mistake& otherwise) {
        stage.await([&](Deadline deadline) { return running().process().wait(deadline); }, what, otherwise);
        const Ended how = running().ends();  // ends the case if it was never written
        stage.require(how.how == Ended::How::exited && how.code == code, {what, how.text(), "", "", otherwise});
    }

    // The first notice that says one of this, with all before it thrown away; they are checked for what must not be there.
    Notice hear(const std::string& what, const std::function<bool(const Notice&)>& wanted, const Mistake& otherwise, const std::string& not_yet = {}) {
        Notice found;
        std::string others;
        const auto look = [&] {
            listen();
            while (!notices.empty()) {
                found = notices.front();
                notices.pop_front();
                if (wanted(found))
                    return true;
                if (!not_yet.empty() && found.says(not_yet))
                    stage.fail({what, "it has told " + shown(found.text), "", "", otherwise});
                others += (others.empty() ? "" : ", ") + shown(found.text);
            }
            return false;
        };
        stage.await([&](Deadline deadline) {
            if (look())
                return true;
            pollfd entry{manager->get(), POLLIN, 0};
            ::poll(&entry, 1, running().running() ? deadline.poll_ms() : 0);
            // What has been told is told, also by somebody who has ended since.
            return look() || (!running().running() && give_up(what, others, otherwise));
        }, what, otherwise);
        return found;
    }

    bool give_up(const std::string& what, const std::string& others, const Mistake& otherwise) {
        listen();
        if (!notices.empty())
            return false;
        running().ends();  // throws if it was never written
        stage.fail({what, "it has ended, having told " + (others.empty() ? "nothing more" : others), "", "", otherwise});
    }
};

Service::Service(Stage& stage, const std::string& greeting, const std::vector<std::string>& loads)
    : state_(new State{stage, stage.name("svc"), "", "", stage.files() + "/run", "", nullptr, {}, {}, {}, {}}) {
    state_->config = stage.files() + "/" + state_->name + ".conf";
    state_->log = stage.files() + "/" + state_->name + ".log";
    state_->address = state_->runtime + "/control.socket";
    stage.recognise("killed by SIGTERM", "sigterm-not-caught");
    stage.recognise("killed by SIGINT", "sigint-not-caught");
    stage.recognise("killed by SIGHUP", "reload-not-done");
    state_->manager = std::make_unique<NotifySocket>(stage.files() + "/" + stage.random().word(8));
    std::string text = "greeting = " + greeting + "\n";
    for (const std::string& load : loads)
        text += "load = " + load + "\n";
    configure(text);
}
Service::~Service() = default;

Stage& Service::stage() { return state_->stage; }
const std::string& Service::name() const { return state_->name; }
const std::string& Service::address() const { return state_->address; }
std::string Service::config() const { return state_->config; }
std::vector<std::string> Service::ask(const std::string& request) const { return {"ask", state_->name, "--runtime", state_->runtime, request}; }
void Service::configure(const std::string& text) { write_text(state_->config, text); }

void Service::begin() {
    Start how;
    how.no_input = true;
    how.environment = state_->environment;
    for (const char* name : {"WATCHDOG_USEC", "WATCHDOG_PID", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET"})
        how.environment.try_emplace(name, std::nullopt);
    if (state_->manager)
        how.environment["NOTIFY_SOCKET"] = state_->manager->path();
    while (state_->manager && state_->manager->receive()) {
        // what an earlier life has told
    }
    state_->notices.clear();
    ::umask(0);  // as in a service that nobody has given one
    state_->lab.emplace(state_->stage.start({"run", state_->name, "--config", state_->config, "--log", state_->log, "--runtime", state_->runtime}, how));
}

void Service::ready(const Mistake& otherwise) {
    const Notice notice = state_->hear("READY=1 from the service", [](const Notice& each) { return each.says("READY=1"); }, otherwise);
    const std::string pid = std::to_string(state_->running().process().id());
    stage().require(notice.get("MAINPID") == pid, {"MAINPID=" + pid + " with the first READY=1", shown(notice.text), "", "", "mainpid-missing"});
}

void Service::is_not_ready(const Mistake& otherwise) {
    state_->listen();
    for (const Notice& notice : state_->notices)
        stage().require(!notice.says("READY=1"), {"no READY=1 before the start is done", "READY=1 while the service still loads", "", "", otherwise});
}

void Service::makes_progress(const Mistake& otherwise) {
    const Notice notice = state_->hear("STATUS=loading … and EXTEND_TIMEOUT_USEC=… in one datagram, at each step of the start",
                                       [](const Notice& each) { return each.get("STATUS").value_or("").starts_with("loading") || each.get("EXTEND_TIMEOUT_USEC"); },
                                       otherwise, "READY=1");
    stage().require(notice.get("STATUS").value_or("").starts_with("loading") && std::strtoull(notice.get("EXTEND_TIMEOUT_USEC").value_or("").c_str(), nullptr, 10) >= 1'000'000,
                    {"STATUS=loading … and EXTEND_TIMEOUT_USEC=… (a second at least) in one datagram", shown(notice.text), "", "", otherwise});
}

void Service::tell_to_stop() {
    Process& process = state_->running().process();
    process.terminate();
    // Whoever hears it in a thread of its own has heard it when everybody waits again, for good; who waits with a timeout
    // has had the time.
    std::string before;
    const Deadline deadline = Deadline::in(milliseconds(100));
    while (!deadline.expired() && !process.wait(Deadline::in(milliseconds(1)))) {
        const std::string now = process.stillness();
        if (!now.empty() && now == before)
            break;
        before = now;
    }
}

void Service::is_stopping(const Mistake& otherwise) {
    state_->hear("STOPPING=1 from the service", [](const Notice& each) { return each.says("STOPPING=1"); }, otherwise);
}

void Service::makes_progress_down(const Mistake& otherwise) {
    const auto asks_for_time = [](const Notice& each) { return each.get("EXTEND_TIMEOUT_USEC").has_value(); };
    const Notice notice = state_->hear("EXTEND_TIMEOUT_USEC=…, at each step on the way down", asks_for_time, otherwise);
    stage().require(std::strtoull(notice.get("EXTEND_TIMEOUT_USEC").value_or("").c_str(), nullptr, 10) >= 1'000'000,
                    {"EXTEND_TIMEOUT_USEC=… of a second at least", shown(notice.text), "", "", otherwise});
}

void Service::tell_to_reload() {
    state_->reload_told = monotonic();
    ::kill(static_cast<pid_t>(state_->running().process().id()), SIGHUP);
}

namespace {

void reloads(Service& service, const Mistake& otherwise) {
    Service::State& state = service.state();
    Stage& stage = service.stage();
    const Notice notice = state.hear("RELOADING=1 from the service", [](const Notice& each) { return each.says("RELOADING=1"); }, otherwise);
    const auto when = std::strtoll(notice.get("MONOTONIC_USEC").value_or("0").c_str(), nullptr, 10);
    stage.require(when >= state.reload_told.count() && when <= notice.when.count(),
                  {"MONOTONIC_USEC=… in the same datagram: this moment on CLOCK_MONOTONIC, between " + std::to_string(state.reload_told.count()) +
                       " and " + std::to_string(notice.when.count()),
                   shown(notice.text), "", "", "no-monotonic-time"});
    state.hear("READY=1 when it is done", [](const Notice& each) { return each.says("READY=1"); }, "reloads-for-ever");
}

}  // namespace

void Service::reloaded(const Mistake& otherwise) { reloads(*this, otherwise); }
void Service::reload_failed(const Mistake& otherwise) { reloads(*this, otherwise); }

void Service::stopped(const Mistake& otherwise) {
    state_->ends("the service ends, as it was told to, with exit code 0", 0, otherwise);
    stage().require(!exists(state_->address), {"no socket is left", "control.socket is still there", "", "", "socket-left-behind"});
}

void Service::failed(const Mistake& otherwise) {
    state_->ends("the service gives up, with exit code 1", 1, otherwise);
    is_not_ready("ready-too-early");
}

void Service::idles(const Mistake& otherwise) { state_->running().idles(otherwise); }
void Service::kill() {
    state_->running().process().kill();
    state_->running().ends();
}

std::vector<std::string> Service::events(const std::string& event) const {
    std::vector<std::string> found;
    std::istringstream lines(read_text(state_->log));
    for (std::string line; std::getline(lines, line);)
        if ((line + " ").find(" event=" + event + " ") != std::string::npos)
            found.push_back(line);
    return found;
}

std::string Service::event(const std::string& event, const Mistake& otherwise) {
    std::vector<std::string> found;
    stage().await([&](Deadline deadline) {
        return ask_until(deadline, [&] {
            found = events(event);
            return !found.empty();
        });
    }, "a line with event=" + event + " in the log", otherwise);
    return found.front();
}

// ---- clients -----------------------------------------------------------------------------------------------------------

struct Client::State {
    Service& service;
    ipc::unique_file socket;
    std::string got;
    bool ended = false;
};

Client::Client(Service& service, const Mistake& otherwise)
    : state_(new State{service, ipc::unique_file(ipc::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket", "AF_UNIX")), "", false}) {
    const sockaddr_un address = address_of(service.address());
    if (::connect(state_->socket.get(), reinterpret_cast<const sockaddr*>(&address), size_of(service.address())) != 0)
        service.stage().fail({"a client can connect to RUNTIME/control.socket", "connect: " + ipc::last_error().message(), "", "", otherwise});
    struct stat status {};
    if (::stat(service.address().c_str(), &status) == 0)
        service.stage().require((status.st_mode & 0177) == 0,
                                {"the control socket is for its owner alone, mode 0600",
                                 "everybody may connect: the mode was left to the umask, which is 0 here", "", "", "mode-left-to-umask"});
}
Client::Client(Client&&) noexcept = default;
Client::~Client() = default;

void Client::begin_request(const std::string& text) { ipc::check(::send(state_->socket.get(), text.data(), text.size(), MSG_NOSIGNAL), "send", "request"); }

void Client::ask(const std::string& text) {
    const std::string line = text + "\n";
    if (::send(state_->socket.get(), line.data(), line.size(), MSG_NOSIGNAL) == -1)
        state_->ended = true;  // answer() says so
}

std::string Client::answer(const Mistake& otherwise) {
    State& state = *state_;
    std::size_t end = std::string::npos;
    state.service.stage().await([&](Deadline deadline) {
        while ((end = state.got.find('\n')) == std::string::npos && !state.ended) {
            pollfd entry{state.socket.get(), POLLIN, 0};
            if (::poll(&entry, 1, deadline.poll_ms()) == 0)
                return false;
            std::array<char, 8192> buffer;
            const ssize_t count = ::recv(state.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (count < 0 && (errno == EAGAIN || errno == EINTR))
                continue;
            state.ended = count <= 0;
            if (count > 0)
                state.got.append(buffer.data(), static_cast<std::size_t>(count));
        }
        return true;
    }, "an answer from the service", otherwise);
    if (end == std::string::npos)
        state.service.stage().fail({"an answer from the service", "it has closed the connection", "", "", otherwise});
    const std::string line = state.got.substr(0, end);
    state.got.erase(0, end + 1);
    return line;
}

void Client::expect(const std::string& request, const std::string& expected, const Mistake& otherwise) {
    ask(request);
    const std::string got = answer(otherwise);
    state_->service.stage().require(got == expected, {"the answer " + shown(expected), difference(got, expected), "", "", otherwise});
}

void Client::dismissed(const Mistake& otherwise) {
    state_->service.stage().await([&](Deadline deadline) {
        pollfd entry{state_->socket.get(), POLLIN, 0};
        char byte;
        return ::poll(&entry, 1, deadline.poll_ms()) == 1 && ::recv(state_->socket.get(), &byte, 1, MSG_DONTWAIT) <= 0;
    }, "the service closes the connection", otherwise);
}

// ---- systemctl -----------------------------------------------------------------------------------------------------------

namespace {

using Words = std::vector<std::string>;

struct Answer {
    int code = 0;
    std::string out, err;
};

// What the lab program finds as systemctl: a script that hands each call to the judge, and does what it says.
class Systemctl {
public:
    explicit Systemctl(Stage& stage, const std::string& folder = "bin") : stage_(stage), folder_(stage.files() + "/" + folder) {
        fs::create_directory(folder_);
        for (const char* name : {"/calls", "/codes"})
            ipc::check(::mkfifo((folder_ + name).c_str(), 0600), "mkfifo", name);
        calls_.reset(ipc::check(::open((folder_ + "/calls").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC), "open", "calls"));
        codes_.reset(ipc::check(::open((folder_ + "/codes").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC), "open", "codes"));
        write_text(folder_ + "/systemctl",
                   "#!/bin/sh\ncd " + folder_ + "\n{ printf '%s\\037' \"$@\"; echo; } >calls\nread -r code <codes\n/bin/cat out\n/bin/cat err >&2\nexit \"$code\"\n");
        ipc::check(::chmod((folder_ + "/systemctl").c_str(), 0700), "chmod", "systemctl");
    }

    // For PATH. Nothing else is found there.
    const std::string& folder() const { return folder_; }
    std::vector<Words> calls;
    std::function<Answer(const Words&)> answer = [](const Words&) { return Answer{}; };

    // Serves the lab program until it ends.
    void serve(Subject& lab, const Mistake& otherwise = {}) {
        stage_.await([&](Deadline deadline) {
            pollfd entry{calls_.get(), POLLIN, 0};
            if (::poll(&entry, 1, lab.running() ? std::min(5, deadline.poll_ms()) : 0) == 1)
                take_call();
            return !lab.running();
        }, "the lab program ends", otherwise);
    }

private:
    void take_call() {
        std::array<char, 4096> buffer;
        const ssize_t count = ::read(calls_.get(), buffer.data(), buffer.size());
        begun_.append(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
        const auto end = begun_.find('\n');
        if (end == std::string::npos)
            return;
        Words words;
        std::istringstream line(begun_.substr(0, end));
        begun_.erase(0, end + 1);
        for (std::string word; std::getline(line, word, '\037');)
            words.push_back(word);
        calls.push_back(words);
        const Answer given = answer(words);
        write_text(folder_ + "/out", given.out);
        write_text(folder_ + "/err", given.err);
        const std::string code = std::to_string(given.code) + "\n";
        ipc::check(::write(codes_.get(), code.data(), code.size()), "write", "codes");
    }

    Stage& stage_;
    std::string folder_, begun_;
    ipc::unique_file calls_, codes_;
};

std::string text_of(const Words& words) {
    std::string line = "systemctl";
    for (const std::string& word : words)
        line += " " + word;
    return line;
}

std::string text_of(const std::vector<Words>& calls) {
    std::string text;
    for (const Words& words : calls)
        text += (text.empty() ? "" : "; ") + text_of(words);
    return text.empty() ? "systemctl was not called" : text;
}

// Whether it is `systemctl VERB NAME[.service]`, options left aside.
bool is_call(const Words& words, const std::string& verb, const std::string& name = {}) {
    Words plain;
    for (const std::string& word : words)
        if (!word.starts_with("-"))
            plain.push_back(word);
    if (plain.empty() || plain[0] != verb)
        return false;
    return name.empty() || (plain.size() == 2 && (plain[1] == name || plain[1] == name + ".service"));
}

// systemctl show, for whoever asks for some of these properties, or for all.
Answer shown_properties(const Words& words, const std::map<std::string, std::string>& all) {
    Answer answer;
    if (!is_call(words, "show"))
        return {1, "", "Only 'show' is made for programs.\n"};
    std::vector<std::string> wanted;
    bool values = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        std::string list;
        if (words[i].starts_with("--property="))
            list = words[i].substr(11);
        else if (words[i].starts_with("-P") || words[i].starts_with("-p"))
            list = words[i].size() > 2 ? words[i].substr(2) : i + 1 < words.size() ? words[++i] : "";
        else if (words[i] == "--property" && i + 1 < words.size())
            list = words[++i];
        values = values || words[i] == "--value" || words[i].starts_with("-P");
        std::istringstream names(list);
        for (std::string name; std::getline(names, name, ',');)
            wanted.push_back(name);
    }
    // In an order of its own, as the real one has.
    for (const auto& [key, value] : all)
        if (wanted.empty() || std::count(wanted.begin(), wanted.end(), key))
            answer.out += (values ? "" : key + "=") + value + "\n";
    return answer;
}

bool has_call(const std::vector<Words>& calls, const std::string& verb, const std::string& name = {}) {
    return std::any_of(calls.begin(), calls.end(), [&](const Words& words) { return is_call(words, verb, name); });
}

// ---- unit files ----------------------------------------------------------------------------------------------------------

// The values of KEY= in [SECTION], in order.
std::vector<std::string> values_in(const std::string& unit, const std::string& section, const std::string& key) {
    std::vector<std::string> values;
    std::string now;
    std::istringstream lines(unit);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("["))
            now = line;
        else if (now == "[" + section + "]" && line.starts_with(key + "="))
            values.push_back(line.substr(key.size() + 1));
    }
    return values;
}

std::string value_in(const std::string& unit, const std::string& section, const std::string& key) {
    const auto values = values_in(unit, section, key);
    return values.empty() ? "" : values.back();
}

// A command line as systemd.service(5) reads it: quotes keep together, a backslash escapes, % and $ are expanded.
Words words_of(const std::string& line) {
    Words words;
    std::string word;
    bool inside = false;
    char quote = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        const bool more = i + 1 < line.size();
        if (!inside && c == ' ')
            continue;
        if (inside && !quote && c == ' ') {
            words.push_back(std::exchange(word, {}));
            inside = false;
        } else if (c == '\\' && more && line[i + 1] == 'x' && i + 3 < line.size()) {
            word += static_cast<char>(std::strtol(line.substr(i + 2, 2).c_str(), nullptr, 16));
            inside = true;
            i += 3;
        } else if (c == '\\' && more) {
            const char escaped = line[++i];
            word += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 's' ? ' ' : escaped;
            inside = true;
        } else if ((c == '"' || c == '\'') && (!inside || quote == c) && (!quote || quote == c)) {
            quote = quote ? 0 : c;
            inside = true;
        } else if ((c == '%' || c == '$') && more && line[i + 1] == c) {
            word += c;
            inside = true;
            ++i;
        } else if (c == '%' || (c == '$' && more && (std::isalnum(static_cast<unsigned char>(line[i + 1])) || line[i + 1] == '{'))) {
            word += "<expanded by systemd>";
            inside = true;
        } else {
            word += c;
            inside = true;
        }
    }
    if (inside)
        words.push_back(word);
    return words;
}

}  // namespace

struct Definitions::State {
    explicit State(Stage& given) : stage(given), units(given.files() + "/units"), systemctl(given) { fs::create_directory(units); }
    Stage& stage;
    std::string units;
    Systemctl systemctl;

    Subject start(const std::string& verb, const std::string& name, Words options) {
        Words words = {verb, name};
        if (verb == "install" || verb == "remove")
            words.insert(words.end(), {"--unit-dir", units});
        words.insert(words.end(), options.begin(), options.end());
        Start how;
        how.no_input = true;
        how.environment["PATH"] = systemctl.folder();
        return stage.start(words, how);
    }
    Words listing() const {
        Words names;
        for (const auto& entry : fs::directory_iterator(units))
            names.push_back(entry.path().filename().string());
        std::sort(names.begin(), names.end());
        return names;
    }
};

Definitions::Definitions(Stage& stage) : state_(new State(stage)) {}
Definitions::~Definitions() = default;

Subject Definitions::run(const std::string& verb, const std::string& name, Words options) {
    State& state = *state_;
    const std::string unit = state.units + "/" + name + ".service";
    const bool known = exists(unit);
    state.systemctl.calls.clear();
    bool there = false;
    state.systemctl.answer = [&](const Words& words) {
        if (is_call(words, "daemon-reload"))
            there = exists(unit);
        return Answer{};
    };
    Subject lab = state.start(verb, name, std::move(options));
    state.systemctl.serve(lab);
    const bool succeeded = lab.ends().how == Ended::How::exited && lab.process().ended().code == 0;
    if (succeeded && exists(unit) == (verb == "install") && (verb == "install" || (verb == "remove" && known))) {
        const std::vector<Words>& calls = state.systemctl.calls;
        state.stage.require(has_call(calls, "daemon-reload"),
                            {"systemctl daemon-reload after the unit files have changed", text_of(calls), "", "", "no-daemon-reload"});
        state.stage.require(there == (verb == "install"),
                            {"systemctl daemon-reload comes when the unit file is already " + std::string(verb == "install" ? "there" : "gone"), "it came before", "", "", "no-daemon-reload"});
    }
    if (succeeded && verb == "remove" && known) {
        const std::vector<Words>& calls = state.systemctl.calls;
        const bool now = std::any_of(calls.begin(), calls.end(), [](const Words& words) { return is_call(words, "disable") && std::count(words.begin(), words.end(), "--now"); });
        state.stage.require(now || has_call(calls, "stop", name),
                            {"remove stops the service (systemctl stop, or disable --now)", text_of(calls), "", "", "removes-a-running-service"});
        state.stage.require(has_call(calls, "disable", name),
                            {"remove disables the service, or links to the unit file are left", text_of(calls), "", "", "removes-a-running-service"});
    }
    return lab;
}

Definition Definitions::find(const std::string& name) {
    const std::string path = state_->units + "/" + name + ".service";
    if (!exists(path))
        return {};
    return {true, words_of(value_in(read_text(path), "Service", "ExecStart"))};
}

void Definitions::expect_nothing(const std::string& name, const Mistake& otherwise) {
    std::string left;
    for (const std::string& file : state_->listing())
        if (file.find(name) != std::string::npos)
            left += (left.empty() ? "" : ", ") + file;
    state_->stage.require(left.empty(), {"nothing of " + name + " is left in the unit directory", left, "", "", otherwise});
}

}  // namespace peers

// ---- a real systemd ------------------------------------------------------------------------------------------------------

namespace {

// systemd as process 1 of namespaces of its own, over a root directory of its own, with units of ours alone. The lab
// program's verbs run outside as ever; what they have to say to systemctl, the judge says in there.
class Systemd {
public:
    Systemd(Stage& stage, const std::string& units, const std::string& shared) : stage_(stage) {
        for (const char* needed : {"/lib/systemd/systemd", "/usr/bin/bwrap", "/usr/bin/nsenter", "/usr/bin/systemctl"})
            if (::access(needed, X_OK) != 0)
                stage.unavailable(std::string(needed) + " is not here; on Debian and Ubuntu: apt-get install systemd bubblewrap util-linux");
        make_cgroup();
        boot(units, shared);
    }
    ~Systemd() {
        manager_.reset();
        write_text_if_possible(cgroup_ + "/cgroup.kill", "1");
        for (int again = 0; again < 200 && !remove_cgroups(); ++again)
            ::poll(nullptr, 0, 5);
    }
    Systemd(const Systemd&) = delete;

    // systemctl, in there.
    Answer systemctl(const Words& words) {
        const std::string out = stage_.files() + "/systemctl.out", err = stage_.files() + "/systemctl.err";
        StartRequest request;
        request.command = {"/bin/sh", "-c", "out=$1 err=$2; shift 2; exec \"$@\" >\"$out\" 2>\"$err\"", "sh", out, err,
                           "/usr/bin/nsenter", "-t", std::to_string(pid_), "-U", "-m", "-u", "-i", "-n", "-p", "-C", "--preserve-credentials", "/usr/bin/systemctl"};
        request.command.insert(request.command.end(), words.begin(), words.end());
        Process process = Process::start(std::move(request));
        if (!process.wait(Deadline::in(milliseconds(static_cast<long long>(20'000 * stage_.time_scale())))))
            throw std::runtime_error("a real " + text_of(words) + " does not come back");
        return {static_cast<int>(process.ended().code), read_text(out), read_text(err)};
    }

    // The main process of the one service in there, as we see it; 0 if there is none.
    pid_t service_process() const {
        const std::string name = fs::path(program()).filename().string();
        for (const ProcessInfo& process : manager_->tree())
            if (process.name == name && !process.zombie)
                return static_cast<pid_t>(process.id);
        return 0;
    }

    // A path in there, as we can reach it.
    std::string path(const std::string& inside) const { return "/proc/" + std::to_string(pid_) + "/root" + inside; }

private:
    static void write_text_if_possible(const std::string& path, const std::string& text) {
        std::ofstream file(path);
        file << text << std::flush;
    }

    bool remove_cgroups() const {
        std::vector<fs::path> folders;
        std::error_code error;
        for (const auto& entry : fs::recursive_directory_iterator(cgroup_, error))
            if (entry.is_directory(error))
                folders.push_back(entry.path());
        for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder)
            ::rmdir(folder->c_str());
        return cgroup_.empty() || ::rmdir(cgroup_.c_str()) == 0 || errno == ENOENT;
    }

    void make_cgroup() {
        std::ifstream mounts("/proc/self/mounts");
        std::string from, at, type, rest, found;
        while (mounts >> from >> at >> type && std::getline(mounts, rest))
            if (type == "cgroup2")
                found = at;
        cgroup_ = found + "/" + stage_.name("ipc-labs");
        if (found.empty() || ::mkdir(cgroup_.c_str(), 0755) != 0) {
            cgroup_.clear();
            stage_.unavailable("a systemd of its own needs a cgroup of its own, which only root can make, and not in every container");
        }
    }

    void boot(const std::string& units, const std::string& shared) {
        const std::string own_units = stage_.files() + "/system-units";
        fs::create_directory(own_units);
        for (const char* target : {"judge", "sysinit", "basic", "shutdown", "multi-user"})
            write_text(own_units + "/" + target + ".target", "[Unit]\nDefaultDependencies=no\n");
        // systemd sends SIGCONT behind SIGTERM; where it takes away the stop that LeakSanitizer waits for at the end of a
        // program that was built with it, that end never comes.
        const std::string settings = stage_.files() + "/system.conf";
        write_text(settings, "[Manager]\nDefaultEnvironment=ASAN_OPTIONS=detect_leaks=0\n");
        StartRequest request;
        request.command = {"/bin/sh", "-c", "echo $$ >\"$1\" || exit 99; shift; exec \"$@\"", "sh", cgroup_ + "/cgroup.procs", "/usr/bin/bwrap",
                           // A user namespace: root in there has no power over anything out here.
                           "--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup",
                           "--as-pid-1", "--die-with-parent", "--cap-add", "ALL", "--clearenv", "--tmpfs", "/", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
                           "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev",
                           "--tmpfs", "/dev/shm", "--tmpfs", "/etc", "--ro-bind-try", "/etc/passwd", "/etc/passwd", "--ro-bind-try", "/etc/group", "/etc/group",
                           "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
                           "--ro-bind", settings, "/etc/systemd/system.conf", "--tmpfs", "/run", "--tmpfs", "/tmp", "--tmpfs", "/var", "--tmpfs", "/sys",
                           "--bind", cgroup_, "/sys/fs/cgroup", "--ro-bind", units, units, "--ro-bind", own_units, own_units, "--bind", shared, shared,
                           "--ro-bind", program(), program(), "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "container", "bwrap",
                           "--setenv", "SYSTEMD_UNIT_PATH", units + ":" + own_units, "--setenv", "SYSTEMD_GENERATOR_PATH", "/nonexistent",
                           "/lib/systemd/systemd", "--system", "--unit=judge.target", "--log-target=null", "--show-status=false"};
        manager_.emplace(Process::start(std::move(request)));
        const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(10'000 * stage_.time_scale())));
        const bool up = ask_until(deadline, [&] {
            if (manager_->wait(Deadline::in(milliseconds(0))))
                return true;
            for (const ProcessInfo& process : manager_->tree())
                if (process.name == "systemd")
                    pid_ = static_cast<pid_t>(process.id);
            return pid_ > 0 && exists(path("/run/systemd/private"));
        });
        if (!up || manager_->wait(Deadline::in(milliseconds(0))))
            stage_.unavailable("systemd does not come up in namespaces of its own here");
    }

    Stage& stage_;
    std::string cgroup_;
    std::optional<Process> manager_;
    pid_t pid_ = 0;
};

// The lab program installed in a real systemd, and its verbs.
class RealLife {
public:
    explicit RealLife(Stage& stage)
        : stage_(stage), name_(stage.name("svc")), units_(stage.files() + "/units"), shared_(stage.files() + "/shared"), systemctl_(stage) {
        // A function that is not written yet is said before anything is booted.
        Subject probe = stage.start({"run", name_, "--runtime", stage.files() + "/nowhere/at/all"});
        probe.fails();
        fs::create_directory(units_);
        fs::create_directory(shared_);
        systemd_.emplace(stage, units_, shared_);
        systemctl_.answer = [this](const Words& words) { return systemd_->systemctl(words); };
    }
    Subject run(const std::string& verb, const Words& options = {}) {
        Words words = {verb, name_};
        words.insert(words.end(), options.begin(), options.end());
        if (verb == "install" || verb == "remove")
            words.insert(words.end(), {"--unit-dir", units_});
        Start how;
        how.no_input = true;
        how.environment["PATH"] = systemctl_.folder();
        Subject lab = stage_.start(words, how);
        systemctl_.serve(lab);
        return lab;
    }
    void install(const std::string& greeting) {
        configure(greeting);
        run("install", {"--config", config(), "--log", shared_ + "/log"}).exits(0);
    }
    std::string config() const { return shared_ + "/a 100% good.conf"; }
    void configure(const std::string& greeting) { write_text(config(), "greeting = " + greeting + "\n"); }
    // The answer to a request, or nothing if nobody answers.
    std::string try_ask(const std::string& request) {
        const std::string path = systemd_->path("/run/" + name_ + "/control.socket");
        const ipc::unique_file socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_un address = address_of(path);
        if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size_of(path)) != 0)
            return {};
        const std::string line = request + "\n";
        ::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL);
        pollfd entry{socket.get(), POLLIN, 0};
        std::array<char, 4096> buffer;
        const ssize_t count = ::poll(&entry, 1, 2000) == 1 ? ::recv(socket.get(), buffer.data(), buffer.size(), 0) : 0;
        return count > 0 ? std::string(buffer.data(), static_cast<std::size_t>(count) - 1) : std::string();
    }
    void answers(const std::string& request, const std::string& expected, const Mistake& otherwise = {}) {
        std::string got;
        const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(15'000 * stage_.time_scale())));
        ask_until(deadline, [&] { return (got = try_ask(request)) == expected; });
        stage_.require(got == expected,
                       {"the service that systemd runs answers " + shown(expected),
                        got.empty() ? "nothing; systemctl status says " + shown(systemd_->systemctl({"status", name_}).out, 600) : shown(got), "", "", otherwise});
    }
    const std::string& name() const { return name_; }
    const std::string& units() const { return units_; }
    Systemd& systemd() { return *systemd_; }

private:
    Stage& stage_;
    std::string name_, units_, shared_;
    Systemctl systemctl_;
    std::optional<Systemd> systemd_;
};

}  // namespace

// ---- the cases of this track ---------------------------------------------------------------------------------------------

EXERCISE("Exercise 1: install and remove") {

CASE("8.5 the unit file says what kind of service this is" * points(4) * section("the-unit-file") *
     hints("What does systemd assume of a service that says nothing about itself?",
           "Type=simple: started means ready. Nothing is restarted, nobody is watched, reload does not exist, /run/NAME is not made.",
           "[Service] with Type=notify, ExecReload=/bin/kill -HUP $MAINPID, RuntimeDirectory=NAME, WatchdogSec=, Restart=on-failure; [Install] with WantedBy=multi-user.target.")) {
    stage.by_hand("lab-08 install hello --unit-dir . ; cat hello.service");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name).exits(0);
    const std::string unit = read_text(stage.files() + "/units/" + name + ".service");
    const auto in_service = [&](const char* key) { return value_in(unit, "Service", key); };
    const std::string restart = in_service("Restart"), type = in_service("Type");
    stage.require(type == "notify" || type == "notify-reload",
                  {"Type=notify in [Service]", "Type=" + type, "", "started means ready for any other type", "type-simple"});
    stage.require(type == "notify-reload" || (in_service("ExecReload").find("HUP") != std::string::npos && in_service("ExecReload").find("$MAINPID") != std::string::npos),
                  {"ExecReload= sends SIGHUP to $MAINPID", "ExecReload=" + in_service("ExecReload"), "", "", "no-reload-command"});
    stage.require(in_service("RuntimeDirectory") == name,
                  {"RuntimeDirectory=" + name + ", so that /run/" + name + " is there and goes again",
                   "RuntimeDirectory=" + in_service("RuntimeDirectory"), "", "", "no-runtime-directory"});
    stage.require(!in_service("WatchdogSec").empty(),
                  {"WatchdogSec= some time", "nothing: a stuck service stays stuck", "", "", "no-watchdog-in-the-unit"});
    stage.require(restart == "on-failure" || restart == "always" || restart == "on-abnormal",
                  {"Restart=on-failure", "Restart=" + restart, "", "", "no-restart"});
    stage.require(!value_in(unit, "Install", "WantedBy").empty(), {"[Install] with WantedBy=, so that it can be enabled", "nothing", "", "", ""});
    struct stat status {};
    ipc::check(::stat((stage.files() + "/units/" + name + ".service").c_str(), &status), "stat", name);
    stage.require((status.st_mode & 0133) == 0,
                  {"a unit file is no program, and nobody but its owner writes it",
                   "mode 0" + std::to_string((status.st_mode >> 6) & 7) + std::to_string((status.st_mode >> 3) & 7) + std::to_string(status.st_mode & 7), "", "", ""});
    manager.run("remove", name).exits(0);
}

CASE("8.6 systemd-analyze verify finds nothing to say about the unit file" * points(2) * section("the-unit-file") *
     hints("A key that systemd does not know is ignored, with a line in a log that nobody reads. Who tells you?",
           "systemd-analyze verify reads a unit file as systemd does, and prints what systemd would have thought.",
           "Run it on your file by hand, and mend what it names.")) {
    stage.by_hand("lab-08 install hello --unit-dir . ; systemd-analyze verify ./hello.service");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name, {"--config", "a 100% good.conf"}).exits(0);
    if (::access("/usr/bin/systemd-analyze", X_OK) != 0)
        stage.unavailable("systemd-analyze is not here; on Debian and Ubuntu: apt-get install systemd");
    // One that is certainly wrong comes along: where systemd-analyze cannot work it would find nothing to say about ours either.
    const std::string wrong = stage.name("wrong"), said = stage.files() + "/said";
    write_text(stage.files() + "/units/" + wrong + ".service", "[Service]\nType=exec\nExecStart=/bin/true\nNoSuchKeyAtAll=1\n");
    StartRequest request;
    request.command = {"/bin/sh", "-c", "out=$1; shift; exec systemd-analyze verify --man=no \"$@\" >\"$out\" 2>&1", "sh", said,
                       stage.files() + "/units/" + name + ".service", stage.files() + "/units/" + wrong + ".service"};
    Process verify = Process::start(std::move(request));
    if (!verify.wait(Deadline::in(milliseconds(static_cast<long long>(20'000 * stage.time_scale())))))
        stage.unavailable("systemd-analyze verify does not come back here");
    std::string about_ours;
    bool works = false;
    std::istringstream lines(read_text(said));
    for (std::string line; std::getline(lines, line);) {
        works = works || line.find("NoSuchKeyAtAll") != std::string::npos;
        if (line.find(name) != std::string::npos)
            about_ours += (about_ours.empty() ? "" : "\n") + line;
    }
    if (!works)
        stage.unavailable("systemd-analyze verify cannot work here: " + shown(read_text(said), 200));
    stage.require(about_ours.empty(), {"systemd-analyze verify says nothing", about_ours, "", "", "unit-not-understood"});
    manager.run("remove", name).exits(0);
}

CASE("8.7 install without the right or without a manager says so and leaves nothing" * points(4) * section("who-may") *
     hints("Who may write to /etc/systemd/system, and what if nobody runs systemd here?",
           "EACCES is an answer that a person can act on, if you say on what file, and what to do. And a unit file that systemd has not been told of is worse than none.",
           "Throw the system's error with the path. When systemctl cannot be started or fails, put the unit file back as it was, and throw.")) {
    stage.by_hand("lab-08 install hello --unit-dir /etc/systemd/system; echo $?");
    Definitions manager(stage);
    const std::string name = stage.name("svc"), units = stage.files() + "/units";
    manager.run("install", name, {"--config", "one"}).exits(0);
    const std::string before = read_text(units + "/" + name + ".service");
    const auto install = [&](const std::string& whom, const std::string& folder, const std::string& path) {
        Start how;
        how.no_input = true;
        how.environment["PATH"] = path;
        return stage.start({"install", whom, "--config", "two", "--unit-dir", folder}, how);
    };
    const auto is_as_before = [&](const Mistake& otherwise) {
        stage.require(read_text(units + "/" + name + ".service") == before,
                      {"after a failure the unit file is as it was before", "it has changed", "", "", otherwise});
        stage.require(std::distance(fs::directory_iterator(units), {}) == 1,
                      {"nothing else in the unit directory", "there is more", "", "", otherwise});
    };
    // No systemctl at all.
    for (const std::string& whom : {name, stage.name("other")}) {
        Subject nobody = install(whom, units, stage.files());
        nobody.exits(1, "no-manager-no-error");
        nobody.complains("systemctl", "no-manager-no-error");
        is_as_before("unit-without-a-manager");
    }
    // A systemctl that has nobody to talk to.
    Systemctl systemctl(stage, "refusing");
    systemctl.answer = [](const Words&) { return Answer{1, "", "System has not been booted with systemd as init system (PID 1). Can't operate.\n"}; };
    Subject refused = install(name, units, systemctl.folder());
    systemctl.serve(refused);
    refused.exits(1, "no-manager-no-error");
    refused.complains("has not been booted with systemd", "swallows-what-systemctl-says");
    is_as_before("unit-without-a-manager");
    // A directory that is somebody else's.
    const std::string locked = stage.files() + "/locked";
    fs::create_directory(locked);
    ipc::check(::chmod(locked.c_str(), 0555), "chmod", locked);
    Subject stranger = install(name, locked, stage.files() + "/bin");
    stranger.exits(1, "");
    stranger.complains(locked, "");
    manager.run("remove", name).exits(0);
}

}

EXERCISE("Exercise 2: run") {

CASE("8.13 without a manager it runs in the foreground and one that does not answer is an error" * points(3) * section("the-notify-socket") *
     hints("What is in NOTIFY_SOCKET when you start the program in your own terminal? And if it is wrong?",
           "Nothing: then nobody is told, and a person reads 'ready'. Something that leads nowhere is an error: the manager would wait for ready in vain.",
           "No NOTIFY_SOCKET: tell nobody. A failing sendto(): throw, with the variable's name. SIGINT is the order to stop that a person gives.")) {
    stage.by_hand("lab-08 run hello --runtime run; NOTIFY_SOCKET=/nowhere lab-08 run hello --runtime run");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, greeting);
    service.state().manager.reset();
    service.begin();
    Subject& lab = service.state().running();
    const std::string address = lab.ready();
    stage.require(address == service.address(), {"ready " + service.address(), "ready " + address, "", "", ""});
    Client(service).expect("greet " + who, greeting + ", " + who);
    lab.idles();
    lab.process().interrupt();
    service.stopped("sigint-not-caught");

    for (const std::string& nowhere : {stage.files() + "/nowhere", "@" + stage.name("nowhere"), std::string("relative/path")}) {
        Service lost(stage, greeting);
        lost.state().manager.reset();
        lost.state().environment["NOTIFY_SOCKET"] = nowhere;
        lost.begin();
        lost.state().ends("the service cannot reach its manager, and gives up with exit code 1", 1, "notify-errors-ignored");
        lost.state().running().complains("NOTIFY_SOCKET", "notify-errors-ignored");
        stage.require(!exists(lost.address()), {"no socket is left", "control.socket is still there", "", "", "socket-left-behind"});
    }
}

CASE("8.14 the socket listens before the manager hears of it" * points(4) * section("ready") *
     hints("Here the manager is busy: sendto() to it waits. What can a client do meanwhile?",
           "If you listen already, it can connect, and waits for you. If you tell first and listen then, it is turned away.",
           "bind() and listen() first, then READY=1. An abstract name (@NAME) begins with a zero byte and is as long as the address's size says: not one byte more.")) {
    stage.by_hand("socat -u ABSTRACT-RECVFROM:x,fork - & NOTIFY_SOCKET=@x lab-08 run hello --runtime run");
    stage.recognise("sendto\\(.*[Cc]onnection refused", "abstract-name-too-long");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Gate gate(stage);
    Service service(stage, greeting, {gate.path()});
    service.state().manager = std::make_unique<NotifySocket>("@" + stage.name("notify"));
    service.begin();
    gate.reached("");
    service.state().listen();
    service.state().manager->stop_listening();
    gate.open();
    // Its READY=1 does not get through. What it says it can do, it must be able to do by now.
    const sockaddr_un address = address_of(service.address());
    ipc::unique_file client(ipc::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket", "AF_UNIX"));
    stage.await([&](Deadline deadline) {
        return ask_until(deadline, [&] { return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), size_of(service.address())) == 0; });
    }, "a client can connect while the service tells the manager that it is ready", "ready-before-listening");
    client.reset();
    service.ready("never-ready");
    Client(service).expect("greet " + who, greeting + ", " + who);
    service.tell_to_stop();
    service.is_stopping("stop-not-told");
    service.stopped();
}

}

EXERCISE("Exercise 3: an orderly life") {

CASE("8.17 told to stop in the middle of its start it gives the start up" * points(4) * section("a-long-way-up") *
     hints("Somebody types start, sees that it takes long, and types stop. When do you look at the signal?",
           "A signal that comes before you have caught it kills you; one that you look at only in the loop is seen minutes later.",
           "Block or catch SIGTERM before anything else. At each progress look whether it has come, and return false: load() then gives up, and so do you.")) {
    stage.by_hand("mkfifo slow; printf 'load = slow\\nload = slow\\n' >c; lab-08 run hello --config c --runtime run & sleep 1; kill $!; echo >slow; wait $!; echo $?");
    Gate one(stage), two(stage);
    Service service(stage, stage.random().word(8), {one.path(), two.path()});
    service.begin();
    service.makes_progress("progress-not-told");
    one.reached();
    service.tell_to_stop();
    one.open();
    service.stopped("start-not-given-up");
    service.is_not_ready("start-not-given-up");
}

CASE("8.20 a second one is refused and the first is not disturbed" * points(4) * section("only-one") *
     hints("The service runs, and somebody starts another by hand. Both want the same socket. Who is to have it?",
           "The first. But unlink() before bind() takes the name away from whoever is there. So you must know before that nobody is.",
           "Take a lock first: flock(LOCK_EX | LOCK_NB) on RUNTIME/lock, held for life. EWOULDBLOCK: there is somebody; throw and touch nothing.")) {
    stage.by_hand("lab-08 run hello --runtime run & lab-08 run hello --runtime run; lab-08 ask hello --runtime run greet you");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Gate gate(stage);
    Service first(stage, greeting, {gate.path()}), second(stage, greeting);
    first.begin();
    gate.reached();
    second.begin();  // the first one is still on its way up: it has the lock, and no socket yet
    second.failed("second-not-refused");
    gate.open();
    first.ready("never-ready");
    second.begin();
    second.failed("second-not-refused");
    second.state().running().complains("lock", "second-not-refused");
    stage.require(exists(first.address()), {"the first one's socket is where it was", "the second one has removed it", "", "", "steals-the-socket"});
    Client(first, "steals-the-socket").expect("greet " + who, greeting + ", " + who, "steals-the-socket");
    first.tell_to_stop();
    first.stopped();
}

CASE("8.21 one that was killed does not stand in the way of the next" * points(4) * section("only-one") *
     hints("kill -9: no handler runs. What is left of the service, and does it matter?",
           "The socket's name and the lock's file are left, and mean nothing. What counts is whether somebody holds the lock: the kernel lets go of it at the holder's end.",
           "Never ask whether the file exists (O_EXCL, a process id in it): lock it. Once you have the lock, unlink() the old socket before bind().")) {
    stage.by_hand("lab-08 run hello --runtime run & sleep 1; kill -9 $!; lab-08 run hello --runtime run");
    stage.recognise("Address already in use", "stale-socket");
    stage.recognise("/run/lock", "stale-lock");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, greeting);
    service.begin();
    service.ready("never-ready");
    service.kill();
    service.begin();
    service.ready("stale-lock, stale-socket");
    Client(service).expect("greet " + who, greeting + ", " + who);
    // A lock whose holder is gone, with the number of somebody who lives in it.
    service.kill();
    write_text(service.state().runtime + "/lock", std::to_string(::getpid()) + "\n");
    service.begin();
    service.ready("stale-lock");
    service.tell_to_stop();
    service.stopped();
}

}

EXERCISE("Exercise 4: under a manager's eye") {

CASE("8.22 the watchdog hears from it in time when idle and when busy" * points(4) * section("the-watchdog") *
     hints("WATCHDOG_USEC=500000: what does the manager do when it has not heard from you for half a second?",
           "It kills you. So tell it WATCHDOG=1 at about half that time, also when nobody wants anything; and at each progress of an answer.",
           "Give poll() the time until the next one as timeout. In the progress of an answer, send it with the STATUS=.")) {
    stage.by_hand("NOTIFY_SOCKET=@x WATCHDOG_USEC=500000 lab-08 run hello --runtime run   # with socat -u ABSTRACT-RECVFROM:x,fork - in another terminal");
    using namespace std::chrono_literals;
    Gate one(stage), two(stage);
    Service service(stage, stage.random().word(8));
    service.state().environment["WATCHDOG_USEC"] = "500000";
    service.begin();
    service.ready("never-ready");
    const auto feeds = [](const Notice& notice) { return notice.says("WATCHDOG=1"); };
    Notice last = service.state().hear("WATCHDOG=1 from the service", feeds, "watchdog-not-fed");
    const Notice next = service.state().hear("WATCHDOG=1 from the service", feeds, "watchdog-not-fed");
    const auto apart = next.sent - last.sent;
    stage.require(apart < 500ms * stage.time_scale(),
                  {"WATCHDOG=1 at least every 500 ms", "after " + std::to_string(apart.count() / 1000) + " ms", "", "", "watchdog-fed-too-late"});
    stage.require(apart > 5ms, {"WATCHDOG=1 now and then", "every " + std::to_string(apart.count()) + " µs", "", "", "busy-waiting"});
    Client client(service);
    client.ask("count " + one.path() + " " + two.path());
    std::size_t bytes = 0;
    for (Gate* gate : {&one, &two}) {
        gate->reached();
        bytes += gate->open();
        service.state().hear("WATCHDOG=1 with STATUS=read … at each progress of an answer",
                             [&](const Notice& notice) { return feeds(notice) && notice.get("STATUS").value_or("").starts_with("read"); }, "watchdog-not-fed-when-busy");
    }
    const std::string answer = client.answer();
    stage.require(answer == std::to_string(bytes) + " bytes", {std::to_string(bytes) + " bytes", shown(answer), "", "", ""});
    service.tell_to_stop();
    service.stopped();
}

CASE("8.23 the watchdog hears nothing from one that is stuck or was not meant" * points(4) * section("the-watchdog") *
     hints("What is a watchdog for, if it is fed by somebody who has nothing else to do?",
           "A thread, a timer or a child that feeds it goes on when the one who works is stuck, and nobody will ever notice.",
           "Feed it where the work is done: in the loop, and at each progress. And only if WATCHDOG_PID is your own process id, or not set.")) {
    stage.by_hand("mkfifo never; lab-08 ask hello --runtime run count never   # and watch the datagrams stop");
    using namespace std::chrono_literals;
    Gate gate(stage);
    Service service(stage, stage.random().word(8)), other(stage, "x");
    other.state().runtime += "-other";
    other.state().address = other.state().runtime + "/control.socket";
    service.state().environment["WATCHDOG_USEC"] = other.state().environment["WATCHDOG_USEC"] = "200000";
    other.state().environment["WATCHDOG_PID"] = std::to_string(::getpid());  // meant for us, who have started it
    service.begin();
    other.begin();
    service.ready("never-ready");
    other.ready("never-ready");
    Client client(service);
    client.ask("count " + gate.path());
    gate.reached();
    service.state().listen();
    service.state().notices.clear();
    // For twice the time that a living one would have let pass.
    service.state().running().process().wait(Deadline::in(milliseconds(400)));
    service.state().listen();
    other.state().listen();
    for (const Notice& notice : service.state().notices)
        stage.require(!notice.says("WATCHDOG=1"),
                      {"a service that is stuck in an answer falls silent", "it still tells " + shown(notice.text), "", "", "watchdog-fed-from-aside"});
    for (const Notice& notice : other.state().notices)
        stage.require(!notice.says("WATCHDOG=1"),
                      {"WATCHDOG_PID is somebody else: no WATCHDOG=1", "it tells " + shown(notice.text), "", "", "watchdog-pid-ignored"});
    gate.open();
    client.answer();
    for (Service* one : {&service, &other}) {
        one->tell_to_stop();
        one->stopped();
    }
}

CASE("8.24 start stop reload and status have systemctl do the work" * points(3) * section("systemctl") *
     hints("Who starts a service: you, or the manager?",
           "The manager, and you ask it to. What systemctl prints for people changes; what `systemctl show` prints is made for programs.",
           "Spawn systemctl with the verb and NAME.service. For status: show --property=LoadState,ActiveState,MainPID,StatusText, each a line KEY=VALUE.")) {
    stage.by_hand("lab-08 start hello; lab-08 status hello; systemctl show -p LoadState,ActiveState,MainPID,StatusText hello");
    const std::string name = stage.name("svc"), text = stage.random().word(6) + "=" + stage.random().word(6) + " of 3";
    Systemctl systemctl(stage);
    Start how;
    how.no_input = true;
    how.environment["PATH"] = systemctl.folder();
    for (const char* verb : {"start", "stop", "reload"}) {
        systemctl.calls.clear();
        Subject lab = stage.start({verb, name}, how);
        systemctl.serve(lab);
        lab.exits(0);
        stage.require(has_call(systemctl.calls, verb, name),
                      {std::string("systemctl ") + verb + " " + name + ".service", text_of(systemctl.calls), "", "", "does-not-ask-systemctl"});
    }
    struct Known {
        const char *load, *active;
        std::string pid, text, printed;
        std::uint32_t code;
    };
    const std::string pid = std::to_string(stage.random().between(1000, 99999));
    for (const Known& known : {Known{"loaded", "active", pid, text, "running (pid " + pid + "): " + text, 0}, Known{"loaded", "inactive", "0", "", "stopped", 3},
                               Known{"loaded", "activating", pid, "loading 1 of 3", "starting (pid " + pid + "): loading 1 of 3", 3},
                               Known{"loaded", "reloading", pid, "", "reloading (pid " + pid + ")", 0},
                               Known{"loaded", "deactivating", pid, "", "stopping (pid " + pid + ")", 3},
                               Known{"loaded", "failed", "0", "", "failed", 3}, Known{"not-found", "inactive", "0", "", "not installed", 4}}) {
        const std::map<std::string, std::string> all = {{"LoadState", known.load}, {"ActiveState", known.active}, {"MainPID", known.pid},
                                                        {"StatusText", known.text}, {"Id", name + ".service"}};
        systemctl.calls.clear();
        systemctl.answer = [&](const Words& words) { return shown_properties(words, all); };
        Subject lab = stage.start({"status", name}, how);
        systemctl.serve(lab);
        lab.prints(name + ": " + known.printed + "\n", "status-misread");
        lab.exits(known.code, "status-misread");
    }
}

CASE("8.25 what systemctl refuses is refused" * points(2) * section("systemctl") *
     hints("How does your program learn that systemctl has failed, and how does the person?",
           "By its exit code, and by what it prints: leave its standard error to the person.",
           "waitpid() and WEXITSTATUS; other than 0: throw, with the command and the code.")) {
    stage.by_hand("lab-08 start no-such-service; echo $?");
    const std::string name = stage.name("svc"), words = stage.random().word(10);
    Systemctl systemctl(stage);
    bool refuses = false;
    systemctl.answer = [&](const Words& call) {
        if (refuses)
            return Answer{5, "", "Failed to start " + name + ".service: " + words + "\n"};
        return is_call(call, "show") ? shown_properties(call, {{"ActiveState", "active"}, {"LoadState", "loaded"}, {"MainPID", "77"}, {"StatusText", ""}}) : Answer{};
    };
    Start how;
    how.no_input = true;
    how.environment["PATH"] = systemctl.folder();
    for (const char* verb : {"start", "stop", "reload", "status"}) {
        refuses = false;
        Subject good = stage.start({verb, name}, how);
        systemctl.serve(good);
        good.exits(0);
        refuses = true;
        Subject lab = stage.start({verb, name}, how);
        systemctl.serve(lab);
        lab.exits(1, "systemctl-failure-lost");
        lab.complains(words, "swallows-what-systemctl-says");
        lab.complains(name, "systemctl-failure-lost");
    }
    how.environment["PATH"] = stage.files();
    Subject alone = stage.start({"start", name}, how);
    alone.exits(1, "systemctl-failure-lost");
    alone.complains("systemctl", "systemctl-failure-lost");
}

CASE("8.26 a real systemd installs starts reloads stops and removes it" * points(3) * section("under-a-real-systemd") *
     hints("Everything fits together here, with the manager that you have written it for. What does systemctl status say?",
           "systemd starts it as the unit file says, waits for READY=1 from the main process, and stops it with SIGTERM.",
           "If only this case fails, install it on a machine of your own with sudo, and read systemctl status and journalctl -u NAME.")) {
    stage.by_hand("sudo lab-08 install hello; sudo lab-08 start hello; lab-08 status hello; sudo lab-08 ask hello greet you; sudo lab-08 remove hello");
    const std::string before = stage.random().word(8), after = stage.random().word(8), who = stage.random().word(8);
    RealLife life(stage);
    life.install(before);
    life.run("start").exits(0);
    const std::string status = life.run("status").output();
    stage.require(status.starts_with(life.name() + ": running (pid "), {life.name() + ": running (pid …", shown(status), "", "", ""});
    life.answers("greet " + who, before + ", " + who);
    life.configure(after);
    life.run("reload").exits(0);
    life.answers("greet " + who, after + ", " + who, "reload-not-done");
    life.run("stop").exits(0);
    life.run("status").prints(life.name() + ": stopped\n");
    stage.require(!exists(life.systemd().path("/run/" + life.name())),
                  {"the runtime directory has gone with the service", "it is still there", "", "", "no-runtime-directory"});
    life.run("start").exits(0);
    life.run("remove").exits(0);
    life.run("status").prints(life.name() + ": not installed\n");
    stage.require(life.systemd().service_process() == 0, {"remove stops the service", "it still runs", "", "", "removes-a-running-service"});
}

CASE("8.27 a real systemd starts it again after it was killed" * points(2) * section("under-a-real-systemd") *
     hints("Nobody is there at night. Who starts the service again when it has crashed?",
           "systemd, if the unit file asks for it, and if the new one gets past what the old one has left.",
           "Restart=on-failure in [Service]; and see 8.21.")) {
    stage.by_hand("sudo lab-08 start hello; sudo kill -9 $(systemctl show -p MainPID --value hello); sleep 1; lab-08 status hello");
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    RealLife life(stage);
    life.install(greeting);
    life.run("start").exits(0);
    life.answers("greet " + who, greeting + ", " + who);
    const pid_t first = life.systemd().service_process();
    ipc::check(::kill(first, SIGKILL), "kill", "the service");
    const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(15'000 * stage.time_scale())));
    ask_until(deadline, [&] { return life.systemd().service_process() != first && life.systemd().service_process() != 0; });
    stage.require(life.systemd().service_process() != 0 && life.systemd().service_process() != first,
                  {"systemd has started it again", "nobody has", "", "", "no-restart"});
    life.answers("greet " + who, greeting + ", " + who, "stale-lock, stale-socket");
    life.run("remove").exits(0);
}

}
