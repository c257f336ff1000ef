// `./course bench loop`: what a student waits for. A copy of a solution is edited and saved again and again,
// and each time from the save to the verdict is measured as `watch` goes through it; beside it the time of
// the compiler alone.

#include "build.hpp"
#include "compile_command.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "grade.hpp"
#include "saves.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fs = std::filesystem;
using clock_type = std::chrono::steady_clock;

namespace course {
namespace {

double seconds_since(clock_type::time_point start) {
    return std::chrono::duration<double>(clock_type::now() - start).count();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void link_to(const fs::path& target, const fs::path& name) {
    if (fs::symlink_status(name).type() == fs::file_type::not_found)
        fs::create_symlink(target, name);
}

// build/bench: the course seen through symbolic links, except for the one file that is edited. So no file of
// the student's is touched, and yet it is the same build and the same judge.
Repository mirror_of(const Repository& repository, const Lab& lab, Track track) {
    const fs::path root = repository / "build/bench";
    const fs::path folder = root / "labs" / lab.name;
    if (fs::is_symlink(folder))  // an earlier run measured another lab
        fs::remove(folder);
    fs::create_directories(folder);
    for (const char* name : {"CMakeLists.txt", "CMakePresets.json", "common", "tests"})
        link_to(repository / name, root / name);
    for (const Lab& each : repository.labs())
        link_to(repository / "labs" / each.name, root / "labs" / each.name);
    for (const fs::directory_entry& entry : fs::directory_iterator(repository / "labs" / lab.name))
        link_to(entry.path(), folder / entry.path().filename());
    const fs::path edited = folder / fmt::format("{}.cpp", name_of(track));
    const auto solution = read_file(repository / "solutions" / lab.name / edited.filename());
    if (!solution)
        throw Failure(exit_code::usage,
                      fmt::format("'bench loop' edits a copy of solutions/{}/{}, and it is not there",
                                  lab.name, edited.filename().string()));
    fs::remove(edited);  // the link, not what it leads to
    write_file(edited, *solution);
    return {root};
}

struct Figures {
    std::vector<double> loop, compile, build, judging;
};

Figures measure(const Repository& repository, const Lab& lab, Track track, int edits) {
    const Repository mirror = mirror_of(repository, lab, track);
    GradeOptions options;
    options.lab = lab.number;
    options.track = name_of(track);
    const GradeTask task = task_for(mirror, options);
    const fs::path file = mirror / task.judging.source;
    const std::string solution = read_file(file).value_or("");
    {
        const PassingLine line(fmt::format("building {} for the measurement …", name_of(track)));
        build_for(mirror, task);
        judge(mirror, task.judging);  // Wine's server, the disk's cache
    }
    Figures figures;
    const Command compiler = compile_command(mirror, preset_of(track), task.target, task.judging.source);
    for (int i = 0; i < edits; ++i) {
        const PassingLine line(fmt::format("{}: edit {} of {} …", name_of(track), i + 1, edits));
        Saves saves(file);
        const auto saved = clock_type::now();
        // Code, not a comment, and never the same: a compiler cache would know the answer.
        write_file(file, fmt::format("{}namespace {{ [[maybe_unused]] constexpr long long edit = {}; }}\n", solution, saved.time_since_epoch().count()));
        saves.wait();
        build_for(mirror, task);
        figures.build.push_back(seconds_since(saved));
        const Verdict verdict = judge(mirror, task.judging).verdict;
        figures.loop.push_back(seconds_since(saved));
        figures.judging.push_back(figures.loop.back() - figures.build.back());
        if (!verdict.full_marks())
            throw Failure(exit_code::points_missing,
                          fmt::format("the solution of {} earned only {}/{} on the {} track; a loop with "
                                      "failures is not what is measured",
                                      lab.name, verdict.points, verdict.max_points, name_of(track)));
        const auto start = clock_type::now();
        if (run(compiler).code != 0)
            throw Failure(exit_code::judge_error,
                          "the compiler alone failed on a file that has just been built");
        figures.compile.push_back(seconds_since(start));
    }
    return figures;
}

}  // namespace

int bench_loop(const Repository& repository, const BenchOptions& options) {
    const Lab lab = repository.lab_named(options.lab);
    std::vector<Track> tracks;
    for (const std::string& name : options.tracks)
        tracks.push_back(track_named(name));
    if (tracks.empty())
        tracks = {Track::posix, Track::win32};
    nlohmann::ordered_json json = {
        {"schema", "ipc-labs/bench-loop/v1"}, {"lab", lab.name}, {"edits", options.edits}};
    fmt::print(
        "From save to verdict: {} edits of a copy of the solution of {}, all cases passing; medians\n\n",
        options.edits, lab.name);
    fmt::print("  track  save to verdict  (build + judge)      compile alone  ratio\n");
    for (const Track track : tracks) {
        const Figures figures = measure(repository, lab, track, options.edits);
        const double loop = median(figures.loop), compile = median(figures.compile);
        fmt::print("  {}  {:>7.2f} s        ({:.2f} + {:.2f} s)      {:>7.2f} s      {:.1f}\n",
                   name_of(track), loop, median(figures.build), median(figures.judging), compile,
                   loop / compile);
        std::fflush(stdout);
        json["tracks"][std::string(name_of(track))] = {
            {"loop_median_s", loop},
            {"loop_min_s", *std::min_element(figures.loop.begin(), figures.loop.end())},
            {"loop_max_s", *std::max_element(figures.loop.begin(), figures.loop.end())},
            {"build_median_s", median(figures.build)},
            {"judge_median_s", median(figures.judging)},
            {"compile_median_s", compile},
            {"ratio", loop / compile}};
    }
    if (!options.json.empty())
        write_file(options.json, json.dump(2) + "\n");
    return exit_code::full_marks;
}

}  // namespace course
