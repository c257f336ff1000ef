#include "commands.hpp"
#include "markdown.hpp"
#include "temporary.hpp"
#include "trace_chart.hpp"
#include <doctest/doctest.h>

using namespace course;

namespace {

// Two programs that meet at a FIFO, as strace -ff -ttt -T -yy writes it.
const char* const reader_log = R"(100.000000 execve("/labs/lab-02", ["/labs/lab-02", "read", "p"], 0x7ffd /* 41 vars */) = 0 <0.000956>
100.001000 openat(AT_FDCWD</home/me>, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache> <0.000034>
100.001100 close(3</etc/ld.so.cache>) = 0 <0.000031>
100.002000 mknodat(AT_FDCWD</home/me>, "p", S_IFIFO|0600) = 0 <0.000072>
100.002100 openat(AT_FDCWD</home/me>, "p", O_RDONLY|O_CLOEXEC) = 3</home/me/p> <0.400000>
100.403000 read(3</home/me/p>, "he\"l, lo\n", 65536) = 9 <0.000034>
100.404000 write(1</tmp/s/program-0.out>, "he\"l, lo\n", 9) = 9 <0.000013>
100.405000 read(3</home/me/p>, "", 65536) = 0 <0.000006>
100.406000 exit_group(0)         = ?
100.406100 +++ exited with 0 +++
)";
const char* const writer_log = R"(100.400000 execve("/labs/lab-02", ["/labs/lab-02", "write", "p"], 0x7ffd /* 41 vars */) = 0 <0.000956>
100.402000 openat(AT_FDCWD</home/me>, "p", O_WRONLY|O_CLOEXEC) = 3</home/me/p> <0.000017>
100.402500 write(3</home/me/p>, "he\"l, lo\n", 9) = 9 <0.000042>
100.402700 close(3</home/me/p>)  = 0 <0.000029>
100.402800 write(1</tmp/s/program-1.out>, "x", 1) = -1 EPIPE (Broken pipe) <0.000005>
100.402850 --- SIGPIPE {si_signo=SIGPIPE, si_code=SI_USER, si_pid=12, si_uid=0} ---
100.402900 +++ killed by SIGPIPE +++
)";

Chart meeting() {
    ChartRequest request;
    request.programs = {{"lab-02", "read", "p"}, {"lab-02", "write", "p"}};
    request.directory = "/home/me";
    request.files = "/tmp/s/program-";
    return chart_of({{11, 0, traced_calls(reader_log)}, {12, 1, traced_calls(writer_log)}}, request);
}

std::string at(const Chart& chart, std::size_t row) {
    const ChartRow& one = chart.rows.at(row);
    return std::to_string(one.lane) + (one.arrow_from < 0 ? "" : "<" + std::to_string(one.arrow_from)) + (one.blocked ? "! " : " ") + one.text;
}

}  // namespace

TEST_CASE("strace's lines are read with their quotes, targets, times and errors") {
    const std::vector<TracedCall> calls = traced_calls(writer_log);
    REQUIRE(calls.size() == 7);
    CHECK(calls[2].name == "write");
    CHECK(calls[2].arguments == std::vector<std::string>{"3</home/me/p>", "\"he\\\"l, lo\\n\"", "9"});
    CHECK(calls[2].result == "9");
    CHECK(calls[2].duration == doctest::Approx(0.000042));
    CHECK(calls[4].error == "EPIPE");
    CHECK(calls[5].kind == TracedCall::Kind::signal);
    CHECK(calls[6].kind == TracedCall::Kind::killed);
    CHECK(calls[6].name == "SIGPIPE");
}

TEST_CASE("strace's words that are no call are left out") {
    CHECK(traced_calls("").empty());
    CHECK(traced_calls("\n\nnonsense\n12.5 half(\n100.1 read(3<pipe:[8]>,  <unfinished ...>) = ?\n").size() == 1);
}

TEST_CASE("descriptors") {
    CHECK(traced_descriptor("3<TCP:[127.0.0.1:5->127.0.0.1:6]>").target == "TCP:[127.0.0.1:5->127.0.0.1:6]");
    CHECK(traced_descriptor("17").number == 17);
    CHECK(traced_descriptor("17").target.empty());
    CHECK(traced_descriptor("AT_FDCWD</home>").number == -1);
}

