// `./course trace`: runs lab programs under strace(1) and draws who called what, when, and who waited for whom.

#include "build.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "grade.hpp"
#include "interrupt.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include "trace_chart.hpp"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <poll.h>
#include <thread>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr const char* calls =
    "trace=openat,open,close,read,write,readv,writev,splice,tee,vmsplice,sendfile,pipe,pipe2,dup,dup2,dup3,fcntl,mknod,mknodat,unlink,unlinkat,"
    "ftruncate,mmap,futex,poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,socket,socketpair,bind,listen,accept,accept4,connect,shutdown,sendto,"
    "sendmsg,sendmmsg,recvfrom,recvmsg,recvmmsg,fork,vfork,clone,clone3,execve,wait4,waitid,kill,tgkill,pidfd_send_signal,clock_nanosleep,nanosleep,"
    "flock,semop,semtimedop,mq_timedsend,mq_timedreceive";

/// A folder that goes away with all that is in it.
struct Scratch {
    fs::path path;
    Scratch() {
        std::string name = (fs::temp_directory_path() / "course-trace-XXXXXX").string();
        if (!::mkdtemp(name.data()))
            throw Failure(exit_code::machine, fmt::format("cannot make a folder in {}: {}", fs::temp_directory_path().string(), std::strerror(errno)));
        path = name;
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

// `read my_pipe + write my_pipe hello` → two programs' arguments.
std::vector<std::vector<std::string>> programs_in(const std::vector<std::string>& words) {
    std::vector<std::vector<std::string>> programs(1);
    for (const std::string& word : words) {
        if (word == "+")
            programs.emplace_back();
        else
            programs.back().push_back(word);
    }
    for (const auto& each : programs)
        if (each.empty())
            throw Failure(exit_code::usage, "a '+' stands between two programs: ./course trace 02 -- read my_pipe + write my_pipe hello");
    return programs;
}

// A program's own name, which somebody has typed before its verb.
bool names_the_program(const std::string& word, const std::string& number) {
    const std::string name = fs::path(word).filename().string();
    return name == "lab-" + number || name == "lab-" + number + ".exe";
}

struct Logs {
    std::vector<int> ids;  ///< of the threads whose log there is
    std::uintmax_t size = 0;
};

Logs logs_of(const fs::path& prefix) {
    Logs logs;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(prefix.parent_path(), error)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(prefix.filename().string() + "."))
            continue;
        const int id = std::atoi(name.c_str() + prefix.filename().string().size() + 1);
        if (id > 0) {
            logs.ids.push_back(id);
            logs.size += entry.file_size(error);
        }
    }
    return logs;
}

/// One program under strace, waited for by a thread of its own.
class Traced {
public:
    Traced(const fs::path& scratch, std::size_t number, const std::string& program, const std::vector<std::string>& arguments, const std::string& input)
        : prefix_(scratch / fmt::format("program-{}", number)) {
        Command command;
        // The shell only lays out the standard streams: as files their names stand in the log.
        command.arguments = {"sh", "-c", "in=$1 files=$2; shift 2; exec \"$@\" <\"$in\" >\"$files.out\" 2>\"$files.err\"", "sh", input, prefix_.string(),
                             "strace", "-ff", "-ttt", "-T", "-yy", "-s", "40", "-e", calls, "-o", prefix_.string(), program};
        command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
        command.limit = std::chrono::minutes(10);
        thread_ = std::jthread([this, command = std::move(command)] {
            try {
                outcome_ = run(command);
            } catch (const std::exception&) {
                // Ctrl-C: everything else ends by it as well.
            }
            over_ = true;
        });
    }

    bool over() const { return over_; }
    Logs logs() const { return logs_of(prefix_); }
    const fs::path& prefix() const { return prefix_; }

    // As Ctrl-C would; who does not care is ended.
    void interrupt(int signal) {
        for (const int id : logs().ids)
            ::kill(id, signal);
    }
    int code() const { return outcome_.code; }

private:
    fs::path prefix_;
    std::atomic<bool> over_ = false;
    Outcome outcome_;
    std::jthread thread_;
};

