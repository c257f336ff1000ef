// `./course class grade SUBMISSIONS --out RESULTS`: a class of untrusted submissions, each compiled and judged in
// sandboxes of its own, several at once. What is done stays done: an interrupted run is taken up where it was.

#include "build.hpp"
#include "class_grader.hpp"
#include "class_pass.hpp"
#include "class_results.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "interrupt.hpp"
#include "load.hpp"
#include "mistake.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include "wine.hpp"
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <mutex>
#include <optional>
#include <unistd.h>

namespace fs = std::filesystem;
using nlohmann::json;

namespace course {
namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); }

/// "37 of 200 graded, about 4 min left", on a terminal in place, else a line now and then.
class Count {
public:
    explicit Count(std::size_t all) : all_(all), terminal_(::isatty(STDERR_FILENO)) {}
    ~Count() {
        if (terminal_)
            fmt::print(stderr, "\r\x1b[K");
    }
    void skipped() {
        const std::lock_guard lock(mutex_);
        ++done_;
        ++skipped_;
    }
    void graded(const std::string& student) {
        const std::lock_guard lock(mutex_);
        ++done_;
        ++graded_;
        const double left = seconds_since(start_) / static_cast<double>(graded_) * static_cast<double>(all_ - done_);
        const std::string time = left < 90 ? fmt::format("{:.0f} s", left) : fmt::format("{:.0f} min", left / 60);
        if (terminal_)
            fmt::print(stderr, "\r\x1b[K{} of {} graded, about {} left: {}", done_, all_, time, visible(student));
        else if (graded_ % 20 == 0)
            fmt::print(stderr, "{} of {} graded, about {} left\n", done_, all_, time);
        std::fflush(stderr);
    }
    std::size_t skipped_count() const { return skipped_; }

private:
    std::size_t all_, done_ = 0, graded_ = 0, skipped_ = 0;
    clock::time_point start_ = clock::now();
    bool terminal_;
    std::mutex mutex_;
};

std::string course_version(const Repository& repository) {
    const json list = json::parse(read_file(repository / build_of("linux") / "labs.json").value_or("{}"), nullptr, false);
    return list.is_object() ? list.value("version", "0") : "0";
}

void make_folder(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error)
        throw Failure(exit_code::machine, fmt::format("cannot make the folder {}: {}. Take another one for --out", folder.string(), error.message()));
}

// Results among the submissions would be somebody's submission the next time.
void check_places(const ClassOptions& options) {
    const auto place_of = [](const std::string& name) {
        std::error_code error;
        const fs::path place = fs::weakly_canonical(name, error);
        if (error)
            throw Failure(exit_code::machine, fmt::format("cannot look at {}: {}. Take a folder that this user may enter", name, error.message()));
        return place.string() + "/";
    };
    const std::string in = place_of(options.submissions), out = place_of(options.out);
    if (out.starts_with(in) || in.starts_with(out))
        throw Failure(exit_code::usage, fmt::format("{} and {}: results and submissions must not lie in each other; take another folder for --out", options.submissions, options.out));
}

Isolation isolation_for(const ClassOptions& options) {
    allow_for_sandboxes();
    std::string obstacle;
    Isolation level = strongest_isolation(obstacle);
    if (!options.isolation.empty()) {
        const Isolation asked = isolation_named(options.isolation);
        if (asked == Isolation::user && ::geteuid() != 0)
            throw Failure(exit_code::machine, "the isolation level 'user' is not to be had here: only root can start programs as another user");
        if (asked > level)
            throw Failure(exit_code::machine, fmt::format("the isolation level '{}' is not to be had here: {}", options.isolation, obstacle));
        level = asked;
    }
    if (!options.require.empty() && level < isolation_named(options.require))
        throw Failure(exit_code::machine, fmt::format("--require {}: the strongest isolation here is '{}'; {}", options.require, name_of(level), obstacle));
    if (level != Isolation::namespaces)
        fmt::print(stderr, "course: isolation is only '{}' here{}{}. {}\n", name_of(level), obstacle.empty() ? "" : ": ", obstacle,
                   level == Isolation::user ? "Whoever is graded has this machine's network and /tmp, and can read what every user can" : "Whoever is graded could reach this user's files, or other submissions");
    return level;
}

std::vector<Lab> labs_for(const Repository& repository, const ClassOptions& options) {
    std::vector<Lab> labs;
    for (const std::string& name : options.labs)
        if (const Lab lab = repository.lab_named(name); std::none_of(labs.begin(), labs.end(), [&](const Lab& each) { return each.name == lab.name; }))
            labs.push_back(lab);
    return labs.empty() ? repository.labs() : labs;
}

