// `./course class grade --engine slurm`: this machine builds the judges and plans, the tasks of a job array grade, and
// what they have written is gathered here. The results folder is all that they share; so a task that is lost, or runs
// twice, costs time and nothing else.

#include "class_slurm.hpp"

#include "class_intake.hpp"
#include "class_pass.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "interrupt.hpp"
#include "process.hpp"
#include "ipc/handle.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;
using nlohmann::json;

namespace course {
namespace {

constexpr int most_rounds = 3;         ///< a task that ended early is tried again in another array
constexpr int poll_milliseconds = 2000;  ///< squeue asks the controller, which serves everybody
constexpr int most_silence = 150;      ///< answers that squeue may owe, one after the other: five minutes

std::string first_line(const std::string& text) { return visible(text.substr(0, text.find('\n'))); }

void check_tools() {
    for (const char* tool : {"sbatch", "squeue", "scancel", "scontrol"})
        if (find_program(tool).empty())
            throw Failure(exit_code::machine, fmt::format("{} is not installed, and --engine slurm needs it: run this on a host from which your cluster takes jobs "
                                                          "(Debian: slurm-client). '--engine local' grades on this machine",
                                                          tool));
}

Outcome ask(std::vector<std::string> words) { return run({std::move(words), {}, std::chrono::minutes(2), {}}); }

std::size_t most_tasks_here() {
    const Outcome answer = ask({"scontrol", "show", "config"});
    if (answer.code != 0)
        throw Failure(exit_code::machine, fmt::format("Slurm does not answer (scontrol show config): {}. Is its controller running, and is this machine one of its hosts?", first_line(answer.errors)));
    return most_array_tasks(answer.output);
}

// Asked when the command begins: a new build takes the name, and then /proc calls ours deleted.
const std::string& own_program() {
    static const std::string path = fs::read_symlink("/proc/self/exe").string();
    return path;
}

/// A folder below the results, by which this machine tells the tasks what to do, and they tell what went wrong.
class Plan {
public:
    Plan(const Repository& repository, const ClassOptions& options, const std::string& isolation, const std::vector<std::vector<std::string>>& batches)
        : folder_(fs::absolute(options.out) / ".slurm" / utc_now("%Y%m%d-%H%M%S")) {
        std::error_code error;
        fs::create_directories(folder_, error);
        if (error)
            throw Failure(exit_code::machine, fmt::format("cannot make {}: {}", folder_.string(), error.message()));
        write_file(folder_ / "plan.json", json{{"submissions", fs::absolute(options.submissions).string()}, {"out", fs::absolute(options.out).string()}, {"labs", options.labs}, {"tracks", options.tracks},
                                               {"isolation", isolation}, {"seed", options.seed}, {"again", options.again}, {"tasks", batches}}
                                              .dump(1, ' ', false, json::error_handler_t::replace));
        write_file(folder_ / "task.sh", task_script(own_program(), repository.root.string(), (folder_ / "plan.json").string()));
    }

    std::vector<std::string> command(const ClassOptions& options, std::size_t tasks) const {
        std::vector<std::string> words = {"sbatch", "--parsable", "--job-name=ipc-labs", fmt::format("--array=0-{}", tasks - 1), "--ntasks=1", "--cpus-per-task=1", "--requeue",
                                          "--open-mode=append", fmt::format("--output={}", (folder_ / "%a.log").string()), "--chdir=" + folder_.string()};
        words.insert(words.end(), options.slurm_options.begin(), options.slurm_options.end());
        words.push_back((folder_ / "task.sh").string());
        return words;
    }

    // The last words of the tasks that said something, for a person.
    std::string complaints() const {
        std::string words;
        int count = 0;
        for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
            const std::string text = read_file(entry.path()).value_or("");
            if (entry.path().extension() != ".log" || text.empty() || ++count > 3)
                continue;
            const std::size_t end = text.find_last_not_of('\n'), from = text.rfind('\n', end);
            words += fmt::format("\n  {}: {}", entry.path().string(), visible(text.substr(from + 1, end - from)));
        }
        return words.empty() ? fmt::format("\n  No task wrote a line into {}: do the nodes see this folder, under this name?", folder_.string()) : words;
    }

private:
    fs::path folder_;
};

/// Ends the job when it goes before the job has.
class Job {
public:
    explicit Job(std::string number) : number_(std::move(number)) {}
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;
    ~Job() {
        if (over_)
            return;
        fmt::print(stderr, "course: cancelling job {}; what is graded is kept, and the same command goes on from there\n", number_);
        // Not by run(): it starts nothing after Ctrl-C.
        const pid_t child = ::fork();
        if (child == 0) {
            ::execlp("scancel", "scancel", number_.c_str(), nullptr);
            ::_exit(127);
        }
        if (child > 0)
            ::waitpid(child, nullptr, 0);
    }

