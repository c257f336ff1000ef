#include "class_synthetic.hpp"

#include "class_intake.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "lab_gates.hpp"
#include "mistake.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include "verdict.hpp"
#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <regex>
#include <unistd.h>

namespace fs = std::filesystem;
using nlohmann::json;

namespace course {
namespace {

/// A file that somebody could hand in.
struct Sample {
    std::string content;
    Deserved deserved;
};

std::string content_of(const fs::path& file) {
    const auto content = read_file(file);
    if (!content)
        throw Failure(exit_code::usage, fmt::format("a synthetic class is made from solutions, mistakes and alternatives, and {} is not there", file.string()));
    return *content;
}

std::string patched(const Repository& repository, const std::string& solution, const fs::path& patch) {
    std::string name = (fs::temp_directory_path() / "course-mistake-XXXXXX").string();
    const int descriptor = ::mkstemp(name.data());
    if (descriptor == -1)
        throw Failure(exit_code::machine, fmt::format("cannot write in {}", fs::temp_directory_path().string()));
    ::close(descriptor);
    const Outcome outcome = run({{"patch", "--quiet", "--fuzz=0", "-o", name, (repository / solution).string(), patch.string()}, {}, std::chrono::minutes(1), {}});
    const std::string content = content_of(name);
    fs::remove(name);
    if (outcome.code != 0)
        throw Failure(exit_code::judge_error, fmt::format("{} does not fit {}: {}", patch.string(), solution, outcome.output));
    return content;
}

// A submission is one file: what it includes from beside it is put into it.
std::string with_own_headers(std::string content, const fs::path& folder) {
    static const std::regex include(R"RE(#include "(cheat\.hpp)")RE");
    std::smatch found;
    while (std::regex_search(content, found, include)) {
        std::string header = content_of(folder / found[1].str());
        header.erase(0, header.find("#pragma once") == std::string::npos ? 0 : header.find('\n', header.find("#pragma once")) + 1);
        content = found.prefix().str() + header + found.suffix().str();
    }
    return content;
}

/// Everything that can be handed in for one lab and track, by kind.
class Samples {
public:
    Samples(const Repository& repository, const Lab& lab, Track track) : repository_(repository), lab_(lab), track_(track) {
        solution_ = fmt::format("solutions/{}/{}.cpp", lab.name, name_of(track));
        const std::string solution = content_of(repository / solution_);
        add("solution", "", solution, "judged", Deserved::Points::all);
        add("starter", "", content_of(repository / starter_of(lab, track)), "judged", Deserved::Points::none).not_attempted = true;
        add("broken", "", solution + "\nint this_is_no_number = \"it is none\" + ;\n", "does not compile", Deserved::Points::none);
        const fs::path tests = repository / "tests" / lab.name;
        for (const std::string& name : sources_in(repository, lab, "alternatives", track))
            add("alternative", name, content_of(tests / "alternatives" / name_of(track) / (name + ".cpp")), "judged", Deserved::Points::all);
        for (const std::string& name : sources_in(repository, lab, "cheats", track)) {
            const fs::path folder = tests / "cheats" / name_of(track);
            add("cheat", name, with_own_headers(content_of(folder / (name + ".cpp")), folder), "judged", Deserved::Points::none).attacks = true;
        }
        mistakes_ = mistakes_of(repository, lab, track);
        std::erase_if(mistakes_, [](const Mistake& each) { return !each.sanitizer.empty(); });
    }

    const Sample* any(const std::string& kind, std::mt19937& random) {
        // There are hundreds of mistakes: only those that somebody hands in are made.
        if (kind == "mistake" && !mistakes_.empty())
            return &make(mistakes_[random() % mistakes_.size()]);
        const auto found = samples_.find(kind);
        return found == samples_.end() || found->second.empty() ? nullptr : found->second[random() % found->second.size()].get();
    }

