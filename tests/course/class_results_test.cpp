#include "class_results.hpp"
#include "failure.hpp"
#include <doctest/doctest.h>

using namespace course;
using nlohmann::json;

namespace {

// A passed and a failed case with hostile words, a file that does not compile, a judge that failed.
ClassResult sample() {
    return json::parse(R"({
      "schema": "ipc-labs/class-result/v1", "student": "=cmd|' /C calc'!A0, \"Ada\" <script>", "key": "ada", "course": "0.1", "isolation": "namespaces",
      "graded_at": "2026-11-21T07:00:00Z", "seconds": 3.5, "problems": [],
      "labs": [
        {"lab": "01-anonymous-pipes", "track": "posix", "status": "judged", "points": 4, "max_points": 12, "seconds": 2, "seed": "1",
         "verdict": {"cases": [
           {"name": "1.1", "title": "capture prints", "outcome": "passed", "points": 4, "max_points": 4, "message": "", "waiting": "", "mistake": "", "seconds": 0.1},
           {"name": "1.2", "title": "a & b", "outcome": "failed", "points": 0, "max_points": 8, "message": "got: \u001b[31m</pre>\n]]>", "waiting": "lab-01 waits", "mistake": "write-end-kept", "mistakes": ["write-end-kept: The write end stays open"], "read": "./course handout 01 end-of-file", "rerun": "./course grade 01 --case 1.2", "seconds": 1.1},
           {"name": "1.3", "title": "not here", "outcome": "unavailable here", "points": 0, "max_points": 5, "message": "", "waiting": "", "mistake": "", "seconds": 0}]}},
        {"lab": "02-named-pipes", "track": "posix", "status": "does not compile", "points": 0, "max_points": 100, "compiler": "error: <vector>", "seconds": 1},
        {"lab": "03-mailslots", "track": "posix", "status": "judge error", "points": 0, "max_points": 100, "seconds": 1}
      ]})");
}

/// The same without what an instructor has to look at.
ClassResult judged() {
    ClassResult result = sample();
    result["labs"].erase(2);
    return result;
}

/// The class of this one student.
struct Class {
    ClassSummary summary{1};
    Class() { summary.add(0, sample()); }
};

}  // namespace

TEST_CASE("points add up, and a judge's error is for the instructor") {
    CHECK(points_of(sample()) == 4);
    CHECK(max_points_of(sample()) == 212);
    CHECK(needs_a_look(sample()));
}

TEST_CASE("cases that equally many fail are in their own order, not the alphabet's") {
    ClassResult result = sample();
    json& cases = result["labs"][0]["verdict"]["cases"];
    cases[1]["name"] = "1.11";
    cases[2].update({{"name", "1.5"}, {"outcome", "failed"}});
    ClassSummary summary(1);
    summary.add(0, result);
    const auto lost = summary.cases();
    REQUIRE(lost.size() >= 2);
    CHECK(lost[0].name.starts_with("1.5"));
    CHECK(lost[1].name.starts_with("1.11"));
}

TEST_CASE("Gradescope, PrairieLearn and Classroom 50 get the keys that they document") {
    const json gradescope = json::parse(rendered("gradescope", sample()).content);
    REQUIRE(gradescope["tests"].size() == 4);
    CHECK(!gradescope["tests"][3].contains("score"));
    CHECK(gradescope["tests"][0]["status"] == "passed");
    CHECK(gradescope["tests"][0]["score"] == 4);
    CHECK(gradescope["tests"][1]["max_score"] == 8);
    CHECK(gradescope["tests"][1]["output"].get<std::string>().find('\x1b') == std::string::npos);
    CHECK(gradescope["tests"][2]["output"].get<std::string>().find("error: <vector>") != std::string::npos);
    const json prairielearn = json::parse(rendered("prairielearn", sample()).content);
    CHECK(prairielearn["gradable"] == false);
    CHECK(!prairielearn.contains("score"));
    CHECK(json::parse(rendered("prairielearn", judged()).content)["score"].get<double>() == doctest::Approx(4.0 / 112));
    const json classroom = json::parse(rendered("classroom50", sample()).content);
    CHECK(classroom["schema"] == "classroom50/result/v1");
    CHECK(classroom["score"].is_number_integer());
    CHECK(classroom["max-score"] == 112);
    CHECK(classroom["submission"].get<std::string>().starts_with("submit/"));
    for (const char* key : {"classroom", "assignment", "assignment_type", "owner", "submission", "commit", "release", "review", "datetime", "max-score", "tests"})
        CHECK((classroom.contains(key) && classroom[key] != ""));
    CHECK(classroom.size() == 13);
}

TEST_CASE("JUnit XML is well formed whatever a program has printed") {
    const std::string xml = rendered("junit", sample()).content;
    CHECK(xml.find("tests=\"4\" failures=\"2\" errors=\"1\"") != std::string::npos);
    CHECK(xml.find("<script>") == std::string::npos);
    CHECK(xml.find("</pre>") == std::string::npos);
    CHECK(xml.find('\x1b') == std::string::npos);
}

TEST_CASE("Autolab's last line is its scores, VPL's is its grade") {
    const std::string autolab = rendered("autolab", sample()).content;
    const std::string last = autolab.substr(autolab.rfind('\n', autolab.size() - 2) + 1);
    CHECK(json::parse(last)["scores"]["01-anonymous-pipes posix"] == 4);
    const std::string vpl = rendered("vpl", sample()).content;
    CHECK(vpl.find("Grade :=>>") == std::string::npos);
    CHECK(rendered("vpl", judged()).content.ends_with("Grade :=>> 3.57\n"));
    CHECK(vpl.find("\n>got: ") != std::string::npos);
}

TEST_CASE("CSV quotes, defuses formulas, and leaves a judge's error empty") {
    const std::string csv = class_csv(Class().summary);
    CHECK(csv.find("student,points,max points,status,01-anonymous-pipes posix") == 0);
    CHECK(csv.find("\"'=cmd|' /C calc'!A0, \"\"Ada\"\" <script>\",4,212,needs a look,4,0,\r\n") != std::string::npos);
}

TEST_CASE("HTML holds no markup of a student's") {
    for (const std::string& page : {class_html(Class().summary), student_html(sample())}) {
        CHECK(page.find("<script>") == std::string::npos);
        CHECK(page.find("&lt;script&gt;") != std::string::npos);
    }
    CHECK(class_html(Class().summary).find("write-end-kept<small>01-anonymous-pipes posix</small>") != std::string::npos);
    const std::string titled = class_html(Class().summary, [](const std::string&, const std::string& name) { return "the <title> of " + name; });
    CHECK(titled.find("the &lt;title&gt; of write-end-kept<small>01-anonymous-pipes posix: write-end-kept</small>") != std::string::npos);
    CHECK(student_html(sample()).find("&lt;/pre&gt;") != std::string::npos);
    CHECK(student_html(sample()).find("mistake: write-end-kept: The write end stays open\nread: ./course handout 01 end-of-file\nagain: ./course grade 01 --case 1.2") != std::string::npos);
}

TEST_CASE("an unknown format is said with the known ones") {
    CHECK_THROWS_WITH_AS(rendered("canvas", json::object()), "there is no format 'canvas'; the formats are gradescope, classroom50, autolab, prairielearn, junit, vpl", Failure);
}
