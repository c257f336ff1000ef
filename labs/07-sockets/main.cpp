// lab-07: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "sockets.hpp"

#include "ipc/program.hpp"
#include <algorithm>
#include <cstdio>
#include <iostream>
#ifndef _WIN32
#include <csignal>
#endif

namespace {

const char* const usage = R"(usage: lab-07 VERB ...
  serve [--port P] [--unix PATH] [--drain MS]
      answer frames on TCP port P of 127.0.0.1 and ::1 (0, and without any option: a free one) and on the UNIX socket
      PATH, until SIGINT, SIGTERM or Ctrl-Break; says "ready ADDRESS..." when it can; clients have MS milliseconds
      (2000) to take their answers then. The answer is the request in upper case; an empty one asks: who am I?
  call [--timeout MS] ADDRESS TEXT...
      send each TEXT as a frame and print the answer
  udp-listen [--port P] [--timeout MS]
      print the numbered datagrams that come to port P of 127.0.0.1, and what is missing; MS milliseconds (1000)
      without one are the end
  udp-send [--reliable] [--timeout MS] ADDRESS TEXT... | --lines
      send each TEXT, or each line of standard input, as a numbered datagram; --reliable: until all have arrived, or
      none was acknowledged for MS milliseconds (5000)
ADDRESS is HOST:PORT, [::1]:PORT, :PORT (this machine) or, on the posix track, unix:PATH. A TEXT that begins with -- goes
behind a lone --.
exit codes: 0 done; 1 refused by the system, or not in time; 2 wrong usage; 4 datagrams are missing (udp-listen))";

using sockets::Address;
using std::chrono::milliseconds;

constexpr int datagrams_missing = 4;

long long number(const std::string& what, const std::string& text, long long low, long long high) {
    long long value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
        throw ipc::usage_error("lab-07: " + what + " is a whole number from " + std::to_string(low) + " to " +
                               std::to_string(high) + "; '" + text + "' is none");
    return value;
}

struct CommandLine {
    std::string verb;
    std::vector<std::string> words;
    std::optional<std::string> port;
    std::string path;
    std::optional<long long> timeout, drain;
    bool reliable = false, lines = false;
};

CommandLine parse(const ipc::Arguments& arguments) {
    CommandLine line;
    if (arguments.options.empty())
        throw ipc::usage_error(usage);
    line.verb = arguments.options[0];
    for (auto word = arguments.options.begin() + 1; word != arguments.options.end(); ++word) {
        const auto value = [&] {
            if (std::next(word) == arguments.options.end())
                throw ipc::usage_error("lab-07: " + *word + " needs a value behind it");
            return *++word;
        };
        const bool serve = line.verb == "serve", send = line.verb == "udp-send";
        if (*word == "--port" && (serve || line.verb == "udp-listen"))
            line.port = std::to_string(number("a port to listen on", value(), 0, 65535));
        else if (*word == "--unix" && serve)
            line.path = value();
        else if (*word == "--drain" && serve)
            line.drain = number("--drain", value(), 0, 2147483647);
        else if (*word == "--timeout" && !serve)
            line.timeout = number("--timeout", value(), 0, 2147483647);
        else if (*word == "--reliable" && send)
            line.reliable = true;
        else if (*word == "--lines" && send)
            line.lines = true;
        else if (word->starts_with("--"))
            throw ipc::usage_error("lab-07: " + line.verb + " knows no option '" + *word + "'\n" + usage);
        else
            line.words.push_back(*word);
    }
    line.words.insert(line.words.end(), arguments.command.begin(), arguments.command.end());
    return line;
}

Address unix_address(const std::string& path) {
#ifdef _WIN32
    throw ipc::usage_error("lab-07: '" + path + "': UNIX sockets are for the posix track; on Windows use a port, or the "
                           "named pipes of lab 02");
#else
    if (path.empty())
        throw ipc::usage_error("lab-07: a UNIX socket needs a path, as in unix:/tmp/my_socket");
    return {"", "", path};
#endif
}

// "127.0.0.1:80", "[::1]:80", ":80", "unix:/path"
Address address_from(const std::string& text) {
    if (text.starts_with("unix:"))
        return unix_address(text.substr(5));
    const auto colon = text.rfind(':');
    std::string host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed)
        host = host.substr(1, host.size() - 2);
    if (colon == std::string::npos || (!bracketed && host.find_first_of(":[]") != std::string::npos))
        throw ipc::usage_error("lab-07: '" + text + "' is no address; write HOST:PORT, [::1]:PORT, :PORT or unix:PATH");
    return {host, std::to_string(number("the port in '" + text + "'", text.substr(colon + 1), 1, 65535)), ""};
}

