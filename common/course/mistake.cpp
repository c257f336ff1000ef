#include "mistake.hpp"

#include "failure.hpp"
#include "files.hpp"
#include "verdict.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <sstream>

namespace fs = std::filesystem;

namespace course {
namespace {

std::map<std::string, std::string> header_of(const std::string& patch) {
    std::map<std::string, std::string> keys;
    std::istringstream lines(patch);
    std::string last;
    for (std::string line; std::getline(lines, line) && line.rfind("--- ", 0) != 0;) {
        const std::size_t colon = line.find(": ");
        if (line.rfind("  ", 0) == 0 && !last.empty()) {
            keys[last] += " " + line.substr(2);
        } else if (colon != std::string::npos) {
            last = line.substr(0, colon);
            keys[last] = line.substr(colon + 2);
        }
    }
    return keys;
}

fs::path folder_of(const Repository& repository, const Lab& lab, Track track) {
    return repository / "tests" / lab.name / "mistakes" / std::string(name_of(track));
}

std::map<std::string, std::string> header_on_file(const Repository& repository, const Lab& lab, Track track, const std::string& name) {
    // The name comes from a judge; it must not lead out of the folder.
    if (name.empty() || name.find('/') != std::string::npos)
        return {};
    const auto patch = read_file(folder_of(repository, lab, track) / (name + ".patch"));
    return patch ? header_of(*patch) : std::map<std::string, std::string>();
}

}  // namespace

Mistake parse_mistake(const std::string& name, const std::string& patch) {
    std::map<std::string, std::string> keys = header_of(patch);
    for (const char* key : {"Mistake", "Title", "Case", "Says", "Section"})
        if (keys[key].empty())
            throw Failure(
                exit_code::judge_error,
                fmt::format("mistake {}: its header has no '{}:'; docs/judge-protocol.md lists the keys",
                            name, key));
    if (keys["Mistake"] != name)
        throw Failure(exit_code::judge_error,
                      fmt::format("mistake {}: its header calls it '{}'; file and header must agree", name,
                                  keys["Mistake"]));
    return {name, keys["Title"], names_in(keys["Case"]), keys["Says"], keys["Section"], keys["Sanitizer"]};
}

std::vector<Mistake> mistakes_of(const Repository& repository, const Lab& lab, Track track) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_of(repository, lab, track), error))
        if (entry.path().extension() == ".patch")
            files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<Mistake> mistakes;
    for (const fs::path& file : files)
        mistakes.push_back(parse_mistake(file.stem().string(), read_file(file).value_or("")));
    return mistakes;
}

std::string mistake_title(const Repository& repository, const Lab& lab, Track track,
                          const std::string& name) {
    return header_on_file(repository, lab, track, name)["Title"];
}

std::string mistake_section(const Repository& repository, const Lab& lab, Track track,
                            const std::string& name) {
    return header_on_file(repository, lab, track, name)["Section"];
}

}  // namespace course
