#pragma once

/// @file
/// What grading a student's submission came to, in one neutral form, and in those that platforms read.

#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace course {

/// The neutral result is JSON, one object a student:
///
///     schema      "ipc-labs/class-result/v1"
///     student     as reports name them; key: the same as a file name
///     course      the version that graded;  isolation: namespaces, user or none
///     limits      whom limits on memory and processes hold for: "all processes together" of a sandbox, or "each process"
///     input       a hash of all that the result depends on
///     graded_at   UTC, ISO 8601;  seconds
///     problems    why nothing could be taken in
///     labs        [{lab, track, status, points, max_points, seconds, seed, verdict?, compiler?}]
///
/// status: "judged"; "does not compile"; "not handed in"; "refused"; "ended its judge" (no points: it has sent the judge a
/// signal that nobody else could have sent); "judge error" (an instructor has to look: no points were taken for it).
using ClassResult = nlohmann::json;

int points_of(const ClassResult& result);
int max_points_of(const ClassResult& result);
/// Whether an instructor has to look at it.
bool needs_a_look(const ClassResult& result);

/// A file of a format, below the results folder.
struct ResultFile {
    std::string path, content;
};

/// "gradescope", "classroom50", "autolab", "prairielearn", "junit", "vpl".
const std::vector<std::string>& result_formats();
/// One student's file in a format.
/// @throws Failure (usage) for an unknown one
ResultFile rendered(const std::string& format, const ClassResult& result);

/// What tables and pages over a class need of its results. It grows by some hundred bytes a student, not by their verdicts.
class ClassSummary {
public:
    struct Cell {
        int points = 0, max_points = 0;
        std::string status;
    };
    struct Row {
        std::string student, key, refused;
        int points = 0, max_points = 0;
        bool look = false;
        std::map<std::string, Cell> labs;  ///< by lab and track
    };
    /// How many submissions lost points in a case, and of those that lost them by a mistake with a name.
    struct Lost {
        std::string lab, name;
        int submissions = 0;
    };

    explicit ClassSummary(std::size_t students) : rows_(students) {}
    /// @param at  the student's place in tables. May be called by several threads.
    void add(std::size_t at, const ClassResult& result);

    const std::vector<Row>& rows() const { return rows_; }
    std::vector<std::string> columns() const;
    std::vector<Lost> mistakes() const;  ///< the most common first
    std::vector<Lost> cases() const;     ///< the same for cases
    int to_look_at() const;
    std::string isolation() const { return isolation_; }
    std::string course() const { return course_; }

private:
    std::vector<Row> rows_;
    std::map<std::pair<std::string, std::string>, int> mistakes_, cases_;
    std::string isolation_, course_;
    mutable std::mutex mutex_;
};

/// A field of a CSV file (RFC 4180) that no spreadsheet takes for a formula.
std::string csv_field(const std::string& text);
/// A line a student, a column a lab and track, as gradebooks import it (RFC 4180).
std::string class_csv(const ClassSummary& summary);
/// What a mistake is called in the catalogue, for "01-anonymous-pipes posix" and its name; empty if it is not there.
using MistakeTitle = std::function<std::string(const std::string& lab_and_track, const std::string& name)>;
/// The class at a glance: who, points, distribution, which mistakes are common.
std::string class_html(const ClassSummary& summary, const MistakeTitle& title = nullptr);
/// One student's verdicts as they would see them.
std::string student_html(const ClassResult& result);

}  // namespace course
