#pragma once

/// @file
/// Who may do what with the judge's objects, and names that nobody can guess.

#include <string>
#include <windows.h>

namespace judge {

/// A security descriptor from its text form (SDDL).
class Security {
public:
    /// @throws std::system_error
    explicit Security(const std::wstring& sddl);
    Security(const Security&) = delete;
    Security& operator=(const Security&) = delete;
    ~Security() { LocalFree(descriptor_); }
    PSECURITY_DESCRIPTOR get() const { return descriptor_; }
    SECURITY_ATTRIBUTES* attributes() { return &attributes_; }

private:
    PSECURITY_DESCRIPTOR descriptor_ = nullptr;
    SECURITY_ATTRIBUTES attributes_{};
};

/// The user that we run as, as SDDL writes it: "S-1-5-21-…".
std::wstring own_user();

/// Leaves other processes no rights on this process and its calling thread but to wait for them and to ask
/// their names. From now on close_this_thread() closes threads, too. @return whether the system did it
bool close_judge();
/// Called by every thread that moves a subject's bytes: a thread is as good a way in as the process.
void close_this_thread();

/// 128 random bits in hexadecimal.
std::string random_name();

}  // namespace judge