std::vector<Track> tracks_for(const ClassOptions& options) {
    std::vector<Track> tracks;
    for (const std::string& name : options.tracks)
        if (const Track track = track_named(name); std::find(tracks.begin(), tracks.end(), track) == tracks.end())
            tracks.push_back(track);
    return tracks.empty() ? std::vector<Track>{Track::posix} : tracks;
}

std::vector<Recipe> recipes_for(const Repository& repository, const std::vector<Lab>& labs, const std::vector<Track>& tracks, bool is_built) {
    const PassingLine line("building the judges …");
    std::vector<Recipe> recipes;
    for (const Track track : tracks)
        if (!is_built)
            configure(repository, preset_of(track));
    for (const Lab& lab : labs)
        for (const Track track : tracks)
            recipes.push_back(recipe_for(repository, lab, track, is_built));
    return recipes;
}

// The Wine folder that all sandboxes share, ready made.
void make_wine_folder(const Repository& repository) {
    const PassingLine line("making Wine ready …");
    const WineFolders ends_what_it_starts(1);
    const Outcome outcome = run({{(repository / "common/wine-run").string(), "cmd", "/c", "exit"}, {}, std::chrono::minutes(6), {}, 1 << 20});
    if (outcome.code != 0)
        throw Failure(exit_code::machine, fmt::format("the win32 track cannot be graded here: {}", visible(outcome.errors)));
}

std::string title_of(const Recipe& recipe) { return recipe.lab.name + " " + std::string(name_of(recipe.track)); }

// RESULTS/course.json: what the results in this folder have in common.
struct CourseFile {
    fs::path file;
    std::string version, isolation;
    json trials = json::object();  ///< by lab and track: what the starter's trial has shown

    CourseFile(const fs::path& folder, std::string course, std::string level) : file(folder / "course.json"), version(std::move(course)), isolation(std::move(level)) {
        const auto before = read_file(file);
        if (!before)
            return;
        const json known = json::parse(*before, nullptr, false);
        if (!known.is_object() || !known.contains("version"))
            throw Failure(exit_code::usage, fmt::format("{} does not tell of which version of the course the results are; take another folder for --out", file.string()));
        if (known.value("version", "") != version)
            throw Failure(exit_code::usage, fmt::format("{} holds results of version {} of the course, and this is {}; take another folder for --out", folder.string(), known.value("version", ""), version));
        if (known.value("isolation", "") == isolation)
            trials = known.value("trials", json::object());
    }
    void write() const { write_file(file, json{{"version", version}, {"isolation", isolation}, {"grader", grader_name(file.parent_path())}, {"trials", trials}}.dump(2) + "\n"); }
};

// What is wrong with this machine is found before anybody is graded.
void try_all(Grader& grader, std::vector<Recipe>& recipes, CourseFile& course, unsigned jobs) {
    const PassingLine line("trying the sandboxes …");
    std::mutex mutex;
    at_once(jobs, recipes.size(), [&](std::size_t i) {
        stop_if_interrupted();
        Recipe& recipe = recipes[i];
        json known;
        {
            const std::lock_guard lock(mutex);
            known = course.trials.value(title_of(recipe), json::object());
        }
        if (known.value("recipe", "") == recipe.version) {
            recipe.max_points = known.value("max_points", 100);
            return;
        }
        recipe.max_points = grader.trial(recipe);
        const std::lock_guard lock(mutex);
        course.trials[title_of(recipe)] = {{"recipe", recipe.version}, {"max_points", recipe.max_points}};
    });
}

const TakenFile* file_for(const Recipe& recipe, const Intake& intake) {
    for (const TakenFile& each : intake.files)
        if (each.lab.name == recipe.lab.name && each.track == recipe.track)
            return &each;
    return nullptr;
}

// All that a result depends on.
std::string input_of(const std::string& version, const std::string& isolation, const std::string& seed, const std::vector<Recipe>& recipes, const Intake& intake) {
    std::string all = version + isolation + seed;
    for (const std::string& problem : intake.problems)
        all += problem;
    for (const Recipe& recipe : recipes) {
        const TakenFile* file = file_for(recipe, intake);
        all += title_of(recipe) + (file ? recipe.version + file->content : "");
    }
    return content_hash(all);
}

ClassResult graded(Grader& grader, const std::vector<Recipe>& recipes, const Submission& submission, const Intake& intake) {
    const auto start = clock::now();
    ClassResult result = {{"schema", "ipc-labs/class-result/v1"}, {"student", visible(submission.student)}, {"key", submission.key}, {"problems", intake.problems}, {"labs", json::array()}};
    for (const Recipe& recipe : recipes) {
        stop_if_interrupted();
        if (const TakenFile* file = file_for(recipe, intake))
            result["labs"].push_back(grader.grade(recipe, file->content));
        else
            result["labs"].push_back({{"lab", recipe.lab.name}, {"track", std::string(name_of(recipe.track))}, {"status", intake.problems.empty() ? "not handed in" : "refused"},
                                      {"points", 0}, {"max_points", recipe.max_points}});
    }
    result["limits"] = grader.limits_hold_for();
    result["graded_at"] = utc_now("%Y-%m-%dT%H:%M:%SZ");
    result["seconds"] = seconds_since(start);
    return result;
}