    std::string path_in_submission(std::mt19937& random) const {
        const std::string file = fmt::format("{}.cpp", name_of(track_));
        const std::string folders[] = {"labs/" + lab_.name, "ipc-labs/labs/" + lab_.name, lab_.name, lab_.number};
        return folders[random() % 4] + "/" + file;
    }

private:
    Deserved& add(const std::string& kind, const std::string& name, const std::string& content, const std::string& status, Deserved::Points points) {
        Deserved deserved;
        deserved.lab = lab_.name;
        deserved.track = name_of(track_);
        deserved.what = name.empty() ? kind : kind + " " + name;
        deserved.status = status;
        deserved.points = points;
        samples_[kind].push_back(std::make_unique<Sample>(Sample{content, deserved}));
        return samples_[kind].back()->deserved;
    }
    const Sample& make(const Mistake& mistake) {
        for (const auto& each : samples_["mistake"])
            if (each->deserved.mistake == mistake.name)
                return *each;
        const fs::path patch = repository_ / "tests" / lab_.name / "mistakes" / name_of(track_) / (mistake.name + ".patch");
        Deserved& deserved = add("mistake", mistake.name, patched(repository_, solution_, patch), "judged", Deserved::Points::some_missing);
        deserved.cases = mistake.cases;
        deserved.mistake = mistake.name;
        return *samples_["mistake"].back();
    }

    const Repository& repository_;
    Lab lab_;
    Track track_;
    std::string solution_;
    std::vector<Mistake> mistakes_;
    std::map<std::string, std::vector<std::unique_ptr<Sample>>> samples_;
};

using Files = std::vector<std::pair<std::string, std::string>>;  ///< path, content

void write_folder(const fs::path& folder, const Files& files) {
    fs::create_directories(folder);
    for (const auto& [path, content] : files) {
        fs::create_directories((folder / path).parent_path());
        write_file(folder / path, content);
    }
}

void write_archive(const fs::path& file, const Files& files, bool zip) {
    const std::unique_ptr<archive, decltype(&archive_write_free)> out(archive_write_new(), archive_write_free);
    if (zip)
        archive_write_set_format_zip(out.get());
    else {
        archive_write_set_format_pax_restricted(out.get());
        if (file.extension() == ".gz")
            archive_write_add_filter_gzip(out.get());
    }
    bool fine = archive_write_open_filename(out.get(), file.c_str()) == ARCHIVE_OK;
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), archive_entry_free);
    for (const auto& [path, content] : files) {
        archive_entry_clear(entry.get());
        archive_entry_set_pathname(entry.get(), path.c_str());
        archive_entry_set_filetype(entry.get(), AE_IFREG);
        archive_entry_set_perm(entry.get(), 0644);
        archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content.size()));
        fine = fine && archive_write_header(out.get(), entry.get()) == ARCHIVE_OK && archive_write_data(out.get(), content.data(), content.size()) == static_cast<la_ssize_t>(content.size());
    }
    if (!fine || archive_write_close(out.get()) != ARCHIVE_OK)
        throw Failure(exit_code::machine, fmt::format("cannot write {}: {}", file.string(), visible(archive_error_string(out.get()) ? archive_error_string(out.get()) : "")));
}

constexpr const char* first_names[] = {"Ada", "Alan", "Barbara", "Edsger", "Frances", "Grace", "José", "Katherine", "Leslie", "Margaret", "Niklaus", "Radia", "小明", "Søren", "Tony"};
constexpr const char* last_names[] = {"Lovelace", "Turing", "Liskov", "Dijkstra", "Allen", "Hopper", "Núñez", "Johnson", "Lamport", "O'Hamilton", "Wirth", "Perlman", "王", "Ægir", "Hoare"};

