// lab-01: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "anonymous_pipes.hpp"

#include "ipc/program.hpp"
#include <algorithm>
#include <cstdio>
#include <system_error>
#ifndef _WIN32
#include <csignal>
#endif

namespace {

const char* const usage = R"(usage: lab-01 VERB [OPTION] -- COMMAND [ARGUMENT...]
  capture  -- COMMAND              run COMMAND and print what it wrote
  feed     -- COMMAND              give standard input to COMMAND
  filter   -- COMMAND              standard input through COMMAND to standard output
  pipeline [--codes] -- A '|' B '|' C
                                   run the commands as a shell would; --codes reports how each ended
exit codes: the command's own (of a pipeline the last that is not 0); 127 command not found, 126 not to be run,
2 wrong usage, 1 anything else that the system refused)";

using anonymous_pipes::Command;
using anonymous_pipes::ExitCode;

int capture(const Command& command) {
    const anonymous_pipes::Captured captured = anonymous_pipes::capture(command);
    ipc::print(captured.output);
    return static_cast<int>(captured.exit_code);
}

std::vector<Command> split_at_bars(const Command& words) {
    std::vector<Command> stages(1);
    for (const std::string& word : words) {
        if (word == "|")
            stages.emplace_back();
        else
            stages.back().push_back(word);
    }
    if (std::any_of(stages.begin(), stages.end(), [](const Command& stage) { return stage.empty(); }))
        throw ipc::usage_error("lab-01: a stage of the pipeline is empty; write: pipeline -- A '|' B");
    return stages;
}

int pipeline(const Command& words, bool report) {
    const std::vector<ExitCode> codes = anonymous_pipes::pipeline(split_at_bars(words));
    if (report)
        for (std::size_t i = 0; i < codes.size(); ++i)
            std::fprintf(stderr, "stage %zu: exit code %u\n", i + 1, codes[i]);
    const auto failed = std::find_if(codes.rbegin(), codes.rend(), [](ExitCode code) { return code != 0; });
    return failed == codes.rend() ? 0 : static_cast<int>(*failed);
}

// Like dd(1), lab-01 says that it is alive when it gets SIGUSR1. What matters: the handler is installed without
// SA_RESTART, so that the call which was blocked comes back with EINTR, as it may in any real program.
void answer_signals() {
#ifndef _WIN32
    struct sigaction action {};
    action.sa_handler = [](int) { ipc::print_signal_safe("lab-01: still at it\n"); };
    ::sigaction(SIGUSR1, &action, nullptr);
#endif
}

int run(const ipc::Arguments& arguments) {
    const std::vector<std::string>& options = arguments.options;
    const std::string verb = options.empty() ? "" : options[0];
    const bool report = options.size() == 2 && verb == "pipeline" && options[1] == "--codes";
    if ((options.size() != 1 && !report) || (options[0] == "--help")) {
        if (!options.empty() && options[0] == "--help")
            return std::puts(usage) < 0;
        throw ipc::usage_error(usage);
    }
    if (arguments.command.empty())
        throw ipc::usage_error("lab-01: no command given; write it behind --, as in: lab-01 capture -- echo hello");
    answer_signals();
    try {
        if (verb == "capture")
            return capture(arguments.command);
        if (verb == "feed")
            return static_cast<int>(anonymous_pipes::feed(arguments.command));
        if (verb == "filter")
            return static_cast<int>(anonymous_pipes::filter(arguments.command));
        if (verb == "pipeline")
            return pipeline(arguments.command, report);
    } catch (const std::system_error& error) {
        return ipc::report_start_failure(error);
    }
    throw ipc::usage_error("lab-01: unknown verb '" + verb + "'\n" + usage);
}

}  // namespace

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run); }