void say_ready(const std::vector<Address>& addresses) {
    std::string all;
    for (const Address& address : addresses)
        all += (all.empty() ? "" : " ") + to_text(address);
    ipc::say_ready(all);
}

void answer(const std::string& peer, std::string_view request, std::string& out) {
    if (request.empty()) {
        out += peer;
        return;
    }
    const std::size_t begin = out.size();
    out += request;
    for (std::size_t i = begin; i < out.size(); ++i)
        out[i] = static_cast<char>(out[i] - (out[i] >= 'a' && out[i] <= 'z' ? 'a' - 'A' : 0));
}

int serve(const CommandLine& line) {
    if (!line.words.empty())
        throw ipc::usage_error(usage);
    sockets::Listening where{line.port, line.path.empty() ? "" : unix_address(line.path).path, milliseconds(line.drain.value_or(2000))};
    if (!where.port && where.path.empty())
        where.port = "0";
    const auto say_refused = [](const std::string& peer, const std::string& why) {
        std::fprintf(stderr, "lab-07: %s refused: %s\n", peer.c_str(), why.c_str());
    };
    sockets::serve(where, answer, say_refused, say_ready);
    return ipc::exit_code::success;
}

int call(const CommandLine& line) {
    if (line.words.size() < 2)
        throw ipc::usage_error(usage);
    sockets::call(address_from(line.words[0]), {line.words.begin() + 1, line.words.end()},
                  ipc::Deadline::in_ms(line.timeout.value_or(-1)),
                  [](const std::string& text) { ipc::print(text + "\n"); });
    return ipc::exit_code::success;
}

int udp_listen(const CommandLine& line) {
    if (!line.words.empty())
        throw ipc::usage_error(usage);
    const sockets::Heard heard =
        sockets::udp_listen(line.port.value_or("0"), milliseconds(line.timeout.value_or(1000)), say_ready,
                            [](unsigned number, const std::string& text) { ipc::print(std::to_string(number) + " " + text + "\n"); });
    std::string report = "received " + std::to_string(heard.count - heard.lost.size()) + " of " + std::to_string(heard.count) +
                         ", duplicates " + std::to_string(heard.duplicates) + ", late " + std::to_string(heard.late) + ", lost";
    for (const unsigned number : heard.lost)
        report += " " + std::to_string(number);
    ipc::print(report + (heard.lost.empty() ? " none\n" : "\n"));
    return heard.lost.empty() ? ipc::exit_code::success : datagrams_missing;
}

std::vector<std::string> lines_of_input() {
    std::vector<std::string> lines;
    for (std::string line; std::getline(std::cin, line);)
        lines.push_back(line);
    return lines;
}

int udp_send(const CommandLine& line) {
    if (line.words.empty() || line.lines != (line.words.size() == 1))
        throw ipc::usage_error(usage);
    const Address to = address_from(line.words[0]);
    if (!to.path.empty())
        throw ipc::usage_error("lab-07: datagrams go to HOST:PORT; '" + line.words[0] + "' is a UNIX socket");
    const std::vector<std::string> texts = line.lines ? lines_of_input() : std::vector(line.words.begin() + 1, line.words.end());
    if (texts.size() > sockets::most_datagrams)
        throw ipc::usage_error("lab-07: " + std::to_string(texts.size()) + " datagrams; " +
                               std::to_string(sockets::most_datagrams) + " are allowed");
    if (line.reliable)
        sockets::udp_send_reliably(to, texts, milliseconds(line.timeout.value_or(5000)));
    else
        sockets::udp_send(to, texts);
    return ipc::exit_code::success;
}

// Like dd(1), lab-07 says that it is alive when it gets SIGUSR1. What matters: the handler is installed without
// SA_RESTART, so that the call which was blocked comes back with EINTR, as it may in any real program.
void answer_signals() {
#ifndef _WIN32
    struct sigaction action {};
    action.sa_handler = [](int) { ipc::print_signal_safe("lab-07: still at it\n"); };
    ::sigaction(SIGUSR1, &action, nullptr);
#endif
}

int run(const ipc::Arguments& arguments) {
    if (arguments.options.size() == 1 && arguments.options[0] == "--help")
        return std::puts(usage) < 0;
    const CommandLine line = parse(arguments);
    answer_signals();
    if (line.verb == "serve")
        return serve(line);
    if (line.verb == "call")
        return call(line);
    if (line.verb == "udp-listen")
        return udp_listen(line);
    if (line.verb == "udp-send")
        return udp_send(line);
    throw ipc::usage_error("lab-07: unknown verb '" + line.verb + "'\n" + usage);
}

}  // namespace

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run); }
