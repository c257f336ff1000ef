// What attacks of the win32 track may use.
#include <cstdio>
#include <windows.h>

#include <tlhelp32.h>
