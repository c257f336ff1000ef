// `./course bench class`: a synthetic class is graded. The grader is killed half-way and started again, every verdict is
// compared with what is known beforehand, and with those of a run that nobody disturbed. What it took is measured.

#include "class_grader.hpp"
#include "class_synthetic.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "interrupt.hpp"
#include "ipc/handle.hpp"
#include "load.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <poll.h>
#include <set>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;
using nlohmann::json;

namespace course {
namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); }

// ---- a grader from outside ----------------------------------------------------------------------------------------

// The most memory that it has ever had, in KiB. The kernel's own count for children would be the compilers'.
long peak_of(pid_t pid) {
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:"))
            return std::stol(line.substr(6));
    return 0;
}

std::size_t results_in(const fs::path& out) {
    std::error_code error;
    std::size_t count = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator(out / "students", error))
        count += entry.path().extension() == ".json" && entry.path().filename().string()[0] != '.';
    return count;
}

struct GraderRun {
    double seconds = 0;
    int code = -1;  ///< -1: it was killed
    long peak = 0, peak_at_tenth = 0;  ///< KiB
};

/// Runs a grader to its end, or kills it as by kill -9 once `kill_at` results are there.
class Graders {
public:
    Graders(std::vector<std::string> command, fs::path log) : command_(std::move(command)), log_(std::move(log)) {}

