// The judge as systemd and as clients, on the posix track: it takes in the datagrams of sd_notify(3), sends the signals, and stands
// behind systemctl.

#include "peers_posix.hpp"

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
    // Nobody there to read it any more: what has become of the service, the next step says.
    if (::write(state_->end.get(), bytes.data(), bytes.size()) == -1 && errno != EPIPE)
        ipc::throw_last_error("write", state_->path);
    state_->end.reset();
    return bytes.size();
}

// ---- the service -------------------------------------------------------------------------------------------------------

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

bool is_call(const Words& words, const std::string& verb, const std::string& name) {
    Words plain;
    for (const std::string& word : words)
        if (!word.starts_with("-"))
            plain.push_back(word);
    if (plain.empty() || plain[0] != verb)
        return false;
    return name.empty() || (plain.size() == 2 && (plain[1] == name || plain[1] == name + ".service"));
}

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

bool has_call(const std::vector<Words>& calls, const std::string& verb, const std::string& name) {
    return std::any_of(calls.begin(), calls.end(), [&](const Words& words) { return is_call(words, verb, name); });
}

// ---- unit files ----------------------------------------------------------------------------------------------------------

namespace {

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

}  // namespace

std::string value_in(const std::string& unit, const std::string& section, const std::string& key) {
    const auto values = values_in(unit, section, key);
    return values.empty() ? "" : values.back();
}

namespace {

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
