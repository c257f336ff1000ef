#include "security_win32.hpp"

#include "handles_win32.hpp"
#include "ipc/error.hpp"
#include "ipc/text.hpp"
#include <atomic>
#include <random>
#include <sddl.h>

namespace judge {

using ipc::throw_last_error;
using ipc::to_utf8;
using ipc::unique_handle;

Security::Security(const std::wstring& sddl) {
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(sddl.c_str(), SDDL_REVISION_1, &descriptor_,
                                                              nullptr))
        throw_last_error("ConvertStringSecurityDescriptorToSecurityDescriptor", to_utf8(sddl));
    attributes_ = {sizeof attributes_, descriptor_, FALSE};
}

std::wstring own_user() {
    HANDLE token = nullptr;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        throw_last_error("OpenProcessToken");
    const unique_handle owner(token);
    alignas(TOKEN_USER) char buffer[256];
    DWORD size = 0;
    if (!GetTokenInformation(token, TokenUser, buffer, sizeof buffer, &size))
        throw_last_error("GetTokenInformation", "TokenUser");
    wchar_t* text = nullptr;
    if (!ConvertSidToStringSidW(reinterpret_cast<TOKEN_USER*>(buffer)->User.Sid, &text))
        throw_last_error("ConvertSidToStringSid");
    std::wstring sid = text;
    LocalFree(text);
    return sid;
}

namespace {

bool close_object(HANDLE object) {
    // Subjects run as the same user, and an owner may rewrite the list of rights: so the owner becomes the
    // system where that is allowed (Wine), and has no more rights than others where it is not (OW, the
    // owner's rights).
    const Security nobodys(L"O:SYD:P(A;;0x101000;;;WD)"), ours(L"D:P(A;;0x101000;;;WD)(A;;0x101000;;;OW)");
    return SetKernelObjectSecurity(object, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                                   nobodys.get()) ||
           SetKernelObjectSecurity(object, DACL_SECURITY_INFORMATION, ours.get());
}

std::atomic<bool> close_threads = false;

}  // namespace

bool close_judge() {
    close_threads = true;
    close_this_thread();
    return close_object(GetCurrentProcess());
}

void close_this_thread() {
    static thread_local bool closed = false;
    if (close_threads && !closed)
        closed = close_object(GetCurrentThread());
}

std::string random_name() {
    std::random_device device;
    std::string name;
    for (int i = 0; i < 4; ++i)
        name += nt::hex(device()).substr(2);
    return name;
}

}  // namespace judge
