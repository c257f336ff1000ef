#include "progress.hpp"

#include "failure.hpp"
#include "files.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>

using nlohmann::ordered_json;

namespace course {
namespace {

constexpr const char* schema = "ipc-labs/progress/v1";

// A damaged file is kept, because someone may want to read it, and is never a reason not to work.
ordered_json load(const std::filesystem::path& file) {
    const auto text = read_file(file);
    if (!text)
        return {{"schema", schema}};
    ordered_json content = ordered_json::parse(*text, nullptr, false);
    if (content.is_object())
        return content;
    const auto kept = keep_aside(file, "damaged");
    std::filesystem::remove(file);
    fmt::print(stderr, "course: {} is damaged; it was kept as {}, and progress begins anew\n",
               file.filename().string(), kept.filename().string());
    return {{"schema", schema}};
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
    return value && value->is_number() ? value->get<int>() : 0;
}
std::string text(const ordered_json* value) {
    return value && value->is_string() ? value->get<std::string>() : std::string();
}

void change(const std::filesystem::path& file, const std::function<void(ordered_json&)>& edit) {
    const FileLock lock(file.parent_path() / "lock");
    ordered_json content = load(file);
    edit(content);
    write_file(file, content.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace

Progress::Progress(const Repository& repository) : file_(repository / ".course/progress.json") {}

std::optional<Grade> Progress::grade(const Lab& lab, Track track) const {
    const ordered_json content = load(file_);
    const ordered_json* entry = look_up(content, {"labs", lab.name, std::string(name_of(track))});
    if (!entry || !entry->is_object())
        return std::nullopt;
    const auto at = [&](const char* key) { return look_up(*entry, {key}); };
    return Grade{number(at("points")), number(at("max_points")), number(at("best")),
                 text(at("when")),     text(at("source_hash")),  text(at("next_case"))};
}

std::optional<LastGraded> Progress::last() const {
    const ordered_json content = load(file_);
    const std::string lab = text(look_up(content, {"last", "lab"}));
    if (lab.empty())
        return std::nullopt;
    return LastGraded{lab,
                      text(look_up(content, {"last", "track"})) == "win32" ? Track::win32 : Track::posix};
}

int Progress::hints_shown(const Lab& lab, Track track, const std::string& case_name) const {
    const ordered_json content = load(file_);
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
