// lab-03: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "mailslots.hpp"

#include "ipc/program.hpp"
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <random>
#include <stdexcept>
#ifdef _WIN32
#include <windows.h>
#else
#include <csignal>
#include <cstring>
#include <sys/un.h>
#include <unistd.h>
#endif

namespace {

const char* const usage = R"(usage: lab-03 VERB ...
  listen NAME [--count N] [--timeout MS] [--info] [--numbered]
      own the slot NAME and print each message as 'SIZE TEXT': N of them, or for ever; waiting MS milliseconds
      for each, or for ever
      --info      first, at each line of standard input, print 'next SIZE waiting COUNT' and take nothing out;
                  receive when the input ends
      --numbered  tell what is missing, late or a duplicate
  post NAME TEXT [--timeout MS]
      put TEXT into the slot NAME; '-' takes all of standard input as one message; wait MS milliseconds for room,
      or not at all
  post NAME --lines [--numbered] [--timeout MS]
      the same with each line of standard input; --numbered prints 'sender ID', and numbers the messages
  broadcast TEXT NAME...
      put TEXT into many slots, waiting for none, and name those that missed it
A word that begins with -- is put behind a lone --.
exit codes: 0 done; 1 refused by the system, or nobody listens; 2 wrong usage; 3 not in time (listen: no message,
post: no room); 4 not to all (broadcast: somebody missed it, post --lines: a message was lost))";

constexpr int not_in_time = 3;
constexpr int not_to_all = 4;

struct Options {
    std::vector<std::string> words;
    bool info = false, numbered = false, lines = false;
    std::optional<long long> count, timeout;
};

long long number(const std::string& option, const std::string& text, long long low) {
    constexpr long long high = 2147483647;
    long long value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
        throw ipc::usage_error("lab-03: " + option + " takes a whole number from " + std::to_string(low) + " to " +
                               std::to_string(high) + ", not '" + text + "'");
    return value;
}

Options parse(const ipc::Arguments& arguments) {
    Options options;
    for (auto word = arguments.options.begin(); word != arguments.options.end(); ++word) {
        auto value = [&](long long low) {
            const std::string& option = *word;
            if (std::next(word) == arguments.options.end())
                throw ipc::usage_error("lab-03: " + option + " needs a number behind it");
            return number(option, *++word, low);
        };
        if (*word == "--count")
            options.count = value(1);
        else if (*word == "--timeout")
            options.timeout = value(0);
        else if (*word == "--info")
            options.info = true;
        else if (*word == "--numbered")
            options.numbered = true;
        else if (*word == "--lines")
            options.lines = true;
        else if (word->starts_with("--"))
            throw ipc::usage_error("lab-03: unknown option '" + *word + "'\n" + usage);
        else
            options.words.push_back(*word);
    }
    options.words.insert(options.words.end(), arguments.command.begin(), arguments.command.end());
    return options;
}

// ---- listen ---------------------------------------------------------------------------------------------------------

#ifndef _WIN32
// Ctrl-C must not leave the name behind. unlink(2) is allowed in a handler, and right: the socket is still ours.
char name_to_remove[sizeof(sockaddr_un::sun_path)];

void remove_name_and_end(int signal) {
    if (name_to_remove[0])
        ::unlink(name_to_remove);
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

// Like dd(1), lab-03 says that it is alive when it gets SIGUSR1, without SA_RESTART: the call that was blocked comes
// back with EINTR, as it may in any real program.
void answer_signals(const mailslots::Slot& slot) {
    std::strncpy(name_to_remove, slot.address.c_str(), sizeof name_to_remove - 1);
    struct sigaction action {};
    action.sa_handler = remove_name_and_end;
    for (int signal : {SIGINT, SIGTERM, SIGHUP})
        ::sigaction(signal, &action, nullptr);
    action.sa_handler = [](int) { ipc::print_signal_safe("lab-03: still listening\n"); };
    ::sigaction(SIGUSR1, &action, nullptr);
}

void forget_name() { name_to_remove[0] = '\0'; }
#else
void answer_signals(const mailslots::Slot&) {}  // Windows removes the slot, however its owner ends
void forget_name() {}
#endif

void print_info(mailslots::Slot& slot) {
    const mailslots::Waiting waiting = mailslots::look(slot);
    ipc::print("next " + (waiting.next ? std::to_string(*waiting.next) : "-") + " waiting " +
               (waiting.count ? std::to_string(*waiting.count) : "?") + "\n");
}

void print_message(std::string_view text) { ipc::print(std::to_string(text.size()) + " " + std::string(text) + "\n"); }

void print_numbered(std::map<std::string, mailslots::Seen>& senders, const std::string& message) {
    using Kind = mailslots::News::Kind;
    const std::optional<mailslots::Numbered> letter = mailslots::parse_numbered(message);
    if (!letter)
        return print_message(message);
    const mailslots::News news = mailslots::enter(senders[letter->sender], letter->number);
    const std::string from = " from " + letter->sender + "\n";
    if (news.kind == Kind::duplicate)
        return ipc::print("duplicate " + std::to_string(letter->number) + from);
    if (news.kind == Kind::gap)
        ipc::print("missing " + std::to_string(news.first) + ".." + std::to_string(news.last) + from);
    if (news.kind == Kind::late)
        ipc::print("late " + std::to_string(letter->number) + from);
    print_message(letter->text);
}

int receive_all(mailslots::Slot& slot, const Options& options) {
    if (options.info)
        for (int c; (c = std::getchar()) != EOF;)
            if (c == '\n')
                print_info(slot);
    std::map<std::string, mailslots::Seen> senders;
    for (long long i = 0; !options.count || i < *options.count; ++i) {
        const std::optional<std::string> message = mailslots::receive(slot, ipc::Deadline::in_ms(options.timeout.value_or(-1)));
        if (!message) {
            if (!options.timeout)
                throw std::runtime_error("lab-03: receive() came back without a message, though it was to wait for ever");
            std::fprintf(stderr, "lab-03: no message within %lld ms\n", *options.timeout);
            return not_in_time;
        }
        if (options.numbered)
            print_numbered(senders, *message);
        else
            print_message(*message);
    }
    return ipc::exit_code::success;
}

int listen(const std::string& name, const Options& options) {
    mailslots::Slot slot = mailslots::open_slot(name);
    answer_signals(slot);
    int code = 0;
    try {
        ipc::say_ready();
        code = receive_all(slot, options);
    } catch (...) {
        forget_name();
        mailslots::close_slot(slot);
        throw;
    }
    forget_name();
    mailslots::close_slot(slot);
    return code;
}

// ---- post and broadcast ---------------------------------------------------------------------------------------------

std::string whole_input() {
    std::string all;
    char buffer[4096];
    while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
        all.append(buffer, count);
        if (all.size() > mailslots::longest_message)
            break;  // too long already: post() will say so
    }
    return all;
}