// Under a name as a learning platform gives it, in one of the forms that students choose.
std::string hand_in(const fs::path& folder, std::size_t number, const Files& files, std::mt19937& random) {
    const std::string name = fmt::format("{} {} {}", first_names[random() % 15], last_names[random() % 15], number);
    const std::string plain = fmt::format("student{}", number);
    switch (random() % 5) {
    case 0:
        write_folder(folder / (name + fmt::format("_{}_assignsubmission_file_", 100000 + number)), files);
        return name;
    case 1:
        write_archive(folder / fmt::format("{}{}_{}_{}_labs.zip", plain, random() % 4 ? "" : "_LATE", 4000 + number, 70000 + number), files, true);
        return plain;
    case 2:
        write_archive(folder / fmt::format("IPC Labs_{}_attempt_2026-11-21-10-00-00_labs.tar.gz", plain), files, false);
        return plain;
    case 3:
        write_archive(folder / (name + ".tar"), files, false);
        return name;
    default:
        write_folder(folder / fmt::format("submission_{}", number), files);
        return fmt::format("submission_{}", number);
    }
}

// What is refused before anything is compiled, and why.
std::pair<Files, std::string> refused_files(const std::string& path, const std::string& content, std::mt19937& random) {
    switch (random() % 5) {
    case 0: return {{{"notes.txt", "I will hand it in tomorrow."}}, "none of the files"};
    case 1: return {{{"../../" + path, content}}, "'..'"};
    case 2: return {{{path, std::string("\xff\xfe" "i\0n\0t\0", 8)}}, "UTF-16"};
    case 3: return {{{path, content}, {"again/" + path, content + "\n// another version\n"}}, "twice"};
    default: return {{{path, content}, {"core", std::string(65 << 20, '\0')}}, "larger than"};
    }
}

std::string kind_for(std::mt19937& random) {
    static std::discrete_distribution<int> kinds({34, 16, 14, 24, 5, 4, 3});
    constexpr const char* names[] = {"solution", "alternative", "starter", "mistake", "broken", "", "cheat"};
    return names[kinds(random)];
}

std::string outcome_of(const json& lab, const std::string& name) {
    for (const json& each : lab.value("verdict", json::object()).value("cases", json::array()))
        if (each.value("name", "") == name)
            return each.value("outcome", "");
    return "";
}

// A mistake whose cases cannot be tried in a sandbox costs nothing there.
bool is_out_of_reach(const json& lab, const Deserved& deserved) {
    return !deserved.cases.empty() && std::all_of(deserved.cases.begin(), deserved.cases.end(), [&](const std::string& name) { return outcome_of(lab, name) == "unavailable here"; });
}

bool is_deserved(Deserved::Points deserved, int points, int most) {
    return deserved == Deserved::Points::none ? points == 0 : deserved == Deserved::Points::all ? most > 0 && points == most : points < most;
}

std::string wrong_with_verdict(const json& lab, const Deserved& deserved) {
    std::string wrong;
    if (is_out_of_reach(lab, deserved))
        return wrong;
    const json cases = lab.value("verdict", json::object()).value("cases", json::array());
    if (deserved.not_attempted)
        for (const json& each : cases)
            if (each.value("outcome", "") != "not attempted" && each.value("outcome", "") != "unavailable here")
                wrong += fmt::format("  case {} {}\n", each.value("name", ""), each.value("outcome", ""));
    for (const std::string& name : deserved.cases) {
        const auto found = std::find_if(cases.begin(), cases.end(), [&](const json& each) { return each.value("name", "") == name; });
        if (found == cases.end() || (*found).value("outcome", "") != "failed")
            wrong += fmt::format("  case {} should have failed\n", name);
        else if (const std::vector<std::string> named = names_in((*found).value("mistake", "")); std::find(named.begin(), named.end(), deserved.mistake) == named.end())
            wrong += fmt::format("  case {} was not called {}, but '{}'\n", name, deserved.mistake, (*found).value("mistake", ""));
    }
    return wrong;
}

}  // namespace

