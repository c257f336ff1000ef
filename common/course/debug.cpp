// `./course debug`: gdb on the lab program as a case of the judge runs it: with the judge at its other end, its standard
// streams, its folder, its environment. The judge holds it before its first instruction; its deadlines are put off.

#include "commands.hpp"
#include "failure.hpp"
#include "grade.hpp"
#include "interrupt.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include "verdict_text.hpp"
#include "ipc/handle.hpp"
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace course {
namespace {

/// The judge of one case in the background, with a pipe for what it says.
class HoldingJudge {
public:
    HoldingJudge(const Repository& repository, const GradeTask& task, const DebugOptions& options) {
        Command command = judge_command(repository, task.judging);
        for (const std::string& each : {std::string("--time-scale"), std::string("1000"), std::string("--jobs"), std::string("1")})
            command.arguments.push_back(each);
        std::vector<char*> arguments;
        for (std::string& each : command.arguments)
            arguments.push_back(each.data());
        arguments.push_back(nullptr);
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            throw Failure(exit_code::machine, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
        words_.reset(ends[0]);
        const ipc::unique_file write(ends[1]);
        ::setenv("IPC_LABS_DEBUG", std::to_string(options.program).c_str(), 1);
        const std::string root = repository.root.string();
        id_ = ::fork();
        if (id_ == 0) {
            // Out of the terminal's foreground group: Ctrl-C is gdb's.
            ::setpgid(0, 0);
            ::prctl(PR_SET_PDEATHSIG, SIGTERM);
            const int null = ::open("/dev/null", O_RDWR);
            ::dup2(null, STDIN_FILENO);
            ::dup2(null, STDOUT_FILENO);
            ::dup2(write.get(), STDERR_FILENO);
            if (::chdir(root.c_str()) == 0)
                ::execv(arguments[0], arguments.data());
            ::_exit(127);
        }
        ::unsetenv("IPC_LABS_DEBUG");
        if (id_ < 0)
            throw Failure(exit_code::machine, fmt::format("cannot start the judge: {}", std::strerror(errno)));
    }

    // SIGINT: it ends its subjects, and then itself.
    ~HoldingJudge() {
        ::kill(id_, SIGINT);
        for (int tenths = 0; tenths < 50; ++tenths) {
            if (::waitpid(id_, nullptr, WNOHANG) != 0)
                return;
            ::poll(nullptr, 0, 100);
        }
        ::kill(-id_, SIGKILL);
        ::waitpid(id_, nullptr, 0);
    }

    // The process id that it holds; 0 if the case comes to its end before.
    int held() {
        constexpr const char* announcement = "waiting for a debugger: ";
        std::string all;
        char buffer[4096];
        for (;;) {
            stop_if_interrupted();
            pollfd entry{words_.get(), POLLIN, 0};
            if (::poll(&entry, 1, 100) <= 0)
                continue;
            const ssize_t count = ::read(words_.get(), buffer, sizeof buffer);
            if (count <= 0)
                return 0;
            all.append(buffer, static_cast<std::size_t>(count));
            const std::size_t at = all.find(announcement);
            if (at != std::string::npos && all.find('\n', at) != std::string::npos)
                return std::atoi(all.c_str() + at + std::strlen(announcement));
        }
    }

private:
    pid_t id_ = -1;
    ipc::unique_file words_;
};

// The case to look into when none was named: the first that fails now.
std::string case_to_debug(const Repository& repository, const GradeTask& task) {
    const PassingLine line(fmt::format("judging {} …", task.lab.name));
    const Verdict verdict = judge(repository, task.judging).verdict;
    const CaseVerdict* next = next_case(verdict);
    if (!next)
        throw Failure(exit_code::usage, fmt::format("no case of {} fails; name one: ./course debug {} --case {}", task.lab.name, task.lab.number,
                                                    verdict.cases.empty() ? "N.1" : verdict.cases.front().name));
    return next->name;
}

}  // namespace

int debug(const Repository& repository, const DebugOptions& options) {
    if (track_named(options.track) == Track::win32)
        throw Failure(exit_code::usage, "under Wine no debugger can be put between the judge and the program; './course grade NN --track win32' explains "
                                        "a hang, and on Windows the program can be attached to while it waits");
    if (find_program("gdb").empty())
        throw Failure(exit_code::machine, "gdb is not installed; on Debian and Ubuntu: apt-get install gdb");
    if (!::isatty(STDIN_FILENO) && options.commands.empty())
        throw Failure(exit_code::usage, "gdb needs a terminal; for a script: --ex COMMAND, which may be given again");
    GradeOptions what;
    what.lab = options.lab;
    what.solution = options.solution;
    if (!options.case_name.empty())
        what.cases = {options.case_name};
    what.seed = options.seed;
    GradeTask task = task_for(repository, what);
    try {
        const PassingLine line(fmt::format("building {} …", task.target));
        build_for(repository, task);
    } catch (const DoesNotCompile& error) {
        fmt::print(stderr, "{} does not compile:\n\n{}", task.judging.source, error.what());
        return exit_code::does_not_compile;
    }
    if (options.case_name.empty())
        task.judging.cases = {case_to_debug(repository, task)};
    else if (!list_cases(repository, task.lab, task.track).find(options.case_name))
        throw Failure(exit_code::usage, fmt::format("{} has no case '{}'; './course grade {}' lists them", task.lab.name, options.case_name, task.lab.number));
    HoldingJudge judge(repository, task, options);
    const int process = judge.held();
    if (process == 0)
        throw Failure(exit_code::usage, fmt::format("case {} starts fewer than {} lab programs", task.judging.cases[0], options.program));
    fmt::print("Case {}: the judge has started {} (process {}) and waits for it without a deadline.\n"
               "gdb stops in main(); 'continue' lets it go on. When gdb ends, all of it ends.\n\n",
               task.judging.cases[0], task.target, process);
    std::fflush(stdout);
    // Attached before exec: it is still the judge's image then, and the symbols come with the program.
    std::vector<std::string> gdb = {"gdb", "-q", "-iex", "set auto-load off", "-iex", "set confirm off", "-iex", "set pagination off", "-iex", "set debuginfod enabled off", "-p",
                                    std::to_string(process), "-ex", "handle SIGSTOP nostop noprint nopass", "-ex", "catch exec", "-ex", "continue", "-ex", "delete", "-ex", "handle SIGSTOP stop print pass", "-ex", "directory " + repository.root.string(),
                                    "-ex", "tbreak main", "-ex", "continue"};
    if (!options.commands.empty())
        gdb.insert(gdb.begin() + 1, "-batch");
    for (const std::string& each : options.commands)
        gdb.insert(gdb.end(), {"-ex", each});
    const int status = std::system(shell_line(gdb).c_str());
    if (status != 0)
        throw Failure(exit_code::machine, "gdb did not end well. If it may not attach: 'sysctl kernel.yama.ptrace_scope' must be 0 or 1, and you must own the process");
    return exit_code::full_marks;
}

}  // namespace course