    GraderRun run(const fs::path& out, std::size_t submissions, std::size_t kill_at) {
        std::vector<std::string> words = command_;
        words.insert(words.end(), {"--out", out.string()});
        GraderRun run;
        const auto start = clock::now();
        const pid_t child = spawn(words);
        const ipc::unique_file ended(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
        bool killed = false, asked = false;
        for (;;) {
            pollfd waiting[] = {{ended.get(), POLLIN, 0}, {asked ? -1 : interrupt_descriptor(), POLLIN, 0}};
            // The tick is for reading figures; the end is announced.
            if (::poll(waiting, 2, 50); waiting[0].revents)
                break;
            if (interrupted() && !asked) {
                asked = true;
                ::kill(child, SIGINT);
            }
            run.peak = std::max(run.peak, peak_of(child));
            const std::size_t done = results_in(out);
            if (!run.peak_at_tenth && done * 10 >= submissions)
                run.peak_at_tenth = run.peak;
            if (kill_at && done >= kill_at && !killed) {
                killed = true;
                ::kill(child, SIGKILL);
            }
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        stop_if_interrupted();
        run.seconds = seconds_since(start);
        run.code = killed ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return run;
    }

private:
    pid_t spawn(const std::vector<std::string>& words) const {
        std::vector<char*> arguments;
        for (const std::string& word : words)
            arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        for (const int stream : {STDOUT_FILENO, STDERR_FILENO})
            posix_spawn_file_actions_addopen(&actions, stream, log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
        pid_t child = -1;
        const int code = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
        posix_spawn_file_actions_destroy(&actions);
        if (code != 0)
            throw Failure(exit_code::machine, fmt::format("cannot start the grader: {}", std::strerror(code)));
        return child;
    }

    std::vector<std::string> command_;
    fs::path log_;
};

// ---- what is left behind ------------------------------------------------------------------------------------------

// Processes in the control groups of the grader of these results.
std::vector<std::string> processes_left(const fs::path& out) {
    std::vector<std::string> left;
    const std::string own = grader_name(out);
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator("/proc", error))
        if (std::isdigit(static_cast<unsigned char>(entry.path().filename().string()[0]))) {
            std::ifstream groups(entry.path() / "cgroup");
            for (std::string line; std::getline(groups, line);)
                if (line.find(own) != std::string::npos) {
                    std::string name;
                    std::ifstream(entry.path() / "comm") >> name;
                    left.push_back("process " + entry.path().filename().string() + " (" + name + ")");
                    break;
                }
        }
    return left;
}

// The kernel ends them with their grader; that many take it a moment.
std::vector<std::string> processes_that_outlive(const fs::path& out) {
    const auto start = clock::now();
    std::vector<std::string> left = processes_left(out);
    while (!left.empty() && seconds_since(start) < 5) {
        ::poll(nullptr, 0, 20);
        left = processes_left(out);
    }
    return left;
}

// What the grader of these results could have left: processes, its folders and groups, mounts of them, and names of its
// sandboxes' users where names are left. Another class may be graded on this machine at the same time.
std::vector<std::string> left_behind(const fs::path& out) {
    std::vector<std::string> left = processes_left(out);
    const std::string own = grader_name(out);
    std::error_code error;
    for (const fs::path& folder : {fs::temp_directory_path(), fs::path("/sys/fs/cgroup"), fs::path("/sys/fs/cgroup/memory"), fs::path("/sys/fs/cgroup/pids")})
        for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
            if (entry.path().filename().string().starts_with(own))
                left.push_back(entry.path().string());
    for (const fs::path& folder : {fs::path("/dev/shm"), fs::path("/dev/mqueue"), fs::path("/tmp/.X11-unix")})
        for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
            struct stat about {};
            if (::lstat(entry.path().c_str(), &about) == 0 && about.st_uid >= first_sandbox_user && about.st_uid < first_sandbox_user + sandbox_users)
                left.push_back(entry.path().string());
        }
    std::ifstream mounts("/proc/self/mounts");
    for (std::string line; std::getline(mounts, line);)
        if (line.find(own) != std::string::npos)
            left.push_back("mount " + line);
    return left;
}

// ---- the report ---------------------------------------------------------------------------------------------------

using Contents = std::map<std::string, std::string>;  ///< file name, content

Contents results_of(const fs::path& out) {
    Contents found;
    for (const fs::directory_entry& entry : fs::directory_iterator(out / "students"))
        if (entry.path().extension() == ".json")
            found[entry.path().filename().string()] = read_file(entry.path()).value_or("");
    return found;
}

std::string wrong_verdicts(const Contents& results, const std::vector<SyntheticStudent>& students, std::size_t& files) {
    std::map<std::string, const SyntheticStudent*> by_name;
    for (const SyntheticStudent& each : students)
        by_name[visible(each.student)] = &each;
    std::string wrong;
    for (const auto& [name, content] : results) {
        const json result = json::parse(content);
        const auto known = by_name.find(result.value("student", ""));
        wrong += known == by_name.end() ? fmt::format("{} is nobody's\n", name) : wrong_with(result, *known->second);
        files += result.value("labs", json::array()).size();
    }
    if (results.size() != students.size())
        wrong += fmt::format("there are {} results for {} submissions\n", results.size(), students.size());
    return wrong;
}

const Deserved* deserved_of(const std::vector<SyntheticStudent>& students, const ClassResult& result, const json& lab) {
    for (const SyntheticStudent& student : students)
        if (visible(student.student) == result.value("student", ""))
            for (const Deserved& file : student.files)
                if (file.lab == lab.value("lab", "") && file.track == lab.value("track", ""))
                    return &file;
    return nullptr;
}

// A mistake shows in the cases that are known for it; in others some show only now and then, whoever grades them.
void forget_chance(ClassResult& result, const std::vector<SyntheticStudent>& students) {
    for (json& lab : result["labs"])
        if (const Deserved* deserved = deserved_of(students, result, lab); deserved && !deserved->cases.empty()) {
            lab.erase("points");
            json known = json::array();
            for (const json& each : lab["verdict"]["cases"])
                if (std::find(deserved->cases.begin(), deserved->cases.end(), each.value("name", "")) != deserved->cases.end())
                    known.push_back({{"name", each["name"]}, {"outcome", each["outcome"]}, {"points", each["points"]}});
            lab["verdict"] = known;
        }
}

/// @param by_chance  told: how many results differ in such cases alone
std::string differences(const Contents& one, const Contents& other, const std::vector<SyntheticStudent>& students, int& by_chance) {
    std::string different;
    for (const auto& [name, content] : one) {
        const auto same = other.find(name);
        if (same == other.end()) {
            different += name + " is in one run only\n";
            continue;
        }
        json first = json::parse(content), second = json::parse(same->second);
        if (lasting_part(first) == lasting_part(second))
            continue;
        forget_chance(first, students);
        forget_chance(second, students);
        const std::string a = lasting_part(first), b = lasting_part(second);
        if (a == b) {
            ++by_chance;
            continue;
        }
        const std::size_t at = static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
        const std::size_t from = a.rfind('\n', at) == std::string::npos ? 0 : a.rfind('\n', at) + 1;
        different += fmt::format("{}:\n  {}\n  {}\n", name, a.substr(from, a.find('\n', at) - from), b.substr(from, b.find('\n', at) - from));
    }
    return different;
}

// Seconds of judging and compiling, apart for what is made to take time.
void print_times(const Contents& results, const std::vector<SyntheticStudent>& students) {
    std::set<std::pair<std::string, std::string>> attacks;
    for (const SyntheticStudent& student : students)
        for (const Deserved& file : student.files)
            if (file.attacks)
                attacks.emplace(visible(student.student), file.lab + " " + file.track);
    std::map<std::string, std::pair<double, int>> by_lab;
    for (const auto& [name, content] : results) {
        const json result = json::parse(content);
        for (const json& lab : result.value("labs", json::array())) {
            const std::string where = lab.value("lab", "") + " " + lab.value("track", "");
            if (!lab.contains("seconds"))
                continue;
            auto& [seconds, count] = by_lab[attacks.contains({result.value("student", ""), where}) ? "cheats" : where];
            seconds += lab.value("seconds", 0.0);
            ++count;
        }
    }
    fmt::print("\n  {:<32} {:>6} {:>10}\n", "where the time went", "files", "s a file");
    for (const auto& [where, took] : by_lab)
        fmt::print("  {:<32} {:>6} {:>10.2f}\n", where, took.second, took.first / took.second);
}

/// One line of the report, counted.
class Checks {
public:
    void add(const std::string& what, const std::string& wrong) {
        fmt::print("{}  {}\n", wrong.empty() ? "passed" : "FAILED", what);
        if (!wrong.empty()) {
            fmt::print("{}", visible(wrong.substr(0, 6000)));
            ++failed_;
        }
        std::fflush(stdout);
    }
    int failed() const { return failed_; }

private:
    int failed_ = 0;
};

SyntheticOptions class_for(const Repository& repository, const BenchClassOptions& options) {
    SyntheticOptions made;
    made.submissions = options.submissions;
    made.seed = options.seed;
    for (const std::string& name : options.labs)
        made.labs.push_back(repository.lab_named(name));
    if (made.labs.empty())
        made.labs = repository.labs();
    for (const std::string& name : options.tracks)
        made.tracks.push_back(track_named(name));
    if (made.tracks.empty())
        made.tracks = {Track::posix};
    return made;
}

std::vector<std::string> command_for(const SyntheticOptions& made, const BenchClassOptions& options, const fs::path& in) {
    std::vector<std::string> words = {"course", "class", "grade", in.string(), "--seed", "5eed"};
    for (const Lab& lab : made.labs)
        words.insert(words.end(), {"--lab", lab.number});
    for (const Track track : made.tracks)
        words.insert(words.end(), {"--track", std::string(name_of(track))});
    if (!options.require.empty())
        words.insert(words.end(), {"--require", options.require});
    if (options.jobs)
        words.insert(words.end(), {"--jobs", std::to_string(options.jobs)});
    return words;
}

std::string listed(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines)
        text += line + "\n";
    return text;
}

}  // namespace

