// `./course class similarity SUBMISSIONS --lab NN --out DIR`: takes the submissions in as grading does, lays them out as a
// dataset for Dolos (https://dolos.ugent.be), and has it compare them where it is installed.

#include "class_similarity.hpp"

#include "class_results.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

namespace fs = std::filesystem;
using nlohmann::json;

namespace course {
namespace {

constexpr const char* script = "common/course/dolos.mjs";
constexpr const char* starter_file = "+starter.cpp";  // no student's: keys have no '+'
constexpr std::string_view dataset_header = "filename,full_name,ignored\r\n";
constexpr int no_dolos_there = 69;
constexpr std::size_t pairs_shown = 10;

struct TakenIn {
    std::vector<ComparedFile> files;
    std::vector<std::string> refused;  ///< "student: why"
};

TakenIn taken_in(const SimilarityOptions& options, const Lab& lab, Track track) {
    TakenIn taken;
    for (const Submission& submission : submissions_in(options.submissions)) {
        Intake intake = take_in(submission, {lab});
        const auto file = std::find_if(intake.files.begin(), intake.files.end(), [&](const TakenFile& each) { return each.track == track; });
        if (!intake.problems.empty())
            taken.refused.push_back(fmt::format("{}: {}", visible(submission.student), intake.problems[0]));
        else if (file == intake.files.end())
            taken.refused.push_back(fmt::format("{}: it has no {}.cpp", visible(submission.student), name_of(track)));
        else
            taken.files.push_back({submission.key + ".cpp", submission.student, std::move(file->content)});
    }
    return taken;
}

// An earlier run's copies make room; nothing else does.
void make_input_folder(const fs::path& folder) {
    std::error_code error;
    if (read_file(folder / "info.csv").value_or("").starts_with(dataset_header))
        fs::remove_all(folder, error);
    if (fs::exists(folder, error) && !fs::is_empty(folder, error))
        throw Failure(exit_code::usage, fmt::format("{} is there already, and is not of this command; name another folder for --out", folder.string()));
    fs::create_directories(folder, error);
    if (error)
        throw Failure(exit_code::machine, fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
}

// The places where Dolos may be installed, the one that was named alone if there is one.
std::vector<fs::path> places_of_dolos(const SimilarityOptions& options) {
    if (!options.dolos.empty())
        return {options.dolos};
    std::vector<fs::path> places;
    std::error_code error;
    if (const fs::path program = find_program("dolos"); !program.empty())
        places.push_back(fs::canonical(program, error).parent_path());
    if (!find_program("npm").empty()) {
        const Outcome root = run({{"npm", "root", "--global"}, {}, std::chrono::minutes(1), {}});
        if (root.code == 0)
            places.push_back(root.output.substr(0, root.output.find('\n')));
    }
    return places;
}

// What Dolos answers, or nothing where there is no Dolos.
std::optional<std::string> asked_of_dolos(const Repository& repository, const SimilarityOptions& options, const fs::path& dataset) {
    if (find_program("node").empty())
        return std::nullopt;
    for (const fs::path& place : places_of_dolos(options)) {
        const Outcome answer = run({{"node", (repository / script).string(), place.string(), dataset.string()}, {}, std::chrono::minutes(60), {}});
        if (answer.code == no_dolos_there)
            continue;
        if (answer.code != 0)
            throw Failure(exit_code::machine, fmt::format("Dolos ended with {}: {}\nIts input is in {}, and stays there", answer.over_limit ? "no answer after an hour" : fmt::format("exit code {}", answer.code),
                                                          visible(answer.errors.substr(0, 2000)), dataset.parent_path().string()));
        return answer.output;
    }
    return std::nullopt;
}

void show(const std::vector<SimilarPair>& pairs) {
    std::size_t width = 0;
    const std::size_t shown = std::min(pairs.size(), pairs_shown);
    for (std::size_t i = 0; i < shown; ++i)
        width = std::max({width, columns(visible(pairs[i].left)), columns(visible(pairs[i].right))});
    for (std::size_t i = 0; i < shown; ++i)
        fmt::print("  {:3.0f} %  {}  {}  lines {} and {}\n", 100 * pairs[i].similarity, padded(visible(pairs[i].left), width), padded(visible(pairs[i].right), width), pairs[i].left_lines, pairs[i].right_lines);
}

std::string lines_in(const json& pair, const char* side) {
    const json lines = pair.value(side, json::array());
    return lines.size() == 2 ? fmt::format("{}-{}", lines[0].get<int>(), lines[1].get<int>()) : std::string();
}

}  // namespace

std::string dolos_dataset(const std::vector<ComparedFile>& files, const std::string& starter) {
    std::string text(dataset_header);
    for (const ComparedFile& file : files)
        text += fmt::format("{},{},false\r\n", file.file, csv_field(visible(file.student)));
    return text + fmt::format("{},starter,true\r\n", starter);
}

std::vector<SimilarPair> similar_pairs(const std::string& answer, const std::vector<ComparedFile>& files) {
    std::map<std::string, std::string> students;
    for (const ComparedFile& file : files)
        students[file.file] = file.student;
    std::vector<SimilarPair> pairs;
    try {
        for (const json& pair : json::parse(answer))
            pairs.push_back({students.at(pair.at("left")), students.at(pair.at("right")), pair.at("similarity"), pair.at("longest"), lines_in(pair, "left_lines"), lines_in(pair, "right_lines")});
    } catch (const std::exception& error) {
        throw Failure(exit_code::machine, fmt::format("Dolos answered something that is no list of pairs ({}): {}", error.what(), visible(answer.substr(0, 200))));
    }
    return pairs;
}

std::string similarity_csv(const std::vector<SimilarPair>& pairs) {
    std::string text = "similarity,longest piece,student,lines,student,lines\r\n";
    for (const SimilarPair& pair : pairs)
        text += fmt::format("{:.3f},{},{},{},{},{}\r\n", pair.similarity, pair.longest, csv_field(visible(pair.left)), pair.left_lines, csv_field(visible(pair.right)), pair.right_lines);
    return text;
}

int class_similarity(const Repository& repository, const SimilarityOptions& options) {
    const Lab lab = repository.lab_named(options.lab);
    const Track track = track_named(options.track);
    const TakenIn taken = taken_in(options, lab, track);
    for (const std::string& refused : taken.refused)
        fmt::print(stderr, "course: not compared: {}\n", refused);
    if (taken.files.size() < 2)
        throw Failure(exit_code::usage, fmt::format("{} has {} submissions of {} that can be compared; two at least are needed", options.submissions, taken.files.size(), source_of(lab, track)));
    const fs::path out = options.out, input = out / "input";
    make_input_folder(input);
    for (const ComparedFile& file : taken.files)
        write_file(input / file.file, file.content);
    write_file(input / starter_file, read_file(repository / starter_of(lab, track)).value_or(""));
    write_file(input / "info.csv", dolos_dataset(taken.files, starter_file));

    const auto answer = asked_of_dolos(repository, options, input / "info.csv");
    if (!answer) {
        throw Failure(exit_code::machine, fmt::format("{} submissions lie in {}, ready to be compared, and Dolos is not installed{}. It needs Node.js and a compiler (Debian: nodejs npm g++):\n"
                                                      "  npm install --prefix ~/dolos @dodona/dolos-lib\n"
                                                      "  ./course class similarity … --dolos ~/dolos\n"
                                                      "Or give the folder to Dolos elsewhere: it reads the info.csv in it",
                                                      taken.files.size(), input.string(), options.dolos.empty() ? "" : " in " + options.dolos));
    }
    const std::vector<SimilarPair> pairs = similar_pairs(*answer, taken.files);
    write_file(out / "similarity.csv", similarity_csv(pairs));
    fmt::print("{} submissions of {} compared, the starter aside: {} pairs have something in common.\n", taken.files.size(), source_of(lab, track), pairs.size());
    show(pairs);
    fmt::print("All: {}. A high number is a reason to look, and no proof.\n", (out / "similarity.csv").string());
    return exit_code::full_marks;
}

}  // namespace course
