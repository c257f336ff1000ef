#pragma once

/// @file
/// What grading a student's submission came to, in one neutral form, and in those that platforms read.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace course {

/// The neutral result is JSON, one object a student:
///
///     schema      "ipc-labs/class-result/v1"
///     student     as reports name them; key: the same as a file name
///     course      the version that graded;  isolation: namespaces, user or none
///     input       a hash of all that the result depends on
///     graded_at   UTC, ISO 8601;  seconds
///     problems    why nothing could be taken in
///     labs        [{lab, track, status, points, max_points, seconds, seed, verdict?, compiler?}]
///
/// status: "judged"; "does not compile"; "not handed in"; "refused"; "judge error" (an instructor has to look: no points
/// were taken for it).
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

/// A field of a CSV file (RFC 4180) that no spreadsheet takes for a formula.
std::string csv_field(const std::string& text);
/// A line a student, a column a lab and track, as gradebooks import it (RFC 4180).
std::string class_csv(const std::vector<ClassResult>& results);
/// The class at a glance: who, points, distribution, which mistakes are common.
std::string class_html(const std::vector<ClassResult>& results);
/// One student's verdicts as they would see them.
std::string student_html(const ClassResult& result);

}  // namespace course
