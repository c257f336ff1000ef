// A process that outlives the run; it ends by itself after two minutes.
static void attack() {
    wchar_t line[] = L"cmd /c ping -n 120 127.0.0.1 >nul";
    STARTUPINFOW start{};
    start.cb = sizeof start;
    PROCESS_INFORMATION process{};
    ::CreateProcessW(nullptr, line, nullptr, nullptr, FALSE, DETACHED_PROCESS | CREATE_BREAKAWAY_FROM_JOB, nullptr, nullptr, &start, &process);
    ::ExitProcess(0);
}
