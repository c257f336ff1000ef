#include "failure.hpp"
#include "temporary.hpp"
#include "verdict_text.hpp"
#include <doctest/doctest.h>

using namespace course;

namespace {

CaseVerdict one(const std::string& name, CaseOutcome outcome, int points) {
    CaseVerdict result;
    result.name = name;
    result.exercise = "1: capture";
    result.title = "title of " + name;
    result.outcome = outcome;
    result.points = outcome == CaseOutcome::passed ? points : 0;
    result.max_points = points;
    result.section = "end-of-file";
    return result;
}

Verdict verdict_of(std::vector<CaseVerdict> cases) {
    Verdict verdict;
    verdict.cases = std::move(cases);
    for (const CaseVerdict& each : verdict.cases)
        if (each.outcome != CaseOutcome::unavailable_here) {
            verdict.points += each.points;
            verdict.max_points += each.max_points;
        }
    return verdict;
}

const std::string json =
    R"({"schema":"ipc-labs/verdict/v1","lab":"01-anonymous-pipes","track":"posix","seed":"8f","points":8,"max_points":16,"cases":[
 {"name":"1.1","title":"a","outcome":"passed","points":8,"max_points":8},
 {"name":"1.2","title":"b","outcome":"not attempted","points":0,"max_points":8,"later":true}]})";

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a verdict is read, with keys that are not known yet") {
    const Verdict verdict = parse_verdict(json);
    CHECK(verdict.points == 8);
    CHECK(verdict.cases.size() == 2);
    CHECK(verdict.find("1.2")->outcome == CaseOutcome::not_attempted);
    CHECK(verdict.find("1.3") == nullptr);
    CHECK_FALSE(verdict.full_marks());
}

TEST_CASE("a list of cases has hints and no outcomes, and is not taken for a verdict") {
    const std::string list =
        R"({"schema":"ipc-labs/cases/v1","lab":"01-anonymous-pipes","track":"posix","cases":[
     {"name":"1.1","title":"a","max_points":8,"hints":["one","two"],"section":"s"}]})";
    CHECK(parse_verdict(list, true).find("1.1")->hints.size() == 2);
    CHECK(names_of(parse_verdict(list, true)) == std::vector<std::string>{"1.1"});
    CHECK_THROWS_AS(parse_verdict(list), Failure);
    CHECK_THROWS_AS(parse_verdict(json, true), Failure);
}

TEST_CASE("what is no verdict is a judge error") {
    for (
        const char* text :
        {"", "{", "[]", "{}", R"({"schema":"ipc-labs/verdict/v2"})",
         R"({"schema":"ipc-labs/verdict/v1","lab":"x","track":"posix","points":"all","max_points":1,"cases":[]})",
         R"({"schema":"ipc-labs/verdict/v1","lab":"x","track":"posix","points":1,"max_points":1,"cases":[{"name":"1","title":"","outcome":"perfect","points":1,"max_points":1}]})"}) {
        CAPTURE(text);
        try {
            parse_verdict(text);
            FAIL("accepted");
        } catch (const Failure& error) {
            CHECK(error.code() == exit_code::judge_error);
        }
    }
}

TEST_CASE("full marks need every case that is available, and at least one") {
    CHECK(verdict_of({one("1.1", CaseOutcome::passed, 8), one("1.2", CaseOutcome::unavailable_here, 8)})
              .full_marks());
    CHECK_FALSE(verdict_of({one("1.1", CaseOutcome::unavailable_here, 8)}).full_marks());
    CHECK_FALSE(
        verdict_of({one("1.1", CaseOutcome::passed, 8), one("1.2", CaseOutcome::failed, 0)}).full_marks());
    CHECK_FALSE(verdict_of({one("1.1", CaseOutcome::passed, 8), one("1.2", CaseOutcome::judge_error, 8)})
                    .full_marks());
    CHECK_FALSE(verdict_of({}).full_marks());
}

