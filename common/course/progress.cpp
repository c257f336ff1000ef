#include "progress.hpp"

#include "failure.hpp"
#include "files.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace course {
namespace {

constexpr const char* schema = "ipc-labs/progress/v1";

void say(const std::string& words) {
    fmt::print(stderr, "{}\n", wrapped("course: " + words, terminal_width(), 8));
}

// ".course/progress.json"
std::string short_name(const fs::path& file) {
    const bool folder = file.filename().string().starts_with(".course");
    return folder ? file.filename().string() : (file.parent_path().filename() / file.filename()).string();
}

// Gives what is in the way another name, whatever it is: someone may want to look at it.
void move_aside(const fs::path& file, const std::string& what_is_wrong) {
    const std::string stem = fmt::format("{}.damaged-{}", file.string(), utc_now("%Y%m%d-%H%M%S"));
    fs::path kept = stem;
    for (int attempt = 2; fs::exists(fs::symlink_status(kept)); ++attempt)
        kept = fmt::format("{}-{}", stem, attempt);
    std::error_code error;
    fs::rename(file, kept, error);
    if (error)
        throw Failure(exit_code::machine, fmt::format("{}; move it away yourself, this was refused: {}", what_is_wrong, error.message()));
    say(fmt::format("{}. It is kept as {}, and progress begins anew", what_is_wrong, short_name(kept)));
}

// Something else than a folder where the folder should be, something else than a file where a file should be.
void clear_the_way(const fs::path& file) {
    const fs::path folder = file.parent_path();
    if (const fs::file_status status = fs::status(folder); fs::exists(fs::symlink_status(folder)) && !fs::is_directory(status))
        move_aside(folder, fmt::format("{} is not a folder; points and hints are remembered in it", short_name(folder)));
    for (const fs::path& each : {file, folder / "lock"})
        if (const fs::file_status status = fs::status(each); fs::exists(fs::symlink_status(each)) && !fs::is_regular_file(status))
            move_aside(each, fmt::format("{} is not a file", short_name(each)));
}

ordered_json load(const fs::path& file) {
    const auto text = read_file(file);
    if (!text)
        return {{"schema", schema}};
    ordered_json content = ordered_json::parse(*text, nullptr, false);
    if (content.is_object())
        return content;
    move_aside(file, fmt::format("{} is damaged: it is no JSON object", short_name(file)));
    return {{"schema", schema}};
}

// Progress is a convenience: whatever is wrong with its file is said, and is never a reason not to work.
ordered_json load_or_say(const fs::path& file) {
    try {
        clear_the_way(file);
        return load(file);
    } catch (const std::exception& error) {
        static bool said = false;
        if (!std::exchange(said, true))
            say(fmt::format("{}. Without it this goes on as if nothing had been graded yet", error.what()));
        return {{"schema", schema}};
    }
}

// The object at a path of keys, or null. Never throws: any part may have been edited by hand.
const ordered_json* look_up(const ordered_json& content, std::initializer_list<std::string> keys) {
    const ordered_json* at = &content;
    for (const std::string& key : keys) {
        if (!at->is_object() || !at->contains(key))
            return nullptr;
        at = &(*at)[key];
    }
    return at;
}

ordered_json& make(ordered_json& content, std::initializer_list<std::string> keys) {
    ordered_json* at = &content;
    for (const std::string& key : keys) {
        if (!at->is_object())
            *at = ordered_json::object();
        at = &(*at)[key];
    }
    return *at;
}

int number(const ordered_json* value) {
    constexpr double most = 1e6;  // somebody may have written anything
    return value && value->is_number() ? static_cast<int>(std::clamp(value->get<double>(), 0.0, most)) : 0;
}
std::string text(const ordered_json* value) {
    return value && value->is_string() ? value->get<std::string>() : std::string();
}

void change(const fs::path& file, const std::function<void(ordered_json&)>& edit) {
    try {
        clear_the_way(file);
        const FileLock lock(file.parent_path() / "lock");
        ordered_json content = load(file);
        edit(content);
        write_file(file, content.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
    } catch (const std::exception& error) {
        say(fmt::format("{}. So this is not remembered in {}; nothing else is lost", error.what(), short_name(file)));
    }
}

}  // namespace

Progress::Progress(const Repository& repository) : file_(repository / ".course/progress.json") {}

std::optional<Grade> Progress::grade(const Lab& lab, Track track) const {
    const ordered_json content = load_or_say(file_);
    const ordered_json* entry = look_up(content, {"labs", lab.name, std::string(name_of(track))});
    if (!entry || !entry->is_object())
        return std::nullopt;
    const auto at = [&](const char* key) { return look_up(*entry, {key}); };
    return Grade{number(at("points")), number(at("max_points")), number(at("best")),
                 text(at("when")),     text(at("source_hash")),  text(at("next_case"))};
}

std::optional<LastGraded> Progress::last() const {
    const ordered_json content = load_or_say(file_);
    const std::string lab = text(look_up(content, {"last", "lab"}));
    if (lab.empty())
        return std::nullopt;
    return LastGraded{lab,
                      text(look_up(content, {"last", "track"})) == "win32" ? Track::win32 : Track::posix};
}

int Progress::hints_shown(const Lab& lab, Track track, const std::string& case_name) const {
    const ordered_json content = load_or_say(file_);
    return number(look_up(content, {"hints", lab.name, std::string(name_of(track)), case_name}));
}

void Progress::record(const Lab& lab, Track track, const Grade& grade) {
    change(file_, [&](ordered_json& content) {
        ordered_json& entry = make(content, {"labs", lab.name, std::string(name_of(track))});
        if (!entry.is_object())
            entry = ordered_json::object();
        const int best = std::max(number(look_up(entry, {"best"})), grade.points);
        entry["points"] = grade.points;
        entry["max_points"] = grade.max_points;
        entry["best"] = best;
        entry["when"] = grade.when;
        entry["source_hash"] = grade.source_hash;
        entry["next_case"] = grade.next_case;
        make(content, {"last", "lab"}) = lab.name;
        make(content, {"last", "track"}) = std::string(name_of(track));
    });
}

void Progress::record_hint(const Lab& lab, Track track, const std::string& case_name, int shown) {
    change(file_, [&](ordered_json& content) {
        make(content, {"hints", lab.name, std::string(name_of(track)), case_name}) = shown;
    });
}

}  // namespace course
