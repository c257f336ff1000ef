#include "class_intake.hpp"
#include "failure.hpp"
#include "temporary.hpp"
#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>
#include <functional>
#include <sys/stat.h>

using namespace course;

namespace {

const std::vector<Lab> two_labs = {{"00", "00-processes"}, {"01", "01-anonymous-pipes"}};

/// Writes an archive entry by entry, whatever the entries are called.
class Packed {
public:
    explicit Packed(const std::filesystem::path& file, bool zip = false) : out_(archive_write_new()) {
        if (zip)
            archive_write_set_format_zip(out_);
        else {
            archive_write_set_format_gnutar(out_);
            archive_write_add_filter_gzip(out_);
        }
        REQUIRE(archive_write_open_filename(out_, file.c_str()) == ARCHIVE_OK);
    }
    ~Packed() {
        archive_write_close(out_);
        archive_write_free(out_);
    }
    void add(const std::string& name, const std::string& content, unsigned type = AE_IFREG, const std::string& link = {}) {
        archive_entry* entry = archive_entry_new();
        archive_entry_set_pathname(entry, name.c_str());
        archive_entry_set_filetype(entry, type);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, type == AE_IFREG && link.empty() ? static_cast<la_int64_t>(content.size()) : 0);
        if (type == AE_IFLNK)
            archive_entry_set_symlink(entry, link.c_str());
        else if (!link.empty())
            archive_entry_set_hardlink(entry, link.c_str());
        archive_write_header(out_, entry);
        if (type == AE_IFREG && link.empty())
            archive_write_data(out_, content.data(), content.size());
        archive_entry_free(entry);
    }

private:
    archive* out_;
};

std::string problem_with(const std::filesystem::path& source) {
    const Intake intake = take_in({"a", "a", source}, two_labs);
    CHECK(intake.files.empty() != intake.problems.empty());
    return intake.problems.empty() ? "" : intake.problems[0];
}

std::string problem_with_archive(const std::function<void(Packed&)>& fill) {
    const TemporaryFolder folder;
    {
        Packed packed(folder.path() / "a.tar.gz");
        fill(packed);
    }
    return problem_with(folder.path() / "a.tar.gz");
}

bool says(const std::string& problem, const std::string& words) { return problem.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("students are found in the names that platforms give") {
    CHECK(student_in("Ada Lovelace_123456_assignsubmission_file_") == "Ada Lovelace");
    CHECK(student_in("lovelaceada_LATE_1234_5678_labs.zip") == "lovelaceada");
    CHECK(student_in("lovelaceada_1234_5678_labs-2.tar.gz") == "lovelaceada");
    CHECK(student_in("Lab 1_alovelace_attempt_2026-11-21-10-00-00_x.zip") == "alovelace");
    CHECK(student_in("submission_12345") == "submission_12345");
    CHECK(student_in("ada.tgz") == "ada");
    CHECK(student_in("王小明") == "王小明");
}

TEST_CASE("only a student's files are taken, at whatever depth, and equal keys do not meet") {
    const TemporaryFolder folder;
    folder.put("s/ada/repo/labs/01-anonymous-pipes/posix.cpp", "mine");
    folder.put("s/ada/repo/labs/01-anonymous-pipes/.starter/posix.cpp", "starter");
    folder.put("s/ada/repo/labs/01-anonymous-pipes/main.cpp", "a main of my own");
    folder.put("s/ada/repo/tests/01-anonymous-pipes/judge.cpp", "a judge of my own");
    folder.put("s/ada/repo/build/labs/01-anonymous-pipes/posix.cpp", "old");
    folder.put("s/ada!/01/win32.cpp", "x");
    folder.put("s/.hidden/01/win32.cpp", "x");
    const std::vector<Submission> found = submissions_in(folder.path() / "s");
    REQUIRE(found.size() == 2);
    CHECK(found[0].key != found[1].key);
    for (const Submission& each : found)
        CHECK(each.key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == std::string::npos);
    for (const Submission& each : found)
        if (each.student == "ada") {
            const Intake intake = take_in(each, two_labs);
            REQUIRE(intake.files.size() == 1);
            CHECK(intake.files[0].content == "mine");
            CHECK(intake.files[0].lab.number == "01");
        }
}

TEST_CASE("an empty folder is said, not graded") {
    const TemporaryFolder folder;
    CHECK_THROWS_AS(submissions_in(folder.path()), Failure);
    CHECK_THROWS_AS(submissions_in(folder.path() / "none"), Failure);
    folder.put("ada/readme.txt", "hello");
    CHECK(says(problem_with(folder.path() / "ada"), "none of the files"));
}

TEST_CASE("a folder's tricks are refused with a reason") {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder.path() / "link/01");
    std::filesystem::create_symlink("/etc/passwd", folder.path() / "link/01/posix.cpp");
    CHECK(says(problem_with(folder.path() / "link"), "link or a special file"));
    std::filesystem::create_directories(folder.path() / "fifo/01");
    REQUIRE(::mkfifo((folder.path() / "fifo/01/posix.cpp").c_str(), 0600) == 0);
    CHECK(says(problem_with(folder.path() / "fifo"), "special file"));
    std::filesystem::create_directory_symlink("/", folder.path() / "whole");
    CHECK(says(problem_with(folder.path() / "whole"), "it is a link"));
    folder.put("large/01/posix.cpp", std::string(600 * 1024, 'x'));
    CHECK(says(problem_with(folder.path() / "large"), "larger than 512 KiB"));
    folder.put("wide/01/posix.cpp", std::string("\xff\xfe" "a\0b\0", 6));
    CHECK(says(problem_with(folder.path() / "wide"), "UTF-16"));
    folder.put("binary/01/posix.cpp", std::string("a\0b", 3));
    CHECK(says(problem_with(folder.path() / "binary"), "no text"));
    folder.put("twice/a/01/posix.cpp", "one");
    folder.put("twice/b/01/posix.cpp", "other");
    CHECK(says(problem_with(folder.path() / "twice"), "twice"));
}

