// lab-02: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "named_pipes.hpp"

#include "ipc/program.hpp"
#include <charconv>
#include <cstdio>
#ifdef _WIN32
#include <windows.h>
#else
#include <unistd.h>
#endif

namespace {

const char* const usage = R"(usage: lab-02 VERB [--timeout MS] NAME [TEXT...]
  write [--timeout MS] NAME [TEXT...]   send each TEXT as a message to whoever reads NAME; %d in it becomes our process
                                        id; without a TEXT: "Hello from pid [%d]"
  read NAME                             print the messages written to NAME until the last writer has gone
  serve NAME                            answer requests until SIGINT, SIGTERM or Ctrl-Break; says "ready NAME" when it can
  request [--timeout MS] NAME TEXT...   send each TEXT as a request to the server of NAME and print its answer
NAME is a path (Windows: NAME of \\.\pipe\NAME). --timeout: how long to wait at most, in milliseconds; default for ever.
A TEXT that begins with -- goes behind a lone --, as in: lab-02 write my_pipe -- --help
exit codes: 0 done, 2 wrong usage, 1 anything that the system refused or that took too long; said on standard error)";

unsigned long own_id() {
#ifdef _WIN32
    return GetCurrentProcessId();
#else
    return static_cast<unsigned long>(::getpid());
#endif
}

struct CommandLine {
    std::string verb, name;
    std::vector<std::string> texts;
    ipc::Deadline deadline;
};

ipc::Deadline deadline_from(const std::string& text) {
    long long timeout = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), timeout);
    if (error != std::errc() || end != text.data() + text.size() || timeout < 0)
        throw ipc::usage_error("lab-02: --timeout takes milliseconds, as in --timeout 500; '" + text + "' is none");
    return ipc::Deadline::in_ms(timeout);
}

CommandLine parse(const ipc::Arguments& arguments) {
    CommandLine line;
    std::vector<std::string> words;
    for (std::size_t i = 0; i < arguments.options.size(); ++i) {
        const std::string& word = arguments.options[i];
        if (word == "--timeout" && i + 1 < arguments.options.size())
            line.deadline = deadline_from(arguments.options[++i]);
        else if (word.starts_with("--"))
            throw ipc::usage_error("lab-02: unknown option '" + word + "'\n" + usage);
        else
            words.push_back(word);
    }
    words.insert(words.end(), arguments.command.begin(), arguments.command.end());
    if (words.size() < 2)
        throw ipc::usage_error(usage);
    line.verb = words[0];
    line.name = words[1];
    line.texts.assign(words.begin() + 2, words.end());
    for (const std::string& text : line.texts)
        if (text.find('\n') != std::string::npos)
            throw ipc::usage_error("lab-02: a message is one line; send several lines as several TEXTs");
    const bool takes_text = line.verb == "write" || line.verb == "request";
    if ((!takes_text && !line.texts.empty()) || (line.verb == "request" && line.texts.empty()))
        throw ipc::usage_error(usage);
    return line;
}

std::string with_own_id(std::string text) {
    for (auto at = text.find("%d"); at != std::string::npos; at = text.find("%d", at))
        text.replace(at, 2, std::to_string(own_id()));
    return text;
}

void write(const CommandLine& line) {
    std::vector<std::string> texts;
    for (const std::string& text : line.texts)
        texts.push_back(with_own_id(text));
    if (texts.empty())
        texts.push_back(with_own_id("Hello from pid [%d]"));
    named_pipes::send(line.name, texts, line.deadline);
}

void read(const CommandLine& line) {
    named_pipes::receive(line.name, [](const std::string& text) {
        ipc::print("I pid [" + std::to_string(own_id()) + "] received a message => " + text + "\n");
    });
}

void serve(const CommandLine& line) {
    const auto answer = [](unsigned long client, const std::string& text) {
        return "you are pid [" + std::to_string(client) + "] and said: " + text;
    };
    named_pipes::serve(line.name, answer, [&line] { ipc::say_ready(line.name); });
}

void request(const CommandLine& line) {
    named_pipes::request(line.name, line.texts, line.deadline, [](const std::string& text) { ipc::print(text + "\n"); });
}

int run(const ipc::Arguments& arguments) {
    if (arguments.options.size() == 1 && arguments.options[0] == "--help")
        return std::puts(usage) < 0;
    const CommandLine line = parse(arguments);
    if (line.verb == "write")
        write(line);
    else if (line.verb == "read")
        read(line);
    else if (line.verb == "serve")
        serve(line);
    else if (line.verb == "request")
        request(line);
    else
        throw ipc::usage_error("lab-02: unknown verb '" + line.verb + "'\n" + usage);
    return ipc::exit_code::success;
}

}  // namespace

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run); }