void write_pages(const fs::path& out, const std::vector<std::string>& formats, const ClassResult& result) {
    write_file(out / "students" / (result.value("key", "") + ".html"), student_html(result));
    for (const std::string& format : formats) {
        const ResultFile each = rendered(format, result);
        write_file(out / each.path, each.content);
    }
}

int tell(const fs::path& out, const ClassSummary& summary, std::size_t skipped) {
    fmt::print("{} submissions{}: {} and {}\n", summary.rows().size(), skipped ? fmt::format(" ({} unchanged since they were graded)", skipped) : "", (out / "class.html").string(),
               (out / "class.csv").string());
    if (const int look = summary.to_look_at()) {
        fmt::print("{} could not be judged in part: the judge failed twice. No points were taken for it; see 'why' in students/*.json, and run the command again.\n", look);
        return exit_code::judge_error;
    }
    return exit_code::full_marks;
}

}  // namespace

int grade_pass(const Repository& repository, const ClassOptions& options, ClassPass& pass) {
    for (const std::string& format : options.formats)
        rendered(format, json::object());  // an unknown one is said before hours of grading
    check_places(options);
    std::vector<Submission> submissions = submissions_in(options.submissions);
    if (!pass.only.empty())
        std::erase_if(submissions, [&](const Submission& each) { return !pass.only.contains(each.key); });
    const std::vector<Lab> labs = labs_for(repository, options);
    const std::vector<Track> tracks = tracks_for(options);
    const Isolation level = isolation_for(options);
    pass.isolation = name_of(level);
    const fs::path out = options.out;
    make_folder(out / "students");
    for (const std::string& format : options.formats)
        make_folder(out / format);
    std::optional<FileLock> lock;
    if (!pass.is_part())
        lock.emplace(out / ".lock");
    std::vector<Recipe> recipes = recipes_for(repository, labs, tracks, pass.is_built);
    CourseFile course(out, course_version(repository), pass.isolation);
    if (std::find(tracks.begin(), tracks.end(), Track::win32) != tracks.end())
        make_wine_folder(repository);
    const unsigned jobs = options.jobs ? options.jobs : processors() + 1;  // a judge waits for a good part of its time
    Grader grader(repository, level, options.seed, fmt::format("{}-{}", grader_name(out), pass.place), jobs);
    try_all(grader, recipes, course, jobs);
    if (!pass.is_part())
        course.write();

    ClassSummary summary(submissions.size());
    Count count(submissions.size());
    std::mutex mutex;
    at_once(jobs, submissions.size(), [&](std::size_t i) {
        stop_if_interrupted();
        const Submission& submission = submissions[i];
        const Intake intake = take_in(submission, labs);
        const std::string input = input_of(course.version, pass.isolation, options.seed, recipes, intake);
        const fs::path file = out / "students" / (submission.key + ".json");
        if (const auto before = read_file(file); before && !options.again) {
            const json known = json::parse(*before, nullptr, false);
            // What a judge could not tell is asked again.
            if (known.is_object() && known.value("input", "") == input && (pass.keep_judge_errors || !needs_a_look(known))) {
                if (pass.report)
                    write_pages(out, options.formats, known);
                summary.add(i, known);
                count.skipped();
                return;
            }
        }
        if (!pass.grade) {
            const std::lock_guard guard(mutex);
            pass.ungraded.insert(submission.key);
            return;
        }
        ClassResult result = graded(grader, recipes, submission, intake);
        result.update({{"course", course.version}, {"isolation", pass.isolation}, {"input", input}});
        // By rename: whoever is interrupted leaves whole results or none.
        write_file(file, result.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
        if (pass.report)
            write_pages(out, options.formats, result);
        summary.add(i, result);
        count.graded(submission.student);
    });
    if (!pass.report)
        return exit_code::full_marks;
    write_file(out / "class.csv", class_csv(summary));
    write_file(out / "class.html", class_html(summary, [&](const std::string& lab_and_track, const std::string& name) {
                   for (const Recipe& recipe : recipes)
                       if (title_of(recipe) == lab_and_track)
                           return mistake_title(repository, recipe.lab, recipe.track, name);
                   return std::string();
               }));
    return tell(out, summary, pass.keep_judge_errors ? 0 : count.skipped_count());
}

int class_grade(const Repository& repository, const ClassOptions& options) {
    if (options.engine == "slurm")
        return grade_by_slurm(repository, options);
    ClassPass whole;
    return grade_pass(repository, options, whole);
}

}  // namespace course
