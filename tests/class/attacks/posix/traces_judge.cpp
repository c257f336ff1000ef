// Becomes its judge's debugger.
static void attack() {
    if (::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr) == 0)
        ::printf("100 points\n");
    ::_exit(0);
}