std::vector<SyntheticStudent> make_class(const Repository& repository, const fs::path& folder, const SyntheticOptions& options) {
    std::mt19937 random(options.seed);
    std::vector<std::unique_ptr<Samples>> samples;
    for (const Lab& lab : options.labs)
        for (const Track track : options.tracks)
            samples.push_back(std::make_unique<Samples>(repository, lab, track));
    std::vector<SyntheticStudent> all;
    for (std::size_t number = 1; number <= options.submissions; ++number) {
        SyntheticStudent student;
        Files files;
        // Every tenth is good at everything, every tenth has not begun, every twentieth is refused as a whole.
        const std::string whole = number % 10 == 1 ? "solution" : number % 10 == 2 ? "starter" : "";
        if (number % 20 == 6) {
            std::tie(files, student.refused) = refused_files(samples[0]->path_in_submission(random), samples[0]->any("solution", random)->content, random);
            // A name that leads out of it can only be in an archive.
            const std::string name = fmt::format("student{}", number);
            write_archive(folder / fmt::format("{}_{}_{}_labs.zip", name, 4000 + number, 70000 + number), files, true);
            student.student = name;
        } else {
            for (const auto& each : samples) {
                const Sample* sample = each->any(whole.empty() ? kind_for(random) : whole, random);
                if (!sample)
                    continue;
                files.emplace_back(each->path_in_submission(random), sample->content);
                student.files.push_back(sample->deserved);
            }
            if (files.empty()) {
                files.emplace_back("README", "nothing yet");
                student.refused = "none of the files";
            }
            student.student = hand_in(folder, number, files, random);
        }
        all.push_back(std::move(student));
    }
    return all;
}

std::string wrong_with(const ClassResult& result, const SyntheticStudent& deserved) {
    const json problems = result.value("problems", json::array());
    if (!deserved.refused.empty())
        return !problems.empty() && problems[0].get<std::string>().find(deserved.refused) != std::string::npos && points_of(result) == 0
                   ? ""
                   : fmt::format("{} should be refused: {}\n", deserved.student, deserved.refused);
    if (!problems.empty())
        return fmt::format("{} was refused: {}\n", deserved.student, problems[0].get<std::string>());
    std::string wrong;
    for (const json& lab : result.value("labs", json::array())) {
        const auto own = std::find_if(deserved.files.begin(), deserved.files.end(), [&](const Deserved& each) { return each.lab == lab.value("lab", "") && each.track == lab.value("track", ""); });
        const std::string status = lab.value("status", "");
        const Deserved nothing{lab.value("lab", ""), lab.value("track", ""), "nothing", "not handed in", Deserved::Points::none, false, {}, "", false};
        const Deserved& expected = own == deserved.files.end() ? nothing : *own;
        std::string details = wrong_with_verdict(lab, expected);
        if (status != expected.status || !(is_deserved(expected.points, lab.value("points", 0), lab.value("max_points", 0)) || is_out_of_reach(lab, expected)) || !details.empty())
            wrong += fmt::format("{}, {} {}, {}: {}, {}/{}{}\n{}", deserved.student, expected.lab, expected.track, expected.what, status, lab.value("points", 0), lab.value("max_points", 0),
                                 lab.contains("why") ? ", " + lab.value("why", "") : "", details);
    }
    return wrong;
}

std::string lasting_part(const ClassResult& result) {
    json lasting = result;
    lasting.erase("graded_at");
    std::string text;
    // Numbers in words are process ids, descriptors, ports, inodes and milliseconds.
    static const std::regex temporary("ipc-labs-[A-Za-z0-9]{6}"), number("[0-9]+(\\.[0-9]+)?");
    const std::function<void(json&)> clean = [&](json& value) {
        if (value.is_object()) {
            value.erase("seconds");
            value.erase("waiting");
            if (value.contains("message"))
                value["message"] = std::regex_replace(std::regex_replace(value["message"].get<std::string>(), temporary, "ipc-labs-…"), number, "N");
        }
        if (value.is_structured())
            for (json& each : value)
                clean(each);
    };
    clean(lasting);
    return lasting.dump(2, ' ', false, json::error_handler_t::replace);
}

}  // namespace course
