// `./course class grade SUBMISSIONS --out RESULTS`: a class of untrusted submissions, each compiled and judged in
// sandboxes of its own, several at once. What is done stays done: an interrupted run is taken up where it was.

#include "build.hpp"
#include "class_intake.hpp"
#include "class_pass.hpp"
#include "class_results.hpp"
#include "class_sandbox.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "interrupt.hpp"
#include "judge_client.hpp"
#include "load.hpp"
#include "terminal.hpp"
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <mutex>
#include <optional>
#include <regex>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

namespace fs = std::filesystem;
using nlohmann::json;

namespace course {
namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) { return std::chrono::duration<double>(clock::now() - start).count(); }

/// A folder that goes away with all that is in it.
struct Scratch {
    fs::path path;
    explicit Scratch(const char* word) {
        std::string name = (fs::temp_directory_path() / fmt::format("course-{}-XXXXXX", word)).string();
        if (!::mkdtemp(name.data()))
            throw Failure(exit_code::machine, fmt::format("cannot make a folder in {}: {}", fs::temp_directory_path().string(), std::strerror(errno)));
        path = name;
        fs::permissions(path, fs::perms(0711));  // entered by the boxed user, listed by nobody
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

/// What it takes to make a lab program of one more source.
struct Recipe {
    Lab lab;
    int max_points = 0;
    std::string compile, link;  ///< shell commands that run in the build folder
    std::vector<std::string> parts;  ///< files of the build folder that they need
    std::string version;        ///< changes when a verdict might
};

std::string text_hash_of(const fs::path& file) { return content_hash(read_file(file).value_or("")); }

// Ninja knows how the starter is made; a submission is made just so.
Recipe recipe_for(const Repository& repository, const Lab& lab, bool is_built) {
    const std::string target = "lab-" + lab.number, build_folder = build_of("linux");
    if (const auto errors = is_built ? std::nullopt : build(repository, "linux", {target + "-main", "ipc", "judge-" + lab.number, "puppet"}))
        throw Failure(exit_code::judge_error, fmt::format("the judge of {} does not build:\n{}", lab.name, first_errors(*errors, repository.root)));
    const Outcome commands = run({{"ninja", "-C", (repository / build_folder).string(), "-t", "commands", target}, {}, std::chrono::minutes(1), {}});
    Recipe recipe;
    recipe.lab = lab;
    std::istringstream lines(commands.output);
    for (std::string line; std::getline(lines, line);) {
        if (line.find("/" + target + ".dir/") == std::string::npos)
            continue;
        (line.find(" -c ") != std::string::npos ? recipe.compile : recipe.link) = line;
    }
    if (recipe.compile.empty() || recipe.link.empty())
        throw Failure(exit_code::machine, fmt::format("ninja does not tell how {} is made: {}", target, commands.errors));
    // A compiler cache is the machine's, and the box has none.
    recipe.compile = std::regex_replace(recipe.compile, std::regex(R"(\S*ccache )"), "");
    std::istringstream words(recipe.link);
    for (std::string word; words >> word;)
        if ((word.ends_with(".o") || word.ends_with(".a")) && word.find("/" + target + ".dir/") == std::string::npos && word[0] != '/' && word[0] != '-')
            recipe.parts.push_back(word);
    for (const CaseVerdict& each : list_cases(repository, lab, Track::posix).cases)
        recipe.max_points += each.max_points;
    std::string all = recipe.compile + recipe.link + text_hash_of(repository / program_of("linux", "judge-" + lab.number)) + text_hash_of(repository / program_of("linux", "puppet"));
    for (const std::string& part : recipe.parts)
        all += text_hash_of(repository / build_folder / part);
    for (const fs::directory_entry& entry : fs::directory_iterator(repository / "labs" / lab.name))
        if (entry.path().extension() == ".hpp")
            all += text_hash_of(entry.path());
    recipe.version = content_hash(all);
    return recipe;
}

/// Grades one file after the other, each within walls.
class Grader {
public:
    Grader(const Repository& repository, std::vector<Recipe> recipes, Isolation level, std::string seed)
        : repository_(repository), recipes_(std::move(recipes)), level_(level), seed_(std::move(seed)) {}

    const std::vector<Recipe>& recipes() const { return recipes_; }

    json grade(const TakenFile& file, unsigned slot) const {
        const auto start = clock::now();
        const Recipe& recipe = *std::find_if(recipes_.begin(), recipes_.end(), [&](const Recipe& each) { return each.lab.name == file.lab.name; });
        json result = {{"lab", file.lab.name}, {"track", std::string(name_of(file.track))}, {"points", 0}, {"max_points", recipe.max_points}};
        const Scratch scratch("class");
        write_file(scratch.path / "source.cpp", file.content);
        fs::permissions(scratch.path / "source.cpp", fs::perms(0644));
        fs::create_directory(scratch.path / "out");
        if (level_ != Isolation::none && ::geteuid() == 0 && ::chown((scratch.path / "out").c_str(), 61100 + slot, 61100 + slot) != 0)
            throw Failure(exit_code::machine, fmt::format("chown {}: {}", (scratch.path / "out").string(), std::strerror(errno)));
        const Outcome compiled = compile(recipe, scratch.path, slot);
        if (compiled.code != 0 || !fs::exists(scratch.path / "out/program")) {
            result["status"] = "does not compile";
            result["compiler"] = compiled.over_limit ? "The compiler did not come to an end in time." : visible(tidy(compiled.errors, scratch.path, recipe));
        } else
            judge_it(recipe, scratch.path, slot, result);
        result["seconds"] = seconds_since(start);
        return result;
    }

private:
    std::string shell_word(const fs::path& path) const { return shell_line({path.string()}); }

    // The box has the toolchain, common/ipc, the lab's headers, what is linked in, and this one source: no judge, no
    // solution, no other submission, at compile time either.
    Outcome compile(const Recipe& recipe, const fs::path& scratch, unsigned slot) const {
        Box box;
        box.level = level_;
        box.slot = slot;
        box.memory_bytes = 4ull << 30;
        box.wall = std::chrono::seconds(60);
        const fs::path build_folder = repository_ / build_of("linux"), source = repository_ / source_of(recipe.lab, Track::posix);
        if (level_ != Isolation::namespaces) {
            // The same commands, with the names of files as they are here.
            std::string compile_line = recipe.compile, link_line = recipe.link;
            const std::string object = (scratch / "out/source.o").string();
            compile_line = std::regex_replace(compile_line, std::regex(R"( -MD -MT \S+ -MF \S+)"), "");
            compile_line = std::regex_replace(compile_line, std::regex(R"( -o \S+ -c \S+)"), " -o " + object + " -c " + (scratch / "source.cpp").string());
            link_line = std::regex_replace(link_line, std::regex(fmt::format(R"(\S*lab-{}\.dir/\S+\.o)", recipe.lab.number)), object);
            link_line = std::regex_replace(link_line, std::regex(R"( -o \S+)"), " -o " + (scratch / "out/program").string());
            box.directory = build_folder;
            return run(boxed(box, {"sh", "-c", compile_line + " && " + link_line}));
        }
        box.empty = {build_folder};
        box.read_only = {{repository_ / "common/ipc", repository_ / "common/ipc"}, {scratch / "source.cpp", source}};
        for (const fs::directory_entry& entry : fs::directory_iterator(repository_ / "labs" / recipe.lab.name))
            if (entry.path().extension() == ".hpp")
                box.read_only.emplace_back(entry.path(), entry.path());
        for (const std::string& part : recipe.parts)
            box.read_only.emplace_back(build_folder / part, build_folder / part);
        box.writable = {{scratch / "out", "/out"}};
        box.directory = build_folder;
        const std::string object_folder = fmt::format("CMakeFiles/lab-{}.dir/labs/{}", recipe.lab.number, recipe.lab.name);
        return run(boxed(box, {"/bin/sh", "-c", fmt::format("mkdir -p bin {} && {} && {} && cp bin/lab-{} /out/program", shell_word(object_folder), recipe.compile, recipe.link, recipe.lab.number)}));
    }

    // The compiler's words as the student's own would be.
    std::string tidy(std::string words, const fs::path& scratch, const Recipe& recipe) const {
        for (const std::string& from : {(scratch / "source.cpp").string(), (repository_ / source_of(recipe.lab, Track::posix)).string()})
            for (std::size_t at; (at = words.find(from)) != std::string::npos;)
                words.replace(at, from.size(), source_of(recipe.lab, Track::posix));
        const std::string root = repository_.root.string() + "/";
        for (std::size_t at; (at = words.find(root)) != std::string::npos;)
            words.erase(at, root.size());
        if (words.size() > 4000)
            words = words.substr(0, 4000) + "…";
        return words;
    }

    void judge_it(const Recipe& recipe, const fs::path& scratch, unsigned slot, json& result) const {
        const fs::path bin = repository_ / build_of("linux") / "bin";
        const std::string judge = "judge-" + recipe.lab.number, program = "lab-" + recipe.lab.number;
        fs::permissions(scratch / "out/program", fs::perms(0755));
        fs::rename(scratch / "out/program", scratch / program);
        const bool walls = level_ == Isolation::namespaces;
        // A program that its user may not read is out of reach of that user's other programs from its first instruction on:
        // its memory, and the pipes by which its cases report. See PR_SET_DUMPABLE in prctl(2).
        fs::copy_file(bin / judge, scratch / judge);
        fs::permissions(scratch / judge, fs::perms(0111));
        Box box;
        box.level = level_;
        box.slot = slot;
        box.cpu = std::chrono::seconds(120);
        box.wall = std::chrono::seconds(240);
        box.read_only = {{scratch / judge, "/course/" + judge}, {bin / "puppet", "/course/puppet"}, {scratch / program, "/lab/" + program}};
        box.directory = walls ? fs::path("/tmp") : scratch;
        std::vector<std::string> command = {walls ? "/course/" + judge : (scratch / judge).string(), "--subject", walls ? "/lab/" + program : (scratch / program).string(),
                                            "--source", source_of(recipe.lab, Track::posix), "--rerun", fmt::format("./course grade {} --case {{case}}", recipe.lab.number), "--format", "json"};
        if (!seed_.empty())
            command.insert(command.end(), {"--seed", seed_});
        std::string why;
        for (int attempt = 0; attempt < 2; ++attempt) {
            const Outcome outcome = run(boxed(box, command));
            try {
                if (outcome.over_limit)
                    throw Failure(exit_code::judge_error, "it did not come to an end in time");
                const std::string line = outcome.output.substr(0, outcome.output.find('\n'));
                const Verdict verdict = parse_verdict(line);
                json raw = json::parse(line);
                if (verdict.count(CaseOutcome::judge_error) == 0) {
                    result["status"] = "judged";
                    result["points"] = verdict.points;
                    result["max_points"] = verdict.max_points;
                    result["seed"] = verdict.seed;
                    raw.erase("subject");
                    result["verdict"] = std::move(raw);
                    return;
                }
                for (const CaseVerdict& each : verdict.cases)
                    if (each.outcome == CaseOutcome::judge_error)
                        why = fmt::format("case {}: {}", each.name, each.message);
            } catch (const Failure& failure) {
                why = fmt::format("{}; exit code {}, standard error: {}", failure.what(), outcome.code, visible(outcome.errors.substr(0, 500)));
            }
        }
        result["status"] = "judge error";
        result["why"] = why;
    }

    const Repository& repository_;
    std::vector<Recipe> recipes_;
    Isolation level_;
    std::string seed_;
};

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
        throw Failure(exit_code::machine, fmt::format("cannot make {}: {}", folder.string(), error.message()));
}

}  // namespace