    void wait(const std::function<void(const TaskQueue&)>& tell) {
        int silence = 0;
        while (!over_) {
            const Outcome answer = ask({"squeue", "-h", "-r", "-j", number_, "-o", "%T %r"});
            // Slurm forgets a job some minutes after its end.
            const bool forgotten = answer.errors.find("Invalid job id") != std::string::npos;
            if (answer.code != 0 && !forgotten) {
                if (++silence > most_silence)
                    throw Failure(exit_code::machine, fmt::format("squeue has not answered for {} minutes: {}. When Slurm is well again, run the same command: what is graded is kept",
                                                                  most_silence * poll_milliseconds / 60000, first_line(answer.errors)));
            } else {
                silence = 0;
                const TaskQueue queue = queue_in(answer.output);
                over_ = forgotten || queue.waiting + queue.running == 0;
                tell(queue);
            }
            if (!over_) {
                pollfd interrupt = {interrupt_descriptor(), POLLIN, 0};
                ::poll(&interrupt, 1, poll_milliseconds);
                stop_if_interrupted();
            }
        }
    }

private:
    std::string number_;
    bool over_ = false;
};

/// A number that no other task on this machine has as long as this one lives: each would clear away the other's folders.
class PlaceOnNode {
public:
    PlaceOnNode() {
        for (number_ = 0; number_ < most_places; ++number_) {
            file_ = fs::temp_directory_path() / fmt::format("course-task-{}-{}", ::geteuid(), number_);
            lock_.reset(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
            if (!lock_)
                throw Failure(exit_code::machine, fmt::format("cannot make {}: {}", file_.string(), std::strerror(errno)));
            struct stat locked {}, named {};
            // Whoever went has taken the file's name along.
            if (::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0 && ::fstat(lock_.get(), &locked) == 0 && ::stat(file_.c_str(), &named) == 0 && locked.st_ino == named.st_ino)
                return;
        }
        throw Failure(exit_code::machine, fmt::format("there are {} tasks on this machine already", most_places));
    }
    ~PlaceOnNode() { ::unlink(file_.c_str()); }
    PlaceOnNode(const PlaceOnNode&) = delete;
    PlaceOnNode& operator=(const PlaceOnNode&) = delete;
    unsigned number() const { return number_; }

private:
    static constexpr unsigned most_places = 1000;
    unsigned number_ = 0;
    fs::path file_;
    ipc::unique_file lock_;
};

/// Which of the results are there that were not when it was made.
class Arrivals {
public:
    Arrivals(const fs::path& students, const std::set<std::string>& keys) {
        for (const std::string& key : keys)
            before_.emplace_back(students / (key + ".json"), written(students / (key + ".json")));
    }
    std::size_t count() const {
        return static_cast<std::size_t>(std::count_if(before_.begin(), before_.end(), [](const auto& each) { return written(each.first) != each.second; }));
    }
    std::size_t all() const { return before_.size(); }

private:
    static fs::file_time_type written(const fs::path& file) {
        std::error_code missing;
        return fs::last_write_time(file, missing);
    }
    std::vector<std::pair<fs::path, fs::file_time_type>> before_;
};

void tell_progress(const std::string& job, const Arrivals& arrivals, const TaskQueue& queue) {
    // A task that Slurm holds waits until somebody acts; the reason says so.
    const std::string line = fmt::format("job {}: {} of {} graded; {} tasks run, {} wait{}", job, arrivals.count(), arrivals.all(), queue.running, queue.waiting,
                                         queue.reason.empty() ? "" : fmt::format(" ({})", visible(queue.reason)));
    static std::string last;
    if (::isatty(STDERR_FILENO))
        fmt::print(stderr, "\r\x1b[K{}{}", line, queue.waiting + queue.running ? "" : "\n");
    else if (line != last)
        fmt::print(stderr, "{}\n", line);
    std::fflush(stderr);
    last = line;
}

// One array, from its submission until none of its tasks is left.
void run_array(const Repository& repository, const ClassOptions& options, const std::string& isolation, const std::set<std::string>& keys, std::size_t most_tasks, std::string& complaints) {
    const auto batches = batches_of(keys, options.pack, most_tasks);
    const Plan plan(repository, options, isolation, batches);
    const Outcome answer = ask(plan.command(options, batches.size()));
    if (answer.code != 0)
        throw Failure(exit_code::machine, fmt::format("sbatch did not take the job: {}\nThe command was: {}\nA partition, an account or a time is given by --slurm-option=…; fewer tasks by --pack N", first_line(answer.errors), shell_line(plan.command(options, batches.size()))));
    const std::string number = job_in(answer.output);
    const Arrivals arrivals(fs::path(options.out) / "students", keys);
    Job(number).wait([&](const TaskQueue& queue) { tell_progress(number, arrivals, queue); });
    complaints = plan.complaints();
}

}  // namespace

std::vector<std::vector<std::string>> batches_of(const std::set<std::string>& keys, unsigned pack, std::size_t most_tasks) {
    const std::size_t most = std::max<std::size_t>(most_tasks, 1), least_pack = (keys.size() + most - 1) / most;
    const std::size_t size = std::max<std::size_t>(pack ? pack : 10, least_pack);
    std::vector<std::vector<std::string>> batches;
    for (const std::string& key : keys) {
        if (batches.empty() || batches.back().size() == size)
            batches.emplace_back();
        batches.back().push_back(key);
    }
    return batches;
}

std::size_t most_array_tasks(const std::string& configuration) {
    std::istringstream lines(configuration);
    for (std::string name, equals, value, line; std::getline(lines, line);)
        if (std::istringstream words(line); words >> name >> equals >> value && name == "MaxArraySize" && std::atoll(value.c_str()) > 1)
            return static_cast<std::size_t>(std::atoll(value.c_str()));  // a task's number is below it
    return 1001;
}

std::string job_in(const std::string& answer) {
    const std::string number = answer.substr(0, answer.find_first_of(";\n"));
    if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos)
        throw Failure(exit_code::machine, fmt::format("sbatch did not answer with a job's number: '{}'", first_line(answer)));
    return number;
}