TEST_CASE("a message is made of keys whose text may go on") {
    const auto parts =
        message_parts("tried: lab-01 x\nexpected: a: b\ngot:\n  first\n    indented\nby hand: y");
    REQUIRE(parts.size() == 4);
    CHECK(parts[1] == std::pair<std::string, std::string>("expected", "a: b"));
    CHECK(parts[2] == std::pair<std::string, std::string>("got", "\nfirst\n  indented"));
    CHECK(parts[3].first == "by hand");
    CHECK(message_parts("no key here at all, but a sentence")[0].first == "note");
    CHECK(message_parts("").empty());
}

TEST_CASE("a failure says everything that helps, in terminal-proof text") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put("tests/01-anonymous-pipes/mistakes/posix/write-end-kept.patch",
               "Mistake: write-end-kept\nTitle: The parent keeps it\n\n--- a\n");
    CaseVerdict failed = one("1.2", CaseOutcome::failed, 8);
    failed.message = "tried: lab-01 capture\nexpected: 3 bytes\ngot: \x1b]0;owned\x07";
    failed.waiting = "lab-01 waits in read(3)";
    failed.mistake = "write-end-kept, unheard-of";
    failed.rerun = "./course grade 01 --case 1.2";
    const Verdict verdict = verdict_of({one("1.1", CaseOutcome::passed, 8), failed});
    const std::string text = verdict_text(repository, repository.lab_named("01"), Track::posix, verdict, {});
    for (const char* part :
         {"passed  1.1", "8/8", "failed  1.2", "0/8", "tried      lab-01 capture", "expected   3 bytes",
          "\\x1b]0;owned\\x07", "waiting    lab-01 waits in read(3)", "write-end-kept: The parent keeps it",
          "unheard-of", "labs/01-anonymous-pipes/README.md#end-of-file", "./course hint 1.2",
          "./course grade 01 --case 1.2"})
        CHECK_MESSAGE(has(text, part), part);
    CHECK_FALSE(has(text, "\x1b"));
    // Watch has the failure on top, and each case once more in a line.
    const std::string brief =
        verdict_text_short(repository, repository.lab_named("01"), Track::posix, verdict, {});
    CHECK(brief.find("failed  1.2") < brief.find("passed  1.1"));
    CHECK(has(brief, "waiting    lab-01"));
}

TEST_CASE("in a low terminal the first failure stays in sight") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    std::vector<CaseVerdict> cases;
    for (int number = 1; number <= 20; ++number)
        cases.push_back(one("1." + std::to_string(number), number == 16 ? CaseOutcome::failed : number < 3 ? CaseOutcome::not_attempted : CaseOutcome::passed, 5));
    const Verdict verdict = verdict_of(cases);
    const Lab lab = repository.lab_named("01");
    const std::string low = verdict_text_short(repository, lab, Track::posix, verdict, {}, 24);
    CHECK(has(low, "1.3 to 1.15, 1.17 to 1.20"));
    CHECK(has(low, "1.1, 1.2\n"));
    CHECK(std::count(low.begin(), low.end(), '\n') < 15);
    CHECK(has(verdict_text_short(repository, lab, Track::posix, verdict, {}, 80), "passed         1.20"));
}

TEST_CASE("what is to be read is what the named mistake is about, or else the case's section") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    const Lab lab = repository.lab_named("01");
    folder.put("tests/01-anonymous-pipes/mistakes/posix/sigpipe.patch", "Mistake: sigpipe\nTitle: x\nSection: the-reader-hangs-up\n\n--- a\n");
    CaseVerdict failed = one("1.20", CaseOutcome::failed, 3);
    CHECK(section_to_read(repository, lab, Track::posix, failed) == "end-of-file");
    failed.mistake = "unheard-of, sigpipe";
    CHECK(section_to_read(repository, lab, Track::posix, failed) == "the-reader-hangs-up");
    CHECK(section_to_read(repository, lab, Track::win32, failed) == "end-of-file");
    CHECK(has(summary_text(repository, lab, Track::posix, verdict_of({failed}), "x", {}), "README.md#the-reader-hangs-up"));
}