int grade_pass(const Repository& repository, const ClassOptions& options, ClassPass& pass) {
    for (const std::string& format : options.formats)
        rendered(format, json::object());  // an unknown one is said before hours of grading
    std::vector<Submission> submissions = submissions_in(options.submissions);
    if (!pass.only.empty())
        std::erase_if(submissions, [&](const Submission& each) { return !pass.only.contains(each.key); });
    std::string obstacle;
    Isolation level = strongest_isolation(obstacle);
    if (!options.isolation.empty()) {
        const Isolation asked = isolation_named(options.isolation);
        if (asked > level)
            throw Failure(exit_code::machine, fmt::format("the isolation level '{}' is not to be had here: {}", options.isolation, obstacle));
        level = asked;
    }
    if (!options.require.empty() && level < isolation_named(options.require))
        throw Failure(exit_code::machine, fmt::format("--require {}: the strongest isolation here is '{}'; {}", options.require, name_of(level), obstacle));
    std::vector<Lab> labs;
    for (const std::string& name : options.labs)
        labs.push_back(repository.lab_named(name));
    if (labs.empty())
        labs = repository.labs();
    const fs::path out = options.out;
    make_folder(out / "students");
    pass.isolation = name_of(level);
    std::optional<FileLock> lock;
    if (!pass.is_part())
        lock.emplace(out / ".lock");
    if (!pass.is_built)
        configure(repository, "linux");
    std::vector<Recipe> recipes;
    {
        const PassingLine line("building the judges …");
        for (const Lab& lab : labs)
            recipes.push_back(recipe_for(repository, lab, pass.is_built));
    }
    const std::string version = course_version(repository);
    if (const auto before = read_file(out / "course.json")) {
        const json known = json::parse(*before, nullptr, false);
        if (known.is_object() && known.value("version", version) != version)
            throw Failure(exit_code::usage, fmt::format("{} holds results of version {} of the course, and this is {}; take another folder for --out", out.string(), known.value("version", ""), version));
    }
    if (!pass.is_part())
        write_file(out / "course.json", json{{"version", version}, {"isolation", name_of(level)}}.dump(2) + "\n");
    if (level != Isolation::namespaces)
        fmt::print(stderr, "course: isolation is only '{}' here: {}\n", name_of(level), obstacle);

    const Grader grader(repository, recipes, level, options.seed);
    std::vector<ClassResult> results(submissions.size());
    Count count(submissions.size());
    std::mutex slots_mutex;
    std::vector<unsigned> free_slots;
    const unsigned jobs = options.jobs ? options.jobs : processors();
    for (unsigned i = jobs; i-- > 0;)
        free_slots.push_back(pass.first_slot + i);
    at_once(jobs, submissions.size(), [&](std::size_t i) {
        stop_if_interrupted();
        const Submission& submission = submissions[i];
        const auto start = clock::now();
        const Intake intake = take_in(submission, labs);
        std::string all = version + name_of(level) + options.seed + (intake.problems.empty() ? "" : intake.problems[0]);
        for (const TakenFile& file : intake.files)
            for (const Recipe& recipe : recipes)
                if (recipe.lab.name == file.lab.name)
                    all += file.lab.name + std::string(name_of(file.track)) + recipe.version + file.content;
        const std::string input = content_hash(all);
        const fs::path file = out / "students" / (submission.key + ".json");
        if (const auto before = read_file(file); before && !options.again) {
            json known = json::parse(*before, nullptr, false);
            // What a judge could not tell is asked again.
            if (known.is_object() && known.value("input", "") == input && (pass.keep_judge_errors || !needs_a_look(known))) {
                results[i] = std::move(known);
                count.skipped();
                return;
            }
        }
        if (!pass.grade) {
            const std::lock_guard guard(slots_mutex);
            pass.ungraded.insert(submission.key);
            return;
        }
        unsigned slot = 0;
        {
            const std::lock_guard guard(slots_mutex);
            slot = free_slots.back();
            free_slots.pop_back();
        }
        ClassResult result = {{"schema", "ipc-labs/class-result/v1"}, {"student", visible(submission.student)}, {"key", submission.key}, {"course", version},
                              {"isolation", name_of(level)}, {"input", input}, {"problems", intake.problems}, {"labs", json::array()}};
        for (const Recipe& recipe : recipes) {
            const auto taken = std::find_if(intake.files.begin(), intake.files.end(), [&](const TakenFile& each) { return each.lab.name == recipe.lab.name && each.track == Track::posix; });
            if (taken == intake.files.end())
                result["labs"].push_back({{"lab", recipe.lab.name}, {"track", "posix"}, {"status", intake.problems.empty() ? "not handed in" : "refused"}, {"points", 0}, {"max_points", recipe.max_points}});
            else
                result["labs"].push_back(grader.grade(*taken, slot));
        }
        result["graded_at"] = utc_now("%Y-%m-%dT%H:%M:%SZ");
        result["seconds"] = seconds_since(start);
        {
            const std::lock_guard guard(slots_mutex);
            free_slots.push_back(slot);
        }
        // By rename: whoever is interrupted leaves whole results or none.
        write_file(file, result.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
        results[i] = std::move(result);
        count.graded(submission.student);
    });
    if (!pass.report)
        return exit_code::full_marks;
    for (const ClassResult& result : results)
        write_file(out / "students" / (result.value("key", "") + ".html"), student_html(result));
    write_file(out / "class.csv", class_csv(results));
    write_file(out / "class.html", class_html(results));
    for (const std::string& format : options.formats)
        for (const ClassResult& result : results) {
            const ResultFile each = rendered(format, result);
            make_folder((out / each.path).parent_path());
            write_file(out / each.path, each.content);
        }
    int look = 0;
    for (const ClassResult& result : results)
        look += needs_a_look(result);
    fmt::print("{} submissions{}: {} and {}\n", results.size(), count.skipped_count() && !pass.keep_judge_errors ? fmt::format(" ({} unchanged since they were graded)", count.skipped_count()) : "",
               (out / "class.html").string(), (out / "class.csv").string());
    if (look) {
        fmt::print("{} could not be judged in part: the judge failed twice. No points were taken for it; see 'why' in students/*.json, and run the command again.\n", look);
        return exit_code::judge_error;
    }
    return exit_code::full_marks;
}

int class_grade(const Repository& repository, const ClassOptions& options) {
    if (options.engine == "slurm")
        return grade_by_slurm(repository, options);
    ClassPass whole;
    return grade_pass(repository, options, whole);
}

}  // namespace course
