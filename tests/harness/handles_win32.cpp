#include "handles_win32.hpp"

#include "ipc/error.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <thread>
#include <tlhelp32.h>
#include <windows.h>
#include <winternl.h>

namespace judge::nt {

void* function(const char* name) {
    static const HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    return reinterpret_cast<void*>(GetProcAddress(ntdll, name));
}

bool under_wine() {
    static const bool wine = function("wine_get_version") != nullptr;
    return wine;
}

namespace {

// SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX; the SDK's headers do not have it.
struct TableEntry {
    void* object;
    ULONG_PTR process;
    ULONG_PTR value;
    ULONG access;
    USHORT trace;
    USHORT type;
    ULONG attributes;
    ULONG reserved;
};

struct Table {
    ULONG_PTR count;
    ULONG_PTR reserved;
};

constexpr int system_extended_handle_information = 64;
constexpr int object_name_information = 1, object_type_information = 2;
constexpr NTSTATUS info_length_mismatch = static_cast<NTSTATUS>(0xC0000004L);

using QuerySystem = NTSTATUS(NTAPI*)(int, void*, ULONG, ULONG*);
using QueryObject = NTSTATUS(NTAPI*)(HANDLE, int, void*, ULONG, ULONG*);
using CompareObjects = NTSTATUS(NTAPI*)(HANDLE, HANDLE);

// Both kinds of information begin with a UNICODE_STRING.
std::wstring object_text(HANDLE own, int what) {
    static const auto query = function_as<QueryObject>("NtQueryObject");
    alignas(UNICODE_STRING) unsigned char buffer[4096];
    ULONG needed = 0;
    if (query(own, what, buffer, sizeof buffer, &needed) < 0)
        return {};
    UNICODE_STRING text;
    std::memcpy(&text, buffer, sizeof text);
    return text.Buffer ? std::wstring(text.Buffer, text.Length / sizeof(wchar_t)) : std::wstring();
}

// A question that the system may answer only after the pipe it is about has been read from: asked in a thread
// that can be left behind.
std::wstring object_name_in_time(HANDLE own) {
    auto promise = std::make_shared<std::promise<std::wstring>>();
    std::future<std::wstring> answer = promise->get_future();
    HANDLE copy = nullptr;
    if (!DuplicateHandle(GetCurrentProcess(), own, GetCurrentProcess(), &copy, 0, FALSE,
                         DUPLICATE_SAME_ACCESS))
        return {};
    std::thread([promise, copy] {
        promise->set_value(object_text(copy, object_name_information));
        CloseHandle(copy);
    }).detach();
    return answer.wait_for(std::chrono::milliseconds(100)) == std::future_status::ready ? answer.get()
                                                                                        : std::wstring();
}

bool take_prefix(std::wstring& text, std::wstring_view prefix) {
    if (!text.starts_with(prefix))
        return false;
    text.erase(0, prefix.size());
    return true;
}

std::wstring as_win32_writes_it(std::wstring name) {
    if (take_prefix(name, L"\\Device\\NamedPipe\\"))
        return L"\\\\.\\pipe\\" + name;
    if (take_prefix(name, L"\\BaseNamedObjects\\"))
        return L"Global\\" + name;
    if (name.starts_with(L"\\Sessions\\"))
        if (const auto at = name.find(L"\\BaseNamedObjects\\"); at != std::wstring::npos)
            return L"Local\\" + name.substr(at + std::wcslen(L"\\BaseNamedObjects\\"));
    take_prefix(name, L"\\??\\");
    return name;
}

}  // namespace

std::vector<HandleEntry> all_handles() {
    static const auto query = function_as<QuerySystem>("NtQuerySystemInformation");
    std::vector<unsigned char> buffer(256 * 1024);
    for (;;) {
        ULONG needed = 0;
        const NTSTATUS status = query(system_extended_handle_information, buffer.data(),
                                      static_cast<ULONG>(buffer.size()), &needed);
        if (status >= 0)
            break;
        if (status != info_length_mismatch)
            return {};
        buffer.resize(std::max<std::size_t>(2 * buffer.size(), needed));  // more are opened while we ask
    }
    Table table;
    std::memcpy(&table, buffer.data(), sizeof table);
    std::vector<HandleEntry> found(table.count);
    for (std::size_t i = 0; i < found.size(); ++i) {
        TableEntry entry;
        std::memcpy(&entry, buffer.data() + sizeof table + i * sizeof entry, sizeof entry);
        found[i] = {static_cast<std::uint32_t>(entry.process), entry.value, entry.type,
                    static_cast<std::uint32_t>(entry.access),
                    (entry.attributes & 0x2 /* OBJ_INHERIT */) != 0};
    }
    return found;
}

unsigned type_number(HANDLE own) {
    for (const HandleEntry& entry : all_handles())
        if (entry.process == GetCurrentProcessId() && entry.value == reinterpret_cast<std::uintptr_t>(own))
            return entry.type;
    return 0;
}

ipc::unique_handle borrow(HANDLE process, std::uintptr_t value) {
    HANDLE copy = nullptr;
    DuplicateHandle(process, reinterpret_cast<HANDLE>(value), GetCurrentProcess(), &copy, 0, FALSE,
                    DUPLICATE_SAME_ACCESS);
    return ipc::unique_handle(copy);
}

std::string type_of(HANDLE own) {
    return ipc::to_utf8(object_text(own, object_type_information));
}

std::string name_of(HANDLE own) {
    const bool may_block = !under_wine() && type_of(own) == "File";
    return ipc::to_utf8(
        as_win32_writes_it(may_block ? object_name_in_time(own) : object_text(own, object_name_information)));
}

bool same_object(HANDLE own, HANDLE other) {
    static const auto compare = function_as<CompareObjects>("NtCompareObjects");
    return compare && compare(own, other) == 0;
}

std::string hex(std::uintptr_t value) {
    std::string digits;
    do
        digits.insert(digits.begin(), "0123456789abcdef"[value & 15]);
    while (value >>= 4);
    return "0x" + digits;
}

std::string text_of(std::uintptr_t value, HANDLE own) {
    const std::string name = name_of(own);
    return hex(value) + " " + type_of(own) + (name.empty() ? "" : " " + name);
}

ipc::unique_file null_device() {
    SECURITY_ATTRIBUTES inheritable{sizeof inheritable, nullptr, TRUE};
    ipc::unique_file file(CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE,
                                      FILE_SHARE_READ | FILE_SHARE_WRITE, &inheritable, OPEN_EXISTING, 0,
                                      nullptr));
    if (!file)
        ipc::throw_last_error("CreateFile", "NUL");
    return file;
}

