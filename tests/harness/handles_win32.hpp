#pragma once

/// @file
/// Handles as the kernel sees them: of which process, of which type, on which object. Used by the harness to
/// say who holds what, and by the puppet to say what it has inherited; so both call an object by the same
/// name.

#include "ipc/handle.hpp"
#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace judge::nt {

/// Whether this is Wine and not Windows.
bool under_wine();

/// One line of the system's table of open handles.
struct HandleEntry {
    std::uint32_t process = 0;
    std::uintptr_t value = 0;
    unsigned type = 0;  ///< a number that is the same for all handles of one type; differs between systems
    std::uint32_t access = 0;
    bool inheritable = false;
};

/// All handles that are open now, in all processes.
std::vector<HandleEntry> all_handles();
/// The number that handles of the same type as `own` have in HandleEntry::type.
unsigned type_number(HANDLE own);

/// A handle of ours on what handle `value` of another process refers to; none if that is not allowed or gone.
ipc::unique_handle borrow(HANDLE process, std::uintptr_t value);

/// "File", "Event", "Mutant", …
std::string type_of(HANDLE own);
/// The object's name as a Win32 program writes it (`\\.\pipe\x`, `Local\x`); empty if it has none.
///
/// On Windows the name of a pipe cannot be had while somebody is blocked in a synchronous call on it: then it
/// is empty after a short while, too.
std::string name_of(HANDLE own);
bool same_object(HANDLE own, HANDLE other);

/// "0x44"
std::string hex(std::uintptr_t value);
/// "0x44 Event Local\x"
std::string text_of(std::uintptr_t value, HANDLE own);

/// The null device, inheritable.
ipc::unique_file null_device();

/// The path of the process's program file; empty if the system does not tell.
std::string program_of(HANDLE process);
/// "lab-01" for C:\…\lab-01.exe: messages read the same on both tracks.
std::string short_name(const std::string& path);

/// Ourselves and everyone that we started, directly or not: who else could hold what a subject waits for.
std::set<DWORD> family();

/// The ids of the process's threads, the first one first.
std::vector<DWORD> threads_of(DWORD process);
/// Processor time, user and system, of the process's living threads.
std::chrono::microseconds cpu_time(DWORD process);

/// A function of ntdll.dll that no import library promises; null where it does not exist.
void* function(const char* name);
template <class Function>
Function function_as(const char* name) {
    return reinterpret_cast<Function>(function(name));
}

}  // namespace judge::nt
