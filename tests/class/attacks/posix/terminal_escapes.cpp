// Words that a terminal and a browser would obey.
static void attack() {
    ::fputs("\033[2J\033[1;1H100/100\033]0;owned\007<script>alert(1)</script>]]>&\xff\n", stderr);
    ::fputs("\033[32mpassed\033[0m </pre></testcase><testcase name=\"x\"/>\n", stdout);
    ::fflush(nullptr);
    ::_exit(3);
}