std::string program_of(HANDLE process) {
    wchar_t path[4096];
    DWORD size = 4096;
    return QueryFullProcessImageNameW(process, 0, path, &size) ? ipc::to_utf8(std::wstring_view(path, size))
                                                               : std::string();
}

std::string short_name(const std::string& path) {
    std::string name = path.substr(path.find_last_of("\\/") + 1);
    if (name.size() > 4 && _stricmp(name.c_str() + name.size() - 4, ".exe") == 0)
        name.resize(name.size() - 4);
    return name;
}

std::set<DWORD> family() {
    std::set<DWORD> found{GetCurrentProcessId()};
    // By parents; and on Windows by the job of a case's process, which has those who lost their parent.
    const ipc::unique_file snapshot(CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0));
    std::multimap<DWORD, DWORD> children;
    PROCESSENTRY32W entry{};
    entry.dwSize = sizeof entry;
    for (BOOL more = snapshot && Process32FirstW(snapshot.get(), &entry); more;
         more = Process32NextW(snapshot.get(), &entry))
        children.emplace(entry.th32ParentProcessID, entry.th32ProcessID);
    std::vector<DWORD> parents{GetCurrentProcessId()};
    while (!parents.empty()) {
        const auto [first, last] = children.equal_range(parents.back());
        parents.pop_back();
        for (auto child = first; child != last; ++child)
            if (found.insert(child->second).second)
                parents.push_back(child->second);
    }
    alignas(ULONG_PTR) unsigned char buffer[16 * 1024];
    auto* list = reinterpret_cast<JOBOBJECT_BASIC_PROCESS_ID_LIST*>(buffer);
    if (QueryInformationJobObject(nullptr, JobObjectBasicProcessIdList, list, sizeof buffer, nullptr))
        for (DWORD i = 0; i < list->NumberOfProcessIdsInList; ++i)
            found.insert(static_cast<DWORD>(list->ProcessIdList[i]));
    return found;
}

std::vector<DWORD> threads_of(DWORD process) {
    std::vector<DWORD> found;
    const ipc::unique_file snapshot(CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0));
    THREADENTRY32 entry{};
    entry.dwSize = sizeof entry;
    for (BOOL more = snapshot && Thread32First(snapshot.get(), &entry); more;
         more = Thread32Next(snapshot.get(), &entry))
        if (entry.th32OwnerProcessID == process)
            found.push_back(entry.th32ThreadID);
    return found;
}

namespace {

std::uint64_t ticks(const FILETIME& kernel, const FILETIME& user) {  // of 100 ns
    return ((static_cast<std::uint64_t>(kernel.dwHighDateTime) << 32) | kernel.dwLowDateTime) +
           ((static_cast<std::uint64_t>(user.dwHighDateTime) << 32) | user.dwLowDateTime);
}

}  // namespace

std::chrono::microseconds cpu_time(DWORD process) {
    FILETIME begin, end, kernel, user;
    std::uint64_t used = 0;
    if (!under_wine()) {
        const ipc::unique_handle handle(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, process));
        if (handle && GetProcessTimes(handle.get(), &begin, &end, &kernel, &user))
            used = ticks(kernel, user);
        return std::chrono::microseconds(used / 10);
    }
    // Wine's GetProcessTimes answers with the caller's own time, whatever process it is asked about.
    for (DWORD id : threads_of(process)) {
        const ipc::unique_handle thread(OpenThread(THREAD_QUERY_INFORMATION, FALSE, id));
        if (thread && GetThreadTimes(thread.get(), &begin, &end, &kernel, &user))
            used += ticks(kernel, user);
    }
    return std::chrono::microseconds(used / 10);
}

}  // namespace judge::nt