bool next_line(std::string& line) {
    line.clear();
    int c = std::getchar();
    if (c == EOF)
        return false;
    for (; c != EOF && c != '\n'; c = std::getchar())
        line += static_cast<char>(c);
#ifdef _WIN32
    if (line.ends_with('\r'))
        line.pop_back();
#endif
    return true;
}

int nobody(const std::string& name) {
    std::fprintf(stderr, "lab-03: nobody listens on %s (%s); start: lab-03 listen %s\n", name.c_str(),
                 mailslots::address(name).c_str(), name.c_str());
    return ipc::exit_code::failure;
}

int post(const std::string& name, const std::string& message, long long timeout) {
    const mailslots::Delivery delivery = mailslots::post(name, message, ipc::Deadline::in_ms(timeout));
    if (delivery == mailslots::Delivery::nobody)
        return nobody(name);
    if (delivery == mailslots::Delivery::full) {
        std::fprintf(stderr, "lab-03: %s had no room for %lld ms: %s\n", name.c_str(), timeout, text(delivery));
        return not_in_time;
    }
    return ipc::exit_code::success;
}

std::string sender_id() {
    std::random_device random;
    char id[17];
    std::snprintf(id, sizeof id, "%08x%08x", random(), random());
    return id;
}

int post_lines(const std::string& name, bool numbers, long long timeout) {
    mailslots::Numbered letter{sender_id(), 0, ""};
    if (numbers)
        ipc::print("sender " + letter.sender + "\n");
    int code = ipc::exit_code::success;
    while (next_line(letter.text)) {
        ++letter.number;
        const mailslots::Delivery delivery =
            mailslots::post(name, numbers ? mailslots::numbered(letter) : letter.text, ipc::Deadline::in_ms(timeout));
        if (delivery == mailslots::Delivery::nobody)
            return nobody(name);
        if (delivery == mailslots::Delivery::full) {
            ipc::print("lost " + std::to_string(letter.number) + ": " + text(delivery) + "\n");
            code = not_to_all;
        }
    }
    return code;
}

int broadcast(const std::string& message, const std::vector<std::string>& names) {
    for (const std::string& name : names)
        mailslots::address(name);  // a wrong name is found before anybody gets anything
    const std::vector<mailslots::Missed> missed = mailslots::broadcast(message, names);
    for (const mailslots::Missed& one : missed)
        std::fprintf(stderr, "missed %s: %s\n", one.name.c_str(), one.why.c_str());
    return missed.empty() ? ipc::exit_code::success : not_to_all;
}

// ---------------------------------------------------------------------------------------------------------------------

int run(const ipc::Arguments& arguments) {
    if (!arguments.options.empty() && arguments.options[0] == "--help")
        return std::puts(usage) < 0;
    const Options options = parse(arguments);
    const std::vector<std::string>& words = options.words;
    const std::string verb = words.empty() ? "" : words[0];
    const bool listens = verb == "listen", posts = verb == "post", spreads = verb == "broadcast";
    if (!listens && !posts && !spreads)
        throw ipc::usage_error(verb.empty() ? usage : "lab-03: unknown verb '" + verb + "'\n" + usage);
    const bool fits = listens   ? words.size() == 2 && !options.lines
                      : posts   ? words.size() == (options.lines ? 2 : 3) && !options.info && !options.count && (options.lines || !options.numbered)
                                : words.size() >= 3 && !options.info && !options.count && !options.timeout && !options.lines && !options.numbered;
    if (!fits)
        throw ipc::usage_error("lab-03: that is not how " + verb + " is called\n" + usage);
    const long long timeout = options.timeout.value_or(0);
    auto message = [](const std::string& text) { return text == "-" ? whole_input() : text; };
    try {
        if (listens)
            return listen(words[1], options);
        if (spreads)
            return broadcast(message(words[1]), {words.begin() + 2, words.end()});
        mailslots::address(words[1]);  // before any input is read
        return options.lines ? post_lines(words[1], options.numbered, timeout) : post(words[1], message(words[2]), timeout);
    } catch (const std::invalid_argument& error) {
        throw ipc::usage_error(std::string("lab-03: ") + error.what());
    }
}

}  // namespace

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run); }
