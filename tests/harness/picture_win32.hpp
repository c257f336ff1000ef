#pragma once

#include "platform.hpp"

namespace judge {

/// What Process::stillness() goes by: repeated looks at every thread of a tree, each stopping it for a
/// moment.
class Picture {
public:
    /// What each thread is blocked in, and a hash of what would be different if it had moved. Empty if one is
    /// not blocked, or is not as it was at the last look: the memory of a thread is read only if it seems to
    /// stand still, since under Wine that can kill one that does not (see Stopped).
    std::string look(const std::vector<ProcessInfo>& tree);

private:
    std::map<std::uint32_t, std::uint64_t> postures_;  // by thread
};

}  // namespace judge