int bench_class(const Repository& repository, const BenchClassOptions& options) {
    const fs::path folder = fs::absolute(options.folder.empty() ? repository / "build/bench-class" : fs::path(options.folder));
    if (fs::exists(folder) && !fs::exists(folder / "in") && !fs::is_empty(folder))
        throw Failure(exit_code::usage, fmt::format("{} has something else in it; take another folder", folder.string()));
    fs::remove_all(folder);
    fs::create_directories(folder / "in");
    const SyntheticOptions made = class_for(repository, options);
    const std::vector<SyntheticStudent> students = make_class(repository, folder / "in", made);
    Graders graders(command_for(made, options, folder / "in"), folder / "said.txt");
    fmt::print("{} submissions of {} files each, {} processors\n\n", students.size(), made.labs.size() * made.tracks.size(), processors());
    std::fflush(stdout);

    Checks checks;
    const fs::path out = folder / "out";
    const GraderRun first = graders.run(out, students.size(), students.size() / 2);
    if (first.code == -1)
        checks.add("killed by kill -9: what was in the sandboxes ends with the grader", listed(processes_that_outlive(out)));
    const Contents half = results_of(out);
    const GraderRun second = graders.run(out, students.size(), 0);
    if (second.code == exit_code::machine)
        throw Failure(exit_code::machine, fmt::format("this machine cannot grade the class: {}", visible(read_file(folder / "said.txt").value_or(""))));
    const Contents results = results_of(out);
    const auto words_for = [&](int code) { return code == 0 ? std::string() : fmt::format("the grader ended with exit code {}; {} has its words:\n{}\n", code, (folder / "said.txt").string(), read_file(folder / "said.txt").value_or("")); };
    checks.add(fmt::format("killed with {} results, taken up, and brought to its end", half.size()),
               first.code != -1 ? "it had come to its end before it could be killed\n" : words_for(second.code));
    std::string lost;
    for (const auto& [name, content] : half)
        if (results.find(name) == results.end() || (results.at(name) != content && content.find("\"judge error\"") == std::string::npos))
            lost += name + " was graded again, or is gone\n";
    checks.add("what was graded before is the same byte for byte", lost);
    std::size_t files = 0;
    checks.add(fmt::format("every verdict is as known beforehand ({} submissions)", results.size()), wrong_verdicts(results, students, files));
    checks.add("no process, file, name, mount or control group is left", listed(left_behind(out)));
    if (!options.once) {
        const GraderRun whole = graders.run(folder / "undisturbed", students.size(), 0);
        checks.add("undisturbed: the grader comes to its end", words_for(whole.code));
        int by_chance = 0;
        checks.add("undisturbed: the same results, but for times, process numbers and momentary states", differences(results, results_of(folder / "undisturbed"), students, by_chance));
        if (by_chance)
            fmt::print("        ({} have a mistake that shows in other cases only now and then)\n", by_chance);
        checks.add("undisturbed: nothing is left", listed(left_behind(folder / "undisturbed")));
        fmt::print("\n  undisturbed: {:.1f} s, {:.2f} s a submission; the grader's memory {:.1f} MiB at its most, {:.1f} MiB when a tenth was done\n", whole.seconds, whole.seconds / static_cast<double>(students.size()),
                   static_cast<double>(whole.peak) / 1024, static_cast<double>(whole.peak_at_tenth) / 1024);
    }
    fmt::print("\n  with the interruption: {:.1f} s, {:.2f} s a submission, {:.2f} s a file; the grader's memory {:.1f} MiB at its most\n", first.seconds + second.seconds,
               (first.seconds + second.seconds) / static_cast<double>(students.size()), (first.seconds + second.seconds) / static_cast<double>(std::max<std::size_t>(1, files)),
               static_cast<double>(std::max(first.peak, second.peak)) / 1024);
    print_times(results, students);
    if (checks.failed() == 0 && !options.keep)
        fs::remove_all(folder);
    else
        fmt::print("\n  submissions and results are in {}\n", folder.string());
    return checks.failed() == 0 ? exit_code::full_marks : exit_code::points_missing;
}

}  // namespace course
