// lab-00: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "processes.hpp"

#include "ipc/program.hpp"
#include <charconv>
#include <cstdio>
#include <optional>
#include <system_error>
#ifndef _WIN32
#include <csignal>
#endif

namespace {

const char* const usage = R"(usage: lab-00 VERB [OPTION...] [-- PROGRAM [ARGUMENT...]]
  version                          the system's name and version
  run [--timeout MS] [--grace MS] [--cwd DIR] [--env NAME=VALUE]... [--stay] -- PROGRAM [ARGUMENT...]
                                   start PROGRAM and wait for it; after --timeout stop it and all that it has
                                   started, politely at first, surely after --grace (2000 ms if not given).
                                   --stay: then print 'ended CODE' and stay until standard input ends, so that
                                   one can look for what is left behind
  spawn [--cwd DIR] [--env NAME=VALUE]... -- PROGRAM [ARGUMENT...]
                                   start PROGRAM, print which process it is (ID:STARTED), do not wait
  stop ID:STARTED [--grace MS]     stop the process that spawn has named, if it is still that one
exit codes: of run the program's own; 128 + N if signal N killed it (Windows: the exception's code);
124 time was up, 127 program not found, 126 not to be run, 2 wrong usage, 1 anything else that the system refused,
also when the process to stop is not there any more)";

using processes::Ended;
using std::chrono::milliseconds;

struct Options {
    std::optional<milliseconds> timeout;
    milliseconds grace{2000};
    bool stay = false;
    processes::Surroundings surroundings;
    std::string identity;
};

template <class Number>
Number number(const std::string& text, const std::string& what) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
        throw ipc::usage_error("lab-00: " + what + " must be a number, not '" + text + "'");
    return value;
}

Options parse(const std::string& verb, const std::vector<std::string>& words) {
    Options options;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string& option = words[i];
        const auto value = [&]() -> const std::string& {
            if (i + 1 == words.size())
                throw ipc::usage_error("lab-00: " + option + " needs a value behind it");
            return words[++i];
        };
        if (option == "--timeout" && verb == "run")
            options.timeout = milliseconds(number<unsigned>(value(), option));
        else if (option == "--grace" && verb != "spawn")
            options.grace = milliseconds(number<unsigned>(value(), option));
        else if (option == "--stay" && verb == "run")
            options.stay = true;
        else if (option == "--cwd" && verb != "stop")
            options.surroundings.directory = value();
        else if (option == "--env" && verb != "stop") {
            const std::string& pair = value();
            const auto equals = pair.find('=');
            if (equals == 0 || equals == std::string::npos)
                throw ipc::usage_error("lab-00: --env takes NAME=VALUE, not '" + pair + "'");
            options.surroundings.environment[pair.substr(0, equals)] = pair.substr(equals + 1);
        } else if (verb == "stop" && options.identity.empty())
            options.identity = option;
        else
            throw ipc::usage_error("lab-00: " + verb + " does not know '" + option + "'\n" + usage);
    }
    return options;
}

// What became of the program, as an exit code; in words too, unless it ended by itself.
int reported(const std::string& program, const Ended& ended, const Options& options) {
    switch (ended.how) {
    case Ended::How::timed_out:
        std::fprintf(stderr, "lab-00: %s was stopped after %lld ms\n", program.c_str(),
                     static_cast<long long>(options.timeout->count()));
        return 124;
    case Ended::How::killed:
#ifdef _WIN32
        std::fprintf(stderr, "lab-00: %s was ended by exception 0x%08X (%s)\n", program.c_str(), ended.code,
                     processes::name_of(ended.code).c_str());
        return static_cast<int>(ended.code);
#else
        std::fprintf(stderr, "lab-00: %s was killed by %s\n", program.c_str(), processes::name_of(ended.code).c_str());
        return static_cast<int>(128 + ended.code);
#endif
    case Ended::How::exited:
        break;
    }
    return static_cast<int>(ended.code);
}

int run(const processes::Command& command, const Options& options) {
    int code = 0;
    try {
        code = reported(command[0],
                        options.timeout
                            ? processes::run_for(command, options.surroundings, *options.timeout, options.grace)
                            : processes::run(command, options.surroundings),
                        options);
    } catch (const std::system_error& error) {
        code = ipc::report_start_failure(error);
    }
    if (options.stay) {
        ipc::print("ended " + std::to_string(static_cast<unsigned>(code)) + "\n");
        while (std::getchar() != EOF) {
        }
    }
    return code;
}

int stop(const Options& options) {
    const auto colon = options.identity.find(':');
    if (colon == std::string::npos)
        throw ipc::usage_error("lab-00: stop takes the ID:STARTED that spawn has printed, not '" + options.identity + "'");
    processes::Identity process;
    process.id = number<unsigned>(options.identity.substr(0, colon), "ID");
    process.started = number<unsigned long long>(options.identity.substr(colon + 1), "STARTED");
    if (processes::stop(process, options.grace))
        return ipc::exit_code::success;
    std::fprintf(stderr, "lab-00: process %s is not there any more; nobody was stopped\n", options.identity.c_str());
    return ipc::exit_code::failure;
}

int perform(const ipc::Arguments& arguments) {
#ifndef _WIN32
    // As every program does that writes into pipes, so that a lost reader is an error and not its death. Whether the
    // programs it starts are so disposed is not its business: an ignored signal stays ignored across exec.
    std::signal(SIGPIPE, SIG_IGN);
#endif
    const std::string verb = arguments.options.empty() ? "" : arguments.options[0];
    if (verb == "--help")
        return std::puts(usage) < 0;
    if (verb != "version" && verb != "run" && verb != "spawn" && verb != "stop")
        throw ipc::usage_error(verb.empty() ? usage : "lab-00: unknown verb '" + verb + "'\n" + usage);
    const bool starts = verb == "run" || verb == "spawn";
    if (starts && arguments.command.empty())
        throw ipc::usage_error("lab-00: no program given; write it behind --, as in: lab-00 " + verb + " -- echo hello");
    if (!starts && arguments.has_command)
        throw ipc::usage_error("lab-00: " + verb + " starts no program; leave out what stands behind --");
    const Options options = parse(verb, arguments.options);
    if (verb == "version") {
        const processes::System system = processes::system_version();
        ipc::print(system.name + " " + system.version + "\n");
        return ipc::exit_code::success;
    }
    if (verb == "stop")
        return stop(options);
    if (verb == "run")
        return run(arguments.command, options);
    try {
        const processes::Identity process = processes::spawn(arguments.command, options.surroundings);
        ipc::print(std::to_string(process.id) + ":" + std::to_string(process.started) + "\n");
        return ipc::exit_code::success;
    } catch (const std::system_error& error) {
        return ipc::report_start_failure(error);
    }
}

}  // namespace

int main(int argc, char** argv) { return ipc::run_program(argc, argv, perform); }
