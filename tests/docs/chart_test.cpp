#include "docs_chart.hpp"
#include "docs_text.hpp"
#include "failure.hpp"

#include <doctest/doctest.h>

using namespace course::site;

TEST_CASE("a sequence chart is drawn, and told in words") {
    std::string words;
    const std::string svg = sequence_svg("sequenceDiagram\n  participant A as lab-01\n  A->>B: open(\"x\")\n "
                                         " B--xA: <gone>\n  Note over A,B: both",
                                         words);
    CHECK(words == "Sequence chart. lab-01 to B: open(\"x\"). B to lab-01: <gone>. Note at lab-01: both.");
    CHECK(svg.find("&lt;gone&gt;") != std::string::npos);
    CHECK(svg.find("class=\"note\"") != std::string::npos);
    CHECK(svg.find("aria-label=") != std::string::npos);
}

TEST_CASE("what cannot be drawn is an error with its line") {
    std::string words;
    CHECK_THROWS_WITH_AS(sequence_svg("sequenceDiagram\n  A =>> B", words),
                         "a sequence chart has a line that the site cannot draw: A =>> B", course::Failure);
    CHECK_THROWS_AS(sequence_svg("sequenceDiagram\n  A->>B: x\n  end", words), course::Failure);
}

TEST_CASE("anchors are GitHub's") {
    CHECK(slug_of("Exercise 1: start it and wait for it") == "exercise-1-start-it-and-wait-for-it");
    CHECK(slug_of("Where's `pipe2()`?") == "wheres-pipe2");
    CHECK(slug_of("a_b - c") == "a_b---c");
}

TEST_CASE("text and HTML") {
    CHECK(html_text("<p>a &lt;b&gt; &amp;amp; <code>c</code></p>") == "a <b> &amp; c");
    CHECK(raw_html("\\endhtmlonly $(x) @page") == "&#92;endhtmlonly &#36;(x) &#64;page");
}