TEST_CASE("an archive gives what a folder gives") {
    const TemporaryFolder folder;
    for (const bool zip : {false, true}) {
        const auto file = folder.path() / (zip ? "a.zip" : "a.tar.gz");
        {
            Packed packed(file, zip);
            packed.add("labs/01-anonymous-pipes/posix.cpp", "mine");
            packed.add("__MACOSX/labs/01-anonymous-pipes/posix.cpp", "of the archiver");
            packed.add("labs/00-processes/win32.cpp", "");
        }
        const Intake intake = take_in({"a", "a", file}, two_labs);
        CHECK(intake.problems.empty());
        REQUIRE(intake.files.size() == 2);
        CHECK(intake.files[0].lab.number == "00");
        CHECK(intake.files[1].content == "mine");
    }
}

TEST_CASE("an archive's tricks are refused with a reason") {
    CHECK(says(problem_with_archive([](Packed& a) { a.add("../01/posix.cpp", "x"); }), "'..'"));
    CHECK(says(problem_with_archive([](Packed& a) { a.add("/01/posix.cpp", "x"); }), "no path inside"));
    CHECK(says(problem_with_archive([](Packed& a) { a.add("01\\posix.cpp", "x"); }), "no path inside"));
    CHECK(says(problem_with_archive([](Packed& a) { a.add("01/posix.cpp", "", AE_IFLNK, "/etc/shadow"); }), "link"));
    CHECK(says(problem_with_archive([](Packed& a) {
                   a.add("x", "x");
                   a.add("01/posix.cpp", "", AE_IFREG, "x");
               }),
               "link"));
    CHECK(says(problem_with_archive([](Packed& a) { a.add("01/posix.cpp", "", AE_IFIFO); }), "special file"));
    // Bombs: many entries, much data in little, taken or not.
    CHECK(says(problem_with_archive([](Packed& a) {
                   for (int i = 0; i < 5100; ++i)
                       a.add("f" + std::to_string(i), "");
               }),
               "more than 5000 files"));
    CHECK(says(problem_with_archive([](Packed& a) {
                   a.add("zeros", std::string(70 << 20, '\0'));
                   a.add("01/posix.cpp", "x");
               }),
               "larger than 64 MiB"));
    CHECK(says(problem_with_archive([](Packed& a) { a.add("01/posix.cpp", std::string(2 << 20, ' ')); }), "larger than 512 KiB"));
}

TEST_CASE("a damaged archive is refused with a reason") {
    const TemporaryFolder folder;
    folder.put("a.zip", "PK\x03\x04 and then nothing of the kind");
    CHECK(!problem_with(folder.path() / "a.zip").empty());
    folder.put("b.tar.gz", "");
    CHECK(!problem_with(folder.path() / "b.tar.gz").empty());
}