TaskQueue queue_in(const std::string& listing) {
    TaskQueue queue;
    std::istringstream lines(listing);
    for (std::string line; std::getline(lines, line);) {
        const std::string state = line.substr(0, line.find(' '));
        if (state.empty())
            continue;
        const bool runs = state == "RUNNING" || state == "COMPLETING";
        ++(runs ? queue.running : queue.waiting);
        if (!runs && line.size() > state.size() + 1)
            queue.reason = line.substr(state.size() + 1);
    }
    return queue;
}

std::string task_script(const std::string& course, const std::string& root, const std::string& plan) {
    return fmt::format("#!/bin/sh\nexport {}\nexec {} \"$SLURM_ARRAY_TASK_ID\"\n", shell_line({"COURSE_ROOT=" + root}), shell_line({course, "class", "task", plan}));
}

int grade_by_slurm(const Repository& repository, const ClassOptions& asked) {
    check_tools();
    own_program();
    const std::size_t most_tasks = most_tasks_here();
    ClassOptions options = asked;
    ClassPass planning;
    planning.grade = planning.report = false;
    grade_pass(repository, options, planning);
    const FileLock lock(fs::path(options.out) / ".slurm/.lock");
    options.isolation = planning.isolation;
    options.require.clear();
    std::set<std::string> missing = planning.ungraded;
    std::string complaints;
    for (int round = 0; round < most_rounds && !missing.empty(); ++round) {
        if (round)
            fmt::print(stderr, "course: {} submissions have no result yet; their tasks are sent again\n", missing.size());
        run_array(repository, options, planning.isolation, missing, most_tasks, complaints);
        options.again = false;
        ClassPass looking;
        looking.is_built = looking.keep_judge_errors = true;
        looking.grade = looking.report = false;
        looking.only = missing;
        grade_pass(repository, options, looking);
        missing = looking.ungraded;
    }
    if (!missing.empty())
        throw Failure(exit_code::machine, fmt::format("{} submissions came to no result in {} job arrays. What is graded is kept in {}; the same command goes on from there. The tasks' last words:{}",
                                                      missing.size(), most_rounds, options.out, complaints));
    ClassPass gathering;
    gathering.is_built = gathering.keep_judge_errors = true;
    return grade_pass(repository, options, gathering);
}

int class_task(const Repository& repository, const std::string& file, unsigned task) {
    const json plan = json::parse(read_file(file).value_or(""), nullptr, false);
    if (!plan.is_object() || task >= plan.value("tasks", json::array()).size())
        throw Failure(exit_code::usage, fmt::format("{} is no plan with a task {}; 'class grade --engine slurm' writes plans, and runs their tasks", file, task));
    ClassOptions options;
    options.submissions = plan.at("submissions");
    options.out = plan.at("out");
    options.labs = plan.at("labs");
    options.tracks = plan.at("tracks");
    options.isolation = plan.at("isolation");
    options.seed = plan.at("seed");
    options.again = plan.at("again");
    const char* processors = std::getenv("SLURM_CPUS_PER_TASK");
    options.jobs = static_cast<unsigned>(std::clamp(processors ? std::atoi(processors) : 1, 1, 256));
    ClassPass part;
    part.is_built = true;
    part.report = false;
    for (const json& key : plan.at("tasks").at(task))
        part.only.insert(key);
    const PlaceOnNode place;
    part.place = place.number();
    return grade_pass(repository, options, part);
}

}  // namespace course
