#include "class_bundle.hpp"
#include "class_intake.hpp"
#include "files.hpp"
#include "temporary.hpp"
#include <algorithm>
#include <doctest/doctest.h>

using namespace course;

namespace {

const std::string secret_line_1 = "const Everything answer = what_only_the_solution_knows();";
const std::string secret_line_2 = "while (answer.is_not_complete()) answer.add_another_part();";
const std::string secret_line_3 = "return close_all_but(answer.descriptor(), answer.rest());";
const std::string secret = secret_line_1 + "\n    " + secret_line_2 + "\n" + secret_line_3 + "\n";

bool has(const std::vector<BundleFile>& files, const std::string& path) {
    return std::any_of(files.begin(), files.end(), [&](const BundleFile& file) { return file.path == path; });
}

const BundleFile& file_in(const std::vector<BundleFile>& files, const std::string& path) {
    const auto found = std::find_if(files.begin(), files.end(), [&](const BundleFile& file) { return file.path == path; });
    REQUIRE(found != files.end());
    return *found;
}

}  // namespace

TEST_CASE("students get labs, judges and tools, and no programs that are solutions") {
    for (const char* path : {"labs/01-anonymous-pipes/posix.cpp", "labs/01-anonymous-pipes/.starter/posix.cpp", "tests/01-anonymous-pipes/judge.cpp",
                             "tests/01-anonymous-pipes/mistakes/posix/x.patch", "tests/harness/judge.hpp", "common/course/main.cpp", "docs/index.md", "course"})
        CHECK_MESSAGE(goes_to_students(path), path);
    for (const char* path : {"solutions/01-anonymous-pipes/posix.cpp", "tests/01-anonymous-pipes/alternatives/posix/x.cpp", "tests/01-anonymous-pipes/cheats/posix/x.cpp",
                             "tests/class/attacks/x.cpp", "common/course/bundle/setup.sh", ".ci/run"})
        CHECK_MESSAGE(!goes_to_students(path), path);
}

TEST_CASE("a mistake keeps its words and loses its patch; an instructor's page keeps its place") {
    CHECK(as_students_get_it("tests/01-x/mistakes/posix/a.patch", "Mistake: a\nTitle: b\n\n--- a/posix.cpp\n+++ b/posix.cpp\n-secret\n") == "Mistake: a\nTitle: b\n\n");
    const std::string page = as_students_get_it("docs/instructors.md", "<!-- edition: instructor -->\n# Instructors\n\nThe solutions say …\n");
    CHECK(page.starts_with("<!-- edition: instructor -->\n# "));
    CHECK(page.find("The solutions say") == std::string::npos);
    CHECK(as_students_get_it("docs/index.md", "# Index\n--- x") == "# Index\n--- x");
}

TEST_CASE("starters go out as they were shipped, programs stay programs") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put("labs/01-anonymous-pipes/posix.cpp", "tried out by the instructor\n");
    folder.put("course", "#!/bin/sh\n");
    folder.put("build/linux/x", "built");
    std::filesystem::permissions(folder.path() / "course", std::filesystem::perms(0755));
    const std::vector<BundleFile> files = students_files(repository);
    CHECK(file_in(files, "labs/01-anonymous-pipes/posix.cpp").content == read_file(folder.path() / "labs/01-anonymous-pipes/.starter/posix.cpp"));
    CHECK(file_in(files, "course").executable);
    CHECK_FALSE(file_in(files, "CMakePresets.json").executable);
    CHECK_FALSE(has(files, "build/linux/x"));
}

TEST_CASE("what a solution says is found wherever it has got to") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put("solutions/01-anonymous-pipes/posix.cpp", "#include <a>\n\n" + secret);
    folder.put("docs/instructors.md", "<!-- edition: instructor -->\n# Instructors\nOnly those who teach read this line.\nAnd they read this line here.\nAnd this is the third line.\n");
    folder.put("docs/page.md", "# A page\n\n```cpp\n" + secret + "```\n");
    folder.put("docs/harmless.md", secret_line_1 + "\n\nand much later\n\n" + secret_line_3 + "\n");
    const auto found = solution_text_in(repository, students_files(repository));
    REQUIRE(found.size() == 1);
    CHECK(found[0] == "docs/page.md:4 is from solutions/01-anonymous-pipes/posix.cpp:3");
    // What the starter has as well is nobody's secret.
    folder.put("labs/01-anonymous-pipes/.starter/posix.cpp", secret);
    CHECK(solution_text_in(repository, students_files(repository)).empty());
    folder.put("docs/page.md", "Only those who teach read this line.\nAnd they read this line here.\nAnd this is the third line.\n");
    CHECK(solution_text_in(repository, students_files(repository)).size() == 1);
}

TEST_CASE("a judge may look like a solution for some lines, and not be one") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    std::string whole;
    for (int i = 0; i < 12; ++i)
        whole += "this_is_telling_line(" + std::to_string(i) + ");\n";
    folder.put("solutions/01-anonymous-pipes/posix.cpp", whole);
    folder.put("tests/01-anonymous-pipes/judge.cpp", whole.substr(whole.find('\n') + 1));
    CHECK(solution_text_in(repository, students_files(repository)).empty());
    folder.put("tests/01-anonymous-pipes/judge.cpp", whole);
    CHECK(solution_text_in(repository, students_files(repository)).size() == 1);
}

TEST_CASE("an archive is read back as it was packed, and the same files give the same bytes") {
    const TemporaryFolder folder;
    const std::vector<BundleFile> files = {{"labs/01-anonymous-pipes/posix.cpp", "int x;\n", false}, {"run", "#!/bin/sh\n", true}};
    for (const ArchiveKind kind : {ArchiveKind::tar_gz, ArchiveKind::zip}) {
        const std::string bytes = packed(kind, "top", files);
        CHECK(bytes == packed(kind, "top", files));
        const auto file = folder.path() / (kind == ArchiveKind::zip ? "a.zip" : "a.tar.gz");
        write_file(file, bytes);
        const Intake intake = take_in({"a", "a", file}, {{"01", "01-anonymous-pipes"}});
        REQUIRE(intake.files.size() == 1);
        CHECK(intake.files[0].content == "int x;\n");
    }
}