TEST_CASE("a chart tells who waited for whom, and nothing of libraries") {
    const Chart chart = meeting();
    REQUIRE(chart.rows.size() == 13);
    CHECK(at(chart, 0) == "0 makes FIFO p");
    CHECK(at(chart, 1) == "0! waits to open p to read");
    CHECK(at(chart, 2) == "1 opens p to write");
    CHECK(at(chart, 3) == "0<1 opens p to read");
    CHECK(at(chart, 4) == "1 writes 9 bytes to p \"he\\\"l, lo\\n\"");
    CHECK(at(chart, 5) == "1 closes 3 (p)");
    CHECK(at(chart, 6) == "1 write to standard output: EPIPE");
    CHECK(at(chart, 7) == "1 gets SIGPIPE");
    CHECK(at(chart, 8) == "1 dies by SIGPIPE");
    CHECK(at(chart, 9) == "0<1 reads 9 bytes from p \"he\\\"l, lo\\n\"");
    CHECK(at(chart, 10) == "0 writes 9 bytes to standard output \"he\\\"l, lo\\n\"");
    CHECK(at(chart, 11) == "0<1 reads the end of p");
    CHECK(at(chart, 12) == "0 ends");
    CHECK(chart.rows[8].bad);
}

TEST_CASE("a chart fits its terminal") {
    const Chart chart = meeting();
    for (const std::size_t width : {40u, 80u, 120u}) {
        const std::string text = chart_text(chart, width, false);
        for (std::size_t from = 0; from < text.size();) {
            const std::size_t end = text.find('\n', from);
            CHECK(columns(text.substr(from, end - from)) <= width);
            from = end + 1;
        }
        CHECK(text.find("waits to open") != std::string::npos);
    }
    const std::string svg = chart_svg(chart, "a < b");
    CHECK(svg.find("a &lt; b") != std::string::npos);
    CHECK(svg.find("<title") != std::string::npos);
    CHECK(svg.find("class=\"waits\"") != std::string::npos);
}

TEST_CASE("a handout's sections are found by their anchors, and code is no heading") {
    const std::string handout = "# One {#first}\nwords\n```\n# no heading\n```\n## Two words!\nmore **bold** `code`\n# Three\nend\n";
    CHECK(markdown_anchors(handout) == std::vector<std::string>{"first", "two-words", "three"});
    CHECK(markdown_section(handout, "two-words") == "## Two words!\nmore **bold** `code`\n");
    CHECK(!markdown_section(handout, "four"));
    const std::string text = markdown_text(handout, 60, Style{});
    CHECK(text.find("    # no heading\n") != std::string::npos);
    CHECK(text.find("more bold `code`") != std::string::npos);
    CHECK(text.find("One\n===") != std::string::npos);
}

TEST_CASE("words of a traced program that stand before the -- are answered with the right line") {
    CHECK(misplaced_trace_words({"01", "--", "capture", "--", "echo"}).empty());
    CHECK(misplaced_trace_words({"01", "--solution", "--svg", "x.svg", "--", "capture"}).empty());
    CHECK(misplaced_trace_words({"--help"}).empty());
    const auto answers = [](const std::vector<std::string>& words, const char* line) {
        return misplaced_trace_words(words).find(line) != std::string::npos;
    };
    CHECK(answers({"01", "capture", "echo", "hi"}, "./course trace 01 -- capture echo hi"));
    CHECK(answers({"01", "capture", "--", "echo", "a b"}, "./course trace 01 -- capture -- echo 'a b'"));
    CHECK(answers({"02", "--solution", "read", "p"}, "./course trace 02 --solution -- read p"));
    CHECK(answers({"01"}, "./course trace 01 -- capture -- echo"));
}

TEST_CASE("a table has columns where they fit, and else one field a line") {
    const std::string table = "| | POSIX | Windows |\n|---|---|---|\n| make | `pipe2(ends, O_CLOEXEC)` | `a \\| b` |\n\nafter\n";
    CHECK(markdown_text(table, 80, Style{}) == "       POSIX                      Windows\nmake   `pipe2(ends, O_CLOEXEC)`   `a | b`\n\nafter\n");
    CHECK(markdown_text(table, 40, Style{}) == "make\n  POSIX: `pipe2(ends, O_CLOEXEC)`\n  Windows: `a | b`\n\nafter\n");
}