TEST_CASE("PUPPET and the shell for lines by hand are explained once, where they come first") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    CaseVerdict first = one("1.1", CaseOutcome::failed, 8), second = one("1.2", CaseOutcome::failed, 8);
    first.message = second.message = "tried: lab-01 capture -- PUPPET 1\nby hand: lab-01 capture -- true\nexpected: a\ngot: b";
    const std::string text = verdict_text(repository, repository.lab_named("01"), Track::win32, verdict_of({first, second}), {});
    for (const char* once : {"a program of the judge", "PATH=$PWD/build/windows-wine/run:$PATH"}) {
        const std::size_t at = text.find(once);
        CHECK(at < text.find("1.2"));
        CHECK(text.find(once, at + 1) == std::string::npos);
    }
}

TEST_CASE("a verdict keeps to the width of a narrow terminal, but for what is to be copied") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    CaseVerdict failed = one("1.10", CaseOutcome::failed, 9);
    failed.title = "filter does not deadlock when both pipes are full and somebody waits for somebody";
    failed.message = "tried: lab-01 filter -- PUPPET 1\nexpected: the started program writes 3145728 bytes to its standard output\ngot: nothing: everything stood still";
    failed.section = "both";
    const Verdict verdict = verdict_of({one("1.1", CaseOutcome::passed, 8), failed});
    const Lab lab = repository.lab_named("01");
    for (const int width : {40, 60, 80, 120}) {
        CAPTURE(width);
        const Columns columns(width);
        const std::string text = verdict_text(repository, lab, Track::posix, verdict, {}) + summary_text(repository, lab, Track::posix, verdict, "x", {});
        CHECK(longest_line(text) <= static_cast<std::size_t>(std::max(width, 4 + 2 + 44)));  // labs/01-anonymous-pipes/README.md#both
        CHECK(has(text, "1.10"));
        CHECK(has(text, "0/9"));
        CHECK(has(text, width < 72 ? "    tried\n      lab-01" : "      tried      lab-01"));
    }
}

TEST_CASE("an untouched starter is told where to begin, a finished one nothing") {
    const Lab lab{"01", "01-anonymous-pipes"};
    const std::string starter = "// throw ipc::not_implemented() is what you replace\n\nint helper(int x) { "
                                "return x; }\n\nstd::string capture(const Command& command,\n"
                                "                    int limit) {\n    throw ipc::not_implemented();\n}\n";
    const FirstTask task = first_task(starter);
    CHECK(task.function == "capture");
    CHECK(task.line == 5);
    CHECK(first_task("int f() { return 1; }\n").line == 0);

    const Verdict untouched =
        verdict_of({one("1.1", CaseOutcome::not_attempted, 8), one("1.2", CaseOutcome::unavailable_here, 8)});
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    std::string text = summary_text(repository, lab, Track::posix, untouched, starter, {});
    std::replace(text.begin(), text.end(), '\n', ' ');  // wherever the lines break
    CHECK(has(text, "0/8 points"));
    CHECK(has(text, "open labs/01-anonymous-pipes/posix.cpp at line 5 and write capture()"));
    const std::string done =
        summary_text(repository, lab, Track::posix, verdict_of({one("1.1", CaseOutcome::passed, 8)}), "done", {});
    CHECK(has(done, "8/8 points"));
    CHECK_FALSE(has(done, "Next"));
}

TEST_CASE("a case that is unavailable here shows no points and says why") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    CaseVerdict absent = one("2.1", CaseOutcome::unavailable_here, 8);
    absent.message = "note: Wine lets a second first instance through";
    const std::string text = verdict_text(repository, repository.lab_named("01"), Track::win32,
                                          verdict_of({one("1.1", CaseOutcome::passed, 8), absent}), {});
    CHECK(has(text, "unavailable here  2.1"));
    CHECK(has(text, "Wine lets a second first instance through"));
    CHECK_FALSE(has(text, "0/8"));
    CHECK(has(text, "2.1  title of 2.1\n"));
}