void pause(int milliseconds) { ::poll(nullptr, 0, milliseconds); }

// Waits until the program has ended or has called nothing for `still`.
void wait_until_still(const Traced& program, std::chrono::milliseconds still) {
    std::uintmax_t seen = 0;
    auto since = std::chrono::steady_clock::now();
    while (!program.over()) {
        stop_if_interrupted();
        if (const std::uintmax_t size = program.logs().size; size != seen || size == 0) {
            seen = size;
            since = std::chrono::steady_clock::now();
        } else if (std::chrono::steady_clock::now() - since >= still)
            return;
        pause(10);
    }
}

// Waits for all of them; when nobody has called anything for `patience`, ends who is left. @return whether that was needed
bool wait_for_all(std::vector<std::unique_ptr<Traced>>& programs, std::chrono::milliseconds patience) {
    bool ended = false;
    std::uintmax_t seen = 0;
    auto since = std::chrono::steady_clock::now();
    const auto all_over = [&] { return std::all_of(programs.begin(), programs.end(), [](const auto& each) { return each->over(); }); };
    while (!all_over()) {
        stop_if_interrupted();
        std::uintmax_t size = 0;
        for (const auto& each : programs)
            size += each->logs().size;
        if (size != seen) {
            seen = size;
            since = std::chrono::steady_clock::now();
        } else if (std::chrono::steady_clock::now() - since >= patience) {
            for (const auto& each : programs)
                if (!each->over())
                    each->interrupt(ended ? SIGKILL : SIGINT);
            ended = true;
            since = std::chrono::steady_clock::now();
        }
        pause(10);
    }
    return ended;
}

std::string input_for_first() {
    // What is piped or redirected into us is the first program's; a keyboard is not.
    return ::isatty(STDIN_FILENO) ? "/dev/null" : "/dev/stdin";
}

}  // namespace

