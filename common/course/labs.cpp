#include "labs.hpp"

#include "failure.hpp"
#include "files.hpp"
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fmt/format.h>

namespace fs = std::filesystem;

namespace course {
namespace {

bool is_lab_folder(const std::string& name) {
    return name.size() > 3 && std::isdigit(static_cast<unsigned char>(name[0])) &&
           std::isdigit(static_cast<unsigned char>(name[1])) && name[2] == '-';
}

bool is_repository(const fs::path& folder) {
    return fs::exists(folder / "CMakePresets.json") && fs::is_directory(folder / "labs");
}

bool all_digits(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

}  // namespace

std::string_view name_of(Track track) {
    return track == Track::posix ? "posix" : "win32";
}

Track track_named(std::string_view text) {
    for (const Track track : {Track::posix, Track::win32})
        if (text == name_of(track))
            return track;
    throw Failure(exit_code::usage,
                  fmt::format("there is no track '{}'; the tracks are posix and win32", text));
}

std::vector<Lab> Repository::labs() const {
    // A lab is what the build knows by its list; a folder that somebody has begun to write is not yet one.
    const auto list = read_file(root / "build/linux/labs.json");
    std::vector<Lab> found;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(root / "labs", error)) {
        const std::string name = entry.path().filename().string();
        const bool listed = !list || list->find('"' + name + '"') != std::string::npos;
        if (listed && is_lab_folder(name) && fs::exists(entry.path() / "main.cpp"))
            found.push_back({name.substr(0, 2), name});
    }
    std::sort(found.begin(), found.end(), [](const Lab& a, const Lab& b) { return a.name < b.name; });
    return found;
}

Lab Repository::lab_named(std::string_view text) const {
    std::string_view wanted = text;
    while (!wanted.empty() && wanted.back() == '/')
        wanted.remove_suffix(1);
    wanted.remove_prefix(wanted.rfind('/') == std::string_view::npos ? 0 : wanted.rfind('/') + 1);
    std::vector<std::string> known;
    for (const Lab& lab : labs()) {
        const bool same_number = all_digits(wanted) && wanted.size() <= 4 &&
                                 std::stoi(std::string(wanted)) == std::stoi(lab.number);
        if (same_number || wanted == lab.name || wanted == lab.name.substr(3))
            return lab;
        known.push_back(lab.name);
    }
    throw Failure(exit_code::usage,
                  fmt::format("there is no lab '{}'; the labs are {}", text, joined(known)));
}

bool Repository::has_solutions() const {
    for (const Lab& lab : labs())
        if (fs::exists(root / "solutions" / lab.name))
            return true;
    return false;
}

Repository find_repository() {
    if (const char* named = std::getenv("COURSE_ROOT"); named && *named) {
        std::error_code error;
        const fs::path root = fs::canonical(named, error);
        if (error || !is_repository(root))
            throw Failure(exit_code::machine,
                          fmt::format("COURSE_ROOT is {}, and the course is not there", named));
        return {root};
    }
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    for (fs::path folder = program.parent_path(); folder.has_relative_path(); folder = folder.parent_path())
        if (is_repository(folder))
            return {folder};
    throw Failure(exit_code::machine,
                  fmt::format("{} does not lie inside the course's folder; start it as ./course there",
                              program.string()));
}

std::string source_of(const Lab& lab, Track track) {
    return fmt::format("labs/{}/{}.cpp", lab.name, name_of(track));
}

std::string starter_of(const Lab& lab, Track track) {
    return fmt::format("labs/{}/.starter/{}.cpp", lab.name, name_of(track));
}

std::string handout_of(const Lab& lab) {
    return fmt::format("labs/{}/README.md", lab.name);
}

std::string preset_of(Track track) {
    return track == Track::posix ? "linux" : "windows-wine";
}

std::string build_of(const std::string& preset) {
    return "build/" + preset;
}

std::string program_of(const std::string& preset, const std::string& name) {
    return fmt::format("build/{}/bin/{}{}", preset, name, preset == "windows-wine" ? ".exe" : "");
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
    return fmt::format("{}", fmt::join(words, between));
}

}  // namespace course
