#pragma once

/// @file
/// What the judge of lab 08 is made of on the posix track: the manager's ear, the service under it, and a systemctl that
/// leads to the judge.

#include "peers.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <poll.h>
#include <sstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace peers {

using judge::Ended;
using judge::Process;
using judge::shown;

/// Nothing announces that a name has appeared or a log has grown: the judge asks until the deadline.
bool ask_until(Deadline deadline, const std::function<bool()>& question);

/// A path, or `@NAME` for an abstract name.
sockaddr_un address_of(const std::string& path);
socklen_t size_of(const std::string& path);

// ---- the manager's ear -------------------------------------------------------------------------------------------------

/// One datagram of sd_notify.
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

inline std::chrono::microseconds monotonic() {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch());
}

/// Where sd_notify(3) sends to: a path, or `@NAME`.
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

// ---- systemctl -----------------------------------------------------------------------------------------------------------

using Words = std::vector<std::string>;

struct Answer {
    int code = 0;
    std::string out, err;
};

/// What the lab program finds as systemctl: a script that hands each call to the judge, and does what it says.
class Systemctl {
public:
    explicit Systemctl(Stage& stage, const std::string& folder = "bin") : stage_(stage), folder_(stage.files() + "/" + folder) {
        std::filesystem::create_directory(folder_);
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

/// How a person would type it.
std::string text_of(const Words& words);
std::string text_of(const std::vector<Words>& calls);
/// Whether it is `systemctl VERB NAME[.service]`, options left aside.
bool is_call(const Words& words, const std::string& verb, const std::string& name = {});
bool has_call(const std::vector<Words>& calls, const std::string& verb, const std::string& name = {});
/// systemctl show, for whoever asks for some of these properties, or for all.
Answer shown_properties(const Words& words, const std::map<std::string, std::string>& all);

/// The last value of KEY= in [SECTION] of a unit file, or nothing.
std::string value_in(const std::string& unit, const std::string& section, const std::string& key);

}  // namespace peers