std::string misplaced_trace_words(const std::vector<std::string>& words) {
    const std::vector<std::string> with_value = {"--track", "--patience", "--svg"};
    std::vector<std::string> before;  // the lab, and what should stand behind the --
    std::string options;
    std::size_t at = 0;
    for (; at < words.size() && words[at] != "--"; ++at) {
        const std::string& word = words[at];
        if (word == "-h" || word == "--help")
            return {};
        const bool is_option = word.starts_with("--") && before.size() < 2;
        if (!is_option) {
            before.push_back(word);
            continue;
        }
        options += word + " ";
        if (std::find(with_value.begin(), with_value.end(), word) != with_value.end() && at + 1 < words.size())
            options += shell_line({words[++at]}) + " ";
    }
    std::vector<std::string> program(before.begin() + (before.empty() ? 0 : 1), before.end());
    if (!program.empty() && at < words.size() && words[at] == "--")
        program.insert(program.end(), words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
    const std::string lab = before.empty() ? "01" : before[0];
    if (program.empty())
        return at + 1 < words.size() ? "" : fmt::format("what is to be traced stands behind --, a verb of the lab program with its arguments:\n"
                                                        "  ./course trace {} {}-- {}", lab, options, lab == "02" || lab == "2" ? "read my_pipe + write my_pipe hello" : "capture -- echo hello");
    return fmt::format("the verb to be traced and its arguments stand behind --:\n  ./course trace {} {}-- {}", lab, options, shell_line(program));
}

int trace(const Repository& repository, const TraceOptions& options) {
    if (options.track != "posix") {
        track_named(options.track);
        throw Failure(exit_code::usage, "only programs of the posix track can be traced: Wine's own tracing tells of its insides, not of Win32 calls "
                                        "with their waits. './course grade NN --track win32' explains where a program of yours hangs");
    }
    if (find_program("strace").empty())
        throw Failure(exit_code::machine, "strace is not installed; on Debian and Ubuntu: apt-get install strace");
    std::vector<std::vector<std::string>> wanted = programs_in(options.words);
    GradeOptions what;
    what.lab = options.lab;
    what.solution = options.solution;
    const GradeTask task = task_for(repository, what);
    for (std::vector<std::string>& words : wanted) {
        if (words.size() > 1 && names_the_program(words[0], task.lab.number))
            words.erase(words.begin());
    }
    {
        const PassingLine line(fmt::format("building {} …", task.target));
        try {
            build_for(repository, task);
        } catch (const DoesNotCompile& error) {
            fmt::print(stderr, "{} does not compile:\n\n{}", task.judging.source, error.what());
            return exit_code::does_not_compile;
        }
    }
    const Scratch scratch;
    const std::string program = (repository / task.judging.subject).string();
    std::string input = input_for_first();
    if (input == "/dev/stdin") {
        // run() gives its programs an empty standard input: what there is for the first one is put aside for it.
        const fs::path file = scratch.path / "program-0.in";
        std::ofstream copy(file, std::ios::binary);
        char buffer[65536];
        for (ssize_t count; (count = ::read(STDIN_FILENO, buffer, sizeof buffer)) > 0;)
            copy.write(buffer, count);
        input = file.string();
    }
    Chart chart;
    std::vector<std::string> complaints;
    ChartRequest request;
    request.directory = fs::current_path().string();
    request.files = (scratch.path / "program-").string();
    {
        const PassingLine line("tracing …");
        std::vector<std::unique_ptr<Traced>> programs;
        for (const std::vector<std::string>& arguments : wanted) {
            // Each starts when the one before has come to wait for something, or to its end.
            if (!programs.empty())
                wait_until_still(*programs.back(), std::chrono::milliseconds(250));
            programs.push_back(std::make_unique<Traced>(scratch.path, programs.size(), program, arguments, programs.empty() ? input : "/dev/null"));
            std::vector<std::string> words = {fs::path(program).filename().string()};
            words.insert(words.end(), arguments.begin(), arguments.end());
            request.programs.push_back(words);
        }
        const bool ended = wait_for_all(programs, std::chrono::milliseconds(static_cast<int>(options.patience * 1000)));
        std::vector<TracedThread> threads;
        for (std::size_t i = 0; i < programs.size(); ++i)
            for (const int id : programs[i]->logs().ids)
                threads.push_back({id, static_cast<int>(i), traced_calls(read_file(fmt::format("{}.{}", programs[i]->prefix().string(), id)).value_or(""))});
        // What a program has to say for itself, a wrong command line first of all.
        for (std::size_t i = 0; i < programs.size(); ++i) {
            const std::string words = visible(read_file(programs[i]->prefix().string() + ".err").value_or(""));
            if (!words.empty())
                complaints.push_back(fmt::format("{} says: {}", shell_line(request.programs[i]), wrapped(words.substr(0, 600), terminal_width(), 2)));
        }
        if (threads.empty())
            throw Failure(exit_code::machine, fmt::format("strace wrote nothing; it said: {}",
                                                          visible(read_file(programs[0]->prefix().string() + ".err").value_or("")))); 
        chart = chart_of(threads, request);
        chart.ended_by_us = ended;
        if (ended)
            chart.legend.push_back(fmt::format("Nothing had happened for {:.1f} s (--patience): whoever was left got Ctrl-C.", options.patience));
    }
    fmt::print("{}", chart_text(chart, terminal_width(), !style_for(STDOUT_FILENO).off.empty()));
    for (const std::string& each : complaints)
        fmt::print("{}\n", each);
    if (!options.svg.empty()) {
        const std::string title = "./course trace " + task.lab.number + " -- " + shell_line(options.words);
        write_file(options.svg, chart_svg(chart, title));
        fmt::print("written: {}\n", options.svg);
    }
    return exit_code::full_marks;
}

}  // namespace course
